"""What is common to all formats: dispatch, labels, errors, and files that appear whole or not at all."""

import contextlib
import os
import resource

import numpy as np
import pytest

from shapewright.data import Image, read_geometry, read_image, read_labels, write_image, write_labels
from shapewright.data.formats import stem_of
from shapewright.data.formats.files import writing
from shapewright.errors import InputError

FLAT = Image(np.zeros((1, 9, 11), np.uint8), spacing=(1.0, 1.0))
VOLUME = Image(np.zeros((1, 4, 9, 11), np.uint8), spacing=(3.0, 0.5, 0.25))
WRITABLE = ["nii", "nii.gz", "tif", "npz", "npy"]


def random_labels(image: Image, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high + 1, image.spatial_shape)


@pytest.mark.parametrize("ending", WRITABLE)
@pytest.mark.parametrize("image", [FLAT, VOLUME], ids=["flat", "volume"])
@pytest.mark.parametrize("high", [1, 255, 300])
def test_labels_round_trip(tmp_path, ending, image, high):
    labels = random_labels(image, high)
    path = tmp_path / f"labels.{ending}"
    write_labels(path, labels, like=image)
    again = read_labels(path)
    np.testing.assert_array_equal(again.array[0], labels)
    assert again.array.dtype == (np.uint8 if high <= 255 else np.int16)
    if ending != "npy":
        np.testing.assert_allclose(again.spacing, image.spacing, rtol=1e-6)
    geometry = read_geometry(path)
    assert (geometry.channels, geometry.spatial_shape, geometry.spacing) == (1, image.spatial_shape, again.spacing)


@pytest.mark.parametrize("high", [1, 255, 65535])
def test_png_labels_round_trip(tmp_path, high):
    labels = random_labels(FLAT, high)
    write_labels(tmp_path / "labels.png", labels[None], like=FLAT)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png").array[0], labels)


@pytest.mark.parametrize("ending", ["nii.gz", "tif", "npz"])
@pytest.mark.parametrize("image", [FLAT, VOLUME], ids=["flat", "volume"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_probabilities_round_trip(tmp_path, ending, image, channels):
    values = np.random.default_rng(1).random((channels, *image.spatial_shape)).astype(np.float32)
    path = tmp_path / f"p.{ending}"
    write_image(path, values, like=image)
    again = read_image(path)
    if ending == "nii.gz" and image is FLAT and channels > 1:  # a fourth axis needs a third
        values, spacing = values[:, None], (1.0, *image.spacing)
    else:
        spacing = image.spacing
    np.testing.assert_array_equal(again.array, values)
    np.testing.assert_allclose(again.spacing, spacing, rtol=1e-6)
    assert read_geometry(path).channels == channels


def test_whole_floats_are_labels_and_fractions_are_not(tmp_path):
    np.save(tmp_path / "whole.npy", np.array([[0.0, 1.0], [2.0, 3.0]]))
    np.save(tmp_path / "fractions.npy", np.array([[0.0, 0.25], [2.0, 3.0]]))
    np.save(tmp_path / "missing.npy", np.array([[0.0, np.nan], [2.0, 3.0]]))
    assert read_labels(tmp_path / "whole.npy").array.dtype == np.uint8
    with pytest.raises(InputError, match=r"fractions\.npy: labels must be whole numbers.*0\.25"):
        read_labels(tmp_path / "fractions.npy")
    with pytest.raises(InputError, match="nan"):
        read_labels(tmp_path / "missing.npy")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((9, 12), int), r"shape \(9, 11\).*got \(9, 12\)"),
        (np.zeros((2, 9, 11), int), "one channel"),
        (np.full((9, 11), 0.5), "whole numbers"),
        (np.full((9, 11), -1), "0 to 65535"),
        (np.full((9, 11), "a"), "whole numbers"),
    ],
)
def test_labels_that_cannot_be_written(tmp_path, labels, message):
    with pytest.raises(InputError, match=message):
        write_labels(tmp_path / "labels.png", labels, like=FLAT)
    assert list(tmp_path.iterdir()) == []


def test_fractions_do_not_fit_into_png(tmp_path):
    with pytest.raises(InputError, match=r"p\.png: .*\.nii\.gz"):
        write_image(tmp_path / "p.png", np.full((9, 11), 0.5), like=FLAT)
    with pytest.raises(InputError, match="only PNG is written"):
        write_labels(tmp_path / "l.jpg", np.zeros((9, 11), int), like=FLAT)
    with pytest.raises(InputError, match=r"case\.dcm: DICOM is read, not written"):
        write_labels(tmp_path / "case.dcm", np.zeros((9, 11), int), like=FLAT)


def test_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "case_001.png").touch()
    with pytest.raises(InputError, match=r"case_01\.png: no such file.*did you mean 'case_001\.png'"):
        read_image(tmp_path / "case_01.png")
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "nowhere" / "case.nii")


def test_unknown_ending_lists_the_accepted_ones(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for function in (read_image, read_labels, read_geometry):
        with pytest.raises(InputError, match=r"notes\.txt: not a readable image format; accepted: \.nii, \.nii\.gz"):
            function(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="accepted"):
        write_labels(tmp_path / "labels.xyz", np.zeros((9, 11), int), like=FLAT)


@pytest.mark.parametrize("ending", [*WRITABLE, "png"])
def test_damaged_files_are_named(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    write_labels(path, random_labels(FLAT, 200), like=FLAT)
    whole = path.read_bytes()
    for content in (b"", b"garbage" * 100, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"a\.{ending}"):
            read_image(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_named(tmp_path):
    path = tmp_path / "a.png"
    write_labels(path, random_labels(FLAT, 200), like=FLAT)
    path.chmod(0)
    with pytest.raises(InputError, match=r"a\.png: no permission"):
        read_image(path)


@contextlib.contextmanager
def largest_file(size: int):
    """Let the system refuse longer files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "tif", "npz", "npy", "png"])
@pytest.mark.parametrize("old", [None, b"old content"])
def test_full_disk_leaves_nothing_half_written(tmp_path, ending, old):
    image = Image(np.zeros((1, 400, 400), np.uint8), spacing=(1.0, 1.0))
    path = tmp_path / f"labels.{ending}"
    if old:
        path.write_bytes(old)
    with largest_file(5000), pytest.raises(InputError, match=rf"labels\.{ending}: cannot be written"):
        write_labels(path, random_labels(image, 200), like=image)
    assert [entry.name for entry in tmp_path.iterdir()] == ([path.name] if old else [])
    assert not old or path.read_bytes() == old


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted_write():
        with writing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_have_usual_permissions(tmp_path):
    with writing(tmp_path / "a.txt") as temporary:
        temporary.write_text("content")
    (tmp_path / "b.txt").write_text("content")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_writing_into_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        write_labels(tmp_path / "nowhere" / "a.png", np.zeros((9, 11), int), like=FLAT)


@pytest.mark.parametrize(
    ("name", "stem"), [("a.nii.gz", "a"), ("x/a.b.TIFF", "a.b"), ("a_0000.png", "a_0000"), ("folder", "folder")]
)
def test_stem(name, stem):
    assert stem_of(name) == stem
