"""Runs the training loop on prepared cases."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from shapewright.data.augment import BatchAugmentation
from shapewright.data.mining import PatchGuide
from shapewright.data.patches import PatchBatches, TrainingCase
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.training.adapter import MONITOR, LightningAdapter
from shapewright.training.callbacks import History, ProgressLine, SafetensorsIO
from shapewright.training.checkpoint import load_checkpoint, load_weights
from shapewright.training.config import RunConfig, TrainerConfig, to_yaml
from shapewright.training.method import Method, Mining
from shapewright.training.rounds import Relabelling

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class Interrupted(Exception):
    """Training was stopped by the user; the run's folder can be resumed."""


def steps_per_epoch(config: TrainerConfig, cases: int) -> int:
    """Return the optimiser steps of one epoch: as configured, or one pass over the cases, at least 10.

    Examples
    --------
    >>> steps_per_epoch(TrainerConfig(batch_size=2), cases=26)
    13
    """
    return config.steps_per_epoch or max(-(-cases // (config.batch_size * config.devices)), 10)


def choose_precision(precision: str, accelerator: str) -> Precision:
    """Return Lightning's name of a precision; ``auto`` is bfloat16 on GPUs that have it, else float32."""
    names: dict[str, Precision] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
    if precision != "auto":
        return names[precision]
    gpu = accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"


def fit(
    method: Method,
    config: RunConfig,
    task: Task,
    cases: Sequence[TrainingCase],
    validation: Sequence[TrainingCase],
    folder: Path,
    *,
    resume: bool = False,
    title: str = "training",
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train a method; write ``history.csv`` and ``checkpoints/`` into ``folder``.

    Parameters
    ----------
    method
        The method, freshly built.
    config, task
        The run's configuration and task; both go into the header of every checkpoint.
    cases, validation
        Prepared cases.
    folder
        The run's folder.
    resume
        Continue from ``checkpoints/last.safetensors`` where it exists. The final weights are those of a run that was
        never interrupted, on the same machine.
    title
        Text before the progress bar.
    callbacks
        Further Lightning callbacks.

    Raises
    ------
    Interrupted
        Ctrl-C; the last finished epoch is on disk.
    InputError
        The loss became NaN or infinite, or the checkpoint to resume from is damaged or another network's.
    """
    _quieten()
    trainer_config = config.trainer
    steps = steps_per_epoch(trainer_config, len(cases))

    def batches(rank: int, world: int) -> PatchBatches:
        augment = config.augment
        augmentation = BatchAugmentation(
            spacing=task.patch_spacing,
            flip=augment.flip,
            rotate=augment.rotate,
            scale=augment.scale,
            spatial=augment.spatial,
            intensity=augment.intensity,
        )
        return PatchBatches(
            cases=cases,
            task=task,
            batch_size=trainer_config.batch_size,
            seed=config.seed,
            foreground_share=config.prepare.foreground_share,
            weak_share=config.prepare.weak_share,
            augmentation=augmentation,
            rank=rank,
            world=world,
            guide=PatchGuide(steps, adapter.look) if isinstance(method, Mining) else None,
        )

    if isinstance(method, Mining) and trainer_config.workers > 0:
        raise InputError(
            f"trainer.workers must be 0 for {config.method}, whose patches depend on the network in the training "
            f"process; got {trainer_config.workers}"
        )
    if isinstance(method, Relabelling) and method.rounds > trainer_config.epochs:
        raise InputError(
            f"trainer.epochs must be at least {method.rounds}, one for each round of the method; "
            f"got {trainer_config.epochs}"
        )
    cases = list(cases)  # whose labels change from round to round
    adapter = LightningAdapter(method, config, task, cases, validation, batches, steps, folder)
    history = History(folder / "history.csv")
    last = folder / "checkpoints" / "last.safetensors"
    resume = resume and last.exists()
    if resume:
        assert isinstance(method, torch.nn.Module)
        load_weights(method, load_checkpoint(last), last)  # says so where the network is another one
    trainer = Trainer(
        accelerator=trainer_config.accelerator,
        devices=trainer_config.devices,
        strategy=trainer_config.strategy,
        precision=choose_precision(trainer_config.precision, trainer_config.accelerator),
        max_epochs=trainer_config.epochs,
        gradient_clip_val=trainer_config.gradient_clip or None,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[SafetensorsIO(to_yaml(config), to_yaml(task))],
        callbacks=[
            history,
            ProgressLine(history, title),
            _StopOnNaN(),
            *_early_stopping(trainer_config, bool(validation)),
            *callbacks,
            *_checkpoints(last.parent, bool(validation)),
        ],
    )
    try:
        trainer.fit(adapter, ckpt_path=str(last) if resume else None)
    except (KeyboardInterrupt, SystemExit) as stop:
        raise Interrupted from stop
    if trainer.interrupted:
        raise Interrupted


class _StopOnNaN(Callback):
    """Stops with a clear message when the loss is not finite."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is not None and not torch.isfinite(loss):
            raise InputError(
                f"the loss became {float(loss)} at step {trainer.global_step}; lower trainer.learning_rate or check "
                "the images with shapewright doctor"
            )


class _Checkpoint(ModelCheckpoint):
    """Remembers the best score also where the run's folder was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the memory, its files looked for in the present folder."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


def _checkpoints(folder: Path, validated: bool) -> list[ModelCheckpoint]:
    """Return the callbacks that keep the best weights (without validation: the last) and the last full state."""
    shared: dict[str, Any] = {
        "dirpath": folder,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
        "auto_insert_metric_name": False,
    }
    monitor = MONITOR if validated else None
    # The mode tells the two callbacks' memories apart where neither monitors anything.
    best = _Checkpoint(filename="best", monitor=monitor, mode="max", save_weights_only=True, **shared)
    last = _Checkpoint(filename="last", mode="min", **shared)
    best.FILE_EXTENSION = last.FILE_EXTENSION = ".safetensors"
    return [best, last]


class _EarlyStopping(EarlyStopping):
    """Stays stopped where a run that it ended is resumed."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop at once if the checkpoint is that of a stopped run."""
        trainer.should_stop = trainer.should_stop or self.stopped_epoch > 0


def _early_stopping(config: TrainerConfig, validated: bool) -> list[EarlyStopping]:
    if config.patience <= 0 or not validated:
        return []
    return [_EarlyStopping(MONITOR, mode="max", patience=config.patience, verbose=False)]


def _quieten() -> None:
    """Silence advice that is not the user's concern."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (".*does not have many workers.*", ".*Checkpoint directory.*exists.*", ".*isinstance.*LeafSpec.*"):
        warnings.filterwarnings("ignore", text)
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
