"""The pictures of chosen cases: which cases, which planes, which captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shapewright.errors import InputError
from shapewright.report.pictures import SMALL, Panel, error_panels, overlay_panels
from shapewright.report.run import Run
from shapewright.report.surface_error import SurfaceError, common_scale, surface_error
from shapewright.report.tables import headline_metrics, metric_of, worst_labels
from shapewright.report.volumes import CaseVolumes, crop_together, largest_sections, read_case
from shapewright.report.wording import count, listing, number

GALLERY_LIMIT = 60
MOST_LABELS = 6


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


@dataclass(frozen=True)
class Shown:
    """A case of a run, to be shown in a role."""

    run: Run
    case: str
    role: str


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


def feature(groups: Sequence[Sequence[Shown]]) -> list[Featured]:
    """Make the large pictures of some cases, all surface errors on one scale of colours.

    Parameters
    ----------
    groups
        Each group is one case, in one or several runs: these are shown in the same planes.
    """
    volumes = [_read_group(group) for group in groups]
    errors = [[surface_error(case) if isinstance(case, CaseVolumes) else None for case in group] for group in volumes]
    scale = common_scale(error for group in errors for error in group if error)
    return [
        Featured(
            [_featured(*member, _worst_place(of_group), scale) for member in zip(group, read, of_group, strict=True)],
            scale,
        )
        for group, read, of_group in zip(groups, volumes, errors, strict=True)
    ]


def gallery(run: Run, cases: Sequence[str], anchors: dict[str, str]) -> list[CasePictures]:
    """Make small pictures of cases, the first :data:`GALLERY_LIMIT` of them."""
    return [_small(run, case, anchors.get(case, "")) for case in cases[:GALLERY_LIMIT]]


def score_lines(run: Run, case: str) -> list[str]:
    """Return one line per label with the headline metrics of a case; of many labels, the worst few."""
    names = [name for name in headline_metrics(run) if metric_of(name).higher_is_better is not None]
    labels = run.by_case.get(case, {})
    shown = list(labels) if len(labels) <= MOST_LABELS else worst_labels(run, case)[:MOST_LABELS]
    lines = []
    for label in shown:
        metrics = ((metric_of(name), labels[label][name]) for name in names if name in labels[label])
        parts = [f"{metric.title} {number(value, metric.unit)} {metric.unit}".rstrip() for metric, value in metrics]
        lines.append(f"{label}: {', '.join(parts)}")
    left_out = len(labels) - len(shown)
    return [*lines, f"and {count(left_out, 'label')} that did better"] if left_out else lines


def _short_scores(run: Run, case: str) -> list[str]:
    """Return the first headline metric of every label in one line."""
    name = next(iter(headline_metrics(run)), "")
    metric = metric_of(name)
    labels = {label: values[name] for label, values in run.by_case.get(case, {}).items() if name in values}
    shown = list(labels) if len(labels) <= MOST_LABELS else worst_labels(run, case)[:MOST_LABELS]
    parts = [f"{label} {number(labels[label], metric.unit)}" for label in shown if label in labels]
    return [f"{metric.title}: {', '.join(parts)}"] if parts else []


def _read(run: Run, case: str) -> CaseVolumes | str:
    """Return a case's voxels, or why there are none."""
    files = run.files(case)
    if files is None:
        return "The evaluation does not name this case's files."
    try:
        return read_case(files)
    except (InputError, OSError) as error:
        return str(error)


def _read_group(group: Sequence[Shown]) -> list[CaseVolumes | str]:
    """Return the voxels of one case in several runs, cropped alike."""
    read = [_read(shown.run, shown.case) for shown in group]
    found = [case for case in read if isinstance(case, CaseVolumes)]
    if not found:
        return read
    alike = len({case.truth.shape for case in found}) == 1
    cropped = iter(crop_together(found) if alike else [crop_together([case])[0] for case in found])
    return [next(cropped) if isinstance(case, CaseVolumes) else case for case in read]


def _worst_place(errors: Sequence[SurfaceError | None]) -> tuple[int, ...] | None:
    """Return where any of the runs errs most."""
    measured = [error for error in errors if error and error.worst is not None]
    return max(measured, key=lambda error: error.largest).worst if measured else None


def _featured(
    shown: Shown, volumes: CaseVolumes | str, error: SurfaceError | None, place: tuple[int, ...] | None, scale: float
) -> CasePictures:
    scores = score_lines(shown.run, shown.case)
    if isinstance(volumes, str) or error is None:
        return CasePictures(shown.case, role=shown.role, scores=scores, problem=str(volumes))
    title = f"{shown.run.name}, case {shown.case}"
    overlay = f"Contours of truth and prediction, {title}"
    strips = [Strip(_sections_title(volumes), overlay_panels(volumes, largest_sections(volumes), title=overlay))]
    if volumes.spatial_dims == 3 and place is not None:
        strips.append(Strip("At the largest error", overlay_panels(volumes, place, title=overlay)))
    if error.worst is not None:
        errors = error_panels(volumes, error, scale, title=f"Surface error in mm, {title}")
        strips.append(Strip("Distance of the predicted surface to the true one", errors))
    return CasePictures(
        shown.case, role=shown.role, scores=scores, strips=strips, problem=_without_distance(shown.run, volumes)
    )


def _sections_title(volumes: CaseVolumes) -> str:
    return "Largest sections" if volumes.spatial_dims == 3 else "Contours"


def _without_distance(run: Run, volumes: CaseVolumes) -> str:
    """Return which labels have no surface error, because only one of truth and prediction has them."""
    names = {value: name for name, value in (run.data.get("labels") or {}).items()}
    true, predicted = (set(np.unique(labels[labels != 0]).tolist()) for labels in (volumes.truth, volumes.prediction))
    if not true and not predicted:
        return "No surface distances: truth and prediction of this case are empty."
    sentences = []
    for values, place in ((true - predicted, "truth"), (predicted - true, "prediction")):
        labels = [str(names.get(int(value), f"label {int(value)}")) for value in sorted(values)]
        if labels:
            sentences.append(f"No surface distance for {listing(labels)}: only in the {place}.")
    return " ".join(sentences)


def _small(run: Run, case: str, anchor: str) -> CasePictures:
    volumes = _read(run, case)
    scores = _short_scores(run, case)
    if isinstance(volumes, str):
        return CasePictures(case, anchor=anchor, scores=scores, problem=volumes)
    title = f"Contours of truth and prediction, case {case}"
    volumes = crop_together([volumes])[0]
    panels = overlay_panels(volumes, largest_sections(volumes), title=title, size=SMALL)
    return CasePictures(case, anchor=anchor, scores=scores, strips=[Strip("", panels)])
