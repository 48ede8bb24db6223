"""Morphology beside its peers, in one process, calls interleaved, medians, ratios, and the memory-bandwidth bound.

    python benchmarks/morphology.py [--quick] [--threads N] [images] [volumes] [skeletons] [soft]

Times are in milliseconds. A ratio above 1 means that shapewright is faster. Slow peers have rows of their own: they
evict everything from the caches between two calls. The bound is the time to copy as many
bytes as the operator must read and write at least, measured here. Peers use as many threads as shapewright where
they can (OpenCV, PyTorch); SciPy, scikit-image and DIPlib's morphology use one.
"""

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import diplib
import llvmlite.binding
import numpy as np
import torch
import torch.nn.functional
from numba.core import config
from scipy import ndimage
from skimage import morphology as sk

from shapewright.boolean import pack
from shapewright.morphology import ball, connectivity, dilation, erosion, line, skeletonize

PARTS = ("images", "volumes", "skeletons", "soft")
Calls = dict[str, Callable[[], object]]


def interleaved(calls: Calls, rounds: int) -> dict[str, float]:
    """Return the median time of every call in milliseconds, taken in turns so that all see the same load."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def row(title: str, calls: Calls, rounds: int, moved: int = 0) -> None:
    """Measure and print one row: our time, each peer's time and ratio, and the bandwidth bound."""
    if moved:
        source, target = np.zeros(moved // 2, np.uint8), np.zeros(moved // 2, np.uint8)
        calls = {**calls, "bound": partial(np.copyto, target, source)}
    medians = interleaved(calls, rounds)
    ours = medians.pop("ours")
    cells = [f"{name} {value:.3f} ({value / ours:.1f}x)" for name, value in medians.items()]
    print(f"| {title} | {ours:.3f} | {' | '.join(cells)} |", flush=True)


def blobs(shape: tuple[int, ...], scale: float, seed: int = 0) -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), scale)
    return field > np.median(field)


def binary_2d(rounds: int, slow: int) -> None:
    image = blobs((1024, 1024), 5)
    pixels = image.view(np.uint8)
    elements = {f"ball {r}": ball(r) for r in (1, 3, 10, 20)}
    elements |= {"line 41 along x": line(41), "line 41 along y": line(41, 90), "line 41 at 45": line(41, 45)}
    for name, element in elements.items():
        structure = element.astype(np.uint8)
        peer_image, peer_element = diplib.Image(image), diplib.Image(element)
        for title, ours, theirs, grey, scipy in (
            ("erosion", erosion, cv2.erode, diplib.Erosion, ndimage.binary_erosion),
            ("dilation", dilation, cv2.dilate, diplib.Dilation, ndimage.binary_dilation),
        ):
            call = partial(ours, image, element)
            row(
                f"1024^2 {title} {name}",
                {"ours": call, "OpenCV": partial(theirs, pixels, structure)},
                rounds,
                2 * image.size,
            )
            peers = {"DIPlib": partial(grey, peer_image, peer_element), "SciPy": partial(scipy, image, element)}
            row(f"1024^2 {title} {name}", {"ours": call, **peers}, slow)

    def chain() -> object:
        packed = pack(image)
        for _ in range(5):
            packed = dilation(erosion(packed, ball3), ball3)
        return packed

    def chain_cv() -> object:
        result = pixels
        for _ in range(5):
            result = cv2.dilate(cv2.erode(result, structure3), structure3)
        return result

    ball3 = ball(3)
    structure3 = ball3.astype(np.uint8)
    row("1024^2 ten operators, ball 3, packed", {"ours": chain, "OpenCV": chain_cv}, rounds)


def binary_3d(rounds: int, size: int) -> None:
    image = blobs((size,) * 3, 4)
    for radius in (1, 3, 5):
        element = ball(radius, 3)
        calls: Calls = {
            "ours": partial(dilation, image, element),
            "SciPy": partial(ndimage.binary_dilation, image, element),
        }
        row(f"{size}^3 dilation ball {radius}", calls, rounds, 2 * image.size)


def skeletons(rounds: int, slow: int) -> None:
    for shape, scale, count in (((512, 512), 5, rounds), ((128, 128, 128), 4, slow)):
        image = blobs(shape, scale)
        peer = diplib.Image(image)
        calls: Calls = {
            "ours": partial(skeletonize, image),
            "scikit-image": partial(sk.skeletonize, image),
            "DIPlib": partial(diplib.EuclideanSkeleton, peer),
        }
        row(f"skeleton {' x '.join(map(str, shape))}", calls, count)


def unfolded(image: torch.Tensor, offsets: np.ndarray) -> torch.Tensor:
    """Return a copy of the image for every neighbour, [B, C, neighbours, *spatial], as unfold does in 2D."""
    dims = offsets.shape[1]
    padded = torch.nn.functional.pad(image, (1, 1) * dims)
    shifted = []
    for offset in offsets:
        window = tuple(slice(1 + s, 1 + s + n) for s, n in zip(offset, image.shape[-dims:], strict=True))
        shifted.append(padded[(slice(None), slice(None), *window)])
    return torch.stack(shifted, 2)


def unfolded_erosion(image: torch.Tensor, offsets: np.ndarray) -> torch.Tensor:
    return unfolded(image, offsets).prod(2)


def unfolded_skeleton(image: torch.Tensor, iterations: int) -> torch.Tensor:
    """Return a thinning by hit-or-miss templates, four directions in 2D and six in 3D, one after the other.

    A template has a plane of unset pixels on one side and a plane of set ones on the other; in 2D its corner version
    follows. Thinning in 3D needs several times as many: the cost is a lower bound.
    """
    dims = image.ndim - 2
    offsets = np.argwhere(np.ones((3,) * dims)) - 1
    templates = []
    for axis in range(dims):
        for side in (-1, 1):
            across = side * offsets[:, axis]
            others = np.abs(np.delete(offsets, axis, 1)).sum(1)
            templates.append((across == 1, (across == -1) | (others + np.abs(across) == 0)))
            if dims == 2:
                turned = side * offsets[:, 1 - axis] * (1 if axis else -1)
                corner = (across == 1) & (turned >= 0) | (across == 0) & (turned == 1)
                templates.append((corner, (across + turned == -1) & (across * turned == 0) | (others + across**2 == 0)))
    for _ in range(iterations):
        for unset, is_set in templates:
            copies = unfolded(image, offsets)
            factors = torch.cat([1 - copies[:, :, np.flatnonzero(unset)], copies[:, :, np.flatnonzero(is_set)]], 2)
            image = image * (1 - factors.prod(2))
    return image


def peak_memory(call: Callable[[], object]) -> float:
    """Return by how many MiB a call raises the memory of the process at its peak (Linux)."""

    def kilobytes(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = kilobytes("VmRSS")
    call()
    return (kilobytes("VmHWM") - before) / 1024


def pooled_skeleton(image: torch.Tensor, iterations: int) -> torch.Tensor:
    """Return the min/max-pool soft skeleton of clDice (Shit et al., CVPR 2021)."""
    dims = image.ndim - 2
    pool = torch.nn.functional.max_pool2d if dims == 2 else torch.nn.functional.max_pool3d

    def eroded(x: torch.Tensor) -> torch.Tensor:
        result = None
        for axis in range(dims):
            size = [1] * dims
            size[axis] = 3
            thinner = -pool(-x, size, 1, [s // 2 for s in size])
            result = thinner if result is None else torch.minimum(result, thinner)
        assert result is not None
        return result

    def opened(x: torch.Tensor) -> torch.Tensor:
        return pool(eroded(x), 3, 1, 1)

    skeleton = torch.relu(image - opened(image))
    for _ in range(iterations):
        image = eroded(image)
        delta = torch.relu(image - opened(image))
        skeleton = skeleton + torch.relu(delta - skeleton * delta)
    return skeleton


def both_ways(call: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor) -> Callable[[], object]:
    """Return a call that runs an operator forward and backward."""

    def run() -> object:
        image.grad = None
        call(image).sum().backward()
        return image.grad

    return run


def soft(slow: int) -> None:
    for shape, cases in (
        ((4, 1, 256, 256), ((4, 2), (8, 2))),
        ((1, 1, 96, 96, 96), ((6, 3), (26, 3))),
    ):
        image = torch.rand(shape, requires_grad=True)
        dims = len(shape) - 2
        title = " x ".join(map(str, shape))
        for neighbours, _ in cases:
            element = connectivity(neighbours, dims)
            offsets = np.argwhere(element) - 1
            calls: Calls = {
                "ours": both_ways(partial(erosion, footprint=element), image),
                "unfold": both_ways(partial(unfolded_erosion, offsets=offsets), image),
            }
            row(f"soft erosion {neighbours} neighbours, {title}", calls, slow)
        for iterations in (1, 5) if dims == 2 else (1,):
            calls = {
                "ours": both_ways(partial(skeletonize, iterations=iterations, spatial_dims=dims), image),
                "min/max pooling": both_ways(partial(pooled_skeleton, iterations=iterations), image),
            }
            row(f"soft skeleton, {iterations} iterations, {title}", calls, slow)
            slowest = {
                "ours": calls["ours"],
                "unfold": both_ways(partial(unfolded_skeleton, iterations=iterations), image),
            }
            row(f"soft skeleton, {iterations} iterations, {title}", slowest, min(slow, 3))
            memory = {name: peak_memory(call) for name, call in (calls | slowest).items()}
            ours = memory.pop("ours")
            cells = [f"{name} {value:.0f} MiB ({value / ours:.1f}x)" for name, value in memory.items()]
            print(f"| the same, peak memory | {ours:.0f} MiB | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which rows: {', '.join(PARTS)}; by default all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a smaller volume")
    parser.add_argument("--threads", type=int, default=config.NUMBA_NUM_THREADS, help="threads for all who use them")
    options = parser.parse_args()
    if set(options.parts) - set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    parts = options.parts or PARTS
    config.NUMBA_NUM_THREADS = options.threads
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    diplib.SetNumberOfThreads(options.threads)
    rounds, slow = (7, 2) if options.quick else (51, 7)
    print(f"processor {llvmlite.binding.get_host_cpu_name()}, {options.threads} threads; milliseconds; (ratio to ours)")
    if "images" in parts:
        binary_2d(rounds, slow)
    if "volumes" in parts:
        binary_3d(slow, 128 if options.quick else 256)
    if "skeletons" in parts:
        skeletons(rounds, slow)
    if "soft" in parts:
        soft(slow)


if __name__ == "__main__":
    main()
