"""The check of a dataset folder: each kind of problem is found, all at once, and sound folders are left in peace."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from shapewright.data import check_dataset, open_dataset, samples
from shapewright.errors import InputError

RNG = np.random.default_rng(0)
SHAPE = (5, 6, 7)
THICK = np.diag([1, 1, 9.0, 1])


def nifti(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def image():
    return RNG.random(SHAPE).astype(np.float32)


def label():
    return RNG.integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A sound folder of six cases."""
    for index in range(6):
        nifti(tmp_path / f"imagesTr/c{index}_0000.nii.gz", image())
        nifti(tmp_path / f"labelsTr/c{index}.nii.gz", label())
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nii.gz"}))
    return tmp_path


def kinds(result):
    return {(problem.kind, problem.case, problem.severity) for problem in result.problems}


def test_sound_folder(folder):
    result = check_dataset(folder)
    assert result.problems == ()
    assert result.ok
    assert result.summary["cases"] == result.summary["labelled"] == 6
    assert result.summary["shapes"] == [[{"min": n, "median": n, "max": n} for n in SHAPE[::-1]]]
    liver = result.summary["labels"]["liver"]
    assert (liver["value"], liver["cases"]) == (1, 6)
    assert liver["volume"] == liver["samples"]
    json.dumps(result.summary)


@pytest.mark.parametrize("name", ["hippocampus", "nuclei", "vessels"])
def test_bundled_samples_are_sound(name):
    assert check_dataset(samples.load(name)).problems == ()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: (f / "labelsTr/c1.nii.gz").unlink(), ("no label", "c1", "warning")),
        (lambda f: nifti(f / "labelsTr/c9.nii.gz", label()), ("no image", None, "error")),
        (lambda f: (f / "imagesTr/c1_0000.nii.gz").write_bytes(b"junk"), ("unreadable", "c1", "error")),
        (lambda f: (f / "labelsTr/c1.nii.gz").write_bytes(b""), ("unreadable", "c1", "error")),
        (lambda f: nifti(f / "labelsTr/c1.nii.gz", label()[1:]), ("shape", "c1", "error")),
        (lambda f: nifti(f / "labelsTr/c1.nii.gz", label(), np.diag([1, 1, 2.0, 1])), ("affine", "c1", "error")),
        (lambda f: nifti(f / "labelsTr/c1.nii.gz", label() * 3), ("undeclared label", "c1", "error")),
        (lambda f: nifti(f / "labelsTr/c1.nii.gz", image()), ("label values", "c1", "error")),
        (lambda f: nifti(f / "labelsTr/c1.nii.gz", 0 * label()), ("empty mask", "c1", "warning")),
        (lambda f: nifti(f / "imagesTr/c1_0000.nii.gz", image() * np.nan), ("not finite", "c1", "error")),
        (lambda f: nifti(f / "imagesTr/c1_0000.nii.gz", image() / 0), ("not finite", "c1", "error")),
        (lambda f: nifti(f / "imagesTr/c1_0000.nii.gz", 0 * image() + 4), ("constant", "c1", "warning")),
        (lambda f: nifti(f / "imagesTr/c1_0001.nii.gz", image()), ("channels", "c1", "error")),
        (lambda f: nifti(f / "imagesTr/odd.nii.gz", image()), ("unused image", None, "warning")),
        (lambda f: nifti(f / "imagesTr/c9_0000.nii.gz", image()[0]), ("rank", "c9", "error")),
        (lambda f: (f / "imagesTr/c1.mha").touch(), ("unknown format", None, "warning")),
        (lambda f: nifti(f / "imagesTr/c9_0000.nii.gz", image(), THICK), ("spacing", "c9", "warning")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_each_problem_is_found(folder, spoil, expected):
    spoil(folder)
    result = check_dataset(folder)
    assert expected in kinds(result)
    found = next(problem for problem in result.problems if problem.kind == expected[0])
    assert str(found.file) in found.message
    assert result.ok == (not result.errors)
    assert set(result.problems) == {*result.errors, *result.warnings}


def test_the_same_image_twice(folder):
    copy = (folder / "imagesTr/c2_0000.nii.gz").read_bytes()
    (folder / "imagesTs").mkdir()
    (folder / "imagesTs/t_0000.nii.gz").write_bytes(copy)
    (problem,) = check_dataset(folder).problems
    assert (problem.kind, problem.case) == ("duplicate file", "t")
    assert "c2_0000.nii.gz (case c2)" in problem.message


def test_two_files_of_one_name(tmp_path):
    for ending in ("png", "tif"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Pillow.fromarray(RNG.integers(0, 255, (5, 6), dtype=np.uint8)).save(tmp_path / f"images/a.{ending}")
    assert ("duplicate name", "a", "error") in kinds(check_dataset(tmp_path))


def test_header_that_contradicts_itself(folder):
    file = nibabel.Nifti1Image(image(), np.eye(4))
    file.header["pixdim"][3] = 4
    path = folder / "imagesTr/c1_0000.nii.gz"
    nibabel.save(file, path)
    stored = nibabel.load(path).header
    assert stored["pixdim"][3] == 4
    assert ("header", "c1", "warning") in kinds(check_dataset(folder))


def test_a_label_that_occurs_nowhere(folder):
    for index in range(6):
        nifti(folder / f"labelsTr/c{index}.nii.gz", label() % 2)
    (problem,) = check_dataset(folder).problems
    assert problem.kind == "absent label"
    assert "'tumour'" in problem.message


def test_all_problems_at_once(folder):
    nifti(folder / "labelsTr/c0.nii.gz", label()[1:])
    nifti(folder / "labelsTr/c1.nii.gz", label() * 5)
    (folder / "imagesTr/c2_0000.nii.gz").write_bytes(b"junk")
    (folder / "labelsTr/c3.nii.gz").unlink()
    result = check_dataset(folder)
    assert {problem.case for problem in result.problems} == {"c0", "c1", "c2", "c3"}
    assert [problem.severity for problem in result.problems] == ["error"] * 3 + ["warning"]


def test_missing_listed_files(tmp_path):
    described = {"labels": {"0": "background", "1": "a"}, "training": [{"image": "imagesTr/a.nii", "label": "b.nii"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert [problem.kind for problem in check_dataset(tmp_path).problems] == ["missing file", "missing file"]


def test_flat_images(tmp_path):
    for name in "abc":
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            Pillow.fromarray(RNG.choice(np.array([0, 255], np.uint8), (8, 9))).save(tmp_path / f"{kind}/{name}.png")
    assert check_dataset(tmp_path).problems == ()
    Pillow.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "masks/a.png")
    Pillow.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "masks/b.png")
    found = kinds(check_dataset(tmp_path))
    assert {("shape", "a", "error"), ("empty mask", "a", "warning"), ("label values", "b", "error")} <= found


def test_labels_saved_as_jpeg(tmp_path):
    for name in ("images/a.png", "labels/a.jpg"):
        (tmp_path / name).parent.mkdir()
        Pillow.fromarray(RNG.choice(np.array([0, 255], np.uint8), (8, 9))).save(tmp_path / name)
    assert ("lossy label", "a", "error") in kinds(check_dataset(tmp_path))


def test_instance_labels_are_explained_and_files_checked_nevertheless(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        Pillow.fromarray(np.arange(90, dtype=np.uint16).reshape(9, 10)).save(tmp_path / f"{kind}/a.png")
    Pillow.fromarray(np.zeros((9, 10), np.uint8)).save(tmp_path / "images/b.png")
    assert kinds(check_dataset(tmp_path)) == {
        ("dataset", None, "error"),
        ("constant", "b", "warning"),
        ("no label", "b", "warning"),
    }


def test_folder_that_is_no_dataset(tmp_path):
    result = check_dataset(tmp_path)
    assert [problem.kind for problem in result.problems] == ["dataset"]
    assert result.summary == {}
    with pytest.raises(InputError, match="no such file or folder"):
        check_dataset(tmp_path / "nowhere")


def test_progress_is_told_of_every_case(folder):
    told = []

    def track(items, description):
        for item in items:
            told.append((description, item.id))
            yield item

    check_dataset(open_dataset(folder), track=track)
    assert told == [("checking", f"c{index}") for index in range(6)]
