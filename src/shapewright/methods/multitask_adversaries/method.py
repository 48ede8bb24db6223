"""Multitask adversaries (Saha, Sathish, Sheet, MIDL 2019): a segmentation loss and two discriminators.

Every class has a channel and a sigmoid of its own; the background has none. Equation 3 of the paper,
``lambda * L_BCE + L_D1 + L_D2``, is minimised by the network, and ``L_D1 + L_D2`` (equation 1) by the discriminators.

Where the printed text leaves something open, this is what is done here:

* Equation 2 lacks the annotation mask m that the text describes; it is applied (see
  :class:`shapewright.losses.IndependentLoss`). Without it, vessels are taught to be absent from every image of a data
  set that did not annotate them.
* Equation 3 prints one and the same target of the second discriminator for both players; the network gets the swapped
  one, without which it would help the discriminator to tell its masks from drawn ones.
* Discriminators and network move at the same time, from one sum of losses, instead of one after the other. Each gets
  its own gradient only (:func:`shapewright.losses.adversarial.frozen`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapewright.data.patches import TrainingCase
from shapewright.data.task import Task
from shapewright.errors import unknown
from shapewright.losses import AdversarialLoss, IndependentLoss
from shapewright.losses.adversarial import frozen, known_binary_cross_entropy, real_gradient_penalty
from shapewright.methods.multitask_adversaries.config import Config
from shapewright.networks import Discriminator
from shapewright.networks.discriminator import random_orders, reorder_channels
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork

ANNOTATED, PRESENT = "annotated", "present"


class MultitaskAdversaries(SegmentationNetwork):
    """A network with one sigmoid per class, trained on partial annotations with two discriminators.

    Parameters
    ----------
    settings
        Weights, the rules of the two games, networks.
    task
        Channels, classes and patch size.

    Raises
    ------
    InputError
        ``always_present`` names no class of the task.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task, out_channels=task.classes - 1)
        self.settings = settings
        self.classes = task.classes - 1
        names = list(task.labels)
        for name in settings.always_present:
            if name not in names:
                raise unknown("class in settings.always_present", name, names)
        self.always_present = [name in settings.always_present for name in names]
        self.segmentation = IndependentLoss(focus=settings.focus, dice=settings.dice)
        self.paired = settings.game == "pair"
        self.game = None if self.paired else AdversarialLoss(settings.game)
        options: dict[str, Any] = {
            "spatial_dims": task.spatial_dims,
            "widths": settings.discriminator_widths,
            "spectral": settings.spectral,
        }
        self.presence = self.realism = None
        if settings.presence_weight:
            self.presence = Discriminator(len(task.channels) + self.classes, self.classes, **options)
        if settings.realism_weight:
            options["norm"] = "none" if settings.gradient_penalty else "batch"
            maps, answers = (2 * self.classes, 2) if self.paired else (self.classes, 1)
            self.realism = Discriminator(maps, answers, **options)

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the sum of all losses; the shuffles are drawn from the step's number.

        ``batch["annotated"]`` [B, K - 1] says which classes were annotated (default all), ``batch["present"]``
        [B, K - 1] which an image shows, as far as no annotation tells: 1, 0, or NaN for unknown (the default).
        """
        image, logits = batch["image"], self(batch["image"])
        truth, known, inside = self._truth(batch)
        segmentation = self.segmentation(logits, truth, known)
        loss, logs = self.settings.segmentation_weight * segmentation, {"loss/segmentation": segmentation.detach()}
        maps = torch.sigmoid(logits.float())
        generator = torch.Generator().manual_seed(progress.step)
        if self.presence is not None:
            there = self._present(batch, truth, known)
            network, discriminator, right = self.presence_losses(image, maps * inside, there, generator)
            loss = loss + self.settings.presence_weight * network + discriminator
            logs |= {"loss/presence": discriminator.detach(), "presence/accuracy": right}
        if self.realism is not None:
            network, discriminator, right = self.realism_losses(truth * known, maps * known, generator)
            loss = loss + self.settings.realism_weight * network + discriminator
            logs |= {"loss/realism": discriminator.detach(), "realism/accuracy": right}
        return Step(loss, logs)

    def presence_losses(
        self, image: Tensor, maps: Tensor, present: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first discriminator's loss as the network and as the discriminator see it, and its accuracy.

        Both want it small. ``present`` [B, K - 1] is 1, 0 or NaN for unknown.
        """
        assert self.presence is not None
        orders = random_orders(len(maps), self.classes, generator)
        target = reorder_channels(present, orders) if self.settings.permute_target else present
        maps = reorder_channels(maps, orders)
        with frozen(self.presence):
            network = known_binary_cross_entropy(self.presence(torch.cat([image, maps], dim=1)), target)
        answers = self.presence(torch.cat([image, maps.detach()], dim=1))
        right = ((answers.detach() > 0) == (target > 0.5))[~target.isnan()].float()
        return network, known_binary_cross_entropy(answers, target), right.sum() / max(right.numel(), 1)

    def realism_losses(
        self, drawn: Tensor, predicted: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the second discriminator's loss as the network and as the discriminator see it, and its accuracy.

        Both maps [B, K - 1, *spatial] are 0 where nothing is annotated.
        """
        assert self.realism is not None
        if self.game is not None:
            return self._scored_realism(self.game, drawn, predicted)
        swap = torch.rand(len(drawn), generator=generator).to(drawn.device) > 0.5
        target = torch.stack([~swap, swap], dim=1).float()  # which of the two groups is drawn
        with frozen(self.realism):
            network = known_binary_cross_entropy(self.realism(pair_maps(drawn, predicted, swap)), 1 - target)
        answers = self.realism(pair_maps(drawn, predicted.detach(), swap))
        right = (answers.detach().argmax(dim=1) == target.argmax(dim=1)).float().mean()
        return network, known_binary_cross_entropy(answers, target), right

    def _scored_realism(self, game: AdversarialLoss, drawn: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same where the discriminator scores one set of maps at a time."""
        assert self.realism is not None
        penalty = self.settings.gradient_penalty
        with frozen(self.realism):
            network = game.generator(self.realism(predicted))
        if penalty:
            drawn = drawn.detach().requires_grad_()
        real, fake = self.realism(drawn), self.realism(predicted.detach())
        loss = game.discriminator(real, fake)
        if penalty:
            loss = loss + penalty * real_gradient_penalty(real, drawn)
        middle = 0.5 if self.settings.game == "least-squares" else 0.0
        return network, loss, torch.cat([real > middle, fake < middle]).float().mean()

    def predict(self, image: Tensor) -> Tensor:
        """Return class probabilities [B, K, *spatial] of an image [B, C, *spatial].

        A softmax over the background's logit of 0 and those of the classes: the strongest class wins where its own
        sigmoid exceeds 0.5, and the background elsewhere. Overlapping classes are in :meth:`class_probabilities`.
        """
        logits = self(image).float()
        return torch.softmax(torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1), dim=1)

    def class_probabilities(self, image: Tensor) -> Tensor:
        """Return the probability of every class for itself, [B, K - 1, *spatial]."""
        return torch.sigmoid(self(image).float())

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return what is known about the whole image: which classes were annotated, and which it shows."""
        known, classes = case.supervision, range(1, self.classes + 1)
        annotated = [known.mask is not None and (known.annotated is None or k in known.annotated) for k in classes]
        otherwise = 0.0 if self.settings.unannotated == "absent" and known.mask is not None else np.nan
        present = [
            float(known.present[k]) if k in known.present else 1.0 if always else otherwise
            for k, always in zip(classes, self.always_present, strict=True)
        ]
        return {ANNOTATED: np.array(annotated, np.float32), PRESENT: np.array(present, np.float32)}

    def _truth(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return masks [B, K - 1, *spatial], where they are annotated, and where the image is [B, 1, *spatial]."""
        labels, mask = batch["labels"], batch.get("mask")
        numbers = torch.arange(1, self.classes + 1, device=labels.device).view(1, -1, *[1] * (labels.ndim - 1))
        truth = (labels[:, None] == numbers).float()
        if mask is None:
            mask = torch.ones_like(labels[:, None], dtype=torch.bool)
        mask = mask.bool()
        known = self._annotated(batch).view(len(labels), -1, *[1] * (labels.ndim - 1)) & mask
        unlabelled = ~mask.flatten(1).any(dim=1)  # known by its classes alone: nothing says where the image ends
        return truth, known, mask | unlabelled.view(-1, *[1] * labels.ndim)

    def _annotated(self, batch: Batch) -> Tensor:
        labels = batch["labels"]
        everything = torch.ones(len(labels), self.classes, device=labels.device)
        return batch.get(ANNOTATED, everything) > 0.5

    def _present(self, batch: Batch, truth: Tensor, known: Tensor) -> Tensor:
        """Return which classes each image shows: as annotated, else as told, else NaN."""
        seen = (truth * known).flatten(2).any(dim=2).float()
        told = batch.get(PRESENT, torch.full_like(seen, torch.nan))
        return torch.where(known.flatten(2).any(dim=2), seen, told)


def pair_maps(drawn: Tensor, predicted: Tensor, swap: Tensor) -> Tensor:
    """Return both maps [B, C, *spatial] as [B, 2C, *spatial], the predicted ones first where ``swap`` [B] is true."""
    swap = swap.view(-1, *[1] * (drawn.ndim - 1))
    return torch.cat([torch.where(swap, predicted, drawn), torch.where(swap, drawn, predicted)], dim=1)


build = MultitaskAdversaries
