"""Runs any method in Lightning."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from shapewright.data.patches import PatchBatches, TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.training.config import RunConfig
from shapewright.training.inference import predict_image
from shapewright.training.method import Method, Mining, Progress
from shapewright.training.rounds import Relabelling, read_round, round_file, share_changed, write_round
from shapewright.training.schedule import Plateau, rate_factor

MONITOR = "val/dice"


class LightningAdapter(LightningModule):
    """The optimisation of a method: steps, learning rate, validation.

    Every source of randomness is a function of (seed, step), so a resumed run repeats exactly what an uninterrupted
    one does.

    Parameters
    ----------
    method
        An ``nn.Module`` on the protocol :class:`~shapewright.training.Method`.
    config
        The run's configuration.
    task
        Labels and patch size.
    cases, validation
        Prepared cases.
    steps_per_epoch
        Optimiser steps per epoch.
    folder
        The run's folder, where methods that train in rounds keep their labels.
    """

    def __init__(
        self,
        method: Method,
        config: RunConfig,
        task: Task,
        cases: list[TrainingCase],
        validation: Sequence[TrainingCase],
        batches: Callable[[int, int], PatchBatches],
        steps_per_epoch: int,
        folder: Path,
    ) -> None:
        super().__init__()
        assert isinstance(method, nn.Module)
        self.method = method
        self.config = config
        self.task = task
        self.cases = cases
        self.validation = validation
        self.batches = batches
        self.steps_per_epoch = steps_per_epoch
        self.folder = folder
        self.rounds = method.rounds if isinstance(method, Relabelling) else 1
        self.round = 0
        afresh = isinstance(method, Relabelling) and not method.warm_start
        self.initial = {name: value.clone() for name, value in method.state_dict().items()} if afresh else {}
        self.plateau = Plateau(config.trainer.plateau)
        self.logs: dict[str, list[Tensor]] = {}
        self.scores: list[tuple[Tensor, Tensor]] = []

    @property
    def progress(self) -> Progress:
        """Where training stands."""
        epochs = self.config.trainer.epochs
        return Progress(self.current_epoch, epochs, self.global_step, epochs * self.steps_per_epoch)

    # -- training ------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW over everything that is learned."""
        trainer = self.config.trainer
        return torch.optim.AdamW(self.parameters(), lr=trainer.learning_rate, weight_decay=trainer.weight_decay)

    def on_train_epoch_start(self) -> None:
        """Begin a round where the method trains in several."""
        length = self.config.trainer.epochs // self.rounds
        number = min(self.current_epoch // length, self.rounds - 1)
        if number > self.round:
            self._begin_round(number, fresh=self.current_epoch == number * length)

    def _begin_round(self, number: int, *, fresh: bool) -> None:
        """Give all training cases their labels of a round; a fresh round also begins with weights of its own."""
        assert isinstance(self.method, Relabelling)
        path = round_file(self.folder, number)
        if not path.exists():
            labels = self.method.relabel(self.cases, [self._predicted(case) for case in self.cases], number)
            if self.global_rank == 0:
                write_round(path, labels)
            self.trainer.strategy.barrier()
        labels = read_round(path)
        self.logs["labels/changed"] = [torch.tensor(share_changed([case.labels for case in self.cases], labels))]
        self.cases[:] = [replace(case, labels=new) for case, new in zip(self.cases, labels, strict=True)]
        self.round = number
        if fresh:
            self.trainer.optimizers[0].state.clear()
            if self.initial:
                self.method.load_state_dict(self.initial)

    @torch.no_grad()
    def _predicted(self, case: TrainingCase) -> NDArray[np.uint8]:
        """Return the class indices that the network gives a training case."""
        self.method.eval()
        probabilities = predict_image(
            self.method,
            torch.from_numpy(case.image).to(self.device),
            patch_size=self.task.patch_size,
            overlap=min(self.config.inference.overlap, 0.25),
            batch_size=self.config.inference.batch_size,
        )
        self.method.train()
        return probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Set the step's learning rate and the seed of everything random inside the method."""
        trainer, progress = self.config.trainer, self.progress
        length = progress.steps // self.rounds
        length -= length % self.steps_per_epoch  # whole epochs; what is left over belongs to the last round
        first = self.round * length
        steps = progress.steps - first if self.round == self.rounds - 1 else length
        factor = rate_factor(trainer.schedule, progress.step - first, steps, warmup=trainer.warmup)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group in optimizer.param_groups:
            group["lr"] = trainer.learning_rate * factor * self.plateau.factor
        torch.manual_seed(self.config.seed * 1_000_003 + progress.step * 1_009 + self.global_rank)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the method's loss and keep its logs for the epoch's row."""
        step = self.method.step(batch, self.progress)
        for name, value in {"loss": step.loss, **step.logs}.items():
            self.logs.setdefault(name, []).append(torch.as_tensor(value).detach().float().cpu())
        return step.loss

    # -- validation ----------------------------------------------------------------------------------------------

    def validation_step(self, index: int, batch_idx: int) -> None:  # noqa: ARG002
        """Predict one whole validation image and count the overlap of every class."""
        if index < 0:
            return
        case = self.validation[int(index)]
        inference = self.config.inference
        probabilities = predict_image(
            self.method,
            torch.from_numpy(case.image).to(self.device),
            patch_size=self.task.patch_size,
            overlap=min(inference.overlap, 0.25),
            batch_size=inference.batch_size,
        )
        truth = torch.from_numpy(case.labels).to(self.device)
        predicted = probabilities.argmax(dim=0).masked_fill(truth == UNKNOWN, 0)
        classes = range(1, self.task.classes)
        shared = torch.stack([((predicted == k) & (truth == k)).sum() for k in classes])
        total = torch.stack([(predicted == k).sum() + (truth == k).sum() for k in classes])
        annotated = case.supervision.annotated
        known = torch.tensor([annotated is None or k in annotated for k in classes], device=self.device)
        self.scores.append((torch.where(total > 0, 2 * shared / total.clamp_min(1), 1.0) * known, known))

    def on_validation_epoch_end(self) -> None:
        """Average the Dice of every class over the validation cases that it is annotated in, over all processes."""
        sums = torch.zeros(2, self.task.classes - 1, device=self.device)
        for dice_of_case, annotated in self.scores:
            sums[0] += dice_of_case
            sums[1] += annotated
        self.scores.clear()
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(sums)
        known = sums[1] > 0
        if not bool(known.any()):
            return
        dice = (sums[0] / sums[1]).cpu()
        for name, value in zip(self.task.labels, dice, strict=True):
            self.logs[f"{MONITOR}/{name}"] = [value]
        mean = (sums[0][known] / sums[1][known]).mean().cpu()
        self.logs[MONITOR] = [mean]
        self.log(MONITOR, mean)
        if not self.trainer.sanity_checking and self.config.trainer.schedule == "plateau":
            self.plateau.update(float(mean))

    # -- data ----------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of one epoch after the other."""
        trainer = self.trainer
        source = _Batches(self.batches(trainer.global_rank, trainer.world_size))
        return DataLoader(
            source,
            batch_size=None,
            sampler=_Steps(self.steps_per_epoch, lambda: self.global_step),
            num_workers=self.config.trainer.workers,
            persistent_workers=self.config.trainer.workers > 0 and self.rounds == 1,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the indices of this process's share of the validation cases, -1 where it has none."""
        indices = list(range(self.trainer.global_rank, len(self.validation), self.trainer.world_size))
        idle = [-1] if self.validation else []
        return DataLoader(indices or idle, batch_size=None)  # type: ignore[arg-type]  # a list is a dataset

    def look(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Return where the method wants patches of every training case, and the case's classes."""
        assert isinstance(self.method, Mining)
        assert isinstance(self.method, nn.Module)
        training = self.method.training
        self.method.eval()
        seen = {}
        for case in self.cases:
            probabilities = predict_image(
                self.method,
                torch.from_numpy(case.image).to(self.device),
                patch_size=self.task.patch_size,
                overlap=0.0,
                batch_size=self.config.inference.batch_size,
            )
            seen[case.id] = (self.method.patch_density(case, probabilities.cpu().numpy()), case.labels)
        self.method.train(training)
        return seen

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the plateau's memory."""
        checkpoint["plateau"] = vars(self.plateau)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the plateau's memory."""
        if "plateau" in checkpoint:
            self.plateau = Plateau(**checkpoint["plateau"])


class _Batches(Dataset[dict[str, Tensor]]):
    """Batches by global step."""

    def __init__(self, batches: PatchBatches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return self.batches(step)


class _Steps(Sampler[int]):
    """The global step numbers of the coming epoch.

    They start at the trainer's own count, which a resumed run restores, and not at what Lightning announces through
    ``set_epoch``, which is the first epoch again after a resume.
    """

    def __init__(self, steps_per_epoch: int, current: Callable[[], int]) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.current = current

    def __iter__(self) -> Iterator[int]:
        first = self.current()
        return iter(range(first, first + self.steps_per_epoch))

    def __len__(self) -> int:
        return self.steps_per_epoch
