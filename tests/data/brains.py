"""Two small data sets of the brain phantom: tissue in T1, lesions in T1 and FLAIR."""

import json
from pathlib import Path

import numpy as np

from shapewright.data import Image, write_image, write_labels
from shapewright.simulate import BrainPhantom

DECLARED = """\
name: brains
datasets:
  anatomy:
    folder: anatomy
    channels: [T1]
    labels: [csf, grey, white]
    background: background
  patients:
    folder: patients
    channels: [FLAIR, T1]
    labels: [spot]
"""


def write_brains(folder: Path, cases: int = 6) -> Path:
    """Write ``anatomy/`` (labels 1 to 3), ``patients/`` (label 7) and ``brains.yaml``; return the latter."""
    size = {"shape": (32, 32), "lesion_axes": (3.0, 6.0)}
    images, labels = BrainPhantom(**size, modalities=("T1",), lesion_free=1.0).generate(cases, seed=0)
    _write(folder / "anatomy", images, labels, {"background": 0, "csf": 1, "grey": 2, "white": 3})
    images, labels = BrainPhantom(**size, modalities=("FLAIR", "T1")).generate(cases, seed=1)
    _write(folder / "patients", images, np.where(labels == 4, 7, 0).astype(np.uint8), {"background": 0, "spot": 7})
    declared = folder / "brains.yaml"
    declared.write_text(DECLARED.replace("[spot]", "{spot: lesion}"))
    return declared


def _write(folder: Path, images: np.ndarray, labels: np.ndarray, names: dict[str, int]) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "labels.json").write_text(json.dumps(names))
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        whole = Image(image, spacing=(1.0, 1.0))
        write_image(folder / "images" / f"case{index}.npz", image, like=whole)
        write_labels(folder / "labels" / f"case{index}.png", label, like=whole)
