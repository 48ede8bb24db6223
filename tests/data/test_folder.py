"""Dataset folders of each layout, and reading their cases."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from shapewright.data import CaseFiles, find_images, load_case, open_dataset
from shapewright.errors import InputError

RNG = np.random.default_rng(0)


def nifti(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(array).save(path)
    return path


def volume():
    return RNG.integers(0, 100, (4, 5, 6)).astype(np.int16)


def mask(*values):
    return RNG.choice(np.array(values, np.uint8), (4, 5, 6))


def describe(folder, **content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def decathlon(tmp_path):
    for name in ("b", "a"):
        nifti(tmp_path / f"imagesTr/{name}.nii.gz", volume())
        nifti(tmp_path / f"labelsTr/{name}.nii.gz", mask(0, 1, 2))
    nifti(tmp_path / "imagesTs/c.nii.gz", volume())
    (tmp_path / "imagesTr/._a.nii.gz").touch()  # as macOS leaves them
    return describe(
        tmp_path,
        name="Task", description="Two parts", licence="CC0",
        modality={"0": "MRI"},
        labels={"0": "background", "1": "front", "2": "back"},
        training=[{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("b", "a")],
        test=["./imagesTs/c.nii.gz"],
    )  # fmt: skip


def test_decathlon(decathlon):
    dataset = open_dataset(decathlon)
    assert (dataset.name, dataset.description, dataset.licence) == ("Task", "Two parts", "CC0")
    assert dataset.channels == ("MRI",)
    assert dataset.labels == {"front": 1, "back": 2}
    assert dataset.ids == ("a", "b")
    assert [case.id for case in dataset.test_cases] == ["c"]
    assert dataset.case("c").label is None
    assert dataset.stray_images == dataset.stray_labels == ()
    image, label = load_case(dataset.case("a"), dataset)
    np.testing.assert_array_equal(
        image.array[0].transpose(), np.asarray(nibabel.load(decathlon / "imagesTr/a.nii.gz").dataobj)
    )
    assert label.array.shape == (1, 6, 5, 4)


def test_decathlon_with_several_channels_in_one_file(decathlon):
    for name in "ab":
        nifti(decathlon / f"imagesTr/{name}.nii.gz", np.stack([volume(), volume()], axis=-1))
    described = json.loads((decathlon / "dataset.json").read_text())
    dataset = open_dataset(describe(decathlon, **{**described, "modality": {"1": "T2", "0": "T1"}}))
    assert dataset.channels == ("T1", "T2")
    assert load_case(dataset.cases[0], dataset)[0].array.shape == (2, 6, 5, 4)


def test_decathlon_files_that_the_list_lacks(decathlon):
    extra_image = nifti(decathlon / "imagesTr/extra.nii.gz", volume())
    extra_label = nifti(decathlon / "labelsTr/other.nii.gz", mask(0, 1))
    dataset = open_dataset(decathlon)
    assert dataset.stray_images == (extra_image,)
    assert dataset.stray_labels == (extra_label,)


@pytest.fixture
def nnunet(tmp_path):
    for name in ("x_1", "x_2"):
        for channel in range(2):
            nifti(tmp_path / f"imagesTr/{name}_000{channel}.nii.gz", volume() + 1000 * channel)
        nifti(tmp_path / f"labelsTr/{name}.nii.gz", mask(0, 1, 2, 3, 4))
    nifti(tmp_path / "imagesTs/y_0000.nii.gz", volume())
    nifti(tmp_path / "imagesTs/y_0001.nii.gz", volume())
    return describe(
        tmp_path,
        channel_names={"0": "T1", "1": "FLAIR"},
        labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4},
        file_ending=".nii.gz",
        numTraining=2,
    )


def test_nnunet(nnunet):
    dataset = open_dataset(nnunet)
    assert dataset.name == nnunet.name
    assert dataset.channels == ("T1", "FLAIR")
    assert dataset.labels == {"enhancing": 3, "1": 1, "2": 2}
    assert dataset.regions == {"whole": (1, 2, 3), "core": (2, 3)}
    assert dataset.ignore_label == 4
    assert dataset.ids == ("x_1", "x_2")
    assert [len(case.images) for case in dataset.test_cases] == [2]
    image, label = load_case(dataset.cases[1], dataset)
    assert image.array.shape == (2, 6, 5, 4)
    assert image.array[0].max() < 1000 <= image.array[1].min()
    assert set(np.unique(label.array)) == {0, 1, 2, 3, 4}


def test_nnunet_labels_and_images_out_of_order(nnunet):
    (nnunet / "labelsTr/x_1.nii.gz").rename(nnunet / "labelsTr/z.nii.gz")
    unnumbered = nifti(nnunet / "imagesTr/x_3.nii.gz", volume())
    dataset = open_dataset(nnunet)
    assert dataset.case("x_1").label is None
    assert dataset.stray_labels == (nnunet / "labelsTr/z.nii.gz",)
    assert dataset.stray_images == (unnumbered,)


@pytest.mark.parametrize("folders", [("images", "labels"), ("images", "masks"), ("imagesTr", "labelsTr")])
def test_paired_folders_find_labels_in_the_files(tmp_path, folders):
    for name in "ab":
        png(tmp_path / folders[0] / f"{name}.jpg", RNG.integers(0, 255, (5, 6, 3), dtype=np.uint8))
        png(tmp_path / folders[1] / f"{name}.png", RNG.choice(np.array([0, 3, 7], np.uint8), (5, 6)))
    (tmp_path / folders[0] / "notes.txt").touch()
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("a", "b")
    assert dataset.channels == ("red", "green", "blue")
    assert dataset.labels == {"3": 3, "7": 7}
    image, label = load_case(dataset.cases[0], dataset)
    assert (image.array.shape, label.array.shape) == ((3, 5, 6), (1, 5, 6))


def test_paired_folders_with_names(tmp_path):
    png(tmp_path / "images/a.png", RNG.integers(0, 255, (5, 6), dtype=np.uint8))
    png(tmp_path / "labels/a.png", RNG.choice(np.array([0, 1, 2], np.uint8), (5, 6)))
    (tmp_path / "labels.json").write_text('{"background": 0, "axon": 2, "myelin": 1}')
    assert open_dataset(tmp_path).labels == {"axon": 2, "myelin": 1}
    describe(tmp_path, name="Nerve", licence="MIT", labels={"0": "background", "1": "sheath", "2": "core"})
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.licence, dataset.labels) == ("Nerve", "MIT", {"sheath": 1, "core": 2})


def test_masks_of_255_are_one_class(tmp_path):
    values = RNG.choice(np.array([0, 255], np.uint8), (5, 6))
    png(tmp_path / "images/a.png", values)
    png(tmp_path / "masks/a.png", values)
    dataset = open_dataset(tmp_path)
    assert dataset.binary
    assert dataset.labels == {"foreground": 1}
    np.testing.assert_array_equal(load_case(dataset.cases[0], dataset)[1].array[0], values // 255)


def test_instance_labels(tmp_path):
    instances = np.arange(90, dtype=np.uint16).reshape(9, 10)
    png(tmp_path / "images/a.png", instances.astype(np.uint8))
    png(tmp_path / "labels/a.png", instances)
    with pytest.raises(InputError, match=r'89 different values.*labels="binary"'):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, labels="binary")
    assert dataset.labels == {"foreground": 1}
    np.testing.assert_array_equal(load_case(dataset.cases[0], dataset)[1].array[0], instances > 0)
    describe(tmp_path, labels={"background": 0, "nucleus": 1}, instances=True)
    assert open_dataset(tmp_path).binary
    assert open_dataset(tmp_path).labels == open_dataset(tmp_path, labels="binary").labels == {"nucleus": 1}


def test_grey_images_among_colour_images(tmp_path):
    png(tmp_path / "images/a.png", RNG.integers(0, 255, (5, 6), dtype=np.uint8))
    png(tmp_path / "images/b.png", RNG.integers(0, 255, (5, 6, 3), dtype=np.uint8))
    dataset = open_dataset(tmp_path)
    image, label = load_case(dataset.case("a"), dataset)
    assert label is None
    assert dataset.channels == ("red", "green", "blue")
    np.testing.assert_array_equal(image.array[0], image.array[2])


def test_binary_makes_one_class_of_all(decathlon):
    dataset = open_dataset(decathlon, labels="binary")
    assert dataset.labels == {"foreground": 1}
    assert set(np.unique(load_case(dataset.cases[0], dataset)[1].array)) == {0, 1}


def test_dicom_folders_are_cases(tmp_path):
    (tmp_path / "images/p1").mkdir(parents=True)
    (tmp_path / "images/p1/IM0001").touch()
    (tmp_path / "images/other").mkdir()
    assert find_images(tmp_path / "images") == [tmp_path / "images/p1"]


def test_label_takes_the_place_of_its_image(tmp_path):
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    nifti(tmp_path / "images/a.nii.gz", volume(), affine)
    rounded = affine.copy()
    rounded[0, 3] += 1e-3
    nifti(tmp_path / "labels/a.nii.gz", mask(0, 1), rounded)
    dataset = open_dataset(tmp_path)
    image, label = load_case(dataset.cases[0], dataset)
    assert label.spacing == image.spacing == (5.0, 2.0, 2.0)
    np.testing.assert_array_equal(label.affine, image.affine)


def test_misaligned_label_names_both_files(tmp_path):
    nifti(tmp_path / "images/a.nii.gz", volume())
    nifti(tmp_path / "labels/a.nii.gz", mask(0, 1), np.diag([1.0, 1.0, 1.1, 1.0]))
    dataset = open_dataset(tmp_path)
    with pytest.raises(InputError, match=r"images/a\.nii\.gz and .*labels/a\.nii\.gz must lie at the same place.*0\.5"):
        load_case(dataset.cases[0], dataset)


def test_label_of_another_shape_names_both_files(tmp_path):
    nifti(tmp_path / "images/a.nii.gz", volume())
    nifti(tmp_path / "labels/a.nii.gz", mask(0, 1)[:3])
    dataset = open_dataset(tmp_path)
    with pytest.raises(InputError, match=r"images/a\.nii\.gz and .*labels/a\.nii\.gz must have the same shape"):
        load_case(dataset.cases[0], dataset)


def test_undeclared_label_value(decathlon):
    nifti(decathlon / "labelsTr/a.nii.gz", mask(0, 1, 9))
    dataset = open_dataset(decathlon)
    with pytest.raises(InputError, match=r"labelsTr/a\.nii\.gz: .*found \[9\], declared are \{'front': 1, 'back': 2\}"):
        load_case(dataset.case("a"), dataset)


def test_wrong_number_of_channels(nnunet):
    (nnunet / "imagesTr/x_1_0001.nii.gz").unlink()
    dataset = open_dataset(nnunet)
    with pytest.raises(InputError, match=r"case x_1 has 1 channel\(s\); expected are 2"):
        load_case(dataset.case("x_1"), dataset)


def test_unknown_case_is_suggested(decathlon):
    dataset = open_dataset(decathlon)
    with pytest.raises(InputError, match="unknown case"):
        dataset.case("A")


def test_missing_listed_file(decathlon):
    (decathlon / "imagesTr/a.nii.gz").unlink()
    dataset = open_dataset(decathlon)
    with pytest.raises(InputError, match=r"a\.nii\.gz: no such file"):
        load_case(dataset.case("a"), dataset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must hold an object"),
        ('{"training": 3, "labels": {"0": "background"}}', '"training" must be a list'),
        ('{"training": [{"picture": "a.nii"}], "labels": {"0": "background"}}', '"training" must be a list'),
        ('{"training": [{"image": "a.nii", "label": "a.nii"}]}', '"labels" must be an object'),
        ('{"training": [{"image": "a.nii", "label": "a.nii"}], "labels": {"one": "1.5"}}', "whole number"),
        ('{"training": [{"image": "a.nii", "label": "a.nii"}], "labels": {"one": 1, "two": 1}}', "value of its own"),
        ('{"training": [], "labels": {"0": "background", "1": "a"}}', "no images"),
        ('{"channel_names": "MRI", "labels": {"background": 0}}', "channels must be"),
    ],
)
def test_dataset_json_that_cannot_be_understood(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


def test_not_a_dataset(tmp_path):
    with pytest.raises(InputError, match="not a dataset folder"):
        open_dataset(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="no images"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="folder, not a file"):
        open_dataset(png(tmp_path / "a.png", np.zeros((3, 3), np.uint8)))
    with pytest.raises(InputError, match="unknown value for labels 'binry'; did you mean 'binary'"):
        open_dataset(tmp_path, labels="binry")


def test_single_case_without_dataset_folder(tmp_path):
    dataset = open_dataset(describe(tmp_path, training=[], test=["a.nii"], labels={"0": "background", "1": "a"}))
    path = nifti(tmp_path / "a.nii", volume())
    image, label = load_case(CaseFiles("a", (path,)), dataset)
    assert label is None
    assert image.path == path
