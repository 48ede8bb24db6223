"""What each metric is: its unit, its range, and which way is better."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Metric:
    """The declared properties of one column of :func:`shapewright.metrics.evaluate`.

    Attributes
    ----------
    name
        The column's name.
    title
        The name in tables and figures.
    unit
        ``"mm"``, ``"ml"``, ``"%"`` or ``""``.
    higher_is_better
        ``True`` or ``False``; ``None`` where neither is: a volume, or a signed error, best at ``perfect``.
    perfect
        The value of a perfect prediction; ``None`` for a quantity that is not a score.
    lower, upper
        The range of possible values.
    description
        One sentence for the report.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool | None
    perfect: float | None
    lower: float
    upper: float
    description: str

    def badness(self, value: float) -> float:
        """Return how far a value is from perfect, for sorting; 0 where nothing is declared perfect."""
        return 0.0 if self.perfect is None else abs(value - self.perfect)


def _share(name: str, title: str, description: str) -> Metric:
    return Metric(name, title, "", True, 1.0, 0.0, 1.0, description)


def _distance(name: str, title: str, description: str) -> Metric:
    return Metric(name, title, "mm", False, 0.0, 0.0, inf, description)


def _amount(name: str, title: str, unit: str, description: str) -> Metric:
    return Metric(name, title, unit, None, None, 0.0, inf, description)


_ALL = (
    _share("dice", "Dice", "Twice the overlap over the sum of both volumes."),
    _share("iou", "IoU", "Overlap over union (Jaccard index)."),
    _distance("hd", "HD", "Largest distance from one surface to the other."),
    _distance(
        "hd95", "HD95", "95 % of each surface lie within this distance of the other; the larger of both directions."
    ),
    _distance("assd", "ASSD", "Average distance between the surfaces, over the area of both."),
    _share("surface_dice", "Surface Dice", "Share of both surfaces that lies within the tolerance of the other."),
    _share("boundary_iou", "Boundary IoU", "Overlap over union of the bands along both boundaries."),
    _amount("volume_pred_ml", "Volume predicted", "ml", "Volume of the prediction; an image counts as 1 mm thick."),
    _amount("volume_truth_ml", "Volume true", "ml", "Volume of the truth; an image counts as 1 mm thick."),
    Metric(
        "volume_error_percent",
        "Volume error",
        "%",
        None,
        0.0,
        -100.0,
        inf,
        "Signed volume error relative to the truth; +100 where the truth is empty and the prediction is not.",
    ),
    _amount("components_pred", "Components predicted", "", "Connected components of the prediction (b0)."),
    _amount("components_truth", "Components true", "", "Connected components of the truth (b0)."),
    _amount("holes_pred", "Holes predicted", "", "Holes of the prediction; in 3D, tunnels through it (b1)."),
    _amount("holes_truth", "Holes true", "", "Holes of the truth; in 3D, tunnels through it (b1)."),
    _amount("cavities_pred", "Cavities predicted", "", "Cavities enclosed by the prediction (b2); none in 2D."),
    _amount("cavities_truth", "Cavities true", "", "Cavities enclosed by the truth (b2); none in 2D."),
    Metric(
        "betti_error",
        "Betti error",
        "",
        False,
        0.0,
        0.0,
        inf,
        "Differences of the numbers of components, holes and cavities, without sign, summed.",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""All columns of :func:`shapewright.metrics.evaluate` by name, in the order of the columns."""
