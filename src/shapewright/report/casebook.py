"""The pictures of chosen cases: which cases, which planes, which captions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from shapewright.errors import InputError
from shapewright.report.pictures import SMALL, Panel, error_panels, overlay_panels
from shapewright.report.run import Run
from shapewright.report.surface_error import SurfaceError, common_scale, surface_error
from shapewright.report.tables import headline_metrics, metric_of
from shapewright.report.volumes import CaseVolumes, largest_sections, read_case
from shapewright.report.wording import number

GALLERY_LIMIT = 60


@dataclass(frozen=True)
class Strip:
    """Panels that belong together, with what they have in common."""

    title: str
    panels: list[Panel]


@dataclass(frozen=True)
class CasePictures:
    """A case as the page shows it.

    Attributes
    ----------
    case
        The case's name.
    anchor
        The element's id on the page.
    role
        Why it is shown: ``"Worst case"``.
    scores
        One line per label.
    strips
        Its pictures.
    problem
        Why there are no pictures; else empty.
    """

    case: str
    anchor: str = ""
    role: str = ""
    scores: list[str] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Featured:
    """Cases with large pictures, and the distance in mm at which their error colours end."""

    cases: list[CasePictures]
    scale: float


@dataclass
class _Measured:
    volumes: CaseVolumes
    error: SurfaceError


def landmark_cases(ranked: Sequence[str]) -> dict[str, str]:
    """Return case -> role for the worst, the median and the best of cases ranked worst first.

    Examples
    --------
    >>> landmark_cases(["a", "b", "c", "d", "e"])
    {'a': 'Worst case', 'c': 'Median case', 'e': 'Best case'}
    >>> landmark_cases(["a"])
    {'a': 'The only case'}
    """
    if len(ranked) < 2:
        return dict.fromkeys(ranked, "The only case")
    roles = {ranked[0]: "Worst case", ranked[-1]: "Best case"}
    if len(ranked) > 2:
        roles = {ranked[0]: "Worst case", ranked[len(ranked) // 2]: "Median case", ranked[-1]: "Best case"}
    return roles


def feature(shown: Sequence[tuple[Run, str, str]]) -> Featured:
    """Make the large pictures of some cases, their surface errors on one scale of colours.

    Parameters
    ----------
    shown
        Run, case and role of each.
    """
    measured = [_measure(run, case) for run, case, _ in shown]
    scale = common_scale(item.error for item in measured if isinstance(item, _Measured))
    cases = [_featured(run, case, role, item, scale) for (run, case, role), item in zip(shown, measured, strict=True)]
    return Featured(cases, scale)


def gallery(run: Run, cases: Sequence[str], anchors: dict[str, str]) -> list[CasePictures]:
    """Make small pictures of cases, the first :data:`GALLERY_LIMIT` of them."""
    return [_small(run, case, anchors.get(case, "")) for case in cases[:GALLERY_LIMIT]]


def score_lines(run: Run, case: str) -> list[str]:
    """Return one line per label with the headline metrics of a case."""
    names = [name for name in headline_metrics(run) if name != "volume_error_percent"]
    lines = []
    for label, values in run.by_case.get(case, {}).items():
        parts = [
            f"{metric_of(name).title} {number(values[name], metric_of(name).unit)} {metric_of(name).unit}".rstrip()
            for name in names
            if name in values and not math.isnan(values[name])
        ]
        lines.append(f"{label}: {', '.join(parts)}")
    return lines


def _read(run: Run, case: str) -> CaseVolumes | str:
    """Return a case's voxels, or why there are none."""
    files = run.files(case)
    if files is None:
        return "The evaluation does not name this case's files."
    try:
        return read_case(files)
    except (InputError, OSError) as error:
        return str(error)


def _measure(run: Run, case: str) -> _Measured | str:
    volumes = _read(run, case)
    return volumes if isinstance(volumes, str) else _Measured(volumes, surface_error(volumes))


def _featured(run: Run, case: str, role: str, measured: _Measured | str, scale: float) -> CasePictures:
    scores = score_lines(run, case)
    if isinstance(measured, str):
        return CasePictures(case, role=role, scores=scores, problem=measured)
    volumes, error = measured.volumes, measured.error
    title = f"{run.name}, case {case}"
    overlay = f"Contours of truth and prediction, {title}"
    strips = [Strip(_sections_title(volumes), overlay_panels(volumes, largest_sections(volumes), title=overlay))]
    if error.worst is None:
        return CasePictures(case, role=role, scores=scores, strips=strips, problem=_no_surface(volumes))
    if volumes.spatial_dims == 3:
        strips.append(Strip("At the largest error", overlay_panels(volumes, error.worst, title=overlay)))
    errors = error_panels(volumes, error, scale, title=f"Surface error in mm, {title}")
    strips.append(Strip("Distance of the predicted surface to the true one", errors))
    return CasePictures(case, role=role, scores=scores, strips=strips)


def _sections_title(volumes: CaseVolumes) -> str:
    return "Largest sections" if volumes.spatial_dims == 3 else "Contours"


def _no_surface(volumes: CaseVolumes) -> str:
    empty = [
        name for name, mask in (("truth", volumes.truth), ("prediction", volumes.prediction)) if not (mask != 0).any()
    ]
    what = f"the {' and the '.join(empty)} of this case {'are' if len(empty) > 1 else 'is'} empty"
    return f"No surface distances: {what if empty else 'truth and prediction have no label in common'}."


def _small(run: Run, case: str, anchor: str) -> CasePictures:
    volumes = _read(run, case)
    scores = score_lines(run, case)
    if isinstance(volumes, str):
        return CasePictures(case, anchor=anchor, scores=scores, problem=volumes)
    title = f"Contours of truth and prediction, case {case}"
    panels = overlay_panels(volumes, largest_sections(volumes), title=title, size=SMALL)
    return CasePictures(case, anchor=anchor, scores=scores, strips=[Strip("", panels)])
