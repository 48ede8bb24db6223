"""What a dataset folder holds, in numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shapewright.data.folder import CaseFiles, DatasetFolder
from shapewright.data.image import Geometry
from shapewright.data.kinds import Kind


@dataclass
class CaseFacts:
    """What was seen of a case while its files were read.

    Parameters
    ----------
    case
        Its files.
    geometry
        Of its image in canonical orientation, or None if it cannot be read.
    channels
        Of all its image files together.
    contents
        Image file to a fingerprint of its values.
    counts
        Label value to number of samples, or None without a readable label.
    kinds
        Kinds of label, see :data:`shapewright.data.kinds.KINDS`; empty where they cannot be read.
    """

    case: CaseFiles
    geometry: Geometry | None = None
    channels: int = 0
    contents: dict[Path, str] = field(default_factory=dict)
    counts: dict[int, int] | None = None
    kinds: tuple[Kind, ...] = ()


def summarise(facts: Sequence[CaseFacts], dataset: DatasetFolder) -> dict[str, Any]:
    """Return numbers of cases, shapes, spacings and label sizes, as plain lists and dictionaries."""
    geometries = [fact.geometry for fact in facts if fact.geometry is not None]
    return {
        "name": dataset.name,
        "path": str(dataset.path),
        "licence": dataset.licence,
        "cases": len(dataset.cases),
        "labelled": sum(case.label is not None for case in dataset.cases),
        "supervision": dict(Counter(kind for fact in facts if fact.case in dataset.cases for kind in fact.kinds)),
        "test_cases": len(dataset.test_cases),
        "members": {name: _member_summary(dataset, name) for name in dataset.members},
        "channels": list(dataset.channels),
        "shapes": _ranges([geometry.spatial_shape for geometry in geometries]),
        "spacings": _ranges([geometry.spacing for geometry in geometries]),
        "labels": {name: _label_summary(facts, value) for name, value in dataset.labels.items()},
    }


def _member_summary(dataset: DatasetFolder, name: str) -> dict[str, Any]:
    """Return what a data set of a collection has, and which classes it does not annotate."""
    member = dataset.members[name]
    annotated = member.annotated
    return {
        "cases": sum(case.member == name for case in dataset.cases),
        "channels": list(member.dataset.channels),
        "unknown": [label for label, k in dataset.labels.items() if annotated is not None and k not in annotated],
    }


def _label_summary(facts: Sequence[CaseFacts], value: int) -> dict[str, Any]:
    """Return the size of a label where it occurs: in samples, in mm^3 (mm^2 if flat), and as a share of the image."""
    sizes = [
        (fact.counts[value], float(np.prod(fact.geometry.spacing)), sum(fact.counts.values()))
        for fact in facts
        if fact.counts and fact.geometry and fact.counts.get(value)
    ]
    return {
        "value": value,
        "cases": len(sizes),
        "samples": _range([count for count, _, _ in sizes]),
        "volume": _range([count * size for count, size, _ in sizes]),
        "share": _range([count / total for count, _, total in sizes]),
    }


def _ranges(rows: Sequence[Sequence[float]]) -> list[list[dict[str, float]]]:
    """Return minimum, median and maximum per axis, for flat images and volumes apart."""
    ranks = sorted({len(row) for row in rows})
    return [[_range(axis) for axis in zip(*(row for row in rows if len(row) == rank), strict=True)] for rank in ranks]


def _range(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"min": float(min(values)), "median": float(np.median(values)), "max": float(max(values))}
