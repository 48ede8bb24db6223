import json
import math

import pytest

from shapewright.errors import InputError
from shapewright.report import load_run

from .conftest import WriteRun


def test_everything_is_read(write_run: WriteRun) -> None:
    run = load_run(write_run())
    assert run.missing == []
    assert (run.name, run.method, run.dataset) == ("run", "boundary-loss", "balls")
    assert run.labels == ["core", "rim", "foreground"]
    assert list(run.by_case) == ["easy", "hard", "middling"]
    assert run.values("core", "dice")["easy"] == 1.0
    assert run.summary["core"]["dice"]["n"] == 3


def test_empty_cells_of_the_history_are_nan_and_empty_columns_are_left_out(write_run: WriteRun) -> None:
    history = load_run(write_run(history={"epoch": [1, 2], "loss": ["", 0.5], "val/dice": ["", ""]})).history
    assert list(history) == ["epoch", "loss"]
    assert math.isnan(history["loss"][0])
    assert history["loss"][1] == 0.5


def test_relative_paths_start_at_the_run_and_absolute_ones_stay(write_run: WriteRun) -> None:
    folder = write_run()
    file = folder / "evaluation" / "summary.json"
    content = json.loads(file.read_text())
    content["files"]["hard"]["truth"] = "/elsewhere/truth.nii.gz"
    file.write_text(json.dumps(content))
    found = load_run(folder).files("hard")
    assert found is not None
    assert str(found.truth) == "/elsewhere/truth.nii.gz"
    assert found.prediction == folder / "files" / "prediction_hard.nii.gz"
    assert load_run(folder).files("unheard of") is None


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("config.yaml", "{unclosed"),
        ("config.yaml", "- a list"),
        ("environment.json", "{"),
        ("data.json", "[]"),
        ("evaluation/summary.json", ""),
        ("evaluation/cases.csv", "something,else\n1,2\n"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_read(write_run: WriteRun, file: str, damage: str) -> None:
    folder = write_run()
    (folder / file).write_text(damage)
    run = load_run(folder)
    assert len(run.missing) == 1
    assert run.missing[0].startswith(f"{file} cannot be read")
    assert run.history["loss"] == [0.9, 0.5, 0.3, 0.25]


def test_an_interrupted_run_lacks_its_evaluation_only(write_run: WriteRun) -> None:
    folder = write_run()
    for file in (folder / "evaluation").iterdir():
        file.unlink()
    run = load_run(folder)
    assert [sentence.split()[0] for sentence in run.missing] == ["evaluation/cases.csv", "evaluation/summary.json"]
    assert (run.labels, run.by_case) == ([], {})


def test_a_run_that_is_still_going_says_so(write_run: WriteRun) -> None:
    folder = write_run()
    (folder / "environment.json").write_text('{"started": "2026-11-20T20:30:05+00:00", "finished": null}')
    assert load_run(folder).missing == ["Training has not finished."]


def test_what_is_no_run_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="does not exist"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds none of config\.yaml"):
        load_run(tmp_path)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="is not a folder"):
        load_run(file)
