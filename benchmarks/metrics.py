"""Surface metrics and connected components beside their peers, interleaved in one process: medians and ratios.

Usage: ``python benchmarks/metrics.py [--quick] [--threads 1]``. Peers that are not installed are left out.
"""

import argparse
import contextlib
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from numba.core import config
from numpy.typing import NDArray
from scipy import ndimage

from shapewright import geometry, metrics

SPACING = (2.0, 1.0, 1.0)
Calls = dict[str, Callable[[], object]]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def blobs(shape: tuple[int, ...], seed: int, smooth: float = 3.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), smooth)


def label_pair(size: int, labels: int = 5) -> list[Labels]:
    """Five nested ellipsoid parts with bumpy walls, and the same with other bumps: a plausible prediction."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij")
    radius = np.sqrt(sum((a / s) ** 2 for a, s in zip(axes, (0.75, 0.85, 0.95), strict=True)))
    angle = np.arctan2(axes[1], axes[2])
    pair = []
    for seed in (0, 1):
        bumps = blobs((size,) * 3, seed, size / 40)
        inside = radius + 0.03 * bumps / bumps.std() < 0.9
        sector = np.clip(((angle + 0.02 * bumps / bumps.std()) / (2 * np.pi) + 0.5) * labels, 0, labels - 0.01)
        pair.append(np.where(inside, 1 + sector.astype(np.uint8), 0).astype(np.uint8))
    return pair


def interleaved(title: str, calls: Calls, repeats: int) -> None:
    """Time all calls in turn, several times round, and print medians and ratios to the first."""
    for call in calls.values():
        call()  # compilation and warm caches are not measured
    wall: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start, cpu = time.perf_counter(), time.process_time()
            call()
            wall[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - cpu)
    print(f"\n{title:40s} {'median':>10s} {'ratio':>8s} {'CPU':>10s} {'ratio':>8s}")
    first = next(iter(calls))
    for name in calls:
        median, cpu = statistics.median(wall[name]), statistics.median(processor[name])
        ratios = median / statistics.median(wall[first]), cpu / statistics.median(processor[first])
        print(f"  {name:38s} {median * 1e3:7.2f} ms {ratios[0]:8.2f} {cpu * 1e3:7.2f} ms {ratios[1]:8.2f}")


def surface_calls(pred: Labels, truth: Labels) -> Calls:
    labels = range(1, int(truth.max()) + 1)

    def ours() -> object:
        found = [metrics.surface_distances(pred == k, truth == k, spacing=SPACING) for k in labels]
        return [(d.hausdorff(95), d.average(), d.surface_dice(1.0)) for d in found]

    calls: Calls = {
        "shapewright: HD95, ASSD, NSD": ours,
        "shapewright.evaluate: all ten metrics": lambda: metrics.evaluate(pred, truth, spacing=SPACING),
    }
    with contextlib.suppress(ImportError):
        calls["MONAI: HD95, ASSD, NSD"] = monai_call(pred, truth, len(labels))
    with contextlib.suppress(ImportError):
        import surface_distance as peer

        def surface_distance() -> object:
            found = [peer.compute_surface_distances(truth == k, pred == k, SPACING) for k in labels]
            return [
                (
                    peer.compute_robust_hausdorff(d, 95),
                    peer.compute_average_surface_distance(d),
                    peer.compute_surface_dice_at_tolerance(d, 1.0),
                )
                for d in found
            ]

        calls["surface-distance: HD95, ASSD, NSD"] = surface_distance
    with contextlib.suppress(ImportError):
        from medpy.metric import binary

        calls["MedPy: HD95, ASSD"] = lambda: [
            (binary.hd95(pred == k, truth == k, SPACING), binary.assd(pred == k, truth == k, SPACING)) for k in labels
        ]
    return calls


def monai_call(pred: Labels, truth: Labels, labels: int) -> Callable[[], object]:
    import torch
    from monai import metrics as monai

    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    one_hot = [torch.from_numpy(np.stack([m == k for k in range(labels + 1)]))[None] for m in (pred, truth)]

    def call() -> object:
        return (
            monai.compute_hausdorff_distance(*one_hot, percentile=95, spacing=SPACING),
            monai.compute_average_surface_distance(*one_hot, symmetric=True, spacing=SPACING),
            monai.compute_surface_dice(*one_hot, class_thresholds=[1.0] * labels, spacing=SPACING),
        )

    return call


def component_calls(mask: Mask) -> Calls:
    connectivity = {2: 8, 3: 26}[mask.ndim]
    full = np.ones((3,) * mask.ndim)
    calls: Calls = {
        "shapewright": lambda: geometry.connected_components(mask, connectivity=connectivity),
        "SciPy": lambda: ndimage.label(mask, full),
    }
    with contextlib.suppress(ImportError):
        import cc3d

        calls["cc3d"] = lambda: cc3d.connected_components(mask, connectivity=connectivity, return_N=True)
    if mask.ndim == 2:
        with contextlib.suppress(ImportError):
            import cv2

            calls["OpenCV"] = lambda: cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small images, in seconds")
    parser.add_argument("--threads", type=int, default=1, help="of Numba; the peers use one")
    options = parser.parse_args()
    config.NUMBA_NUM_THREADS = options.threads
    size = 64 if options.quick else 256
    interleaved(f"Surface metrics, {size}^3, 5 labels", surface_calls(*label_pair(size)), repeats=3)
    for shape in [(512, 512), (1024, 1024), (128,) * 3, *([] if options.quick else [(256,) * 3])]:
        for kind, mask in {"blobs": blobs(shape, 0) > 0, "noise": np.random.default_rng(0).random(shape) < 0.3}.items():
            interleaved(f"Components, {' x '.join(map(str, shape))}, {kind}", component_calls(mask), repeats=9)


if __name__ == "__main__":
    main()
