"""Small data sets that many tests train on."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image


def ellipsoid(shape: tuple[int, ...], centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return a filled ellipsoid as a boolean array."""
    grid = np.indices(shape).reshape(len(shape), -1).T
    return ((((grid - centre) / radii) ** 2).sum(axis=1) <= 1).reshape(shape)


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 8 small anisotropic volumes with two labels, in MSD layout without dataset.json."""
    folder = tmp_path_factory.mktemp("volumes")
    random = np.random.default_rng(3)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    for index in range(8):
        shape = (20 + index % 3, 17, 12)
        centre = np.array(shape) / 2 + random.uniform(-1, 1, 3)
        whole = ellipsoid(shape, centre, np.array([6.0, 5.0, 4.0]))
        labels = whole.astype(np.uint8)
        labels[: int(centre[0])][whole[: int(centre[0])]] = 2
        image = whole * 2.0 + (labels == 2) + random.normal(0, 0.3, shape)
        nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), affine), folder / "images" / f"case_{index}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "labels" / f"case_{index}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 8 small colour pictures with one object each, as PNG."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(4)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for index in range(8):
        shape = (40, 37)
        disc = ellipsoid(shape, np.array(shape) / 2 + random.uniform(-4, 4, 2), np.array([9.0, 8.0]))
        colours = random.normal(80, 10, (*shape, 3)) + disc[..., None] * np.array([90, 30, 60])
        Image.fromarray(colours.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"p{index}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / f"p{index}.png")
    return folder
