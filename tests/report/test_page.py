import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.report import load_run, write_report

from .conftest import WriteRun
from .reading import Element, read_page, rows_of

NASTY = "<script>alert('x')</script>&\"quoted\""


def assert_self_contained(page: Element, source: str) -> None:
    for element in page.walk():
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            value = element.attributes.get(name, "")
            assert not value or value.startswith(("#", "data:image/")), f"<{element.tag} {name}={value[:60]}>"
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://", source)
    policies = [meta.attributes["content"] for meta in page.all("meta") if "http-equiv" in meta.attributes]
    assert policies[0].startswith("default-src 'none'; img-src data:")


def assert_accessible(page: Element) -> None:
    ids = [element.attributes["id"] for element in page.walk() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page.walk():
        target = element.attributes.get("href", "#")
        assert target == "#" or target.startswith("data:") or target[1:] in ids
        if element.tag == "svg":
            assert element.attributes["role"] == "img"
            assert element.attributes["aria-label"]
        if element.tag == "th":
            assert element.attributes["scope"] in ("row", "col")
        for reference in element.attributes.get("aria-labelledby", "").split():
            assert reference in ids
    assert len(page.all("h1")) == 1


def test_one_run_gives_one_self_contained_page(write_run: WriteRun) -> None:
    folder = write_run()
    path = write_report([folder])
    assert path == folder / "report.html"
    page = read_page(path)
    assert_self_contained(page, path.read_text())
    assert_accessible(page)
    assert page.all("h1")[0].text == "boundary-loss on balls"
    assert "Trained on 2 cases for 4 epochs in 1 min 15 s" in page.text
    assert "shapewright train boundary-loss --out 'a folder'" in page.text
    assert "This run is not complete" not in page.text
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_verdicts_and_table_show_the_numbers_of_the_summary(write_run: WriteRun) -> None:
    folder = write_run()
    page = read_page(write_report([folder]))
    dice = load_run(folder).summary["rim"]["dice"]
    card = next(card for card in page.all("article", class_="card") if card.all("h3")[0].text == "rim")
    assert f"{dice['mean']:.3f}" in card.text
    assert f"{dice['ci_low']:.3f} to {dice['ci_high']:.3f}" in card.text
    assert len(card.all("circle", class_="dot")) == 3 * len(card.all("svg"))
    rows = {(row[0], row[1]): row for row in rows_of(page.all("table", class_="grouped")[0])}
    assert rows["rim", "Dice"][2:] == [
        f"{dice['mean']:.3f}",
        f"{dice['ci_low']:.3f} to {dice['ci_high']:.3f}",
        *(f"{dice[name]:.3f}" for name in ("std", "median", "min", "max")),
        "3",
    ]


def test_cases_are_sorted_worst_first_and_lead_to_their_pictures(write_run: WriteRun) -> None:
    page = read_page(write_report([write_run()]))
    table = page.all("table", class_="cases")[0]
    rows = rows_of(table)
    assert [row[0] for row in rows][:3] == ["hard"] * 3
    assert [row[0] for row in rows][-3:] == ["easy"] * 3
    dice = [float(row[2]) for row in rows]
    assert dice == sorted(dice)
    anchors = {picture.attributes["id"]: picture.all("h3")[0].text for picture in page.all("article", class_="small")}
    for link in table.all("a"):
        assert anchors[link.attributes["href"][1:]] == link.text
    assert [role.text for role in page.all("p", class_="role")] == ["Worst case", "Median case", "Best case"]


def test_names_are_escaped_everywhere(write_run: WriteRun) -> None:
    history = {"epoch": [1, 2], "loss": [1, 0.5], f"val/dice/{NASTY}": [0.1, 0.2]}
    folder = write_run(method=NASTY, cases=(NASTY, "b"), shifts=(1, 2), history=history)
    path = write_report([folder], title=f"A title {NASTY}")
    page = read_page(path)
    assert len(page.all("script")) == 1
    assert "alert('x')" not in page.all("script")[0].text
    assert page.all("h1")[0].text == f"A title {NASTY}"
    assert any(row[0] == NASTY for row in rows_of(page.all("table", class_="cases")[0]))
    assert any(NASTY in svg.attributes["aria-label"] for svg in page.all("svg", class_="picture"))
    other = write_run("other", method=NASTY, cases=(NASTY, "b"), shifts=(2, 2), history=history)
    assert len(read_page(write_report([folder, other])).all("script")) == 1


def test_a_run_without_evaluation_gets_a_page_that_says_so(write_run: WriteRun) -> None:
    folder = write_run()
    for file in (folder / "evaluation").iterdir():
        file.unlink()
    page = read_page(write_report([folder]))
    assert "This run is not complete" in page.text
    assert "evaluation/summary.json is not there: the run has not been evaluated" in page.text
    assert page.all("section", id="learning")
    assert not page.all("section", id="results") + page.all("section", id="pictures") + page.all("section", id="cases")
    assert_accessible(page)


@pytest.mark.parametrize("kept", ["config.yaml", "environment.json", "data.json", "history.csv"])
def test_any_single_file_makes_a_page(write_run: WriteRun, tmp_path: Path, kept: str) -> None:
    folder = tmp_path / "rest"
    folder.mkdir()
    (write_run() / kept).rename(folder / kept)
    page = read_page(write_report([folder]))
    assert len(page.all("div", class_="notice")[0].all("li")) == 5


def test_a_case_whose_files_are_gone_is_named_and_the_others_are_drawn(write_run: WriteRun) -> None:
    folder = write_run()
    (folder / "files" / "prediction_hard.nii.gz").unlink()
    page = read_page(write_report([folder]))
    worst = page.all("article", class_="case")[0]
    assert worst.all("h3")[0].text == "hard"
    assert "prediction_hard.nii.gz" in worst.all("p", class_="problem")[0].text
    assert not worst.all("svg")
    assert len(page.all("article", class_="case")[1].all("svg")) == 9


def test_a_label_that_was_missed_is_named(write_run: WriteRun) -> None:
    folder = write_run(cases=("a", "b"), shifts=(1, 2))
    file = folder / "files" / "prediction_b.nii.gz"
    found = nib.load(file)
    labels = np.asarray(found.dataobj)
    nib.save(nib.Nifti1Image(np.where(labels == 2, 0, labels), found.affine), file)
    page = read_page(write_report([folder]))
    problems = [sentence.text for sentence in page.all("p", class_="problem")]
    assert problems == ["No surface distance for rim: only in the truth."]


def test_flat_images_get_one_contour_picture_and_one_error_picture(write_run: WriteRun) -> None:
    page = read_page(write_report([write_run(shape=(40, 50))]))
    worst = page.all("article", class_="case")[0]
    assert len(worst.all("svg", class_="picture")) == 2
    assert worst.all("path", class_="error-dots")


def test_every_fold_and_section_of_the_page_is_reachable(write_run: WriteRun) -> None:
    page = read_page(write_report([write_run()]))
    links = [link.attributes["href"][1:] for link in page.all("nav")[0].all("a")]
    assert links == [section.attributes["id"] for section in page.all("section")]
    assert [fold.all("summary")[0].text for fold in page.all("details")] == [
        "Pictures of all 3 cases",
        "Configuration",
        "Environment",
        "What the metrics mean",
    ]


def test_forty_cases_stay_below_five_megabytes(write_run: WriteRun) -> None:
    cases = [f"case {index:02d}" for index in range(40)]
    folder = write_run(cases=cases, shifts=[index % 7 for index in range(40)], shape=(256, 256))
    path = write_report([folder])
    assert path.stat().st_size < 5e6
    assert len(read_page(path).all("article", class_="small")) == 40


def test_the_page_is_the_same_each_time(write_run: WriteRun, tmp_path: Path) -> None:
    folder = write_run()
    first, second = write_report([folder], tmp_path / "1.html"), write_report([folder], tmp_path / "2.html")
    assert first.read_bytes() == second.read_bytes()


def test_bad_arguments_are_refused(write_run: WriteRun, tmp_path: Path) -> None:
    folder = write_run()
    with pytest.raises(InputError, match="one or more run folders"):
        write_report([])
    with pytest.raises(InputError, match="one or more run folders"):
        write_report(str(folder))
    with pytest.raises(InputError, match="different folders"):
        write_report([folder, folder / ".." / folder.name])
    with pytest.raises(InputError, match=r"cannot write the report to .*nowhere"):
        write_report([folder], tmp_path / "nowhere" / "report.html")
