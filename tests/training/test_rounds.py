"""Training in rounds: labels change when they should, a round starts afresh, a resumed run does the same."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shapewright.cli.options import run_config
from shapewright.errors import InputError
from shapewright.methods import config_class, factory, info
from shapewright.training.checkpoint import load_checkpoint
from shapewright.training.predict import Predictor, evaluate_run
from shapewright.training.rounds import read_round, round_file, self_train, share_changed
from shapewright.training.run import RunFolder, train


def toy(data: Path, **trainer: Any) -> Any:
    return run_config(
        {
            "method": "iterative-boxes",
            "data": str(data),
            "settings": {"box_rounds": 2, "prior_rounds": 1, "network": {"width": 4, "depth": 2, "dropout": 0.2}},
            "prepare": {"patch_voxels": 1024},
            "split": {"validation": 0.3, "test": 0.3},
            "trainer": {"epochs": 6, "steps_per_epoch": 3, **trainer},
        }
    )


@pytest.fixture(scope="module")
def boxed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pictures with boxes for four, nothing for one, and masks for three, of which two are measured on."""
    folder = tmp_path_factory.mktemp("boxed") / "data"
    shutil.copytree(pictures, folder)
    (folder / "boxes").mkdir()
    (folder / "labels.json").write_text(json.dumps({"background": 0, "disc": 1}))
    for index in range(8):
        mask = np.array(Image.open(folder / "masks" / f"p{index}.png")) > 0
        places = np.argwhere(mask)
        if index < 4:
            (first, last) = places.min(axis=0), places.max(axis=0)
            row = ",".join(str(int(value)) for value in (*first, *last))
            (folder / "boxes" / f"p{index}.csv").write_text(f"y_min,x_min,y_max,x_max\n{row}\n")
        if index < 5:
            (folder / "masks" / f"p{index}.png").unlink()
        else:
            Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / f"p{index}.png")
    return folder


def run(config: Any, out: Path, **options: Any) -> RunFolder:
    return train(config, factory(config.method), out, supervision=info(config.method).supervision, **options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    result: dict[str, torch.Tensor] = load_checkpoint(RunFolder(folder).last).state["state_dict"]
    return result


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def finished(boxed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    run(toy(boxed), out)
    return out


def test_labels_of_every_round_are_kept_and_follow_the_rules(finished: Path, boxed: Path) -> None:
    data = json.loads(RunFolder(finished).data.read_text())
    trained = [case for case in data["cases"] if case["split"] == "train"]
    assert {tuple(case["supervision"]) for case in trained} == {("boxes",), ("unlabelled",)}
    assert not round_file(finished, 0).exists()
    rounds = [read_round(round_file(finished, number)) for number in (1, 2)]
    for number, labels in enumerate(rounds, start=1):
        for case, array in zip(trained, labels, strict=True):
            assert array.shape == tuple(case["shape"])
            if case["supervision"] == ["unlabelled"]:
                assert (array == 255).all() == (number == 1)
            else:
                first, last = np.loadtxt(boxed / "boxes" / f"{case['id']}.csv", delimiter=",", skiprows=1).reshape(2, 2)
                outside = np.ones(array.shape, bool)
                outside[int(first[0]) : int(last[0]) + 1, int(first[1]) : int(last[1]) + 1] = False
                assert not array[outside].any()
                assert array.any()
    evaluate_run(RunFolder(finished), Predictor.load(finished, config_class, factory))


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_a_resumed_run_is_the_same(finished: Path, boxed: Path, tmp_path: Path, epochs: int) -> None:
    """Stopped before, at and after the border between two rounds."""
    from shapewright.training import adapter
    from shapewright.training.fit import Interrupted

    original, config = adapter.LightningAdapter.on_train_batch_start, toy(boxed)

    def stop(self: Any, batch: Any, index: int) -> None:
        if self.current_epoch == epochs and index == 1:
            raise KeyboardInterrupt
        original(self, batch, index)

    adapter.LightningAdapter.on_train_batch_start = stop  # type: ignore[method-assign]
    try:
        with pytest.raises(Interrupted):
            run(config, tmp_path / "run")
    finally:
        adapter.LightningAdapter.on_train_batch_start = original  # type: ignore[method-assign]
    run(config, tmp_path / "run", resume=True)
    assert equal(weights(tmp_path / "run"), weights(finished))
    for number in (1, 2):
        pair = [read_round(round_file(folder, number)) for folder in (tmp_path / "run", finished)]
        assert share_changed(*pair) == 0


def test_rounds_start_afresh_unless_warm(boxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shapewright.training import adapter

    seen: dict[bool, list[float]] = {}
    original = adapter.LightningAdapter._begin_round

    def begin(self: Any, number: int, *, fresh: bool) -> None:
        initial = {name: value.clone() for name, value in self.method.state_dict().items()}
        original(self, number, fresh=fresh)
        now = self.method.state_dict()
        seen[self.method.warm_start].append(all(torch.equal(now[name], initial[name]) for name in now))
        assert not self.trainer.optimizers[0].state

    monkeypatch.setattr(adapter.LightningAdapter, "_begin_round", begin)
    for warm in (False, True):
        seen[warm] = []
        config = toy(boxed, epochs=3, steps_per_epoch=2)
        config = dataclasses.replace(config, settings=dataclasses.replace(config.settings, warm_start=warm))
        run(config, tmp_path / str(warm))
    assert seen == {False: [False, False], True: [True, True]}


def test_fewer_epochs_than_rounds_are_refused(boxed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trainer\.epochs must be at least 3"):
        run(toy(boxed, epochs=2), tmp_path / "run")


def test_self_training_stops_where_nothing_changes() -> None:
    labels = [np.ones((4, 4), np.uint8)]
    seen: list[int] = []

    def fit(given: Any, number: int) -> Any:
        seen.append(int(given[0].sum()))
        return lambda index: np.triu(given[index])

    rounds = list(self_train(labels, fit, lambda found, _: found, rounds=9))
    assert seen == [16, 10]
    assert [step.changed for step in rounds] == [0.0, 6 / 16]
    assert len(list(self_train(labels, fit, lambda found, _: found, rounds=1))) == 1
