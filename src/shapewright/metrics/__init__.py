"""Exact evaluation metrics: overlap, surface distances in mm, topology; per case, summarised and compared.

Names are loaded on first use: the kernels behind the metrics are not needed to read a table.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapewright.metrics.aggregate import Comparison as Comparison
    from shapewright.metrics.aggregate import Summary as Summary
    from shapewright.metrics.aggregate import compare as compare
    from shapewright.metrics.aggregate import summarise as summarise
    from shapewright.metrics.boundary import boundary_iou as boundary_iou
    from shapewright.metrics.combined import hvsmr_score as hvsmr_score
    from shapewright.metrics.evaluation import evaluate as evaluate
    from shapewright.metrics.instances import aggregated_jaccard as aggregated_jaccard
    from shapewright.metrics.instances import object_dice as object_dice
    from shapewright.metrics.lesions import LesionScores as LesionScores
    from shapewright.metrics.lesions import SliceDice as SliceDice
    from shapewright.metrics.lesions import TrivialFloor as TrivialFloor
    from shapewright.metrics.lesions import lesion_scores as lesion_scores
    from shapewright.metrics.lesions import slice_dice as slice_dice
    from shapewright.metrics.lesions import trivial_floor as trivial_floor
    from shapewright.metrics.overlap import dice as dice
    from shapewright.metrics.overlap import iou as iou
    from shapewright.metrics.overlap import volume as volume
    from shapewright.metrics.overlap import volume_error_percent as volume_error_percent
    from shapewright.metrics.registry import METRICS as METRICS
    from shapewright.metrics.registry import Metric as Metric
    from shapewright.metrics.rows import CaseScores as CaseScores
    from shapewright.metrics.rows import case_rows as case_rows
    from shapewright.metrics.rows import read_csv as read_csv
    from shapewright.metrics.rows import write_csv as write_csv
    from shapewright.metrics.rows import write_json as write_json
    from shapewright.metrics.surface import SurfaceDistances as SurfaceDistances
    from shapewright.metrics.surface import average_surface_distance as average_surface_distance
    from shapewright.metrics.surface import hausdorff_distance as hausdorff_distance
    from shapewright.metrics.surface import surface_dice as surface_dice
    from shapewright.metrics.surface import surface_distances as surface_distances
    from shapewright.metrics.thresholds import ThresholdScores as ThresholdScores
    from shapewright.metrics.thresholds import best_over_thresholds as best_over_thresholds

_MODULES = {
    "aggregate": ("Comparison", "Summary", "compare", "summarise"),
    "boundary": ("boundary_iou",),
    "combined": ("hvsmr_score",),
    "evaluation": ("evaluate",),
    "instances": ("aggregated_jaccard", "object_dice"),
    "lesions": ("LesionScores", "SliceDice", "TrivialFloor", "lesion_scores", "slice_dice", "trivial_floor"),
    "overlap": ("dice", "iou", "volume", "volume_error_percent"),
    "registry": ("METRICS", "Metric"),
    "rows": ("CaseScores", "case_rows", "read_csv", "write_csv", "write_json"),
    "surface": (
        "SurfaceDistances",
        "average_surface_distance",
        "hausdorff_distance",
        "surface_dice",
        "surface_distances",
    ),
    "thresholds": ("ThresholdScores", "best_over_thresholds"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shapewright.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"shapewright.metrics.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
