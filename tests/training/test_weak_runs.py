"""Runs on folders with less than masks: points, sparse masks beside full ones; and methods that cannot use them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shapewright.cli.main import main
from shapewright.cli.options import run_config
from shapewright.errors import InputError
from shapewright.methods import config_class, factory, info
from shapewright.training.predict import Predictor, evaluate_run
from shapewright.training.run import RunFolder, train


def toy(data: Path, method: str, **prepare: Any) -> Any:
    return run_config(
        {
            "method": method,
            "data": str(data),
            "settings": {"network": {"width": 4, "depth": 2}},
            "prepare": {"patch_voxels": 1024, **prepare},
            "split": {"validation": 0.2, "test": 0.2},
            "augment": {"flip": [0, 1], "spatial": 1.0},
            "trainer": {"epochs": 2, "steps_per_epoch": 2},
        }
    )


def run(config: Any, out: Path) -> RunFolder:
    folder = train(config, factory(config.method), out, supervision=info(config.method).supervision)
    evaluate_run(folder, Predictor.load(out, config_class, factory))
    return folder


@pytest.fixture
def pointed(pictures: Path, tmp_path: Path) -> Path:
    """Return the pictures with a point in every disc; the masks stay to measure against."""
    folder = tmp_path / "pointed"
    shutil.copytree(pictures, folder)
    (folder / "points").mkdir()
    for path in sorted((folder / "masks").iterdir()):
        y, x = np.argwhere(np.array(Image.open(path)) > 0).mean(axis=0)
        (folder / "points" / f"{path.stem}.csv").write_text(f"y,x\n{y:.1f},{x:.1f}\n5,5\n")
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_points(pointed: Path, tmp_path: Path, workers: int) -> None:
    config = toy(pointed, "point-nuclei")
    config = run_config({**_tree(config), "trainer": {"epochs": 2, "steps_per_epoch": 2, "workers": workers}})
    folder = run(config, tmp_path / "run")
    data = json.loads(folder.data.read_text())
    trained = [case for case in data["cases"] if case["split"] == "train"]
    assert all(case["supervision"] == ["points"] for case in trained)
    assert all(not case["volumes_ml"] for case in trained)  # masks of training cases were not seen
    assert folder.evaluation.joinpath("summary.json").exists()


def _tree(config: Any) -> dict[str, Any]:
    import yaml

    from shapewright.training.config import to_yaml

    return dict(yaml.safe_load(to_yaml(config)))


def test_sparse_masks_beside_full_ones(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sparse"
    shutil.copytree(pictures, folder)
    (folder / "labels.json").write_text(json.dumps({"background": 0, "disc": 1, "ignore": 9}))
    for index, path in enumerate(sorted((folder / "masks").iterdir())):
        mask = (np.array(Image.open(path)) > 0).astype(np.uint8)
        if index % 2:
            sparse = np.full_like(mask, 9)
            sparse[18:22] = mask[18:22]
            mask = sparse
        Image.fromarray(mask).save(path)
    for balance in ("batch", "dataset"):
        config = toy(folder, "sparse-annotation", weak_share=0.8)
        config = run_config({**_tree(config), "settings": {**_tree(config)["settings"], "balance": balance}})
        found = json.loads(run(config, tmp_path / balance).data.read_text())
        kinds = {kind for case in found["cases"] for kind in case["supervision"]}
        assert kinds == {"sparse", "dense"}


def test_a_method_that_cannot_use_the_labels_says_so(pointed: Path, tmp_path: Path) -> None:
    for path in list((pointed / "masks").iterdir())[2:]:
        path.unlink()
    config = toy(pointed, "iterative-boxes")
    with pytest.raises(InputError):
        run(config, tmp_path / "run")


def test_doctor_says_which_methods_fit(pointed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(pointed / "masks")
    main(["doctor", str(pointed)])
    said = capsys.readouterr().out
    fitting, _, others = said.partition("methods that do not")
    assert "point-nuclei" in fitting.partition("methods that fit")[2]
    assert "points (8)" in fitting
    assert "needs masks of every voxel" in others
    assert "iterative-boxes" in others
    assert "no label" not in said
    (pointed / "points").rename(pointed / "boxes")
    names = sorted((pointed / "boxes").iterdir())
    for number, file in enumerate(names):
        file.unlink()
        if number < 3:
            file.with_suffix(".csv").write_text("y_min,x_min,y_max,x_max\n2,2,6,7\n")
    main(["doctor", str(pointed)])
    fitting = capsys.readouterr().out.partition("methods that fit")[2].partition("methods that do not")[0]
    assert "boxes (3), unlabelled (" in fitting
