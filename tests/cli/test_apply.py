"""``shapewright apply`` as a user types it."""

import re
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from shapewright.cli.apply import _LANGUAGE, WITHOUT_SPACING
from shapewright.cli.main import OK, USAGE, main
from shapewright.data.formats import FORMATS
from shapewright.morphology import ball, closing, cross, dilation, erosion, fill_holes, gradient, opening, skeletonize
from shapewright.morphology.language import ELEMENTS, OPERATORS, parse
from tests.data.test_formats_files import VOLUME, write_series


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Return a NIfTI file with labels 1 and 2 on an anisotropic, oblique grid."""
    random = np.random.default_rng(2)
    values = np.zeros((24, 20, 10), np.int16)
    values[4:14, 3:16, 2:8] = 1
    values[14:20, 3:16, 2:8] = 2
    values[random.random(values.shape) < 0.05] = 1
    affine = np.array([[-1.0, 0.1, 0, 7], [0.1, 1.0, 0, -3], [0, 0, 2.5, 11], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "labels.nii.gz")
    return tmp_path / "labels.nii.gz"


def in_order(path: Path) -> tuple[np.ndarray, nibabel.Nifti1Image]:
    """Return the values of a NIfTI file in the order z, y, x, and the file."""
    file = nibabel.load(path)
    return np.asarray(file.dataobj).T, file


def test_every_non_zero_label_with_the_geometry_of_the_file(labels: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.nii.gz"
    assert main(["apply", "opening(ball(1)) | skeletonize", str(labels), str(out)]) == OK
    assert capsys.readouterr().out.strip() == str(out)
    (values, file), (before, original) = in_order(out), in_order(labels)
    assert np.array_equal(file.affine, original.affine)
    assert file.header.get_zooms() == original.header.get_zooms()
    assert np.array_equal(values, skeletonize(opening(before != 0, ball(1, 3))))


def test_one_label_and_lengths_in_millimetres(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nii.gz"
    assert main(["apply", "dilation(ball(3mm))", str(labels), str(out), "--label", "2"]) == OK
    before, original = in_order(labels)
    spacing = tuple(float(zoom) for zoom in original.header.get_zooms()[::-1])
    assert spacing[0] == 2.5
    expected = dilation(before == 2, ball(3, 3, spacing))
    assert np.array_equal(in_order(out)[0], 2 * expected)
    assert main(["apply", "dilation(ball(3mm))", str(labels), str(out), "--spacing", "3,3,3", "--overwrite"]) == OK
    assert np.array_equal(in_order(out)[0], dilation(before != 0, ball(1, 3)))


def test_threshold_and_value(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    np.savez(tmp_path / "p.npz", array=values, spacing=(2.0, 1.0))
    out = tmp_path / "band.png"
    given = [str(tmp_path / "p.npz"), str(out)]
    assert main(["apply", "gradient(ball(2mm))", *given, "--threshold", "0.4", "--value", "255"]) == OK
    assert np.array_equal(np.asarray(Image.open(out)), 255 * gradient(values > 0.4, ball(2, 2, (2.0, 1.0))))


def test_folder_skips_what_exists(tmp_path: Path, pictures: Path, capsys) -> None:
    out = tmp_path / "out"
    command = ["apply", "closing(ball(2)) | fill_holes", str(pictures / "masks"), str(out)]
    assert main(command) == OK
    assert capsys.readouterr().out.split() == [str(out / f"p{number}.png") for number in range(8)]
    before = np.asarray(Image.open(pictures / "masks" / "p3.png")) != 0
    assert np.array_equal(np.asarray(Image.open(out / "p3.png")), fill_holes(closing(before, ball(2))))
    (out / "p0.png").unlink()
    kept = (out / "p3.png").stat().st_mtime_ns
    assert main(command) == OK
    assert (out / "p0.png").exists()
    assert (out / "p3.png").stat().st_mtime_ns == kept
    assert main([*command, "--overwrite"]) == OK
    assert (out / "p3.png").stat().st_mtime_ns > kept
    assert main([*command, "--format", ".tif"]) == OK
    assert len(list(out.glob("*.tif"))) == 8


def test_files_of_a_folder_that_lack_the_label_are_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    for name, value in (("a.png", 1), ("b.png", 2)):
        Image.fromarray(np.full((5, 6), value, np.uint8)).save(tmp_path / "in" / name)
    assert main(["apply", "fill_holes", str(tmp_path / "in"), str(tmp_path / "out"), "--label", "2"]) == OK
    assert "warning: 1 of 2 files have no label 2: a.png" in capsys.readouterr().err
    assert not np.asarray(Image.open(tmp_path / "out" / "a.png")).any()
    assert np.asarray(Image.open(tmp_path / "out" / "b.png")).all()


def test_dicom_series_is_one_image(tmp_path: Path) -> None:
    series, out = write_series(tmp_path / "series", VOLUME), tmp_path / "bright.nii.gz"
    assert main(["apply", "dilation(cross(1))", str(series), str(out), "--threshold", "900"]) == OK
    assert np.array_equal(in_order(out)[0], dilation(VOLUME > 900, cross(1, 3)))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Return a Zarr array of labels whose chunks do not divide its shape."""
    zarr = pytest.importorskip("zarr")
    values = np.random.default_rng(1).random((37, 50, 61)) < 0.8
    stored = zarr.open_array(str(tmp_path / "in.zarr"), mode="w", shape=values.shape, chunks=(13, 16, 20), dtype="u1")
    stored[:] = values * np.where(np.arange(61) < 40, 1, 3)
    stored.attrs["spacing"] = [2.0, 1.0, 1.0]
    return tmp_path / "in.zarr"


@pytest.mark.parametrize("extra", [[], ["--label", "3"]])
@pytest.mark.parametrize(
    "text", ["opening(ball(1))", "dilation(ball(2mm)) | invert", "skeletonize(1) | dilation(box(1))"]
)
def test_zarr_in_parts_equals_the_result_in_memory(text: str, extra: list[str], volume: Path, tmp_path: Path) -> None:
    import zarr

    out = tmp_path / "out.zarr"
    assert main(["apply", text, str(volume), str(out), *extra]) == OK
    before, after = zarr.open_array(str(volume), mode="r"), zarr.open_array(str(out), mode="r")
    mask = before[:] == 3 if extra else before[:] != 0
    assert np.array_equal(after[:], parse(text)(mask, spacing=(2.0, 1.0, 1.0)) * (3 if extra else 1))
    assert after.chunks == before.chunks
    assert after.attrs["spacing"] == [2.0, 1.0, 1.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]


def test_zarr_result_is_replaced_on_request_only(volume: Path, tmp_path: Path, capsys) -> None:
    import zarr

    out = tmp_path / "out.zarr"
    assert main(["apply", "invert", str(volume), str(out)]) == OK
    assert main(["apply", "invert | invert", str(volume), str(out)]) == USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert main(["apply", "invert | invert", str(volume), str(out), "--overwrite"]) == OK
    assert np.array_equal(zarr.open_array(str(out))[:], zarr.open_array(str(volume))[:] != 0)


def test_array_of_a_group_is_named(volume: Path, tmp_path: Path, capsys) -> None:
    import zarr

    group = zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    group.create_array("0", shape=(10, 12), chunks=(5, 6), dtype="u1")[:] = 1
    assert main(["apply", "erosion(ball(1mm))", str(tmp_path / "group.zarr"), str(tmp_path / "o.zarr")]) == USAGE
    assert "name one of them" in capsys.readouterr().err
    command = ["apply", "erosion(ball(1mm))", str(tmp_path / "group.zarr" / "0"), str(tmp_path / "o.zarr")]
    assert main(command) == USAGE
    assert "does not say its spacing; give --spacing" in capsys.readouterr().err
    assert main([*command, "--spacing", "1,1"]) == OK
    assert np.array_equal(zarr.open_array(str(tmp_path / "o.zarr"))[:], erosion(np.ones((10, 12), bool), ball(1)))


@pytest.mark.parametrize("name", ["fill_holes", "area_opening(50)", "reconstruction", "skeletonize"])
def test_zarr_refuses_operators_that_need_the_whole(name: str, volume: Path, tmp_path: Path, capsys) -> None:
    assert main(["apply", f"closing(ball(1)) | {name}", str(volume), str(tmp_path / "out.zarr")]) == USAGE
    error = capsys.readouterr().err
    assert "no finite reach" in error
    assert "at position 20" in error
    assert not (tmp_path / "out.zarr").exists()


def test_missing_extra_says_what_to_install(volume: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert main(["apply", "invert", str(volume), str(tmp_path / "out.zarr")]) == USAGE
    assert "pip install 'shapewright[large]'" in capsys.readouterr().err


def test_help_explains_the_whole_language(capsys) -> None:
    assert main(["apply", "--help"]) == OK
    assert _LANGUAGE in capsys.readouterr().out
    assert set(re.findall(r"\w+", _LANGUAGE)) >= {*OPERATORS, *ELEMENTS}


def test_examples_of_the_help_are_read() -> None:
    examples = [line.split('"')[1] for line in _LANGUAGE.splitlines() if "shapewright apply" in line]
    assert len(examples) == 5
    for text in examples:
        assert parse(text).steps


def test_formats_without_spacing_are_formats() -> None:
    assert set(WITHOUT_SPACING) < set(FORMATS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["openin(ball(3))", "{labels}", "{tmp}/o.nii.gz"], "unknown operator 'openin'; did you mean 'opening'?"),
        (["opening(ball(3)", "{labels}", "{tmp}/o.nii.gz"], "at position 16: expected ',' or ')', found the end"),
        (["invert", "{tmp}/none.nii.gz", "{tmp}/o.nii.gz"], "none.nii.gz does not exist"),
        (["invert", "{labels}", "{labels}"], "labels.nii.gz exists; replace it with --overwrite"),
        (["invert", "{labels}", "{tmp}/o.nii.gz", "--label", "0"], "--label 0 is the background"),
        (["invert", "{labels}", "{tmp}/o.nii.gz", "--label", "9"], "labels.nii.gz has no label 9; its labels: 1, 2"),
        (["invert", "{labels}", "{tmp}/o.nii.gz", "--spacing", "3,x"], "--spacing must look like 3,1,1"),
        (["dilation(ball(2mm))", "{labels}", "{tmp}/o.nii.gz", "--spacing", "3,1"], "spacing must have 3 positive"),
        (["invert", "{labels}", "{tmp}/o.nii.gz", "--value", "0"], "--value must be a positive whole number"),
        (["invert", "{labels}", "{tmp}/o.nii.gz", "--lable", "1"], "did you mean '--label'"),
        (
            ["dilation(line(3, 45))", "{labels}", "{tmp}/o.nii.gz"],
            "labels.nii.gz: at position 1: dilation: line has 2 axes",
        ),
        (["invert", "{labels}", "{tmp}/o.xyz"], "o.xyz"),
        (["dilation(ball(2mm))", "{tmp}/a.png", "{tmp}/o.png"], "a.png does not say its spacing; give --spacing"),
        (["invert", "{tmp}/colour.png", "{tmp}/o.png", "--threshold", "9"], "colour.png has 3 channels"),
        (["invert", "{tmp}", "{labels}"], "must be a folder, because the input is one"),
    ],
)
def test_mistakes_get_one_clear_message(
    arguments: list[str], message: str, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "colour.png")
    before = sorted(tmp_path.iterdir())
    assert main(["apply", *(argument.format(labels=labels, tmp=tmp_path) for argument in arguments)]) == USAGE
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert sorted(tmp_path.iterdir()) == before
