"""A network of set operators beside the program that it becomes, on the same processor, calls interleaved.

    python benchmarks/bimonn.py [--threads N]

Times are in milliseconds for a batch of binary images. The network is the float one in PyTorch, without gradients; the
program runs from boolean arrays to boolean arrays, packing and unpacking included. Both results are compared first:
they agree on every pixel.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numba.core import config

from shapewright.morphology import ball, line
from shapewright.networks import BiMoNN, binarize
from shapewright.simulate import Diskorect

IDENTITY = np.ones((1, 1), bool)


def opening(element: np.ndarray) -> BiMoNN:
    network = BiMoNN((1, 1, 1), max(element.shape))
    for layer, operator in zip(network.layers, ("erosion", "dilation"), strict=True):
        layer.bise.set_operator(0, operator, element)
        layer.lui.set_operator(0, "union")
    return network


def white_tophat(element: np.ndarray) -> BiMoNN:
    network = BiMoNN((1, 2, 1), max(element.shape))
    first, second = network.layers
    first.bise.set_operator(0, "dilation", IDENTITY)
    first.bise.set_operator(1, "erosion", element)
    for unit in range(2):
        first.lui.set_operator(unit, "union")
    second.bise.set_operator(0, "dilation", IDENTITY)
    second.bise.set_operator(1, "anti_dilation", element)
    second.lui.set_operator(0, "intersection")
    return network


def interleaved(*calls: Callable[[], object], rounds: int = 7) -> list[float]:
    """Return the median time of each call in milliseconds, taken in turns so that all see the same load."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            kept.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(kept) for kept in times]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    config.NUMBA_NUM_THREADS = threads
    print(f"{threads} thread(s)\n")
    print(f"{'network':<28}{'images':>16}{'network, ms':>14}{'program, ms':>14}{'ratio':>8}")
    for shape, count in (((50, 50), 64), ((512, 512), 4)):
        images = Diskorect(shape=shape, shapes=20 * shape[0] // 50).generate(count, seed=0)[:, None]
        floating = torch.from_numpy(images).float()
        for name, network in (
            ("opening, ball(3)", opening(ball(3))),
            ("white top-hat, ball(3)", white_tophat(ball(3))),
            ("opening, line(21)", opening(line(21))),
        ):
            exact = binarize(network)
            assert exact.exact
            program = exact.simplified()
            np.testing.assert_array_equal((network(floating) > 0.5).numpy(), program(images))
            slow, fast = interleaved(partial(network, floating), partial(program, images))
            size = f"{count} x {shape[0]} x {shape[1]}"
            print(f"{name:<28}{size:>16}{slow:>14.2f}{fast:>14.3f}{slow / fast:>7.0f}x", flush=True)


if __name__ == "__main__":
    main()
