"""What is known about a case: positions follow the voxels, and what contradicts itself is named."""

import json
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture

from shapewright.data import check_dataset, load_case, open_dataset
from shapewright.data.image import Image
from shapewright.data.preprocess import resample_labels
from shapewright.data.supervision import Boxes, Points, Supervision
from shapewright.data.weak_labels import load_supervision
from shapewright.errors import InputError
from shapewright.training.cases import load_cases

LABELS = {"background": 0, "cell": 1, "debris": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "points", "boxes"):
        (tmp_path / name).mkdir()
    for value, name in enumerate("abc"):
        Picture.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30) + value).save(
            tmp_path / "images" / f"{name}.png"
        )
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    return tmp_path


def known(folder: Path, name: str = "a") -> Supervision:
    dataset = open_dataset(folder)
    image, labels = load_case(dataset.case(name), dataset)
    return load_supervision(dataset.case(name), dataset, image, labels)


def test_points_of_a_table_by_class_name_or_value(folder: Path) -> None:
    (folder / "points" / "a.csv").write_text("x, y, label\n29, 0, cell\n4.5,19,4\n")
    points = known(folder).points
    assert points is not None
    np.testing.assert_array_equal(points.positions, [[0, 29], [19, 4.5]])
    np.testing.assert_array_equal(points.classes, [1, 2])
    (folder / "points" / "b.json").write_text('[{"y_mm": 3, "x_mm": 2, "label": "debris"}]')
    points = known(folder, "b").points
    assert points is not None
    np.testing.assert_array_equal(points.positions, [[3, 2]])


def test_points_of_a_label_image_are_the_middles_of_its_components(folder: Path) -> None:
    dots = np.zeros((20, 30), np.uint8)
    dots[3, 4] = 1
    dots[9:12, 20:23] = 1
    dots[15, 0] = 4
    Picture.fromarray(dots).save(folder / "points" / "a.png")
    points = known(folder).points
    assert points is not None
    np.testing.assert_array_equal(points.positions, [[3, 4], [10, 21], [15, 0]])
    np.testing.assert_array_equal(points.classes, [1, 1, 2])


def test_a_table_without_rows_says_that_there_is_nothing(folder: Path) -> None:
    (folder / "points" / "a.csv").write_text("y,x\n")
    assert known(folder).kinds == ("points",)
    assert len(known(folder).points or ()) == 0
    assert known(folder, "b").kinds == ("unlabelled",)


def test_tables_of_the_folder(folder: Path) -> None:
    (folder / "sizes.csv").write_text("case,label,size_min,size_max\na,cell,10,14\nb,debris,3,\na,debris,1,2\n")
    (folder / "image_labels.csv").write_text("case,cell,debris\nb,1,\nc,0,yes\n")
    assert known(folder).sizes == {1: (10, 14), 2: (1, 2)}
    np.testing.assert_array_equal(known(folder).size_bounds(3), [10, 14, 1, 2])
    assert known(folder, "b").sizes == {2: (3, 3)}
    assert known(folder, "b").present == {1: True}
    assert known(folder, "c").present == {1: False, 2: True}
    assert known(folder, "b").kinds == ("size", "image")


MISTAKES = {
    "outside": ("points/a.csv", "y,x,label\n0,29.6,cell\n", r"a.csv, line 2: the point \(0.0, 29.6\) is outside"),
    "negative": (
        "points/a.csv",
        "y,x,label\n-1,2,cell\n",
        r"whose voxels are \(0, 0\) to \(19, 29\)",
    ),
    "twice": ("points/a.csv", "y,x,label\n5,5,cell\n5.2,5,cell\n", "line 3: .* same voxel as that of line 2"),
    "no number": ("points/a.csv", "y,x,label\n5,five,cell\n", "line 2: x must be a number; got 'five'"),
    "no column": ("points/a.csv", "row,x,label\n5,5,cell\n", "y must be a number; got ''"),
    "columns there": ("points/a.csv", "y;x\n5;5\n", "y must be a number; got ''; the columns are y;x"),
    "column twice": ("points/a.csv", "y,y,x,label\n5,6,5,cell\n", "a column's name must stand in the header once"),
    "endless field": ("points/a.csv", "y,x,label\n5," + "5" * 200_000 + ",cell\n", "line .*: cannot be read as CSV"),
    "not finite": ("points/a.csv", "y,x,label\nnan,5,cell\n", "y must be a number; got 'nan'"),
    "class": ("points/a.csv", "y,x,label\n5,5,cel\n", "got 'cel'; did you mean 'cell'"),
    "no class": ("points/a.csv", "y,x\n5,5\n", "label must be one of"),
    "third axis": ("points/a.csv", "z,y,x,label\n1,5,5,cell\n", "has a z, but the image"),
    "too long": ("points/a.csv", "y,x,label\n5,5,cell,7\n", "line 2: has more values"),
    "nothing under a wrong header": (
        "points/a.csv",
        "row,column\n",
        "without rows .* lacks y, x; the columns are row, ",
    ),
    "no box under a header of points": ("boxes/a.csv", "y,x\n", "lacks y_min, x_min, y_max, x_max"),
    "no size under a wrong header": ("sizes.csv", "label,size_min\n", "lacks case"),
    "no header": ("points/a.csv", "", "must begin with a header"),
    "not a list": ("points/a.json", '{"y": 1}', "must be a list of objects"),
    "inverted": (
        "boxes/a.csv",
        "y_min,x_min,y_max,x_max,label\n5,5,4,9,1\n",
        "ends at .* before its start",
    ),
    "box outside": ("boxes/a.csv", "y_min,x_min,y_max,x_max,label\n5,5,8,30,1\n", "the box's last voxel .* is outside"),
    "unknown case": ("sizes.csv", "case,label,size_min\nz,cell,3\n", "line 2: there is no case 'z'"),
    "size": ("sizes.csv", "case,label,size_min,size_max\na,cell,5,3\n", "got 5 and 3"),
    "class column": ("image_labels.csv", "case,cel\na,1\n", "has a column 'cel'; did you mean 'cell'"),
    "size twice": ("sizes.csv", "case,label,size_min\na,cell,3\na,1,90\n", "line 3: .* case a stands in line 2"),
    "image twice": ("image_labels.csv", "case,cell\na,1\na,0\n", "line 3: .* case a stands in line 2"),
    "yes or no": ("image_labels.csv", "case,cell\na,2\n", "cell must be 1, 0 or empty"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_with_their_file_and_row(folder: Path, name: str) -> None:
    file, text, message = MISTAKES[name]
    (folder / file).write_text(text)
    with pytest.raises(InputError, match=message):
        known(folder)
    result = check_dataset(folder)
    assert not result.ok
    assert any(Path(file).name in problem.message for problem in result.errors)


@pytest.mark.parametrize(("kind", "files"), [("points", ("a.csv", "a.json")), ("boxes", ("a.json", "a.csv"))])
def test_two_tables_of_one_case_are_refused_by_name(folder: Path, kind: str, files: tuple[str, str]) -> None:
    (folder / kind).mkdir(exist_ok=True)
    for name in files:
        (folder / kind / name).write_text("[]" if name.endswith("json") else "y,x\n")
    with pytest.raises(InputError, match=rf"{kind}.a\.csv and .*{kind}.a\.json both give the {kind} of case 'a'"):
        known(folder)


def test_a_mask_that_shows_what_the_table_denies_is_refused(folder: Path) -> None:
    (folder / "labels").mkdir()
    mask = np.zeros((20, 30), np.uint8)
    mask[3:5] = 4
    Picture.fromarray(mask).save(folder / "labels" / "a.png")
    (folder / "image_labels.csv").write_text("case,debris\na,0\n")
    with pytest.raises(InputError, match=r"a.png shows 'debris', but .*image_labels.csv says that case a does not"):
        known(folder)
    (folder / "image_labels.csv").write_text("case,debris\na,1\n")
    assert known(folder).present == {2: True}


def test_a_mask_that_says_nothing_is_refused(folder: Path) -> None:
    (folder / "labels.json").write_text(json.dumps({**LABELS, "ignore": 255}))
    (folder / "labels").mkdir()
    for name in "abc":
        mask = np.full((20, 30), 255, np.uint8)
        mask[: 3 if name != "b" else 0] = 1
        Picture.fromarray(mask).save(folder / "labels" / f"{name}.png")
    problems = check_dataset(folder).errors
    assert [(problem.case, problem.kind) for problem in problems] == [("b", "nothing known")]
    dataset = open_dataset(folder)
    split = {"train": dataset.cases, "val": (), "test": ()}
    with pytest.raises(InputError, match=r"b.png marks every voxel as 'ignore'"):
        load_cases(dataset, split, lambda items, _: items)


def test_a_point_file_without_an_image_is_reported(folder: Path) -> None:
    (folder / "points" / "z.csv").write_text("y,x\n")
    assert [problem.file.name for problem in check_dataset(folder).errors] == ["z.csv"]


def test_scribbles_need_a_value_for_what_is_unknown(folder: Path) -> None:
    strokes = np.full((20, 30), 255, np.uint8)
    strokes[4, 3:20], strokes[9, 3:20] = 0, 1
    (folder / "scribbles").mkdir()
    Picture.fromarray(strokes).save(folder / "scribbles" / "a.png")
    with pytest.raises(InputError, match=r"labels\.json must name the value of voxels without a stroke"):
        open_dataset(folder)
    (folder / "labels.json").write_text(json.dumps({**LABELS, "ignore": 255}))
    assert known(folder).kinds == ("scribbles",)
    assert not open_dataset(folder).case("a").has_mask


def test_masks_are_sparse_where_most_is_ignored(folder: Path) -> None:
    (folder / "labels.json").write_text(json.dumps({**LABELS, "ignore": 255}))
    (folder / "labels").mkdir()
    for name, rows in (("a", 3), ("b", 15)):
        mask = np.full((20, 30), 255, np.uint8)
        mask[:rows] = 1
        Picture.fromarray(mask).save(folder / "labels" / f"{name}.png")
    assert known(folder, "a").kinds == ("sparse",)
    assert known(folder, "b").kinds == ("dense",)


def test_a_mask_that_shows_what_was_not_annotated_is_refused(folder: Path) -> None:
    (folder / "labels").mkdir()
    mask = np.zeros((20, 30), np.uint8)
    mask[3:5] = 4
    Picture.fromarray(mask).save(folder / "labels" / "a.png")
    (folder / "annotated.csv").write_text("case,label\na,debris\n")
    assert known(folder).kinds == ("partial",)
    assert known(folder).annotated == {2}
    (folder / "annotated.csv").write_text("case,label\na,cell\n")
    with pytest.raises(InputError, match=r"a.png shows 'debris', but .*annotated.csv does not list 'debris'"):
        known(folder)


@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_positions_follow_the_voxels_into_the_canonical_orientation(
    tmp_path: Path, signs: tuple[int, ...], order: tuple[int, ...]
) -> None:
    for name in ("images", "points", "boxes"):
        (tmp_path / name).mkdir()
    shape = (6, 9, 12)  # x, y, z in the file
    values = np.zeros(shape, np.float32)
    values[1, 7, 3], values[4, 2:5, 10] = 5, 9
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs)[:, order] * np.array([1.0, 2.0, 3.0])
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "images" / "a.nii.gz")
    (tmp_path / "points" / "a.csv").write_text("x_mm,y_mm,z_mm\n1,14,9\n")
    (tmp_path / "boxes" / "a.csv").write_text("z_min,y_min,x_min,z_max,y_max,x_max\n10,2,4,10,4,4\n")
    dataset = open_dataset(tmp_path)
    image, _ = load_case(dataset.cases[0], dataset)
    for turned in (image, image.canonical()):
        found = load_supervision(dataset.cases[0], dataset, turned, None)
        array = turned.array[0]
        assert found.points is not None
        assert found.boxes is not None
        assert array[tuple(found.points.voxels(array.shape)[0])] == 5
        box = array[found.boxes.slices(array.shape)[0]]
        assert box.size == 3
        assert (box == 9).all()


@pytest.mark.parametrize("new", [(20, 36), (5, 9), (7, 30)])
def test_positions_follow_a_resampled_label_map(new: tuple[int, int]) -> None:
    labels = np.zeros((10, 18), np.uint8)
    labels[2:6, 9:15] = 1
    box = Boxes(np.array([[2.0, 9.0]]), np.array([[5.0, 14.0]]), np.array([1], np.uint8))
    points = Points(np.array([[3.5, 11.5]]), np.array([1], np.uint8))
    moved = Supervision(points=points, boxes=box).resized(labels.shape, new)
    resampled = resample_labels(labels, new)
    assert moved.boxes is not None
    assert moved.points is not None
    for part, axis in zip(moved.boxes.slices(new)[0], (1, 0), strict=True):
        inside = np.flatnonzero(resampled.any(axis=axis))
        assert abs(part.start - inside[0]) <= 1
        assert abs(part.stop - 1 - inside[-1]) <= 1
    middle = np.argwhere(resampled).mean(axis=0)
    np.testing.assert_allclose(moved.points.positions[0], middle, atol=0.51)


def test_a_box_never_vanishes() -> None:
    box = Boxes(np.array([[3.0, 3.0]]), np.array([[3.0, 3.0]]), np.array([1], np.uint8))
    moved = Supervision(boxes=box).resized((16, 16), (4, 4)).boxes
    assert moved is not None
    (rows, columns), *_ = moved.slices((4, 4))
    assert rows.stop - rows.start == columns.stop - columns.start == 1


def test_the_image_keeps_its_own_axes_without_an_affine() -> None:
    image = Image(np.zeros((1, 4, 5, 6)), spacing=(3.0, 1.0, 1.0))
    assert Supervision().reoriented(image.canonical().reorientation, image.spatial_shape).kinds == ("unlabelled",)
