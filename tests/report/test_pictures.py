import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from shapewright.errors import InputError
from shapewright.report import load_run
from shapewright.report.casebook import landmark_cases
from shapewright.report.pictures import error_panels, overlay_panels
from shapewright.report.surface_error import SurfaceError, colour_of, common_scale, surface_error
from shapewright.report.volumes import CaseVolumes, largest_sections, read_case

from .conftest import SPACING, WriteRun


def boxes(shift: int, spacing: tuple[float, ...] = (2.0, 1.0, 0.5)) -> CaseVolumes:
    truth = np.zeros((9, 14, 20), np.uint8)
    truth[2:6, 4:10, 5:12] = 1
    prediction = np.roll(truth, shift, axis=2)
    return CaseVolumes(np.zeros_like(truth), truth, prediction, spacing, first=(0, 0, 0))


def border(mask: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Voxels with a face neighbour outside, by looking at each."""
    padded = np.pad(mask, 1)
    found = [
        index
        for index in np.argwhere(mask)
        if not all(
            padded[tuple(index + 1 + step * np.eye(mask.ndim, dtype=int)[axis])]
            for axis in range(mask.ndim)
            for step in (-1, 1)
        )
    ]
    return np.array(found)


@pytest.mark.parametrize("shift", [0, 1, 3, -2])
def test_surface_errors_equal_brute_force(shift: int) -> None:
    case = boxes(shift)
    error = surface_error(case).project()
    here, there = border(case.prediction == 1), border(case.truth == 1)
    expected = cdist(here * case.spacing, there * case.spacing).min(axis=1)
    inside = case.truth[tuple(here.T)] == 1
    assert np.count_nonzero(~np.isnan(error)) == len(here)
    np.testing.assert_allclose(error[tuple(here.T)], np.where(inside, -expected, expected), atol=1e-5)


def test_a_label_that_one_of_the_two_lacks_gives_no_distance() -> None:
    case = boxes(0)
    error = surface_error(CaseVolumes(case.image, case.truth, case.truth * 0, case.spacing, case.first))
    assert error.worst is None
    assert common_scale([error]) == 1.0


def test_the_projection_keeps_sign_and_largest_magnitude() -> None:
    error = SurfaceError(np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1]]), np.array([-3.0, 1.0, 0.0]), (2, 2, 2))
    np.testing.assert_array_equal(error.project(0), [[-3.0, np.nan], [np.nan, 0.0]])
    assert error.project().shape == (2, 2, 2)
    assert (error.worst, error.largest) == ((1, 0, 0), 3.0)


def test_colours_are_transparent_off_the_surface_and_end_at_the_scale() -> None:
    colours = colour_of(np.array([np.nan, -4.0, -2.0, 0.0, 2.0, 9.0]), 2.0)
    assert colours[0, 3] == 0
    assert (colours[1:, 3] == 255).all()
    assert (colours[1] == colours[2]).all()
    assert (colours[4] == colours[5]).all()
    blue, grey, orange = colours[2].astype(int), colours[3].astype(int), colours[4].astype(int)
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert np.ptp(grey[:3]) < 15


def test_panels_have_the_aspect_of_the_spacing() -> None:
    case = boxes(1)
    panels = overlay_panels(case, largest_sections(case), title="t")
    assert [panel.aspect for panel in panels] == pytest.approx([20 * 0.5 / 14, 20 * 0.5 / 18, 14 / 18])
    assert 'viewBox="0 0 10 14"' in panels[0].svg
    errors = error_panels(case, surface_error(case), 2.0, title="t")
    assert [panel.aspect for panel in errors] == pytest.approx([panel.aspect for panel in panels])


def test_contours_run_between_the_pixels() -> None:
    case = boxes(0)
    panel = overlay_panels(case, (3, 6, 8), title="t")[0]
    path = re.search(r'class="truth"><path class="halo" d="([^"]+)"', panel.svg)
    assert path is not None
    numbers = np.array(re.findall(r"[\d.]+ [\d.]+", path[1]))
    corners = np.array([[float(part) for part in pair.split()] for pair in numbers])
    assert corners.min(axis=0).tolist() == [5, 4]
    assert corners.max(axis=0).tolist() == [12, 10]


def test_a_volume_of_one_slice_is_an_image(write_run: WriteRun) -> None:
    files = load_run(write_run(shape=(1, 40, 50), cases=("a",), shifts=(3,))).files("a")
    assert files is not None
    case = read_case(files)
    assert case.spatial_dims == 2
    assert case.spacing == SPACING[1:]
    assert len(overlay_panels(case, largest_sections(case), title="t")) == 1
    assert len(error_panels(case, surface_error(case), 1.0, title="t")) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (1, 1, 40)])
def test_an_image_of_one_row_stays_an_image(write_run: WriteRun, tmp_path: Path, shape: tuple[int, ...]) -> None:
    files = load_run(write_run(shape=(1, 40, 50), cases=("a",), shifts=(3,))).files("a")
    assert files is not None
    mask = (np.arange(np.prod(shape)) % 2).reshape(shape).astype(np.uint8)
    path = tmp_path / "row.npz"
    np.savez(path, array=mask, spacing=np.ones(len(shape)))
    case = read_case(replace(files, image=path, truth=path, prediction=path))
    assert case.truth.shape == shape[-2:]
    assert len(overlay_panels(case, largest_sections(case), title="t")) == 1
    assert len(error_panels(case, surface_error(case), 1.0, title="t")) == 1


def test_values_that_are_no_label_are_not_drawn(write_run: WriteRun) -> None:
    files = load_run(write_run(cases=("a",), shifts=(3,))).files("a")
    assert files is not None
    assert read_case(files).labels() == [1, 2]
    assert read_case(replace(files, values=(2,))).labels() == [2]
    assert read_case(replace(files, values=())).labels() == [1, 2]
    assert read_case(replace(files, binary=True)).labels() == [1]


def test_volumes_are_shown_as_radiologists_do(write_run: WriteRun) -> None:
    run = load_run(write_run(shape=(14, 22, 30), cases=("a",), shifts=(3,)))
    files = run.files("a")
    assert files is not None
    case = read_case(files)
    assert case.spacing == SPACING
    assert case.anatomical
    # The prediction was moved towards the patient's right (x grows): on the left of the picture.
    columns = [np.argwhere(mask != 0)[:, 2].mean() for mask in (case.prediction, case.truth)]
    assert columns[0] < columns[1]
    panel = overlay_panels(case, largest_sections(case), title="t")[0]
    assert panel.caption.startswith("axial, z = ")


def test_empty_masks_are_shown_whole(write_run: WriteRun) -> None:
    case = boxes(0)
    empty = CaseVolumes(case.image, case.truth * 0, case.truth * 0, case.spacing, case.first)
    assert largest_sections(empty) == (4, 7, 10)
    assert len(overlay_panels(empty, largest_sections(empty), title="t")) == 3


def test_shapes_that_differ_are_refused(write_run: WriteRun) -> None:
    run = load_run(write_run())
    small = load_run(write_run("small", shape=(10, 12, 14))).files("hard")
    files = run.files("hard")
    assert files is not None
    assert small is not None
    with pytest.raises(InputError, match="must have one shape"):
        read_case(replace(files, prediction=small.prediction))


def test_the_scale_is_round_and_holds_nearly_all_distances() -> None:
    distances = np.concatenate([np.linspace(-2.5, 2.5, 1000), [40.0]])
    many = SurfaceError(np.zeros((1001, 2), int), distances, (1, 1))
    assert common_scale([many]) == 3.0


def test_landmarks_of_few_cases() -> None:
    assert landmark_cases([]) == {}
    assert landmark_cases(["a", "b"]) == {"a": "Worst case", "b": "Best case"}
