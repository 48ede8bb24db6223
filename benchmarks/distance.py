"""Distance transforms beside their peers, interleaved in one process with equal threads.

Usage: ``python benchmarks/distance.py [--quick] [--threads 1] [--only TEXT] [--json PATH]``.

Each row gives the median time of this library in ms, how many times longer each peer takes (above 1: this library is
faster), and as ``bound`` the part of the time in which memory alone could read the mask and write the result. Peers
that are not installed are left out. SciPy always uses one thread.
"""

import argparse
import contextlib
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba.core import config
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.geometry import class_distance_maps, distance_transform, signed_distance

Calls = dict[str, Callable[[], object]]
Mask = NDArray[np.bool_]


def masks(shape: tuple[int, ...]) -> Iterator[tuple[str, Mask]]:
    """Half foreground in round blobs; scattered background pixels; scattered foreground pixels."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(shape, dtype=np.float32)
    yield "blobs", ndimage.gaussian_filter(noise, 8 if len(shape) == 2 else 4) > 0
    yield "sparse background", rng.random(shape) > 1e-3
    yield "sparse foreground", rng.random(shape) < 1e-3


def peers(threads: int) -> dict[str, Any]:
    """The peers that are installed, set to the number of threads."""
    found = {}
    for name in ("cv2", "edt", "diplib", "SimpleITK"):
        with contextlib.suppress(ImportError):
            found[name] = importlib.import_module(name)
    if "cv2" in found:
        found["cv2"].setNumThreads(threads)
    if "diplib" in found:
        found["diplib"].SetNumberOfThreads(threads)
    if "SimpleITK" in found:
        found["SimpleITK"].ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    return found


def euclidean(mask: Mask, found: dict[str, Any], threads: int) -> Calls:
    calls: Calls = {"ours": lambda: distance_transform(mask)}
    byte = mask.astype(np.uint8)
    if "diplib" in found:
        picture = found["diplib"].Image(mask)
        calls["DIPlib"] = lambda: found["diplib"].EuclideanDistanceTransform(picture, "object")
    if "edt" in found:
        calls["edt"] = lambda: found["edt"].edt(mask, parallel=threads)
    if "cv2" in found and mask.ndim == 2:
        cv2 = found["cv2"]
        calls["OpenCV"] = lambda: cv2.distanceTransform(byte, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if "SimpleITK" in found:
        itk = found["SimpleITK"]
        image = itk.GetImageFromArray(byte)
        calls["SimpleITK"] = lambda: itk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=False)
    calls["SciPy"] = lambda: ndimage.distance_transform_edt(mask)
    return calls


def chebyshev(mask: Mask, found: dict[str, Any], threads: int) -> Calls:
    del threads  # these peers have one thread
    calls: Calls = {"ours": lambda: distance_transform(mask, metric="chebyshev")}
    byte = mask.astype(np.uint8)
    if "cv2" in found and mask.ndim == 2:
        calls["OpenCV"] = lambda: found["cv2"].distanceTransform(byte, found["cv2"].DIST_C, 3)
    calls["SciPy"] = lambda: ndimage.distance_transform_cdt(mask)
    return calls


def signed(mask: Mask, found: dict[str, Any], threads: int) -> Calls:
    calls: Calls = {"ours": lambda: signed_distance(mask, convention="plain")}
    if "edt" in found:
        calls["edt"] = lambda: found["edt"].sdf(mask, parallel=threads)
    calls["SciPy"] = lambda: ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    return calls


def training_batch(found: dict[str, Any], threads: int) -> Calls:
    """Signed distances of three classes in four small volumes, as a training step needs them."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((4, 40, 56, 40)), (0, 4, 4, 4))
    labels = np.digitize(noise, [0.02, 0.03])

    def one_by_one(signed_map: Callable[[Mask], NDArray[Any]]) -> object:
        return [[signed_map(image == k) for k in range(3)] for image in labels]

    calls: Calls = {"ours": lambda: class_distance_maps(labels, 3, spatial_dims=3)}
    if "edt" in found:
        calls["edt"] = lambda: one_by_one(lambda mask: found["edt"].sdf(mask, parallel=threads))
    transform = ndimage.distance_transform_edt
    calls["SciPy"] = lambda: one_by_one(lambda mask: transform(~mask) - transform(mask))
    return calls


def medians(calls: Calls, seconds: float, clock: Callable[[], float]) -> dict[str, float]:
    """Median time of each call in ms: all in turn, at least 3 and at most 25 rounds, until the seconds are used up."""
    for call in calls.values():
        call()  # compilation and warm caches are not measured
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while len(times["ours"]) < 3 or (time.perf_counter() < end and len(times["ours"]) < 25):
        for name, call in calls.items():
            start = clock()
            call()
            times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of every library but SciPy")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each row")
    parser.add_argument("--cpu", action="store_true", help="processor time, not wall time: for a busy machine")
    parser.add_argument("--only", default="", help="only the rows whose title contains this")
    parser.add_argument("--quick", action="store_true", help="without the largest volume")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    config.NUMBA_NUM_THREADS = options.threads
    found = peers(options.threads)
    names = ["DIPlib", "edt", "OpenCV", "SimpleITK", "SciPy"]
    print(f"{'':48s}{'ours, ms':>10s}{'bound':>8s}" + "".join(f"{name:>11s}" for name in names))
    results = []

    def report(title: str, calls: Calls, pixels: int, voxel_bytes: int) -> None:
        if options.only not in title:
            return
        source, target = np.zeros(pixels * voxel_bytes, np.uint8), np.ones(pixels * 4, np.uint8)
        calls["memory"] = lambda: (np.copyto(target[: len(source)], source), target.fill(0))
        times = medians(calls, options.seconds, time.process_time if options.cpu else time.perf_counter)
        results.append({"case": title, "threads": options.threads, "milliseconds": times})
        ratios = [f"{times[name] / times['ours']:10.1f}x" if name in times else f"{'':11s}" for name in names]
        print(f"{title:48s}{times['ours']:10.2f}{times['memory'] / times['ours']:7.0%} " + "".join(ratios), flush=True)

    shapes = [(512, 512), (1024, 1024), (128, 128, 128), (256, 256, 256)]
    for shape in shapes[: 3 if options.quick else 4]:
        for kind, mask in masks(shape):
            for operator in (euclidean, chebyshev, signed):
                title = f"{operator.__name__}, {' x '.join(map(str, shape))}, {kind}"
                report(title, operator(mask, found, options.threads), mask.size, 1)
    report("class maps, 4 x 40 x 56 x 40, 3 classes", training_batch(found, options.threads), 3 * 4 * 40 * 56 * 40, 3)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
