"""Several data sets declared as one: what their labels and channels become, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from shapewright.data import check_dataset, load_case, open_dataset, read_labels, write_labels
from shapewright.data.collection import common_channels
from shapewright.data.patches import PatchBatches, TrainingCase
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.training.cases import load_cases, plan_task, prepare_case, split_dataset
from shapewright.training.config import PrepareConfig, SplitConfig
from tests.data.brains import DECLARED, write_brains


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brains(tmp_path_factory.mktemp("brains"))


def rewritten(declared: Path, tmp_path: Path, old: str, new: str) -> Path:
    """Return a copy of the declaration with a change, which still finds its folders."""
    text = declared.read_text()
    assert old in text
    text = text.replace(old, new).replace("folder: ", f"folder: {declared.parent}/")
    path = tmp_path / "changed.yaml"
    path.write_text(text)
    return path


def test_classes_channels_and_cases_are_those_of_all(declared: Path) -> None:
    dataset = open_dataset(declared)
    assert dataset.labels == {"csf": 1, "grey": 2, "white": 3, "lesion": 4}
    assert dataset.channels == ("T1", "FLAIR")
    assert dataset.label_sets == ((0, 1, 2, 3),)
    assert len(dataset.cases) == 12
    assert dataset.case("patients-case0").member == "patients"
    assert dataset.members["anatomy"].annotated is None  # lesions are known to be absent there
    assert dataset.members["patients"].annotated == {4}


def test_a_case_has_the_collections_labels_and_channels(declared: Path) -> None:
    dataset = open_dataset(declared)
    image, labels = load_case(dataset.case("patients-case1"), dataset)
    own = dataset.members["patients"].dataset
    raw, values = load_case(own.case("case1"), own)
    assert labels is not None
    assert values is not None
    np.testing.assert_array_equal(image.array, raw.array[::-1])  # FLAIR, T1 in the file
    np.testing.assert_array_equal(labels.array, np.where(values.array == 7, 4, -1))
    image, labels = load_case(dataset.case("anatomy-case1"), dataset)
    assert labels is not None
    assert np.isnan(image.array[1]).all()
    assert np.isfinite(image.array[0]).all()
    assert set(np.unique(labels.array)) == {0, 1, 2, 3}


def test_zero_is_background_where_declared(declared: Path, tmp_path: Path) -> None:
    path = rewritten(
        declared, tmp_path, "labels: {spot: lesion}", "labels: {spot: lesion}\n    zero_is_background: true"
    )
    dataset = open_dataset(path)
    member = dataset.members["patients"]
    image, labels = load_case(member.dataset.cases[0], member.dataset)
    assert labels is not None
    image.array[:, :5] = 0
    image.array[0, 2] = 1  # not 0 in every channel
    numbered = member.number_labels(labels, image, classes=5)[0]
    expected = np.where(labels.array[0] == 7, 4, -1)
    expected[[0, 1, 3, 4]] = np.where(expected[[0, 1, 3, 4]] == 4, 4, 0)
    np.testing.assert_array_equal(numbered, expected)


def test_common_channels_leave_nothing_missing(declared: Path) -> None:
    dataset = common_channels(open_dataset(declared))
    assert dataset.channels == ("T1",)
    for case in dataset.cases:
        assert load_case(case, dataset)[0].array.shape == (1, 32, 32)


def test_every_data_set_is_split_and_may_be_put_into_one_split(declared: Path, tmp_path: Path) -> None:
    split = split_dataset(open_dataset(declared), SplitConfig(validation=0.2, test=0.2))
    for name, count in (("train", 4), ("val", 1), ("test", 1)):
        for member in ("anatomy", "patients"):
            assert sum(case.member == member for case in split[name]) == count
    path = rewritten(declared, tmp_path, "channels: [T1]", "channels: [T1]\n    use: test")
    split = split_dataset(open_dataset(path), SplitConfig(validation=0.2, test=0.2))
    assert {case.member for case in split["train"]} == {"patients"}
    assert sum(case.member == "anatomy" for case in split["test"]) == 6


def prepared(declared: Path) -> tuple[list[TrainingCase], Task]:
    dataset = open_dataset(declared)
    loaded = load_cases(dataset, split_dataset(dataset, SplitConfig()), lambda items, _: items)
    task = plan_task(dataset, loaded, PrepareConfig())
    return [prepare_case(case, task, lambda _: {}) for case in loaded if case.split == "train"], task


def test_training_labels_are_classes_and_label_sets(declared: Path) -> None:
    cases, task = prepared(declared)
    assert task.label_sets == ((0, 1, 2, 3),)
    assert task.optional_channels
    for case in cases:
        assert set(np.unique(case.labels)) <= ({0, 1, 2, 3} if case.member == "anatomy" else {4, 5})
        assert np.isnan(case.image[1]).all() == (case.member == "anatomy")
        assert abs(float(case.image[0].mean())) < 1e-4


def test_partial_masks_of_one_folder_get_label_sets(declared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anatomy"
    (declared.parent / "anatomy").copy(folder) if hasattr(Path, "copy") else _copy(declared.parent / "anatomy", folder)
    (folder / "annotated.csv").write_text("case,label\ncase0,csf\n")
    path = folder / "labels" / "case0.png"
    labels = read_labels(path)
    write_labels(path, np.where(labels.array == 1, 1, 0).astype(np.uint8), like=labels)
    dataset = open_dataset(folder)
    loaded = load_cases(dataset, split_dataset(dataset, SplitConfig()), lambda items, _: items)
    task = plan_task(dataset, loaded, PrepareConfig())
    assert task.label_sets == ((0, 2, 3),)
    case = next(prepare_case(case, task, lambda _: {}) for case in loaded if case.id == "case0")
    np.testing.assert_array_equal(case.labels, np.where(labels.array[0] == 1, 1, 4))
    assert case.supervision.kinds == ("partial",)


def _copy(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(source, target)


def test_batches_hold_as_many_patches_of_every_data_set(declared: Path) -> None:
    cases, task = prepared(declared)
    few = [case for case in cases if case.member == "anatomy"][:1] + [
        case for case in cases if case.member != "anatomy"
    ]
    counts, leading = {"anatomy": 0, "patients": 0}, 0
    batches = PatchBatches(few, task, batch_size=3, seed=0)
    for step in range(200):
        members = [batches._case(step, slot, np.random.default_rng(step)).member for slot in range(3)]
        leading += members[0] == "anatomy"
        for member in members:
            counts[member] += 1
    assert counts["anatomy"] == counts["patients"] == 300
    assert abs(leading - 100) < 3 * np.sqrt(200 / 4)  # no place of the batch belongs to one of them


def test_patches_are_centred_on_every_label_equally_often(declared: Path) -> None:
    cases, task = prepared(declared)
    batches = PatchBatches(cases, task, batch_size=1, seed=0, foreground_share=1.0)
    case = next(case for case in cases if case.member == "patients")
    random = np.random.default_rng(0)
    centres = [case.labels[tuple(batches._centre(case, 0, random))] for _ in range(900)]
    share = float(np.mean(np.array(centres) == 4))
    assert abs(share - 0.5) < 3 * np.sqrt(0.25 / 900)


def test_nothing_to_complain_about(declared: Path) -> None:
    result = check_dataset(declared)
    assert result.ok, result.problems
    assert result.summary["supervision"] == {"dense": 6, "partial": 6}


def test_a_mask_that_contradicts_its_label_set(declared: Path, tmp_path: Path) -> None:
    path = rewritten(declared, tmp_path, "[csf, grey, white]", "[csf, grey]")
    dataset = open_dataset(path)
    with pytest.raises(
        InputError, match=r"case0.png shows 'white' \(value 3\), but the data set 'anatomy' does not list"
    ):
        load_case(dataset.case("anatomy-case0"), dataset)
    assert any("shows 'white'" in problem.message for problem in check_dataset(path).errors)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{spot: lesion}", "{spott: lesion}", "the data set 'patients' has no label 'spott'; did you mean 'spot'"),
        ("{spot: lesion}", "{}", "labels of the data set 'patients' must be a list or a mapping"),
        ("{spot: lesion}", "{spot: [lesion, grey]}", "no data set has a label for 'lesion' alone"),
        ("[FLAIR, T1]", "[FLAIR]", "must name its 2 channel"),
        ("[T1]", "[t1]", "shares no channel with another: it has t1, the others have FLAIR, T1"),
        ("background: background", "backgound: background", "no option 'backgound'; did you mean 'background'"),
        ("name: brains", "classes: [csf, grey, lesion]", r"lack \['white'\]"),
        ("channels: [T1]", "use: testing", "unknown use of the data set 'anatomy' 'testing'"),
        ("channels: [T1]", "use: testing", "changed.yaml: "),
        ("{spot: lesion}", "{spot: 3}", "'spot' of the data set 'patients' must stand for a class .*got 3"),
        ("{spot: lesion}", "{spot: null}", "must stand for a class .*got None"),
        ("{spot: lesion}", "{spot: [[lesion]]}", "must stand for a class"),
        ("{spot: lesion}", "[{spot: lesion}]", "has no label"),
        ("background: background", "background: 0", "'background' of the data set 'anatomy' must stand for a class"),
        ("name: brains", "classes: 3", "classes must be a list of names, each once; got 3"),
        ("name: brains", "classes: [csf, grey, white, lesion, csf]", "classes must be a list of names, each once"),
        ("channels: [T1]", "zero_is_background: 'false'", "zero_is_background .* must be true or false; got 'false'"),
    ],
)
def test_declarations_that_make_no_sense(declared: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(rewritten(declared, tmp_path, old, new))


def test_a_data_set_that_tells_no_class_from_the_others_can_only_train(declared: Path, tmp_path: Path) -> None:
    for labels in ("{spot: background}", "{spot: [csf, grey, white]}"):
        path = rewritten(declared, tmp_path, "{spot: lesion}", labels)
        with pytest.raises(InputError, match=r"changed\.yaml: the labels of the data set 'patients' tell no class"):
            open_dataset(path)
        path.write_text(path.read_text() + "    use: train\n")
        split = split_dataset(open_dataset(path), SplitConfig())
        assert not any(case.member == "patients" for name in ("val", "test") for case in split[name])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: []", "must have 'datasets', a mapping"),
        ("datasets: {a: {}}", "the data set 'a' needs a 'folder'"),
        ("datasets: {a: {folder: nowhere}}", "nowhere: no such file or folder"),
        ("datasets: {a: {folder: sets.yaml}}", "the data set 'a' must be a folder, not a file"),
        ("datasets: {a: [", "cannot be read as YAML"),
        (DECLARED + "labels: x", "the file has no option 'labels'"),
    ],
)
def test_files_that_cannot_be_understood(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sets.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        open_dataset(path)


def test_no_channel_in_common_of_three(declared: Path, tmp_path: Path) -> None:
    text = declared.read_text().replace("folder: ", f"folder: {declared.parent}/")
    path = tmp_path / "three.yaml"
    path.write_text(text + f"  more:\n    folder: {declared.parent}/anatomy\n    channels: [FLAIR]\n")
    with pytest.raises(InputError, match="needs channels that every data set has, and there is none: anatomy has T1;"):
        common_channels(open_dataset(path))
