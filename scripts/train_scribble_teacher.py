"""Train the small network that turns strokes into a probability map, from copies of the public data sets.

    python scripts/train_scribble_teacher.py SOURCE

SOURCE holds the folders hc18_fetal_head, sunnybrook_lv, medscribble_open and dsb2018_nuclei. Of each set every other
image (of the heart: patient) is used, the first one included, so that the others can measure what it learned. Samples
and weights are kept in a scratch folder, and a second call continues.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from torch.nn import functional

from shapewright.methods.path_connected.teacher import WEIGHTS, Frame, StrokeTeacher, frame_features, grey_levels
from shapewright.simulate import ScribbleSimulator

TARGET = Path(__file__).parents[1] / "src/shapewright/methods/path_connected" / WEIGHTS
DRAWINGS = {"hc18": 6, "heart": 2, "human": 9, "drawn": 14, "nuclei": 1, "plain": 1}
SHARES = {
    "hc18": 0.18,
    "heart": 0.22,
    "human": 0.2,
    "drawn": 0.15,
    "nuclei": 0.1,
    "plain": 0.15,
}  # of the training steps
NUCLEI, PLAIN = 100, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--scratch", type=Path, default=Path("runs/scribble-teacher"))
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    pool = options.scratch / "samples.npz"
    if not pool.exists():
        samples = list(draw_samples(options.source))
        features, truth, kinds = (np.stack(part) for part in zip(*samples, strict=True))
        np.savez(pool, features=features, truth=truth, kinds=kinds)
    with np.load(pool) as content:
        features, truth = torch.from_numpy(content["features"]), torch.from_numpy(content["truth"])
        chances = np.array([SHARES[kind] / (content["kinds"] == kind).sum() for kind in content["kinds"]])
    print(len(features), "samples")
    network = train(features, truth, chances / chances.sum(), options.steps, options.scratch / "state.pt")
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, TARGET)


def images(source: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield kind, grey image, mask, and human strokes where there are some."""
    for path in sorted((source / "hc18_fetal_head/images").iterdir())[::2]:
        size = (400, 270)
        image = Image.open(path).convert("L").resize(size, Image.Resampling.BILINEAR)
        mask = Image.open(path.parents[1] / "masks" / path.name).resize(size)
        yield "hc18", np.asarray(image, np.float32), np.asarray(mask) > 0, None
    hearts = sorted((source / "sunnybrook_lv/images").iterdir())
    patients = sorted({path.name.split("-IM")[0] for path in hearts})[::2]
    for path in hearts:
        if path.name.split("-IM")[0] in patients:
            mask = np.asarray(Image.open(path.parents[1] / "labels" / path.name)) > 0
            yield "heart", np.asarray(Image.open(path), np.float32), mask, None
    for family in ("HipXRay", "BTCV"):
        for path in sorted((source / "medscribble_open").glob(f"{family}*"))[::2]:
            with np.load(path) as content:
                image, mask = content["img"].astype(np.float32), content["seg"] > 0.5
                for strokes in content["scribbles"] > 128:
                    yield "human", image, mask, np.where(strokes[0], 1, np.where(strokes[1], 2, 0))
            yield "drawn", image, mask, None
    rng = np.random.default_rng(0)
    for _ in range(PLAIN):  # smooth shapes that differ from their surroundings by a grey level
        side = int(rng.integers(60, 200))
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        waves = ndimage.gaussian_filter(rng.standard_normal((side, side)), side / 8)
        centre, radius = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.25, 0.6)
        mask = np.hypot(y - centre[0], (x - centre[1]) * rng.uniform(0.6, 1.6)) + 0.15 * waves / waves.std() < radius
        parts, _ = ndimage.label(mask)
        mask = parts == np.bincount(parts.ravel())[1:].argmax() + 1 if mask.any() else mask
        uneven = ndimage.gaussian_filter(rng.standard_normal((side, side)), side / 10)
        image = mask + rng.uniform(0, 0.4) * uneven / uneven.std() + rng.normal(0, rng.uniform(0, 0.3), mask.shape)
        if mask.sum() > 100:
            yield "plain", image.astype(np.float32) * rng.choice([-1, 1]), mask, None
    for path in sorted((source / "dsb2018_nuclei/images").iterdir())[::2][:NUCLEI]:
        labels = np.asarray(Image.open(path.parents[1] / "labels" / path.name))
        sizes = np.bincount(labels.ravel())
        large = [value for value in range(1, len(sizes)) if sizes[value] > 150]
        if large:
            y, x = (int(v) for v in ndimage.center_of_mass(labels == rng.choice(large)))
            value = labels[y, x]
            if value:
                window = np.s_[max(y - 60, 0) : y + 60, max(x - 60, 0) : x + 60]
                image = np.asarray(Image.open(path).convert("L"), np.float32)[window]
                yield "nuclei", image, labels[window] == value, None


def draw_samples(source: Path) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Yield features and truth on 128 x 128 and the kind of image, for every drawing of strokes."""
    rng = np.random.default_rng(1)
    for count, (kind, image, mask, strokes) in enumerate(images(source)):
        print(count, kind, flush=True)
        for _ in range(DRAWINGS[kind]):
            simulator = ScribbleSimulator(
                strokes=int(rng.integers(1, 5)),
                thickness=int(rng.integers(2, 6)),
                margin=float(rng.uniform(0.06, 0.3)),
                coverage=float(rng.uniform(0.4, 1.0)),
            )
            drawn = (
                strokes
                if strokes is not None
                else simulator.draw(mask.astype(np.uint8), seed=int(rng.integers(1 << 30)))
            )
            if strokes is not None:  # less of them than the person drew
                waves = ndimage.gaussian_filter(rng.standard_normal(mask.shape), 12)
                drawn = np.where(waves <= np.quantile(waves, rng.uniform(0.6, 1.0)), drawn, 0)
            inner, outer = drawn == 1, drawn == 2
            if not (inner.any() and outer.any()):
                continue
            frame = Frame.around(inner, image.shape)
            marks = frame.mark(inner), frame.mark(outer)
            if not marks[1].any():
                continue
            grey = frame.sample(grey_levels(image[None], inner, outer))
            if rng.random() < 0.4:  # other scanners: inverted, or with another curve
                grey = 1 - grey if rng.random() < 0.5 else grey ** rng.uniform(0.5, 2)
            features = frame_features(grey.astype(np.float32), marks[0], marks[1] & ~marks[0])
            truth = frame.sample(mask) > 0.5
            pad = [(0, 128 - side) for side in frame.shape]
            full = np.pad(features, [(0, 0), *pad])
            known = np.pad(np.ones(frame.shape, np.uint8), pad)
            yield full.astype(np.float16), np.stack([np.pad(truth, pad).astype(np.uint8), known]), kind


def train(features: torch.Tensor, truth: torch.Tensor, chances: np.ndarray, steps: int, state: Path) -> StrokeTeacher:
    """Train with flips, turns and noise, at a rate that falls to 0; continue from ``state`` where it exists."""
    torch.manual_seed(0)
    network = StrokeTeacher()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    first = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    running = 0.0
    for step in range(first, steps):
        rng = np.random.default_rng([2, step])
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = torch.from_numpy(rng.choice(len(features), size=6, p=chances))
        batch, target = features[chosen].float(), truth[chosen].float()
        turns, axes = int(rng.integers(4)), [axis for axis in (2, 3) if rng.random() < 0.5]
        batch, target = torch.rot90(batch, turns, (2, 3)).flip(axes), torch.rot90(target, turns, (2, 3)).flip(axes)
        noise = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.06), batch[:, :1].shape)).float()
        batch = torch.cat([batch[:, :1] * rng.uniform(0.8, 1.2) + noise, batch[:, 1:]], 1)
        logits, wanted, known = network(batch)[:, 0], target[:, 0], target[:, 1]
        entropy = (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * known).mean()
        p = torch.sigmoid(logits) * known
        overlap = 1 - ((2 * (p * wanted).sum((1, 2)) + 1) / (p.sum((1, 2)) + wanted.sum((1, 2)) + 1)).mean()
        optimizer.zero_grad()
        (entropy + overlap).backward()
        optimizer.step()
        running = 0.98 * running + 0.02 * float(overlap.detach())
        if step % 50 == 49:
            print(step + 1, f"overlap loss {running / (1 - 0.98 ** (step + 1 - first)):.4f}", flush=True)
            torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, state)
    return network


if __name__ == "__main__":
    main()
