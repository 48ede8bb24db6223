"""What the boundary loss costs: forward and backward beside softmax, other losses and MONAI's, interleaved.

Usage: ``python benchmarks/boundary_loss.py [--repeats 15] [--size 256] [--batch 8] [--json PATH]``.

Each row gives the median time of forward and backward with respect to the logits in ms on one core, and its ratio to
the softmax alone, which every loss contains. The processor's time is measured, not the clock's, so that other programs
on the machine disturb less.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numba
import torch
from torch import Tensor

from shapewright.geometry import class_distance_maps
from shapewright.losses import BoundaryLoss, CrossEntropyLoss, DiceLoss, GeneralisedDiceLoss, HausdorffLoss
from shapewright.simulate import SmallLesionPhantom

Loss = Callable[[Tensor], Tensor]


def losses(labels: Tensor) -> dict[str, Loss]:
    from monai.losses import BoundaryLoss as MonaiBoundaryLoss
    from monai.losses import GeneralizedDiceLoss, HausdorffDTLoss

    maps = class_distance_maps(labels, 2, spatial_dims=2)
    one_hot = torch.stack([labels == 0, labels == 1], dim=1).float()
    boundary, gdl = BoundaryLoss(), GeneralisedDiceLoss()
    dice, cross_entropy, hausdorff = DiceLoss(), CrossEntropyLoss(), HausdorffLoss()
    monai_boundary = MonaiBoundaryLoss(softmax=True, include_background=False)
    monai_gdl, monai_hausdorff = GeneralizedDiceLoss(softmax=True), HausdorffDTLoss(softmax=True)
    return {
        "softmax alone": lambda logits: torch.softmax(logits, 1)[:, 1].sum(),
        "boundary, precomputed maps": lambda logits: boundary(logits, maps),
        "boundary, from labels": lambda logits: boundary(logits, labels),
        "generalised Dice": lambda logits: gdl(logits, labels),
        "generalised Dice + boundary": lambda logits: gdl(logits, labels) + boundary(logits, maps),
        "Dice": lambda logits: dice(logits, labels),
        "cross-entropy": lambda logits: cross_entropy(logits, labels),
        "Hausdorff": lambda logits: hausdorff(logits, labels),
        "MONAI boundary": lambda logits: monai_boundary(logits, one_hot),
        "MONAI generalised Dice": lambda logits: monai_gdl(logits, one_hot),
        "MONAI Hausdorff": lambda logits: monai_hausdorff(logits, one_hot),
    }


def measure(rows: dict[str, Loss], logits: Tensor, repeats: int) -> dict[str, float]:
    """Return median milliseconds of forward and backward; every repeat runs all losses once."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 2):
        for name, loss in rows.items():
            leaf = logits.clone().requires_grad_()
            started = time.process_time()
            loss(leaf).backward()
            if repeat >= 2:  # the first two warm up
                times[name].append(1e3 * (time.process_time() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    numba.set_num_threads(1)

    _, masks = SmallLesionPhantom(shape=(options.size,) * 2, lesion_free=0.0).generate(options.batch, seed=0)
    labels = torch.from_numpy(masks).long()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(options.batch, 2, options.size, options.size, generator=generator)
    milliseconds = measure(losses(labels), logits, options.repeats)

    softmax = milliseconds["softmax alone"]
    print(f"{options.batch} images of {options.size} x {options.size}, two classes, one core\n")
    print(f"{'loss':30}{'ms':>8}{'x softmax':>11}")
    for name, value in milliseconds.items():
        print(f"{name:30}{value:8.1f}{value / softmax:11.1f}")
    print(f"\nboundary beyond the softmax / generalised Dice: {_overhead(milliseconds):.2f}")
    if options.json:
        table = {"batch": options.batch, "size": options.size, "torch": torch.__version__, "ms": milliseconds}
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _overhead(milliseconds: dict[str, float]) -> float:
    beyond = milliseconds["boundary, precomputed maps"] - milliseconds["softmax alone"]
    return beyond / milliseconds["generalised Dice"]


if __name__ == "__main__":
    main()
