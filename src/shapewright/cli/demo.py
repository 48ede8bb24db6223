"""``shapewright demo``: two methods on the bundled hippocampus volumes, side by side."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shapewright.cli.main import OK
from shapewright.cli.options import run_config
from shapewright.cli.parsers import Parser, say

SHARED: Mapping[str, Any] = {
    "data": "sample:hippocampus",
    "prepare": {"patch_size": [40, 56, 40]},
    "augment": {"flip": [2], "spatial": 0.5},  # left and right hippocampi are mirror images
    "trainer": {"epochs": 35, "steps_per_epoch": 20, "batch_size": 2, "learning_rate": 4e-3},
    "inference": {"mirror": True},
    "split": {"validation": 0.1, "test": 0.2},
}
NETWORK = {"name": "dynunet", "width": 8, "depth": 4}
RUNS: Mapping[str, Mapping[str, Any]] = {
    "gdl": {"method": "supervised", "settings": {"loss": "gdl", "network": NETWORK}},
    "gdl-boundary": {"method": "boundary-loss", "settings": {"network": NETWORK}},
}


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "demo",
        "Train generalised Dice alone and with the boundary loss on 40 bundled MRI volumes of the hippocampus, measure "
        "the held-out cases, and compare both in one report. About four minutes on two cores.",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the runs (default: demo)")
    parser.add_argument("--epochs", type=int, help="train shorter or longer")
    parser.add_argument("--seed", type=int, default=0, help="seed of both runs (default: 0)")
    options = parser.parse_args(argv)

    from shapewright.cli.train import train_and_report
    from shapewright.report import write_report
    from shapewright.training.run import RunFolder

    started = time.monotonic()
    folders = []
    for name, differing in RUNS.items():
        tree = {**SHARED, **differing, "seed": options.seed}
        if options.epochs is not None:
            tree["trainer"] = {**SHARED["trainer"], "epochs": options.epochs}
        folder = RunFolder(options.out / name)
        folders.append(folder.path)
        config = run_config(tree)
        say(f"{name}: {folder.path}")
        code = train_and_report(config, folder.path, resume=folder.config.exists(), title=name)
        if code != OK:
            return code
    page = write_report(folders, options.out / "report.html", title="Generalised Dice with and without boundary loss")
    say(f"{time.monotonic() - started:.0f} s in all", f"both side by side: {page}")
    return OK
