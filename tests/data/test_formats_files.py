"""Each format's own rules: NIfTI scaling and units, palettes, TIFF axes and spacing, DICOM geometry, NumPy keys."""

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
import tifffile
from PIL import Image as Pillow

from shapewright.data import read_geometry, read_image, read_labels, write_labels
from shapewright.errors import InputError

RNG = np.random.default_rng(0)


# NIfTI


def save_nifti(path, array, affine=None, change=None):
    file = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    if change:
        change(file.header)
    nibabel.save(file, path)
    return path


def test_nifti_axes_are_reversed(tmp_path):
    stored = RNG.integers(0, 99, (3, 4, 5, 2)).astype(np.int16)
    image = read_image(save_nifti(tmp_path / "a.nii", stored, np.diag([0.5, 1, 2, 1])))
    assert image.array.shape == (2, 5, 4, 3)
    assert image.spacing == (2.0, 1.0, 0.5)
    assert image.array[1, 4, 3, 2] == stored[2, 3, 4, 1]
    assert image.array.dtype == np.int16


def test_nifti_slope_and_intercept(tmp_path):
    values = RNG.integers(0, 200, (3, 4, 5)).astype(np.uint8)
    path = save_nifti(tmp_path / "a.nii", values)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, -10], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(content)
    image = read_image(path)
    assert image.array.dtype == np.float32
    np.testing.assert_array_equal(image.array[0].transpose(), values * np.float32(0.5) - 10)
    written = tmp_path / "labels.nii"
    write_labels(written, np.full(image.spatial_shape, 7), like=image)
    assert (read_labels(written).array == 7).all()  # the image's slope does not scale its labels


def test_nifti_units_and_vector_axis(tmp_path):
    path = save_nifti(
        tmp_path / "a.nii", np.zeros((3, 4, 5, 1, 2), np.float32), np.diag([500, 500, 2000, 1]),
        lambda header: header.set_xyzt_units("micron"),
    )  # fmt: skip
    image = read_image(path)
    assert image.spacing == (2.0, 0.5, 0.5)
    assert image.channels == 2


def test_nifti_colours(tmp_path):
    rgb = np.zeros((3, 4, 5), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    rgb["G"] = 7
    image = read_image(save_nifti(tmp_path / "a.nii", rgb))
    assert image.array.shape == (3, 5, 4, 3)
    assert [int(channel.max()) for channel in image.array] == [0, 7, 0]
    assert read_geometry(tmp_path / "a.nii").channels == 3


def test_nifti2_and_big_endian_headers_are_kept(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    big = nibabel.Nifti1Image(np.ones((3, 4, 5), ">i2"), np.eye(4), header)
    for name, file in (("two", nibabel.Nifti2Image(np.ones((3, 4, 5), np.int16), np.eye(4))), ("big", big)):
        nibabel.save(file, tmp_path / f"{name}.nii")
        image = read_image(tmp_path / f"{name}.nii")
        assert image.array.dtype == np.dtype("int16")
        write_labels(tmp_path / "labels.nii", image.array, like=image)
        again = nibabel.load(tmp_path / "labels.nii")
        assert type(again.header) is type(file.header)
        assert again.header.endianness == file.header.endianness
        np.testing.assert_array_equal(np.asarray(again.dataobj), 1)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_nifti_spacing_must_be_positive(tmp_path, value, ending):
    def spoil(header):
        header["pixdim"][2] = value

    file = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), None)
    spoil(file.header)
    nibabel.save(file, tmp_path / f"bad.{ending}")
    for function in (read_image, read_geometry):
        with pytest.raises(InputError, match=rf"bad\.{ending}: spacing must be positive"):
            function(tmp_path / f"bad.{ending}")


def test_nifti_singular_affine(tmp_path):
    path = save_nifti(tmp_path / "flat.nii", np.zeros((3, 4, 5), np.uint8))
    content = bytearray(path.read_bytes())
    content[280:296] = bytes(16)  # srow_x
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"flat\.nii: spacing must be positive"):
        read_image(path)


def test_png_result_as_nifti(tmp_path):
    Pillow.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.png")
    write_labels(tmp_path / "a.nii.gz", np.ones((4, 6), bool), like=read_image(tmp_path / "a.png"))
    assert nibabel.load(tmp_path / "a.nii.gz").shape == (6, 4)


# PNG and JPEG


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("I;16", 1), ("CMYK", 3)]
)
def test_raster_modes(tmp_path, mode, channels):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    grey = Pillow.fromarray(RNG.integers(0, 255, (4, 6), dtype=np.uint8))
    picture = Pillow.fromarray(np.full((4, 6), 40000, np.uint16)) if mode == "I;16" else grey.convert(mode)
    picture.save(path)
    image = read_image(path)
    assert image.array.shape == (channels, 4, 6)
    assert read_geometry(path).channels == channels
    if mode == "I;16":
        assert image.array.max() == 40000
    if mode == "1":
        assert set(np.unique(image.array)) <= {0, 1}


def test_palette_indices_are_labels_and_colours_are_not(tmp_path):
    indices = np.array([[0, 1, 2], [3, 2, 1]], np.uint8)
    picture = Pillow.fromarray(indices, mode="L").convert("P")
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png").array[0], indices)
    picture.convert("RGB").save(tmp_path / "colour.png")
    with pytest.raises(InputError, match=r"colour\.png: a label file must have one channel.*got 3 channels"):
        read_labels(tmp_path / "colour.png")


# TIFF


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((8, 9), "YX", (1, 8, 9)),
        ((8, 9, 3), "YXS", (3, 8, 9)),
        ((5, 8, 9), "ZYX", (1, 5, 8, 9)),
        ((2, 8, 9), "CYX", (2, 8, 9)),
        ((5, 2, 8, 9), "ZCYX", (2, 5, 8, 9)),
        ((5, 8, 9, 3), "ZYXS", (3, 5, 8, 9)),
    ],
)
def test_tiff_axes(tmp_path, shape, axes, expected):
    values = RNG.integers(0, 255, shape, dtype=np.uint8)
    path = tmp_path / "a.tif"
    colour = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(path, values, metadata={"axes": axes}, photometric=colour)
    image = read_image(path)
    assert image.array.shape == expected
    order = [axes.index(axis) for axis in "CSZYX" if axis in axes]
    np.testing.assert_array_equal(image.array, values.transpose(order).reshape(expected))
    geometry = read_geometry(path)
    assert (geometry.channels, geometry.spatial_shape) == (expected[0], expected[1:])


def test_plain_pages_are_a_volume(tmp_path):
    pages = RNG.integers(0, 255, (6, 8, 9), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, contiguous=False)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0], pages)


@pytest.mark.parametrize("kind", ["plain", "imagej", "pages", "compressed"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_stacks_are_not_read_as_shorter_ones(tmp_path, kind, share):
    volume = RNG.integers(0, 255, (10, 50, 50), dtype=np.uint8)
    path = tmp_path / "a.tif"
    if kind == "pages":
        first, *others = (Pillow.fromarray(plane) for plane in volume)
        first.save(path, save_all=True, append_images=others)
    else:
        compression = "zlib" if kind == "compressed" else None
        tifffile.imwrite(path, volume, imagej=kind == "imagej", compression=compression, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read_image(path).array[0], volume)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"a\.tif: .*truncated"):
        read_image(path)


def test_tiff_with_time_and_depth_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4, 8, 9), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"a\.tif: .*axes TZYX"):
        read_image(tmp_path / "a.tif")


def test_tiff_spacing(tmp_path):
    volume = np.zeros((3, 8, 9), np.uint8)
    imagej = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "imagej.tif", volume, imagej=True, resolution=(4, 2), metadata=imagej)
    assert read_image(tmp_path / "imagej.tif").spacing == pytest.approx((2e-3, 0.5e-3, 0.25e-3))
    ome = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", volume, metadata=ome)
    assert read_image(tmp_path / "a.ome.tif").spacing == pytest.approx((2e-3, 0.5e-3, 0.25e-3))
    tifffile.imwrite(tmp_path / "cm.tif", volume[0], resolution=(100, 50), resolutionunit="CENTIMETER")
    assert read_image(tmp_path / "cm.tif").spacing == pytest.approx((0.2, 0.1))
    tifffile.imwrite(tmp_path / "inch.tif", volume[0], resolution=(72, 72), resolutionunit="INCH")
    assert read_image(tmp_path / "inch.tif").spacing == (1.0, 1.0)


@pytest.mark.parametrize("spacing", [0.0, float("nan")])
def test_tiff_spacing_must_be_positive(tmp_path, spacing):
    metadata = {"axes": "ZYX", "spacing": spacing, "unit": "mm"}
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((3, 8, 9), np.uint8), imagej=True, resolution=(1, 1), metadata=metadata
    )
    with pytest.raises(InputError, match=r"a\.tif: spacing must be positive"):
        read_image(tmp_path / "a.tif")


# DICOM

TILT = np.deg2rad(15)
ROW, COLUMN = np.array([np.cos(TILT), np.sin(TILT), 0]), np.array([-np.sin(TILT), np.cos(TILT), 0])
ORIGIN, SLICE_DISTANCE, PIXEL = np.array([-12.0, 34.0, 5.0]), 2.5, (0.8, 0.6)  # rows apart, columns apart


def write_series(folder, volume, description="T1", skip=(), step=None):
    folder.mkdir(exist_ok=True)
    series = pydicom.uid.generate_uid()
    study = pydicom.uid.generate_uid()
    step = SLICE_DISTANCE * np.cross(ROW, COLUMN) if step is None else step
    for index, slice_ in enumerate(volume):
        if index in skip:
            continue
        data = pydicom.dataset.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
        data.SeriesInstanceUID, data.StudyInstanceUID = series, study
        data.Modality, data.SeriesDescription, data.InstanceNumber = "MR", description, index + 1
        data.ImageOrientationPatient = [*ROW, *COLUMN]
        data.ImagePositionPatient = [round(float(value), 5) for value in ORIGIN + index * step]
        data.PixelSpacing, data.SliceThickness = list(PIXEL), SLICE_DISTANCE
        data.Rows, data.Columns = slice_.shape
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
        data.PhotometricInterpretation, data.PixelData = "MONOCHROME2", slice_.tobytes()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        name = f"{description}-{(index * 7) % len(volume)}.dcm"  # names are not in the order of the slices
        data.save_as(folder / name, enforce_file_format=True)
    return folder


VOLUME = RNG.integers(0, 1000, (5, 6, 7)).astype(np.uint16)


def test_dicom_series_is_placed_in_ras(tmp_path):
    image = read_image(write_series(tmp_path / "series", VOLUME))
    np.testing.assert_array_equal(image.array[0], VOLUME)
    assert image.spacing == pytest.approx((SLICE_DISTANCE, *PIXEL))
    for z, y, x in [(0, 0, 0), (4, 5, 6), (2, 0, 3)]:
        lps = ORIGIN + x * PIXEL[1] * ROW + y * PIXEL[0] * COLUMN + z * SLICE_DISTANCE * np.cross(ROW, COLUMN)
        np.testing.assert_allclose((image.affine @ [x, y, z, 1])[:3], lps * (-1, -1, 1), atol=1e-6)
    assert read_geometry(tmp_path / "series").spatial_shape == (5, 6, 7)


def test_labels_of_a_dicom_series_lie_on_it(tmp_path):
    folder = write_series(tmp_path / "series", VOLUME)
    image = read_image(folder).canonical()
    write_labels(tmp_path / "labels.nii.gz", image.array[0] > 500, like=image)
    reference = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    labels = SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels), VOLUME > 500)
    np.testing.assert_allclose(labels.GetOrigin(), reference.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(labels.GetDirection(), reference.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(labels.GetSpacing(), reference.GetSpacing(), atol=1e-5)


def test_single_dicom_file_is_flat(tmp_path):
    folder = write_series(tmp_path / "series", VOLUME[:1])
    image = read_image(next(folder.iterdir()))
    np.testing.assert_array_equal(image.array[0], VOLUME[0])
    assert image.spacing == pytest.approx(PIXEL)


def test_several_series_are_listed(tmp_path):
    write_series(tmp_path / "mixed", VOLUME, "T1 axial")
    write_series(tmp_path / "mixed", VOLUME[:3], "T2 axial")
    with pytest.raises(InputError, match=r"found 2: .*T\d axial \([35] files.*T\d axial \([35] files"):
        read_image(tmp_path / "mixed")


def test_missing_slice_is_reported(tmp_path):
    write_series(tmp_path / "gap", VOLUME, skip=(2,))
    with pytest.raises(InputError, match=r"lie 5 mm apart; a slice is missing"):
        read_image(tmp_path / "gap")


def test_several_images_per_place_are_reported(tmp_path):
    write_series(tmp_path / "still", VOLUME, step=np.zeros(3))
    with pytest.raises(InputError, match="every slice must be stored once"):
        read_image(tmp_path / "still")


def test_tilted_gantry_is_reported(tmp_path):
    write_series(tmp_path / "tilted", VOLUME, step=np.array([0.0, 0.5, 2.5]))
    with pytest.raises(InputError, match="sheared"):
        read_image(tmp_path / "tilted")


def test_folder_without_series(tmp_path):
    with pytest.raises(InputError, match="holds no DICOM series"):
        read_image(tmp_path)


# NumPy


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((8, 9), None, (1, 8, 9)),
        ((5, 8, 9), None, (1, 5, 8, 9)),
        ((5, 8, 9), (1.0, 2.0), (5, 8, 9)),
        ((8, 9, 3), None, (3, 8, 9)),
        ((8, 9, 3), (1.0, 2.0, 3.0), (1, 8, 9, 3)),
        ((2, 5, 8, 9), None, (2, 5, 8, 9)),
        ((2, 5, 8, 9), (1.0, 2.0, 3.0), (2, 5, 8, 9)),
    ],
)
def test_npz_axes(tmp_path, shape, spacing, expected):
    content = {} if spacing is None else {"spacing": np.array(spacing)}
    np.savez(tmp_path / "a.npz", image=np.zeros(shape), **content)
    image = read_image(tmp_path / "a.npz")
    assert image.array.shape == expected
    assert image.spacing == (spacing or (1.0,) * (len(expected) - 1))


@pytest.mark.parametrize("array", [np.full((4, 5), "a"), np.full((4, 5), 1j)])
def test_npz_holds_real_numbers(tmp_path, array):
    np.savez(tmp_path / "a.npz", image=array)
    with pytest.raises(InputError, match=r"a.npz: the array must hold real numbers"):
        read_image(tmp_path / "a.npz")


def test_npz_keys(tmp_path):
    np.savez(tmp_path / "both.npz", image=np.zeros((4, 5)), labels=np.ones((4, 5), int))
    assert read_image(tmp_path / "both.npz").array.max() == 0
    assert read_labels(tmp_path / "both.npz").array.max() == 1
    np.savez(tmp_path / "other.npz", picture=np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"image or array; it holds picture"):
        read_image(tmp_path / "other.npz")


@pytest.mark.parametrize("spacing", [(1.0, 0.0), (np.nan, 1.0), (-1.0, 1.0)])
def test_npz_spacing_must_be_positive(tmp_path, spacing):
    np.savez(tmp_path / "a.npz", image=np.zeros((4, 5)), spacing=np.array(spacing))
    with pytest.raises(InputError, match=r"a\.npz: spacing must be positive"):
        read_image(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(7,), (1, 2, 3, 4, 5)])
def test_npy_axes_must_be_an_image(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(InputError, match=r"a\.npy: the array must have"):
        read_image(tmp_path / "a.npy")


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"a\.npy: cannot be read"):
        read_image(tmp_path / "a.npy")
