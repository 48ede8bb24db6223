import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import measure

from shapewright.errors import InputError
from shapewright.geometry import betti_numbers, euler_number

GRID = np.stack(np.mgrid[-16:17, -16:17, -16:17])
RADIUS = np.sqrt((GRID**2).sum(axis=0))


def torus(axis=0, shift=0, major=7, minor=2.2):
    along, across, other = np.roll(GRID, -axis, axis=0)
    return (np.hypot(np.hypot(across - shift, other) - major, along)) < minor


SHAPES = {
    "ball": (RADIUS < 8, (1, 0, 0)),
    "shell": ((RADIUS < 12) & (RADIUS > 8), (1, 0, 1)),
    "torus": (torus(), (1, 1, 0)),
    "two linked rings": (torus(axis=0, shift=-7) | torus(axis=2, shift=0), (2, 2, 0)),
    "shell with a ball inside": ((RADIUS < 4) | ((RADIUS < 12) & (RADIUS > 8)), (2, 0, 1)),
    "hollow torus": (torus(major=9, minor=5) & ~torus(major=9, minor=2), (1, 2, 1)),
    "ball with two tunnels": (
        (RADIUS < 12) & (np.hypot(GRID[1] - 5, GRID[2]) > 2) & (np.hypot(GRID[1] + 5, GRID[2]) > 2),
        (1, 2, 0),
    ),
    "full": (np.ones((3, 4, 5), bool), (1, 0, 0)),
    "empty": (np.zeros((3, 4, 5), bool), (0, 0, 0)),
    "single voxel": (np.ones((1, 1, 1), bool), (1, 0, 0)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("connectivity", [6, 26])
def test_known_shapes(name, connectivity):
    mask, expected = SHAPES[name]
    assert tuple(betti_numbers(mask, connectivity=connectivity)) == expected
    assert euler_number(mask, connectivity=connectivity) == expected[0] - expected[1] + expected[2]


def test_the_linked_rings_are_linked_and_apart():
    one, other = torus(axis=0, shift=-7), torus(axis=2, shift=0)
    assert not (ndimage.binary_dilation(one, np.ones((3, 3, 3))) & other).any()


def test_two_dimensional_shapes():
    disk = np.hypot(*np.mgrid[-9:10, -9:10]) < 8
    annulus = disk & (np.hypot(*np.mgrid[-9:10, -9:10]) > 4)
    assert tuple(betti_numbers(disk)) == (1, 0)
    assert tuple(betti_numbers(annulus)) == (1, 1)
    diagonal = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    assert tuple(betti_numbers(diagonal, connectivity=8)) == (1, 1)
    assert tuple(betti_numbers(diagonal, connectivity=4)) == (4, 0)


def euler_of_cubes(mask):
    """Vertices - edges + faces - solids of the union of closed pixels, by listing them."""
    cells = set()
    for pixel in np.argwhere(mask):
        # On the doubled grid a pixel is at odd coordinates and its faces, edges and vertices around it.
        for offset in itertools.product((-1, 0, 1), repeat=mask.ndim):
            cells.add(tuple((2 * pixel + 1 + offset).tolist()))
    return sum((-1) ** sum(c % 2 for c in cell) for cell in cells)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 7), (1, 5, 4), (5, 6, 4), (4, 1, 1)])
def test_random_masks(shape):
    rng = np.random.default_rng(0)
    smallest, largest = {2: (4, 8), 3: (6, 26)}[len(shape)]
    for density in (0.2, 0.5, 0.8, 1.0):
        mask = rng.random(shape) < density
        assert euler_number(mask) == euler_of_cubes(mask)
        assert euler_number(mask) == measure.euler_number(mask, len(shape))
        assert euler_number(mask, connectivity=smallest) == measure.euler_number(mask, 1)
        for connectivity in (smallest, largest):
            numbers = betti_numbers(mask, connectivity=connectivity)
            assert (numbers >= 0).all()
            # Euler-Poincaré; in 2D it checks the labelling, in 3D the sign of the tunnels is what can fail.
            assert sum((-1) ** k * b for k, b in enumerate(numbers)) == euler_number(mask, connectivity=connectivity)


def betti_by_matrices(mask):
    """Betti numbers over the rationals: ranks of the boundary matrices of the union of closed pixels."""
    dims = mask.ndim
    cells: list[set] = [set() for _ in range(dims + 1)]
    for pixel in np.argwhere(mask):
        for offset in itertools.product((-1, 0, 1), repeat=dims):
            cell = tuple((2 * pixel + 1 + offset).tolist())
            cells[sum(c % 2 for c in cell)].add(cell)
    index = [{cell: i for i, cell in enumerate(sorted(group))} for group in cells]
    ranks = [0]
    for k in range(1, dims + 1):
        matrix = np.zeros((len(index[k - 1]), len(index[k])))
        for cell, column in index[k].items():
            sign = 1
            for axis in range(dims):
                if cell[axis] % 2:
                    for side in (-1, 1):
                        face = (*cell[:axis], cell[axis] + side, *cell[axis + 1 :])
                        matrix[index[k - 1][face], column] += sign * side
                    sign = -sign
        ranks.append(int(np.linalg.matrix_rank(matrix)) if matrix.size else 0)
    ranks.append(0)
    return tuple(len(index[k]) - ranks[k] - ranks[k + 1] for k in range(dims))


@pytest.mark.parametrize("shape", [(4, 5), (5, 5), (3, 3, 3), (2, 3, 4)])
def test_equals_homology_by_linear_algebra(shape):
    rng = np.random.default_rng(1)
    for density in (0.3, 0.5, 0.7, 0.9):
        mask = rng.random(shape) < density
        assert tuple(betti_numbers(mask)) == betti_by_matrices(mask)


def test_batches_and_tensors():
    masks = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(0)) < 0.6
    numbers, eulers = betti_numbers(masks, spatial_dims=2), euler_number(masks, spatial_dims=2)
    assert isinstance(numbers, torch.Tensor)
    assert numbers.shape == (2, 3, 2)
    assert eulers.shape == (2, 3)
    assert torch.equal(numbers[..., 0] - numbers[..., 1], eulers)
    assert torch.equal(numbers[1, 2], betti_numbers(masks[1, 2]))
    assert euler_number(masks[0, 0]).shape == ()


def test_errors():
    with pytest.raises(InputError, match="6 or 26"):
        euler_number(np.ones((2, 2, 2), bool), connectivity=18)
    with pytest.raises(InputError, match="6 or 26"):
        betti_numbers(np.ones((2, 2, 2), bool), connectivity=18)
    with pytest.raises(InputError, match="4, 8"):
        euler_number(np.ones((2, 2), bool), connectivity=26)
