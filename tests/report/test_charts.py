import json
import math
import re

import numpy as np
import pytest

from shapewright.report.charts import MAX_POINTS, Estimate, Series, interval_chart, line_chart
from shapewright.report.curves import Curve


def test_lines_bridge_gaps_and_empty_series_are_left_out() -> None:
    nan = math.nan
    chart = line_chart(
        "t",
        [Series("a", [1, 2, 3, 4], [1.0, nan, 3.0, math.inf], 1), Series("b", [1, 2], [nan, nan], 2)],
        x_label="epoch",
    )
    assert chart is not None
    assert [line.name for line in chart.series] == ["a"]
    assert re.findall(r'points="([^"]+)"', chart.svg)[0].count(",") == 2
    assert line_chart("t", [Series("b", [1, 2], [nan, nan], 2)], x_label="epoch") is None


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-7, 3e-7], [-5.0, 1e6], [0.7, 0.7000000001], [3.0]])
def test_any_range_gets_distinct_ticks_that_hold_the_values(values: list[float]) -> None:
    chart = line_chart("t", [Series("a", range(len(values)), values, 1)], x_label="epoch")
    assert chart is not None
    places = [float(y) for y in re.findall(r'class="y" x="[\d.-]+" y="([\d.-]+)"', chart.svg)]
    assert len(places) == len(set(places)) >= 2
    drawn = re.findall(r"points=\"([^\"]+)\"", chart.svg) or re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart.svg)
    assert drawn
    assert "nan" not in chart.svg.lower().replace("nancy", "")


def test_the_best_point_is_ringed() -> None:
    chart = line_chart("t", [Series("a", [0, 1, 2], [0.1, 0.9, 0.5], 1)], x_label="epoch", mark="max")
    assert chart is not None
    points = re.findall(r'points="([^"]+)"', chart.svg)[0].split()
    ring = re.search(r'class="ring c1" cx="([\d.]+)" cy="([\d.]+)"', chart.svg)
    assert ring is not None
    assert f"{ring[1]},{ring[2]}" == points[1]


def test_long_histories_are_thinned_and_keep_their_ends() -> None:
    x = list(range(12345))
    points = Series("a", x, np.sqrt(x).tolist(), 1).points()
    assert len(points) <= MAX_POINTS + 1
    assert (points[0][0], points[-1][0]) == (0, 12344)


def test_the_data_behind_a_chart_can_be_read_by_a_script() -> None:
    chart = line_chart("t", [Series('a "b" <c>', [0, 1], [0.25, 0.5], 3)], x_label="epoch")
    assert chart is not None
    text = re.search(r'data-chart="([^"]+)"', chart.svg)
    assert text is not None
    data = json.loads(text[1].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">"))
    assert data["series"] == [{"name": 'a "b" <c>', "colour": 3, "points": [[0, 0.25], [1, 0.5]]}]


def test_values_outside_the_bounds_are_drawn_at_their_ends() -> None:
    svg = interval_chart([Estimate(0.5, -9.0, 9.0, [-7.0, 0.5, 7.0])], (0.0, 1.0), label="l")
    places = [float(x) for x in re.findall(r'class="dot" cx="([\d.]+)"', svg)]
    assert places == sorted(places)
    assert (places[0], places[2]) == (12.0, 228.0)


def test_an_undefined_mean_leaves_its_dots() -> None:
    svg = interval_chart([Estimate(math.nan, math.nan, math.nan, [0.5])], (0.0, 1.0), label="l")
    assert 'class="dot"' in svg
    assert 'class="mean"' not in svg


def test_columns_know_their_chart() -> None:
    assert Curve.of("val/hd95").best == "min"
    assert Curve.of("val/dice").best == "max"
    assert Curve.of("loss").best == ""
    assert Curve.of("val/dice/a/b") == Curve("val/dice/a/b", "val/dice", "a/b")
    assert Curve.of("weight/boundary").title == "Weights of the loss parts"
