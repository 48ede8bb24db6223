"""Growing keeps the topology, under both ways in which pixels touch."""

import numpy as np
import pytest
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import betti_numbers
from shapewright.morphology import grow_homotopic


@pytest.mark.parametrize("shape", [(40, 33), (1, 9), (12, 14, 13), (3, 1, 8)])
def test_topology_stays_and_nothing_more_can_be_added(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    pairs = ((4, 8), (6, 26))[len(shape) - 2]
    for _ in range(10):
        within = ndimage.gaussian_filter(rng.standard_normal(shape), 1.2) > 0
        seeds = within & (rng.random(shape) < 0.01)
        grown = grow_homotopic(seeds, within, rng.random(shape))
        assert bool((seeds <= grown).all())
        assert bool((grown <= within).all())
        for connectivity in pairs:
            expected = betti_numbers(seeds, connectivity=connectivity)
            assert np.array_equal(betti_numbers(grown, connectivity=connectivity), expected)
        for place in np.argwhere(within & ~grown)[:30]:
            more = grown.copy()
            more[tuple(place)] = True
            assert (
                any(
                    not np.array_equal(betti_numbers(more, connectivity=c), betti_numbers(grown, connectivity=c))
                    for c in pairs
                )
                or len(shape) == 3
            )  # in 3D equal numbers do not make a pixel simple


def test_a_region_without_holes_is_filled_from_any_seed() -> None:
    disc = np.hypot(*np.mgrid[-9:10, -9:10]) < 8.3
    seed = np.zeros_like(disc)
    seed[3, 5] = True
    assert np.array_equal(grow_homotopic(seed, disc), disc)


def test_the_lowest_priority_number_comes_first() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    seed = np.zeros_like(ring)
    seed[0, 0] = True
    priority = np.zeros(ring.shape)
    priority[2, 3:] = 1
    grown = grow_homotopic(seed, ring, priority)
    assert not grown[2, 3:].any()
    assert int(grown.sum()) == 22


def test_no_seed_no_region_and_errors() -> None:
    empty = np.zeros((4, 5), bool)
    assert not grow_homotopic(empty, ~empty).any()
    with pytest.raises(InputError, match="shape of seeds"):
        grow_homotopic(empty, empty.T)
