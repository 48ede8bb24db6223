"""Elastic deformation of training patches."""

from typing import TYPE_CHECKING

import numpy as np

from shapewright.errors import check_number

if TYPE_CHECKING:
    from torch import Tensor


def deform_elastically(
    batch: "dict[str, Tensor]", random: np.random.Generator, *, displacement: float = 6.0, smoothness: float = 10.0
) -> "dict[str, Tensor]":
    """Move the pixels of every patch along a smooth random field.

    Parameters
    ----------
    batch
        ``image`` ``[B, C, *spatial]`` and other entries of the same spatial size; floating-point entries are
        interpolated linearly, all others by nearest neighbour. Distance maps do not stay exact.
    random
        Source of the fields, one per patch.
    displacement
        Standard deviation of the displacement along each axis in pixels.
    smoothness
        Standard deviation in pixels of the Gaussian that smooths the field; 10, as in the U-Net's paper (whose grid of
        3 x 3 vectors with 10 pixels of displacement is about as smooth).

    Returns
    -------
    dict
        The deformed batch; the input is unchanged.

    References
    ----------
    Simard et al., ICDAR 2003; Ronneberger et al., MICCAI 2015.

    Examples
    --------
    >>> import torch
    >>> batch = {"image": torch.rand(2, 1, 32, 32), "labels": torch.ones(2, 32, 32, dtype=torch.int64)}
    >>> deformed = deform_elastically(batch, np.random.default_rng(0))
    >>> deformed["image"].shape, deformed["labels"].dtype
    (torch.Size([2, 1, 32, 32]), torch.int64)
    """
    import torch
    from scipy import ndimage
    from torch.nn import functional

    check_number("displacement", displacement, minimum=0)
    check_number("smoothness", smoothness, above=0)
    count, _, *shape = batch["image"].shape
    grids = []
    for _ in range(count):
        field = np.stack(
            [ndimage.gaussian_filter(random.standard_normal(shape), smoothness, mode="wrap") for _ in shape]
        )
        field *= displacement / field.std(axis=tuple(range(1, field.ndim)), keepdims=True).clip(1e-12)
        places = np.indices(shape) + field
        # grid_sample counts from -1 to 1 and axes from the last.
        scaled = [2 * (axis + 0.5) / size - 1 for axis, size in zip(places, shape, strict=True)]
        grids.append(np.stack(scaled[::-1], axis=-1))
    grid = torch.from_numpy(np.stack(grids)).float()
    result = {}
    for name, tensor in batch.items():
        flat = tensor.reshape(count, -1, *shape)
        mode = "bilinear" if tensor.is_floating_point() else "nearest"
        moved = functional.grid_sample(flat.float(), grid, mode=mode, padding_mode="border", align_corners=False)
        result[name] = moved.to(tensor.dtype).reshape(tensor.shape)
    return result
