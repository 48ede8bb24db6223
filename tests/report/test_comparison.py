from pathlib import Path

import pytest

from shapewright.metrics import Comparison, compare
from shapewright.report import load_run, write_report
from shapewright.report.comparison import verdict

from .conftest import WriteRun
from .reading import read_page, rows_of
from .test_page import assert_accessible, assert_self_contained


def two_runs(write_run: WriteRun) -> list[Path]:
    config = {"method": "supervised", "seed": 7, "trainer": {"epochs": 4, "lr": 0.01}}
    return [
        write_run("a", method="supervised", shifts=(1, 5, 3), config=config),
        write_run("b", shifts=(0, 4, 3)),
    ]


def test_the_page_goes_to_the_common_folder(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_report(two_runs(write_run))
    assert path == tmp_path / "report.html"
    page = read_page(path)
    assert_self_contained(page, path.read_text())
    assert_accessible(page)
    assert page.all("h1")[0].text == "supervised and boundary-loss on balls"


def test_differences_are_those_of_the_paired_comparison(write_run: WriteRun) -> None:
    folders = two_runs(write_run)
    found = compare(*(load_run(folder).scores for folder in folders))
    rows = rows_of(read_page(write_report(folders)).all("table", class_="grouped")[0])
    gap = found["core"]["dice"]
    row = next(row for row in rows if row[:2] == ["core", "Dice"])
    assert row[4].startswith(f"+{gap.difference:.3f}")
    assert row[4].endswith(f"to +{gap.ci_high:.3f}")
    assert row[5] == verdict("dice", gap)


def test_only_settings_that_differ_are_listed(write_run: WriteRun) -> None:
    page = read_page(write_report(two_runs(write_run)))
    table = page.all("section", id="settings")[0].all("table")[0]
    assert rows_of(table) == [["method", "supervised", "boundary-loss"], ["trainer.lr", "0.01", "0.001"]]


def test_the_same_cases_stand_side_by_side(write_run: WriteRun) -> None:
    page = read_page(write_report(two_runs(write_run)))
    for case in page.all("article", class_="case"):
        names = [name.text for name in case.all("h4", class_="run-name")]
        assert names == ["A supervised", "B boundary-loss"]
        first, second = (part for part in case.all("div", class_="beside")[0].parts if not isinstance(part, str))
        for member in (first, second):
            assert len(member.all("svg")) == 9
        assert [caption.text for caption in first.all("figcaption")] == [
            caption.text for caption in second.all("figcaption")
        ]
        assert [image.attributes["href"] for image in first.all("image")][:6] == [
            image.attributes["href"] for image in second.all("image")
        ][:6]
    assert [role.text for role in page.all("p", class_="role")] == [
        "Best for B boundary-loss against A supervised",
        "Median difference of B boundary-loss to A supervised",
        "Worst for B boundary-loss against A supervised",
    ]


def test_three_runs_are_compared_with_the_first(write_run: WriteRun) -> None:
    folders = [*two_runs(write_run), write_run("c", shifts=(2, 2, 2))]
    page = read_page(write_report(folders))
    heads = [head.text for head in page.all("table", class_="grouped")[0].all("thead")[0].all("th")]
    assert heads == ["Label", "Metric", "A a", "B b", "C c", "B − A", "C − A", "B is", "C is"]


def test_runs_without_common_cases_are_said_to_be_incomparable(write_run: WriteRun) -> None:
    folders = [write_run("a", cases=("x", "y", "z")), write_run("b", cases=("u", "v", "w"))]
    page = read_page(write_report(folders))
    assert "cannot be compared with" in page.all("div", class_="notice")[0].text
    assert not page.all("section", id="pictures")


def test_a_run_without_evaluation_is_compared_as_far_as_it_goes(write_run: WriteRun) -> None:
    folders = two_runs(write_run)
    for file in (folders[1] / "evaluation").iterdir():
        file.unlink()
    page = read_page(write_report(folders))
    assert "evaluation/summary.json is not there" in page.text
    assert page.all("section", id="learning")[0].all("svg")


@pytest.mark.parametrize(
    ("metric", "interval", "words"),
    [
        ("dice", (0.01, 0.05), "better"),
        ("dice", (-0.05, -0.01), "worse"),
        ("hd95", (-2.0, -1.0), "better"),
        ("hd95", (1.0, 2.0), "worse"),
        ("hd95", (-1.0, 2.0), "no clear difference"),
        ("volume_error_percent", (1.0, 2.0), "higher"),
        ("volume_pred_ml", (1.0, 2.0), "\N{EN DASH}"),
        ("a metric of somebody else", (-2.0, -1.0), "\N{EN DASH}"),
    ],
)
def test_verdicts_follow_the_interval_and_the_metric(metric: str, interval: tuple[float, float], words: str) -> None:
    low, high = interval
    assert verdict(metric, Comparison(9, 0.0, 0.0, (low + high) / 2, low, high, 0.5)) == words
