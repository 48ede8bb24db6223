"""Real runs on small volumes: folders, interruption, several processes, bad input."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from shapewright.cli.options import run_config
from shapewright.errors import InputError
from shapewright.methods import config_class, factory
from shapewright.training.checkpoint import load_checkpoint
from shapewright.training.fit import Interrupted, _checkpoints
from shapewright.training.predict import Predictor, evaluate_run, predict_files
from shapewright.training.run import RunFolder, train


def toy(data: Path, method: str = "boundary-loss", **trainer: Any) -> Any:
    return run_config(
        {
            "method": method,
            "data": str(data),
            "settings": {"network": {"width": 4, "depth": 2, "dropout": 0.2}},
            "prepare": {"patch_voxels": 2048},
            "split": {"validation": 0.2, "test": 0.2},
            "augment": {"flip": [0], "spatial": 0.5},
            "trainer": {"epochs": 3, "steps_per_epoch": 4, "schedule": "plateau", "plateau": 0, **trainer},
        }
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    result: dict[str, torch.Tensor] = load_checkpoint(RunFolder(folder).last).state["state_dict"]
    return result


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def train_and_die(data: Path, out: Path, step: int, sent: int) -> None:
    """Train in a process of its own that a signal ends before optimiser step ``step`` is counted."""
    from shapewright.training import adapter

    original = adapter.LightningAdapter.training_step

    def training_step(self: Any, batch: Any, index: int) -> torch.Tensor:
        if self.global_step == step:
            os.kill(os.getpid(), sent)
        return original(self, batch, index)

    adapter.LightningAdapter.training_step = training_step  # type: ignore[method-assign]
    config = toy(data)
    try:
        train(config, factory(config.method), out)
    except Interrupted:
        sys.exit(130)


@pytest.fixture(scope="module")
def finished(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    config = toy(volumes)
    train(config, factory(config.method), out, command=["a", "command"])
    return out


def test_a_run_folder_holds_what_is_needed_to_repeat_it(finished: Path, volumes: Path) -> None:
    folder = RunFolder(finished)
    assert folder.read_config(config_class(folder.method_name())) == toy(volumes)
    environment = json.loads(folder.environment.read_text())
    assert environment["command"] == ["a", "command"]
    assert environment["seconds"] > 0
    data = json.loads(folder.data.read_text())
    names = [name for split in data["splits"].values() for name in split]
    assert sorted(names) == [f"case_{index}" for index in range(8)]
    assert all(data["splits"].values())
    lines = (finished / "history.csv").read_text().splitlines()
    assert len(lines) == 4
    assert {"loss/regional", "loss/boundary", "val/dice", "lr"} <= set(lines[0].split(","))
    assert not list(finished.rglob("*.tmp"))


def test_the_same_seed_gives_the_same_weights(finished: Path, volumes: Path, tmp_path: Path) -> None:
    config = toy(volumes)
    train(config, factory(config.method), tmp_path / "again")
    assert equal(weights(finished), weights(tmp_path / "again"))
    assert (finished / "history.csv").read_text().count("\n") == 4


@pytest.mark.parametrize(("step", "sent"), [(2, signal.SIGKILL), (6, signal.SIGKILL), (9, signal.SIGINT)])
def test_a_stopped_run_resumes_exactly(finished: Path, volumes: Path, tmp_path: Path, step: int, sent: int) -> None:
    out = tmp_path / "run"
    process = multiprocessing.get_context("spawn").Process(target=train_and_die, args=(volumes, out, step, sent))
    process.start()
    process.join()
    assert process.exitcode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    config = RunFolder(out).read_config(config_class("boundary-loss"))
    train(config, factory(config.method), out, resume=True)
    assert equal(weights(finished), weights(out))
    ours, theirs = ((folder / "history.csv").read_text().splitlines() for folder in (out, finished))
    seconds = ours[0].split(",").index("seconds")
    for mine, other in zip(ours, theirs, strict=True):
        first, second = mine.split(","), other.split(",")
        assert first[:seconds] + first[seconds + 1 :] == second[:seconds] + second[seconds + 1 :]


def test_evaluation_writes_scores_and_predictions_on_the_images_own_grid(finished: Path, volumes: Path) -> None:
    folder = RunFolder(finished)
    content = evaluate_run(folder, Predictor.load(finished, config_class, factory))
    assert set(content["summary"]) == {"1", "2", "foreground"}
    held_out = json.loads(folder.data.read_text())["splits"]["test"]
    assert set(content["files"]) == set(held_out)
    for name in held_out:
        image = nibabel.load(volumes / "images" / f"{name}.nii.gz")
        found = nibabel.load(folder.predictions / f"{name}.nii.gz")
        assert found.shape == image.shape
        assert np.array_equal(found.affine, image.affine)


def test_two_processes_train_one_model(volumes: Path, tmp_path: Path) -> None:
    out = tmp_path / "ddp"
    command = [
        *(sys.executable, "-m", "shapewright.cli.main", "train", "supervised", "--data", str(volumes)),
        *("--out", str(out), "--preset", "toy", "--evaluate", "false", "--trainer.accelerator", "cpu"),
        *("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.batch_size", "1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert len((out / "history.csv").read_text().splitlines()) == 3
    assert all(bool(torch.isfinite(value).all()) for value in weights(out).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "nowhere"}, "nowhere"),
        ({"prepare": {"patch_size": [8, 8]}}, "patch_size must have 3 values"),
        ({"prepare": {"spacing": [1.0, -1.0, 1.0]}}, "spacing must have 3 positive values"),
        ({"split": {"group_by": "("}}, "group_by|regular expression"),
        ({"split": {"validation": 0}, "trainer": {"patience": 2}}, "raise split.validation"),
        ({"split": {"validation": 0}, "trainer": {"schedule": "plateau"}}, "raise split.validation"),
        ({"trainer": {"accelerator": "gpu", "devices": 99}}, "trainer.accelerator"),
        ({"augment": {"flip": [3]}}, "augment.flip must name axes from 0 to 2"),
        ({"settings": {"network": {"depth": 9}}}, "depth must be between"),
    ],
)
def test_bad_options_leave_nothing_behind(volumes: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = run_config({"method": "supervised", "data": str(volumes), **change})
    with pytest.raises(InputError, match=message):
        train(config, factory("supervised"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_values_that_cannot_be_measured_are_refused_before_training(volumes: Path, tmp_path: Path) -> None:
    for name, part, value, message in (
        ("nan", "images", np.nan, "case_3.nii.gz holds NaN"),
        ("minus", "labels", -1, "case_3.nii.gz: label values must not be negative"),
        ("empty", "labels", 0, "has 0 labels"),
    ):
        data = shutil.copytree(volumes, tmp_path / name)
        for file in sorted((data / part).iterdir()):
            if name == "empty" or "case_3" in file.name:
                original = nibabel.load(file)
                array = np.asarray(original.dataobj).astype(np.float32 if part == "images" else np.int16)
                array[...] = value
                nibabel.save(nibabel.Nifti1Image(array, original.affine), file)
        config = run_config({"method": "supervised", "data": str(data)})
        with pytest.raises(InputError, match=message):
            train(config, factory("supervised"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_validation_the_best_weights_are_the_last(volumes: Path, tmp_path: Path) -> None:
    config = run_config(
        {
            "method": "supervised",
            "data": str(volumes),
            "settings": {"network": {"width": 4, "depth": 2}},
            "prepare": {"patch_voxels": 1024},
            "split": {"validation": 0},
            "trainer": {"epochs": 2, "steps_per_epoch": 1},
        }
    )
    train(config, factory("supervised"), tmp_path / "run")
    best = load_checkpoint(RunFolder(tmp_path / "run").best).state["state_dict"]
    assert equal(best, weights(tmp_path / "run"))


def test_a_run_that_stopped_early_stays_stopped(volumes: Path, tmp_path: Path) -> None:
    config = toy(volumes, epochs=6, steps_per_epoch=1, learning_rate=1e-9, patience=1)
    train(config, factory(config.method), tmp_path / "run")
    before = (tmp_path / "run" / "history.csv").read_text()
    assert before.count("\n") < 6
    config = RunFolder(tmp_path / "run").read_config(config_class("boundary-loss"))
    train(config, factory(config.method), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "history.csv").read_text() == before


def test_results_never_replace_images(finished: Path, volumes: Path, tmp_path: Path) -> None:
    image = Path(shutil.copy(volumes / "images" / "case_0.nii.gz", tmp_path))
    before = image.read_bytes()
    predictor = Predictor.load(finished, config_class, factory)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="would replace the image"):
            predict_files(predictor, {"case_0": (image,)}, tmp_path, overwrite=overwrite)
    assert image.read_bytes() == before
    with pytest.raises(InputError, match="must be a folder"):
        predict_files(predictor, {"case_0": (image,)}, image)


def test_worker_processes_change_nothing(finished: Path, volumes: Path, tmp_path: Path) -> None:
    config = toy(volumes, workers=1)
    train(config, factory(config.method), tmp_path / "run")
    assert equal(weights(finished), weights(tmp_path / "run"))


def test_a_configuration_edited_by_hand_is_resumed(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder(Path(shutil.copytree(finished, tmp_path / "run")))
    text = folder.config.read_text().replace("epochs: 3", "epochs: 4  # one more")
    folder.config.write_text(text)
    config = folder.read_config(config_class("boundary-loss"))
    train(config, factory(config.method), folder.path, resume=True)
    assert (folder.path / "history.csv").read_text().count("\n") == 5
    folder.config.write_text(text.replace("width: 4", "width: 6"))
    other = folder.read_config(config_class("boundary-loss"))
    with pytest.raises(InputError, match="from another architecture"):
        train(other, factory(config.method), folder.path, resume=True)
    with pytest.raises(InputError, match="differs from the given options"):
        train(dataclasses.replace(config, seed=9), factory(config.method), folder.path, resume=True)


def test_a_moved_run_remembers_its_best_score(finished: Path, tmp_path: Path) -> None:
    state = load_checkpoint(RunFolder(finished).last).state["callbacks"]
    best, _ = _checkpoints(tmp_path, validated=True)
    best.load_state_dict(state[best.state_key])
    assert best.best_model_score == state[best.state_key]["best_model_score"]
    assert Path(best.best_model_path) == tmp_path / "best.safetensors"


def test_a_run_with_a_relative_path_is_evaluated_from_anywhere(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(volumes.parent)
    config = toy(Path(volumes.name), epochs=1, steps_per_epoch=1)
    train(config, factory(config.method), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    content = evaluate_run(RunFolder(Path("run")), Predictor.load(Path("run"), config_class, factory))
    assert content["summary"]


def test_a_folder_with_files_is_not_overwritten(volumes: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        train(toy(volumes), factory("boundary-loss"), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def test_flat_colour_pictures_and_slices_train(pictures: Path, volumes: Path, tmp_path: Path) -> None:
    for name, data, prepare in (("flat", pictures, {}), ("slices", volumes, {"spatial_dims": 2})):
        config = run_config(
            {
                "method": "boundary-loss",
                "data": str(data),
                "prepare": prepare,
                "settings": {"network": {"width": 4, "depth": 2}, "maps": "on_the_fly"},
                "split": {"validation": 0.2, "test": 0.2},
                "trainer": {"epochs": 1, "steps_per_epoch": 2},
            }
        )
        train(config, factory(config.method), tmp_path / name)
        content = evaluate_run(RunFolder(tmp_path / name), Predictor.load(tmp_path / name, config_class, factory))
        assert content["summary"]
