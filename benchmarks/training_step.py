"""What the boundary loss costs in training: whole steps of the demo's configuration, batch and augmentation included.

Usage: ``python benchmarks/training_step.py [--repeats 40] [--threads 2] [--json PATH]``.

The same network takes the same steps with generalised Dice alone, with the boundary loss on precomputed maps and with
maps computed on the fly, one after the other in turn. Medians of wall time and of the processor's time per step, and
the median over the rounds of the overhead against the first.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from shapewright.cli.demo import RUNS, SHARED
from shapewright.cli.options import run_config
from shapewright.data.augment import BatchAugmentation
from shapewright.data.patches import PatchBatches
from shapewright.methods import factory
from shapewright.training.cases import load_cases, open_data, plan_task, prepare_case, split_dataset
from shapewright.training.method import Progress

ARMS = {
    "generalised Dice": {},
    "+ boundary loss, precomputed maps": {"maps": "precomputed"},
    "+ boundary loss, on the fly": {"maps": "on_the_fly"},
}


class Arm:
    """One configuration, ready to take steps."""

    def __init__(self, settings: dict[str, Any]) -> None:
        differing = RUNS["gdl-boundary" if settings else "gdl"]
        config = run_config({**SHARED, **differing, "settings": {**differing["settings"], **settings}})
        dataset = open_data(config.data)
        split = split_dataset(dataset, config.split)
        loaded = load_cases(dataset, {**split, "val": (), "test": ()}, lambda items, _: items)
        task = plan_task(dataset, loaded, config.prepare)
        torch.manual_seed(0)
        self.method = factory(config.method)(config.settings, task)
        cases = [prepare_case(case, task, self.method.image_targets) for case in loaded]
        augment = config.augment
        augmentation = BatchAugmentation(
            task.patch_spacing, augment.flip, augment.rotate, augment.scale, augment.spatial, augment.intensity
        )
        self.batches = PatchBatches(cases, task, config.trainer.batch_size, seed=0, augmentation=augmentation)
        self.optimiser = torch.optim.AdamW(self.method.parameters())

    def step(self, number: int) -> tuple[float, float]:
        """Take a step; return its wall and processor time in ms."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.optimiser.zero_grad()
        self.method.step(self.batches(number), Progress(epoch=5, epochs=10)).loss.backward()
        self.optimiser.step()
        return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    arms = {name: Arm(settings) for name, settings in ARMS.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for number in range(options.repeats + 3):
        for name, arm in arms.items():
            times[name].append(arm.step(number))
    base = next(iter(arms))
    rows = []
    for name, measured in times.items():
        pairs = list(zip(measured[3:], times[base][3:], strict=True))
        rows.append(
            {
                "arm": name,
                "wall_ms": statistics.median(own[0] for own, _ in pairs),
                "cpu_ms": statistics.median(own[1] for own, _ in pairs),
                "wall_overhead": statistics.median(own[0] / other[0] for own, other in pairs) - 1,
                "cpu_overhead": statistics.median(own[1] / other[1] for own, other in pairs) - 1,
            }
        )
    print(f"one step, {options.threads} thread(s), {options.repeats} rounds in turn, medians")
    print(f"{'':36}{'wall ms':>9}{'cpu ms':>9}{'wall overhead':>15}{'cpu overhead':>14}")
    for row in rows:
        print(
            f"{row['arm']:36}{row['wall_ms']:9.1f}{row['cpu_ms']:9.1f}"
            f"{row['wall_overhead']:15.1%}{row['cpu_overhead']:14.1%}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
