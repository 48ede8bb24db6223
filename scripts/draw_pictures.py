"""Draw the pictures of README and cards into docs/images.

Usage: ``python scripts/draw_pictures.py DEMO``, with the folder that ``shapewright demo --out DEMO`` wrote.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import ndimage

from shapewright.data import load_case, read_image, read_labels, samples
from shapewright.geometry import object_size, signed_distance
from shapewright.losses import SizeLoss
from shapewright.metrics import read_csv

IMAGES = Path(__file__).parents[1] / "docs" / "images"
TRUTH, FOUND = "#ffb000", "#00b4ff"


def overview(run: Path) -> None:
    """Draw the worst, median and best held-out case: contours of truth and prediction, and the surface error."""
    summary = json.loads((run / "evaluation" / "summary.json").read_text())
    rows = [row for row in read_csv(run / "evaluation" / "cases.csv") if row["label"] == "foreground"]
    rows.sort(key=lambda row: float(row["dice"]))
    figure, axes = plt.subplots(2, 3, figsize=(10, 6.2), gridspec_kw={"height_ratios": (1.25, 1)})
    error = None
    chosen = zip(("worst", "median", "best"), (rows[0], rows[len(rows) // 2], rows[-1]), axes.T, strict=True)
    for name, row, (above, below) in chosen:
        files = summary["files"][row["case"]]
        image = read_image(files["image"][0]).canonical()
        truth = read_labels(files["truth"]).canonical().array[0]
        found = read_labels(run / files["prediction"]).canonical().array[0]
        section = int((truth > 0).sum(axis=(1, 2)).argmax())
        picture = image.array[0, section]
        above.imshow(picture, cmap="gray", origin="lower", vmax=np.percentile(picture, 99.5))
        for labels, colour, style in ((truth, TRUTH, "solid"), (found, FOUND, "dashed")):
            for value in (1, 2):
                above.contour(labels[section] == value, [0.5], colors=colour, linewidths=1.6, linestyles=style)
        above.set_title(f"{name} of {len(rows)} held-out cases\nDice {row['dice']:.3f}, HD95 {row['hd95']:.1f} mm")
        error = below.imshow(
            surface_error(found > 0, truth > 0, image.spacing), cmap="RdBu_r", vmin=-3, vmax=3, origin="lower"
        )
    for axis in axes.flat:
        axis.set_axis_off()
    figure.legend(
        [plt.Line2D([], [], color=TRUTH), plt.Line2D([], [], color=FOUND, linestyle="--")],
        ["truth: anterior and posterior part", "prediction"],
        loc="center left",
        bbox_to_anchor=(0.02, 0.46),
        ncols=2,
        frameon=False,
    )
    figure.colorbar(error, ax=axes[1, :], shrink=0.9, label="surface error [mm]\ninside (-), outside (+)")
    save(figure, "overview")


def surface_error(found: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the largest signed distance to the truth of the predicted surface, seen along the second axis."""
    distance = np.where(
        found & (signed_distance(found, spacing=spacing) > -1), signed_distance(truth, spacing=spacing), 0
    )
    extreme = np.take_along_axis(distance, np.abs(distance).argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(found.any(axis=1), extreme, np.nan)


def distance_map() -> None:
    """Draw the signed distance of one label in a section."""
    dataset = samples.load("hippocampus")
    image, labels = load_case(dataset.cases[0], dataset)
    assert labels is not None
    mask = labels.array[0] == 2
    section = int(mask.sum(axis=(1, 2)).argmax())
    distance = signed_distance(mask, spacing=image.spacing)[section]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
    left.imshow(image.array[0, section], cmap="gray", origin="lower")
    shown = right.imshow(distance, cmap="RdBu_r", vmin=-20, vmax=20, origin="lower")
    for axis in (left, right):
        axis.contour(mask[section], [0.5], colors=TRUTH, linewidths=1.8)
        axis.set_axis_off()
    figure.colorbar(shown, ax=(left, right), label="signed distance [mm]", shrink=0.85)
    save(figure, "signed-distance")


def size_gradient() -> None:
    """Draw a prediction that is too small, and where the size error wants it changed: one random mask, and many."""
    dataset = samples.load("hippocampus")
    image, labels = load_case(dataset.cases[0], dataset)
    assert labels is not None
    masks = labels.array[0] > 0
    section = int(masks.sum(axis=(1, 2)).argmax())
    mask = ndimage.binary_fill_holes(masks[section])
    logits = torch.from_numpy(-1.5 * (signed_distance(mask) + 2)).clamp(-6, 6)[None, None].requires_grad_()
    size = torch.from_numpy(object_size(mask)[None])
    figure, axes = plt.subplots(1, 3, figsize=(10, 4))
    axes[0].imshow(image.array[0, section], cmap="gray", origin="lower")
    axes[0].set_title(f"true size {float(size):.0f}, predicted {float(object_size(logits.detach()[0, 0] > 0)):.0f}")
    for axis, count in zip(axes[1:], (1, 1000), strict=True):
        loss = SizeLoss(samples=count, generator=torch.Generator().manual_seed(4))(logits, size)
        (gradient,) = torch.autograd.grad(loss, logits)
        top = float(gradient.abs().max())
        axis.imshow(-gradient[0, 0], cmap="RdBu_r", vmin=-top, vmax=top, origin="lower")
        axis.set_title(f"direction of change, {count} mask{'s' if count > 1 else ''}")
    for axis in axes:
        axis.contour(mask, [0.5], colors=TRUTH, linewidths=1.8)
        axis.contour(logits.detach()[0, 0], [0.0], colors=FOUND, linewidths=1.6, linestyles="dashed")
        axis.set_axis_off()
    save(figure, "object-size")


def superpixels() -> None:
    """Draw an image, its superpixelised versions and the blur of the same strength."""
    from shapewright.data.superpixels import matched_blur, superpixelise

    dataset = samples.load("nuclei")
    image, labels = load_case(dataset.case("0d3640c1f1b8"), dataset)
    assert labels is not None
    window = (slice(None), slice(60, 188), slice(60, 188))
    array, mask = image.array[window].astype(np.float32), labels.array[window][0] > 0
    fine, coarse = (superpixelise(array, cell_size=size, colour=True)[0] for size in (18, 46))
    shown = {
        "raw": array,
        "cells of 18 pixels": fine,
        "cells of 46 pixels": coarse,
        "blur that removes as much": matched_blur(array, coarse),
    }
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.3))
    for axis, (title, picture) in zip(axes, shown.items(), strict=True):
        axis.imshow(np.moveaxis(picture, 0, -1).clip(0, 255).astype(np.uint8))
        axis.contour(mask, [0.5], colors=TRUTH, linewidths=1.2)
        axis.set_title(title)
        axis.set_axis_off()
    figure.tight_layout()
    save(figure, "superpixels")


def exclusive() -> None:
    """Draw two almost equal tissues, the two sigmoids that are trained, and what they decide."""
    import torch

    from shapewright.methods.exclusive_fbeta import reproduce as study
    from shapewright.training.study import train_network

    arm = study.Arm("exclusive", seed=7)
    (images, labels), (test, truth) = study.task_data(arm, None)
    chosen = study.design(arm)
    network = study.build_network(arm, 2, 2)
    loss = study.build_loss(arm, chosen, labels)
    train_network(
        network, lambda i: loss(network(images[i]), labels[i], labels[i] > 0), images=len(images), steps=200, seed=0
    )
    with torch.no_grad():
        sigmoids = torch.sigmoid(network(test[:1]))[0].numpy() * (truth[0].numpy() > 0)
    found = study.decide(network, test[:1], chosen, (test[:1] != 0).any(1))[0]
    shown = [
        ("T1", test[0, 0], "gray", None),
        ("T2", test[0, 1], "gray", None),
        ("sigmoid, fluid", sigmoids[0], "magma", 1),
        ("sigmoid, white matter", sigmoids[1], "magma", 1),
        ("decided: grey is the rest", found, "viridis", 3),
        ("truth", truth[0], "viridis", 3),
    ]
    figure, axes = plt.subplots(1, 6, figsize=(15, 2.9))
    for axis, (title, picture, colours, highest) in zip(axes, shown, strict=True):
        axis.imshow(picture, cmap=colours, vmin=0, vmax=highest, interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    figure.tight_layout()
    save(figure, "exclusive")


def hard_examples() -> None:
    """Draw a tile with glands, the fine network's probabilities, its error, and where patches are taken."""
    import torch

    from shapewright.data.mining import ErrorMapSampler, error_map
    from shapewright.losses import CrossEntropyLoss
    from shapewright.methods.hard_mining import reproduce as study
    from shapewright.training.study import study_unet, train_network

    images, labels, _ = study.tiles(24, seed=15, noise=0.0, mimics=6)
    network, loss = study_unet(2, 3, 2, seed=0, filters=(8, 16, 32)), CrossEntropyLoss()
    train_network(network, lambda i: loss(network(images[i]), labels[i]), images=20, steps=120, seed=0, batch_size=4)
    tile = 21
    with torch.no_grad():
        probabilities = torch.softmax(network(images[tile : tile + 1]), 1)[0].numpy()
    error = error_map(probabilities, labels[tile].numpy())
    centres, _ = ErrorMapSampler(error, labels[tile].numpy(), {0: 1.0, 1: 1.0}).draw(80, np.random.default_rng(0))
    figure, axes = plt.subplots(1, 3, figsize=(11, 4))
    picture = np.moveaxis(images[tile].numpy() * 0.2 + 0.75, 0, -1).clip(0, 1)
    axes[0].imshow(picture)
    axes[0].contour(labels[tile], [0.5], colors=TRUTH, linewidths=1.6)
    axes[0].set_title("tile; suspicious glands outlined")
    axes[1].imshow(probabilities[1], cmap="magma", vmin=0, vmax=1)
    axes[1].set_title("probability, fine network")
    axes[2].imshow(error, cmap="magma", vmin=0, vmax=1)
    axes[2].scatter(centres[:, 1], centres[:, 0], s=10, color=FOUND)
    axes[2].set_title("error, and centres of new patches")
    for axis in axes:
        axis.set_axis_off()
    figure.tight_layout()
    save(figure, "hard-examples")


def fundus() -> None:
    """Draw phantom eyes as two cameras see them, what the data set of each camera annotates, and all there is."""
    from shapewright.simulate import FundusPhantom

    sets = {"A": ("dark", range(1), "vessels"), "B": ("orange", range(1, 6), "disc and lesions")}
    figure, axes = plt.subplots(2, 6, figsize=(13, 4.7))
    for row, (name, (style, annotated, words)) in zip(axes, sets.items(), strict=True):
        images, masks = FundusPhantom(style=style).generate(4, seed=0)
        for axes_of_case, case in ((row[:3], 1), (row[3:], 3)):
            known = masks[case] * np.isin(np.arange(6), annotated)[:, None, None]
            pictures = {
                f"data set {name}": np.moveaxis(images[case], 0, -1),
                f"annotated: {words}": _in_colour(known),
                "all there is": _in_colour(masks[case]),
            }
            for axis, (title, picture) in zip(axes_of_case, pictures.items(), strict=True):
                axis.imshow(picture)
                axis.set_title(title, fontsize=10)
                axis.set_axis_off()
    figure.tight_layout()
    save(figure, "weakly-labelled-fundus")


def _in_colour(maps: np.ndarray) -> np.ndarray:
    """Return maps [6, y, x] in [0, 1] in one colour each: red vessels, grey disc, four lesions."""
    colours = np.array([(1, 0.2, 0.2), (0.6, 0.6, 0.6), (1, 1, 0), (1, 0.4, 1), (0.3, 1, 0.3), (0.3, 1, 1)])
    picture = np.zeros((*maps.shape[1:], 3))
    for layer, colour in zip(maps[[1, 0, 2, 3, 4, 5]], colours[[1, 0, 2, 3, 4, 5]], strict=True):
        cover = layer.astype(float)[..., None]
        picture = picture * (1 - cover) + colour * cover
    return picture


def save(figure: plt.Figure, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / f"{name}.png", dpi=110, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    overview(Path(sys.argv[1]) / "gdl-boundary")
    distance_map()
    size_gradient()
    superpixels()
    exclusive()
    hard_examples()
    fundus()
