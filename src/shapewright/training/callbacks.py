"""Lightning callbacks: the history table, the progress line, and checkpoints in safetensors."""

import csv
import io
import time
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from shapewright.training.adapter import MONITOR, LightningAdapter
from shapewright.training.checkpoint import load_checkpoint, save_checkpoint, write_atomically


class SafetensorsIO(CheckpointIO):
    """Lets Lightning write its checkpoints as safetensors files with the configuration in the header.

    Parameters
    ----------
    config, task
        YAML texts for the header.
    """

    def __init__(self, config: str, task: str) -> None:
        self.config = config
        self.task = task

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write one checkpoint; the method's weights lose the adapter's prefix."""
        state = dict(checkpoint)
        state["state_dict"] = {key.removeprefix("method."): value for key, value in state["state_dict"].items()}
        save_checkpoint(Path(path), state, config=self.config, task=self.task)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Read one checkpoint as Lightning expects it."""
        state = load_checkpoint(Path(path)).state
        state["state_dict"] = {f"method.{key}": value for key, value in state["state_dict"].items()}
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint that a better one replaces."""
        Path(path).unlink(missing_ok=True)


class History(Callback):
    """One row per epoch in ``history.csv``, rewritten whole after each; its rows travel in the checkpoint.

    Parameters
    ----------
    path
        The CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self._since = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's means."""
        assert isinstance(pl_module, LightningAdapter)
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        optimizer = pl_module.optimizers()
        assert not isinstance(optimizer, list)
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(self.seconds, 2),
            "lr": float(optimizer.param_groups[0]["lr"]),
        }
        row |= {name: float(sum(values) / len(values)) for name, values in pl_module.logs.items()}
        pl_module.logs.clear()
        self.rows.append(row)
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        """Write all rows; columns are the union of the rows' names, in order of appearance."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        write_atomically(self.path, text.getvalue().encode())

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue the table."""
        return {"rows": [dict(row) for row in self.rows], "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the table of an interrupted run."""
        self.rows = state_dict["rows"]
        self.seconds = state_dict["seconds"]


class ProgressLine(Callback):
    """One bar for the whole training with the time left; one line per epoch where output is not a terminal.

    Parameters
    ----------
    history
        Where the latest figures stand.
    title
        Text before the bar.
    """

    def __init__(self, history: History, title: str) -> None:
        self.history = history
        self.console = Console(stderr=True, highlight=False)
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.job = self.bar.add_task(title, total=None, figures="")
        self.title = title

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, at the place where a resumed run continues."""
        assert isinstance(pl_module, LightningAdapter)
        if trainer.is_global_zero:
            self.bar.update(self.job, total=pl_module.progress.steps, completed=trainer.global_step)
            self.bar.start()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Advance the bar."""
        self.bar.update(self.job, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's loss and score."""
        assert isinstance(pl_module, LightningAdapter)
        if not trainer.is_global_zero or not self.history.rows:
            return
        row = self.history.rows[-1]
        figures = f"loss {row['loss']:.3f}"
        if MONITOR in row:
            figures += f"  val dice {row[MONITOR]:.3f}"
        self.bar.update(self.job, figures=figures)
        if not self.console.is_terminal:
            epochs = pl_module.progress.epochs
            self.console.print(
                f"{self.title}: epoch {int(row['epoch']) + 1}/{epochs}  {figures}  {row['seconds']:.0f} s"
            )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Close the bar, also after an error."""
        self.bar.stop()
