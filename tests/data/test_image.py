"""Orientation: whatever axes a file stores, networks see one and results return to the file's own."""

import itertools

import nibabel
import numpy as np
import pytest

from shapewright.data import Image, read_image, read_labels, write_image, write_labels
from shapewright.errors import InputError

SIZES = (5, 6, 7)
SPACING = (0.5, 1.25, 3.0)
SIGNED_PERMUTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def oblique_affine() -> np.ndarray:
    """Axes stored as z, x, y, rotated by 20 and 10 degrees about two axes."""
    a, b = np.deg2rad([20, 10])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]) @ np.diag(SPACING)
    affine[:3, 3] = (-71.123456, 33.3, 12.7)
    return affine


def signed_affine(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel_axis, (world_axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world_axis, voxel_axis] = sign * SPACING[voxel_axis]
    affine[:3, 3] = (-10.1, 20.2, 30.3)
    return affine


AFFINES = [signed_affine(*choice) for choice in SIGNED_PERMUTATIONS] + [oblique_affine()]


@pytest.fixture(params=range(len(AFFINES)))
def stored(request, tmp_path, monkeypatch):
    """A NIfTI file in one of the 48 axis orders or oblique, with different sform and qform codes."""
    affine = AFFINES[request.param]
    values = np.random.default_rng(request.param).integers(0, 4000, SIZES).astype(np.int16)
    file = nibabel.Nifti1Image(values, affine)
    file.set_sform(affine, 2)
    file.set_qform(affine, 1)
    file.header.set_xyzt_units("mm", "sec")
    path = tmp_path / "image.nii.gz"
    nibabel.save(file, path)
    return path


def test_canonical_equals_nibabel(stored):
    image = read_image(stored).canonical()
    reference = nibabel.as_closest_canonical(nibabel.load(stored))
    np.testing.assert_array_equal(image.array[0].transpose(), np.asarray(reference.dataobj))
    np.testing.assert_allclose(image.affine, reference.affine, atol=1e-12)
    np.testing.assert_allclose(image.spacing[::-1], reference.header.get_zooms(), rtol=1e-6)
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.canonical() is image


def test_labels_of_the_canonical_image_overlay_the_file(stored, tmp_path):
    image = read_image(stored)
    canonical = image.canonical()
    labels = (canonical.array[0] > 2000).astype(np.int64)
    path = tmp_path / "labels.nii.gz"
    write_labels(path, labels, like=canonical)

    before, after = nibabel.load(stored), nibabel.load(path)
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj) > 2000)
    assert after.get_data_dtype() == np.uint8
    assert after.affine.tobytes() == before.affine.tobytes()
    for key in (
        *("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "pixdim", "xyzt_units", "dim"),
        *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    ):
        assert after.header[key].tobytes() == before.header[key].tobytes(), key
    np.testing.assert_array_equal(read_labels(path).canonical().array[0], labels)


def test_probabilities_return_to_the_stored_axes(stored, tmp_path):
    canonical = read_image(stored).canonical()
    probabilities = np.random.default_rng(0).random((3, *canonical.spatial_shape))
    path = tmp_path / "probabilities.nii.gz"
    write_image(path, probabilities, like=canonical)
    again = read_image(path)
    assert again.array.dtype == np.float32
    assert again.affine.tobytes() == read_image(stored).affine.tobytes()
    np.testing.assert_array_equal(again.canonical().array, probabilities.astype(np.float32))


@pytest.mark.parametrize("ending", ["tif", "npz"])
def test_other_formats_get_the_stored_axes_and_spacing(tmp_path, ending):
    affine = oblique_affine()
    image = Image(np.random.default_rng(0).random((1, 7, 6, 5)), spacing=SPACING[::-1], affine=affine)
    path = tmp_path / f"a.{ending}"
    write_image(path, image.canonical().array, like=image.canonical())
    again = read_image(path)
    np.testing.assert_array_equal(again.array, image.array.astype(np.float32))
    np.testing.assert_allclose(again.spacing, image.spacing, rtol=1e-6)
    if ending == "npz":
        assert again.affine.tobytes() == affine.tobytes()


def test_flat_images_and_images_without_affine_stay_as_they_are():
    flat = Image(np.zeros((1, 4, 5)), spacing=(1.0, 1.0), affine=np.diag([-1.0, 1, 1, 1]))
    unplaced = Image(np.zeros((2, 3, 4, 5)), spacing=(1.0, 1.0, 1.0))
    assert flat.canonical() is flat
    assert unplaced.canonical() is unplaced
    assert unplaced.restore(unplaced.array) is unplaced.array
    assert (unplaced.channels, unplaced.spatial_dims, unplaced.spatial_shape) == (2, 3, (3, 4, 5))


@pytest.mark.parametrize(
    ("shape", "spacing"), [((4, 5), (1.0, 1.0)), ((1, 4, 5), (1.0,)), ((1, 2, 3, 4, 5), (1.0,) * 4)]
)
def test_array_must_be_channels_and_space(shape, spacing):
    with pytest.raises(InputError, match=r"\[C, \*spatial\]"):
        Image(np.zeros(shape), spacing=spacing)
