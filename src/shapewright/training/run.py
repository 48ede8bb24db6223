"""A run's folder: what is written there, and training into it."""

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shapewright._version import __version__
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.training.config import RunConfig, from_mapping, read_run_config, to_yaml
from shapewright.training.lock import run_lock

Build = Callable[[Any, Task], Any]
"""Builds a method from its settings and the task."""


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Parameters
    ----------
    path
        The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions, machine, command line."""
        return self.path / "environment.json"

    @property
    def data(self) -> Path:
        """The dataset's summary with the splits."""
        return self.path / "data.json"

    @property
    def task(self) -> Path:
        """What the data fixed: channels, labels, spacing, patch size."""
        return self.path / "task.yaml"

    @property
    def best(self) -> Path:
        """Weights with the best validation Dice."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights and training state after the last finished epoch."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def predictions(self) -> Path:
        """Predicted label maps of the held-out cases."""
        return self.path / "predictions"

    @property
    def evaluation(self) -> Path:
        """Metrics of the held-out cases."""
        return self.path / "evaluation"

    def method_name(self) -> str:
        """Return the method's name.

        Raises
        ------
        InputError
            The folder is not a run.
        """
        if not self.config.is_file():
            raise InputError(f"{self.path} is not a run's folder: it has no config.yaml")
        try:
            tree = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{self.config} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(tree, dict) or "method" not in tree:
            raise InputError(f"{self.config} is not the configuration of a run: it lacks 'method'")
        return str(tree["method"])

    def read_config(self, settings: type) -> RunConfig:
        """Return the run's configuration, its ``settings`` as the method's ``Config`` class."""
        self.method_name()
        return read_run_config(self.config.read_text(encoding="utf-8"), settings, str(self.config))


def read_task(text: str, where: str) -> Task:
    """Return a task from its YAML text."""
    return from_mapping(Task, yaml.safe_load(text), where)


def train(
    config: RunConfig,
    build: Build,
    out: Path,
    *,
    resume: bool = False,
    supervision: Sequence[str] = ("dense", "sparse"),
    missing_channels: bool = False,
    title: str | None = None,
    track: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
    command: Sequence[str] = (),
) -> RunFolder:
    """Train a method on a dataset into a run's folder.

    Parameters
    ----------
    config
        The whole configuration.
    build
        The method's factory, ``shapewright.methods.factory(name)``.
    out
        The run's folder; must be new or empty unless ``resume``.
    resume
        Continue an interrupted run exactly.
    supervision
        Kinds of label that the method can use, ``shapewright.methods.info(name).supervision``.
    missing_channels
        Whether the method takes images without some of the channels; else a collection is reduced to those channels
        that all its data sets have.
    title
        Text of the progress bar; the method's name by default.
    track
        Wraps an iterable to show progress.
    command
        The command line, for the record.

    Raises
    ------
    InputError
        Something about the data, the configuration or the folder does not fit, or another process trains into it.
    Interrupted
        Ctrl-C.
    """
    import torch

    from shapewright.data.collection import common_channels
    from shapewright.training.cases import (
        load_cases,
        open_data,
        plan_task,
        prepare_case,
        split_dataset,
        summarise_data,
        usable_cases,
    )
    from shapewright.training.checkpoint import write_atomically
    from shapewright.training.fit import fit
    from shapewright.training.method import Preparing

    folder = RunFolder(out)
    config = _anchored(config)
    _check_folder(folder, config, resume)
    started = datetime.datetime.now(datetime.UTC)
    with contextlib.ExitStack() as held:
        if resume and is_main_process():
            held.enter_context(run_lock(out))
        dataset = open_data(config.data, binary=config.prepare.binary)
        if dataset.members and not missing_channels:
            dataset = common_channels(dataset)
        split = split_dataset(dataset, config.split, supervision)
        _check_plan(config, split)
        loaded = usable_cases(load_cases(dataset, split, track), supervision, config.method)
        task = plan_task(dataset, loaded, config.prepare)
        if not all(0 <= axis < task.spatial_dims for axis in config.augment.flip):
            raise InputError(
                f"augment.flip must name axes from 0 to {task.spatial_dims - 1}; got {config.augment.flip}"
            )
        torch.manual_seed(config.seed)  # the initial weights
        method = build(config.settings, task)
        cases = {
            name: [
                prepare_case(case, task, method.image_targets if name == "train" else lambda _: {})
                for case in track([case for case in loaded if case.split == name], f"preparing {name}")
            ]
            for name in ("train", "val")
        }
        if isinstance(method, Preparing):
            method.prepare(cases["train"])
        summary = summarise_data(dataset, config.data, task, loaded)
        del loaded
        if is_main_process():
            if not resume:  # a run that cannot begin leaves no folder
                held.enter_context(run_lock(out))
            write_atomically(folder.task, to_yaml(task).encode())
            write_atomically(folder.data, json.dumps(summary, indent=1).encode())
            write_atomically(folder.environment, _environment(config, command, started).encode())
            write_atomically(folder.config, to_yaml(config).encode())
        fit(method, config, task, cases["train"], cases["val"], out, resume=resume, title=title or config.method)
        if is_main_process():
            _finish(method, cases["train"], cases["val"], folder)
            write_atomically(folder.environment, _environment(config, command, started, finished=True).encode())
    return folder


def _finish(method: Any, cases: Sequence[Any], validation: Sequence[Any], folder: RunFolder) -> None:
    """Let a method that has something to do after training do it on the best weights."""
    from shapewright.training.checkpoint import WEIGHTS, load_checkpoint, load_weights, save_checkpoint
    from shapewright.training.method import Finishing

    if not isinstance(method, Finishing):
        return
    best = load_checkpoint(folder.best)
    load_weights(method, best, folder.best)  # type: ignore[arg-type]  # a method is a module
    method.to("cpu").eval()  # type: ignore[attr-defined]
    method.finish(cases, validation, folder.path)
    state = {**best.state, WEIGHTS: method.state_dict()}  # type: ignore[attr-defined]
    save_checkpoint(folder.best, state, config=best.config, task=best.task)


def _anchored(config: RunConfig) -> RunConfig:
    """Return the configuration with absolute paths: a run is evaluated, or resumed, from any folder."""
    from shapewright.training.cases import SAMPLE_PREFIX

    data = config.data if config.data.startswith(SAMPLE_PREFIX) else str(Path(config.data).absolute())
    file = config.split.file and str(Path(config.split.file).absolute())
    return dataclasses.replace(config, data=data, split=dataclasses.replace(config.split, file=file))


def _check_plan(config: RunConfig, split: Mapping[str, Sequence[Any]]) -> None:
    """Refuse options that the split or the machine cannot serve, before anything is written."""
    import torch

    if not split["train"]:
        raise InputError("no training cases: the split leaves none; lower split.validation and split.test")
    trainer = config.trainer
    if not split["val"] and (trainer.schedule == "plateau" or trainer.patience > 0):
        raise InputError(
            "trainer.schedule 'plateau' and trainer.patience watch the validation Dice, but the split leaves no case "
            "for validation; raise split.validation"
        )
    gpus = torch.cuda.device_count() + torch.backends.mps.is_available()
    if trainer.accelerator == "gpu" and gpus < trainer.devices:
        raise InputError(f"trainer.accelerator is 'gpu' with {trainer.devices} device(s), but torch finds {gpus}")


def is_main_process() -> bool:
    """Say whether this process writes the files of a run that several processes share."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _check_folder(folder: RunFolder, config: RunConfig, resume: bool) -> None:
    """Refuse to mix two runs in one folder, and to resume with another configuration."""
    if not is_main_process():
        return
    nearest = next(path for path in (folder.path.absolute(), *folder.path.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"{folder.path} cannot be made: {nearest} is a file; name another folder with --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{folder.path} cannot be written: no permission in {nearest}; name another folder with --out")
    if resume:
        if folder.config.exists() and _anchored(folder.read_config(type(config.settings))) != config:
            raise InputError(f"{folder.config} differs from the given options; resume without options, or train anew")
        return
    if folder.path.is_dir() and any(folder.path.iterdir()):
        raise InputError(
            f"{folder.path} is not empty; name a new folder with --out, or continue the run in it with "
            f"shapewright train --resume {shlex.quote(str(folder.path))}"
        )


def _environment(
    config: RunConfig, command: Sequence[str], started: datetime.datetime, *, finished: bool = False
) -> str:
    import torch

    now = datetime.datetime.now(datetime.UTC)
    cuda = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    facts = {
        "shapewright": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "command": list(command),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "device": torch.cuda.get_device_name() if cuda else "CPU",
        "seed": config.seed,
        "started": started.isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds") if finished else None,
        "seconds": round((now - started).total_seconds(), 1) if finished else None,
    }
    return json.dumps(facts, indent=1)
