"""From the scores of cases to statements about a method: means, intervals, comparisons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError
from shapewright.metrics.rows import CaseScores, metric_names


@dataclass(frozen=True)
class Summary:
    """One metric of one label over all cases.

    Attributes
    ----------
    n
        Number of cases that have a value.
    mean, std, median, min, max
        Over the cases; ``std`` is that of the sample (n - 1 in the denominator), 0 for one case.
    ci_low, ci_high
        Bootstrap interval of the mean.
    """

    n: int
    mean: float
    std: float
    median: float
    min: float
    max: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Comparison:
    """One metric of one label for two runs on the same cases.

    Attributes
    ----------
    n
        Number of cases that both runs have.
    mean_a, mean_b
        Means over those cases.
    difference
        ``mean_b - mean_a``: positive where b is higher, whichever way is better.
    ci_low, ci_high
        Bootstrap interval of the difference.
    p_value
        Wilcoxon signed-rank test of the paired differences, two-sided; 1 where all are 0.
    """

    n: int
    mean_a: float
    mean_b: float
    difference: float
    ci_low: float
    ci_high: float
    p_value: float


def summarise(
    rows: Sequence[CaseScores], *, seed: int = 0, resamples: int = 2000, confidence: float = 0.95
) -> dict[str, dict[str, Summary]]:
    """Return mean, spread and bootstrap interval over the cases, per label and metric.

    The interval is the percentile bootstrap over cases: cases are drawn with replacement, and the interval holds the
    middle ``confidence`` of the means of the draws. It answers how the mean would vary over other cases of the same
    kind, not over other training runs.

    Parameters
    ----------
    rows
        One per case and label, as from :func:`case_rows`. A metric that a row lacks is left out of that metric's ``n``.
    seed
        Of the draws; the same seed gives the same interval.
    resamples
        Number of draws; 2000 settles the ends of a 95 % interval to about a hundredth of its length.
    confidence
        Share of the draws inside the interval.

    Returns
    -------
    dict
        Label -> metric -> :class:`Summary`, in the order of the rows and columns.

    Raises
    ------
    InputError
        No rows, the same case and label twice, a value that is not finite, a confidence outside (0, 1).

    References
    ----------
    B. Efron, R. J. Tibshirani, An introduction to the bootstrap, Chapman & Hall, 1993.

    Examples
    --------
    >>> rows = [{"case": str(i), "label": "liver", "dice": 0.8 + 0.01 * i} for i in range(5)]
    >>> summary = summarise(rows)["liver"]["dice"]
    >>> summary.n, round(summary.mean, 3), summary.ci_low < summary.mean < summary.ci_high
    (5, 0.82, True)
    """
    _check_bootstrap(resamples, confidence)
    result: dict[str, dict[str, Summary]] = {}
    for label, metric, scores in _columns(rows):
        values = np.array(list(scores.values()))
        low, high = _mean_interval(values, seed, resamples, confidence)
        std = float(values.std(ddof=1)) if values.size > 1 else 0.0
        result.setdefault(label, {})[metric] = Summary(
            n=values.size,
            mean=float(values.mean()),
            std=std,
            median=float(np.median(values)),
            min=float(values.min()),
            max=float(values.max()),
            ci_low=low,
            ci_high=high,
        )
    return result


def compare(
    rows_a: Sequence[CaseScores],
    rows_b: Sequence[CaseScores],
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> dict[str, dict[str, Comparison]]:
    """Compare two runs on the same cases, per label and metric: b minus a, case by case.

    Pairing takes out what all methods find hard or easy in a case, so it sees smaller differences than two separate
    intervals do. Many metrics and labels make many tests: a p-value here is not corrected for that.

    Parameters
    ----------
    rows_a, rows_b
        Rows of both runs. Cases, labels and metrics that only one of them has are left out.
    seed, resamples, confidence
        Of the bootstrap, as in :func:`summarise`.

    Returns
    -------
    dict
        Label -> metric -> :class:`Comparison`.

    Raises
    ------
    InputError
        No case and label in common; otherwise as :func:`summarise`.

    Examples
    --------
    >>> a = [{"case": str(i), "label": "liver", "dice": 0.8 + 0.01 * i} for i in range(8)]
    >>> b = [{**row, "dice": row["dice"] + 0.02 + 0.001 * i} for i, row in enumerate(a)]
    >>> gain = compare(a, b)["liver"]["dice"]
    >>> round(gain.difference, 4), gain.ci_low > 0, round(gain.p_value, 4)
    (0.0235, True, 0.0078)
    """
    _check_bootstrap(resamples, confidence)
    columns_b = {(label, metric): scores for label, metric, scores in _columns(rows_b)}
    result: dict[str, dict[str, Comparison]] = {}
    for label, metric, scores_a in _columns(rows_a):
        scores_b = columns_b.get((label, metric), {})
        cases = [case for case in scores_a if case in scores_b]
        if not cases:
            continue
        a, b = np.array([scores_a[case] for case in cases]), np.array([scores_b[case] for case in cases])
        low, high = _mean_interval(b - a, seed, resamples, confidence)
        result.setdefault(label, {})[metric] = Comparison(
            n=len(cases),
            mean_a=float(a.mean()),
            mean_b=float(b.mean()),
            difference=float((b - a).mean()),
            ci_low=low,
            ci_high=high,
            p_value=_signed_rank_p(b - a),
        )
    if not result:
        raise InputError("rows_a and rows_b must share cases and labels; they have none in common")
    return result


def _check_bootstrap(resamples: int, confidence: float) -> None:
    if resamples < 1:
        raise InputError(f"resamples must be at least 1; got {resamples}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, such as 0.95; got {confidence}")


def _columns(rows: Sequence[CaseScores]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield label, metric, and its value for each case, for every label and metric that occur together."""
    if not rows:
        raise InputError("there must be at least one row of scores; got none")
    by_label: dict[str, dict[str, CaseScores]] = {}
    for row in rows:
        case, label = str(row["case"]), str(row["label"])
        cases = by_label.setdefault(label, {})
        if case in cases:
            raise InputError(f"rows must have each case and label once; got case {case!r}, label {label!r} twice")
        cases[case] = row
    metrics = metric_names(rows)
    for label, cases in by_label.items():
        for metric in metrics:
            scores = {case: float(row[metric]) for case, row in cases.items() if metric in row}
            for case, value in scores.items():
                if not np.isfinite(value):
                    raise InputError(f"case {case!r}, label {label!r}: {metric} must be a finite number; got {value}")
            if scores:
                yield label, metric, scores


def _mean_interval(values: NDArray[np.float64], seed: int, resamples: int, confidence: float) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean.

    A draw of n from n cases with replacement is how often each case comes up, so all means are one matrix product.
    """
    n = values.size
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    # Deviations from the mean: equal values then give an interval of no length, exactly.
    centre = values.mean()
    means = centre + counts @ (values - centre) / n
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of the Wilcoxon signed-rank test; zeros are left out, as Wilcoxon did."""
    from scipy.stats import wilcoxon

    nonzero = differences[differences != 0]
    return float(wilcoxon(nonzero).pvalue) if nonzero.size else 1.0
