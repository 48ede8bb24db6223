import json

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.metrics import case_rows, evaluate, read_csv, summarise, write_csv, write_json


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    pred, truth = rng.integers(0, 3, size=(2, 5, 6, 7))
    return [row for case in ("x, y", "b") for row in case_rows(case, evaluate(pred, truth, topology=case == "b"))]


def test_csv_returns_exactly_what_was_written(tmp_path, rows):
    path = tmp_path / "evaluation" / "cases.csv"
    write_csv(path, rows)
    assert read_csv(path) == rows
    assert path.read_text().splitlines()[0].startswith("case,label,dice,iou,hd,hd95,assd,surface_dice")
    assert [file.name for file in path.parent.iterdir()] == ["cases.csv"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"dice": 0.5})
    with pytest.raises(TypeError):
        write_json(path, {"dice": object()})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"dice": float("nan")})
    assert json.loads(path.read_text()) == {"dice": 0.5}
    assert list(tmp_path.iterdir()) == [path]


def test_summary_as_json(tmp_path, rows):
    path = tmp_path / "summary.json"
    summary = summarise(rows)
    write_json(path, summary)
    read = json.loads(path.read_text())
    assert read["1"]["dice"]["mean"] == summary["1"]["dice"].mean
    assert list(read["1"]["hd95"]) == ["n", "mean", "std", "median", "min", "max", "ci_low", "ci_high"]


def test_unknown_columns_and_errors(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("case,label,seconds\na,1,0.5\nb,1,\n")
    assert read_csv(path) == [{"case": "a", "label": "1", "seconds": 0.5}, {"case": "b", "label": "1"}]
    path.write_text("case,label,dice\na,1,good\n")
    with pytest.raises(InputError, match="line 2: dice must be a number; got 'good'"):
        read_csv(path)
    path.write_text("name,dice\na,1\n")
    with pytest.raises(InputError, match="case and label missing"):
        read_csv(path)
    with pytest.raises(InputError, match=r"nothing\.csv"):
        read_csv(tmp_path / "nothing.csv")
