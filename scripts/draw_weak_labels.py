"""Draw the pictures of the cards of methods that learn from less than a mask, into docs/images.

Usage: ``python scripts/draw_weak_labels.py``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from shapewright.data.preprocess import normalise_intensity
from shapewright.geometry import ShapePrior, box_cues, cluster_labels, fill_boxes, voronoi_labels
from shapewright.losses import balance_weights
from shapewright.simulate import (
    KidneyPhantom,
    NucleiPhantom,
    TissueMosaic,
    boxes_around_objects,
    points_in_objects,
    sparse_annotation,
)

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GREY = "#bdbdbd"


def sparse() -> None:
    """Draw two mosaics, their strokes, and the weights of the strokes by image and by batch."""
    import torch

    images, labels = TissueMosaic().generate(30, seed=4)
    strokes = np.stack([sparse_annotation(full, seed=index, fraction=0.08) for index, full in enumerate(labels)])
    shown = [4, 0]
    batch = torch.from_numpy(strokes[shown]).long()
    figure, axes = plt.subplots(2, 5, figsize=(12, 4.9))
    for row, index in enumerate(shown):
        axes[row, 0].imshow(images[index].transpose(1, 2, 0))
        axes[row, 1].imshow(labels[index], cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        known = np.ma.masked_equal(strokes[index], 255)
        axes[row, 2].imshow(known, cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
        for column, scheme in ((3, "instance"), (4, "batch")):
            weights = balance_weights(batch, scheme, ignore_label=255)[row].numpy()
            picture = axes[row, column].imshow(np.ma.masked_equal(weights, 0), cmap="viridis", vmin=0.5, vmax=1.5)
    for axis, title in zip(
        axes[0], ("image", "all labels (not used)", "known labels", "weights by image", "weights by batch"), strict=True
    ):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_facecolor(GREY)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="weight")
    save(figure, "sparse-annotation")


def points() -> None:
    """Draw nuclei with their points, and the two label maps made of them."""
    images, instances = NucleiPhantom().generate(2, seed=3)
    image, numbers = images[0], instances[0]
    at = points_in_objects(numbers, seed=1, jitter=1.5)
    cells = voronoi_labels(at, numbers.shape)
    clusters = cluster_labels(normalise_intensity(image, "volume"), at, radius=6)
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.3))
    axes[0].imshow(image.transpose(1, 2, 0))
    axes[0].plot(at[:, 1], at[:, 0], "o", color="#ffe000", markersize=4, markeredgecolor="black")
    for axis, labels in ((axes[1], cells), (axes[2], clusters)):
        axis.imshow(_shades(labels), interpolation="nearest")
    axes[3].imshow(np.ma.masked_equal(numbers, 0), cmap="tab20", interpolation="nearest")
    for axis, title in zip(
        axes, ("image and points", "Voronoi labels", "cluster labels", "nuclei (not used)"), strict=True
    ):
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.text(0.5, 0.02, "white: nucleus, black: background, grey: unknown", ha="center", fontsize=9)
    save(figure, "point-nuclei")


def boxes() -> None:
    """Draw the two corrections: by boxes, and by typical shapes."""
    images, instances = KidneyPhantom().generate(8, seed=6)
    image, numbers = images[1], instances[1]
    boxed = [
        tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
        for first, last in boxes_around_objects(numbers)
    ]
    predicted = numbers > 0
    predicted[numbers == 1] = False  # missed
    predicted[70:76, 2:40] = True  # a false alarm
    corrected = box_cues(predicted.astype(np.uint8), boxed)
    prior = ShapePrior.fit([other > 0 for other in instances])
    filtered = prior.filter(predicted)
    figure, axes = plt.subplots(1, 5, figsize=(13, 3.0))
    axes[0].imshow(image.transpose(1, 2, 0))
    for rows, columns in boxed:
        axes[0].add_patch(
            plt.Rectangle(
                (columns.start - 0.5, rows.start - 0.5),
                columns.stop - columns.start,
                rows.stop - rows.start,
                fill=False,
                edgecolor="#ffe000",
                linewidth=1.5,
            )
        )
    for axis, labels in zip(
        axes[1:], (fill_boxes(numbers.shape, boxed), predicted.astype(np.uint8), corrected, filtered), strict=True
    ):
        axis.imshow(_shades(labels), interpolation="nearest")
    titles = ("image and boxes", "first labels", "a prediction", "corrected by boxes", "corrected by shape")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    save(figure, "iterative-boxes")


def _shades(labels: np.ndarray) -> np.ndarray:
    """Return a picture: object white, background black, unknown grey."""
    shade = np.where(labels == 255, 0.6, np.where(labels > 0, 1.0, 0.0))
    return np.repeat(shade[..., None], 3, axis=-1)


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(IMAGES / f"{name}.png", dpi=100, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    sparse()
    points()
    boxes()
