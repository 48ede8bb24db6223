"""Run folders as training writes them, with synthetic volumes."""

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from PIL import Image

from shapewright import metrics

SPACING = (2.0, 1.0, 0.5)
LABELS = {"core": 1, "rim": 2}

WriteRun = Callable[..., Path]


def volume(shape: Sequence[int], shift: int, radius: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A ball in two halves, moved along the last axis."""
    centre = np.array(shape) / 2
    centre[-1] += shift
    grid = np.moveaxis(np.indices(shape), 0, -1) - centre
    ball = (np.linalg.norm(grid, axis=-1) <= radius).astype(np.uint8)
    ball[(ball == 1) & (grid[..., -2] > 0)] = 2
    return ball


def write_files(folder: Path, case: str, shape: Sequence[int], shift: int) -> dict[str, Any]:
    """Write image, truth and prediction of a case; volumes as NIfTI, images as PNG."""
    safe = "".join(letter if letter.isalnum() else "_" for letter in case)
    rng = np.random.default_rng(len(case))
    radius = min(size for size in shape if size > 1) / 3
    truth, prediction = volume(shape, 0, radius), volume(shape, shift, radius)
    image = (truth * 60 + rng.integers(0, 60, shape)).astype(np.uint8)
    names = {}
    for kind, array in (("image", image), ("truth", truth), ("prediction", prediction)):
        if len(shape) == 2:
            names[kind] = f"files/{kind}_{safe}.png"
            Image.fromarray(array).save(folder / names[kind])
        else:
            names[kind] = f"files/{kind}_{safe}.nii.gz"
            nib.save(nib.Nifti1Image(array.T, np.diag([*SPACING[::-1], 1.0])), folder / names[kind])
    spacing = SPACING if len(shape) == 3 else (1.0, 1.0)
    return {
        "rows": metrics.case_rows(case, metrics.evaluate(prediction, truth, spacing=spacing, labels=LABELS)),
        "files": {"image": [names["image"]], "truth": names["truth"], "prediction": names["prediction"]},
    }


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    def write(
        name: str = "run",
        *,
        method: str = "boundary-loss",
        cases: Sequence[str] = ("easy", "hard", "middling"),
        shifts: Sequence[int] = (0, 5, 2),
        shape: Sequence[int] = (14, 22, 30),
        config: dict[str, Any] | None = None,
        history: dict[str, Sequence[object]] | None = None,
    ) -> Path:
        folder = tmp_path / name
        (folder / "evaluation").mkdir(parents=True)
        (folder / "files").mkdir()
        made = {case: write_files(folder, case, shape, shift) for case, shift in zip(cases, shifts, strict=True)}
        rows = [row for entry in made.values() for row in entry["rows"]]
        metrics.write_csv(folder / "evaluation" / "cases.csv", rows)
        summary = {
            label: {metric: dataclasses.asdict(found) for metric, found in of_label.items()}
            for label, of_label in metrics.summarise(rows).items()
        }
        contents = {
            "evaluation/summary.json": {
                "split": "test",
                "tolerance_mm": 1.0,
                "summary": summary,
                "files": {case: entry["files"] for case, entry in made.items()},
            },
            "data.json": {
                "name": "balls",
                "path": "somewhere",
                "spatial_dims": len(shape),
                "channels": ["T1"],
                "labels": LABELS,
                "splits": {"train": ["a", "b"], "val": [], "test": list(cases)},
                "cases": [
                    {"id": case, "shape": list(shape), "spacing": SPACING[: len(shape)], "volumes_ml": {"core": 1.5}}
                    for case in cases
                ],
                "licence": "CC0",
            },
            "environment.json": {
                "shapewright": "0.1",
                "torch": "2.13.0",
                "command": ["shapewright", "train", method, "--out", "a folder"],
                "cores": 2,
                "device": "cpu",
                "started": "2026-11-20T20:30:05+00:00",
                "seconds": 75.0,
            },
        }
        for file, content in contents.items():
            (folder / file).write_text(json.dumps(content))
        settings = config or {"method": method, "seed": 7, "trainer": {"epochs": 4, "lr": 0.001}}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        columns = history or {
            "epoch": [1, 2, 3, 4],
            "lr": [1e-3, 8e-4, 4e-4, 1e-4],
            "loss": [0.9, 0.5, 0.3, 0.25],
            "loss/boundary": [0.1, 0.0, -0.1, -0.2],
            "val/dice": ["", 0.6, "", 0.8],
            "val/dice/core": ["", 0.7, "", 0.85],
        }
        with (folder / "history.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return folder

    return write
