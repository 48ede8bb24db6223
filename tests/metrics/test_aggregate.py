import numpy as np
import pytest
from scipy import stats

from shapewright.errors import InputError
from shapewright.metrics import compare, summarise


def rows_of(values, label="a", metric="dice"):
    return [{"case": f"c{i}", "label": label, metric: float(value)} for i, value in enumerate(values)]


def test_summary_of_known_numbers():
    summary = summarise(rows_of([1, 2, 3, 6]))["a"]["dice"]
    assert (summary.n, summary.mean, summary.median, summary.min, summary.max) == (4, 3, 2.5, 1, 6)
    assert summary.std == pytest.approx(np.std([1, 2, 3, 6], ddof=1))


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).gamma(2, size=30)
    ours = summarise(rows_of(values), resamples=20000)["a"]["dice"]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=1).confidence_interval
    assert ours.ci_low == pytest.approx(theirs.low, abs=0.02)
    assert ours.ci_high == pytest.approx(theirs.high, abs=0.02)


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        summary = summarise(rows_of(rng.normal(5, 1, size=40)), resamples=300, confidence=0.9)["a"]["dice"]
        hits += summary.ci_low <= 5 <= summary.ci_high
    assert 0.83 < hits / 300 < 0.95


def test_same_seed_same_interval_and_wider_with_confidence():
    rows = rows_of(np.random.default_rng(2).random(20))
    assert summarise(rows, seed=3) == summarise(rows, seed=3)
    assert summarise(rows, seed=3) != summarise(rows, seed=4)
    wide, narrow = (summarise(rows, confidence=c)["a"]["dice"] for c in (0.99, 0.5))
    assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high


def test_one_case_and_equal_cases_have_no_spread():
    for values in ([0.7], [0.1] * 9):
        summary = summarise(rows_of(values))["a"]["dice"]
        assert summary.std == pytest.approx(0, abs=1e-15)
        assert summary.ci_low == summary.ci_high == pytest.approx(values[0], abs=1e-15)


def test_labels_and_missing_metrics_are_kept_apart():
    rows = [*rows_of([0.1, 0.3]), *rows_of([0.5], "b"), {"case": "c9", "label": "a", "hd": 2.0}]
    summary = summarise(rows)
    assert summary["a"]["dice"].n == 2
    assert summary["a"]["hd"].n == 1
    assert list(summary["b"]) == ["dice"]


def test_comparison_is_paired():
    rng = np.random.default_rng(4)
    hard = rng.random(25)
    gain = rng.normal(0.02, 0.01, size=25)
    a, b = rows_of(hard), rows_of(hard + gain)[::-1]
    found = compare(a, [*b, {"case": "only b", "label": "a", "dice": 0.0}])["a"]["dice"]
    assert found.n == 25
    assert found.difference == pytest.approx(gain.mean())
    assert found.mean_b - found.mean_a == pytest.approx(found.difference)
    assert found.p_value == pytest.approx(stats.wilcoxon(gain).pvalue)
    assert 0 < found.ci_low < found.difference < found.ci_high
    back = compare(b, a)["a"]["dice"]
    assert back.difference == pytest.approx(-found.difference)
    assert back.p_value == pytest.approx(found.p_value)


def test_comparison_with_itself():
    same = compare(rows_of([0.2, 0.4]), rows_of([0.2, 0.4]))["a"]["dice"]
    assert (same.difference, same.ci_low, same.ci_high, same.p_value) == (0, 0, 0, 1)


def test_errors():
    with pytest.raises(InputError, match="at least one row"):
        summarise([])
    with pytest.raises(InputError, match="twice"):
        summarise([*rows_of([1]), *rows_of([2])])
    with pytest.raises(InputError, match="finite"):
        summarise(rows_of([1, np.nan]))
    with pytest.raises(InputError, match="confidence"):
        summarise(rows_of([1]), confidence=95)
    with pytest.raises(InputError, match="resamples"):
        summarise(rows_of([1]), resamples=0)
    with pytest.raises(InputError, match="none in common"):
        compare(rows_of([1]), rows_of([1], "b"))
