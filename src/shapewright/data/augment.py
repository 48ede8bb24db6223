"""Random changes of training batches: parameters are drawn in one place and applied in another.

A :class:`BatchAugmentation` draws one :class:`PatchChange` per patch from a NumPy generator and applies them. Signed
distance maps follow the image exactly under rotation and mirroring, and are multiplied by the zoom under scaling, so
maps that were computed once on the whole volume stay valid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PatchChange:
    """What happens to one patch.

    Parameters
    ----------
    mirror
        Spatial axes to reverse.
    matrix
        Rotation and scaling from output to input positions in mm about the patch's centre; None leaves the grid.
    zoom
        Size of an object after the change relative to before.
    contrast, brightness, gamma, noise
        The image v becomes ``contrast * v ** gamma + brightness`` on its own range, plus normal noise.
    """

    mirror: tuple[int, ...] = ()
    matrix: NDArray[np.float64] | None = None
    zoom: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    gamma: float = 1.0
    noise: float = 0.0


@dataclass(frozen=True)
class BatchAugmentation:
    """Mirror, rotate, scale and re-expose the patches of a batch.

    Parameters
    ----------
    spacing
        Voxel size in mm per spatial axis of the patches; rotations are rotations in space, not in the voxel grid.
    flip
        Axes that may be mirrored, each with probability 1/2.
    rotate
        Largest rotation in degrees.
    scale
        Largest relative change of size.
    spatial
        Probability that a patch is rotated and scaled.
    intensity
        Strength of intensity changes; each kind happens with probability ``0.15 * intensity`` up to 1/2.

    Examples
    --------
    >>> import torch
    >>> augmentation = BatchAugmentation(spacing=(1.0, 1.0), flip=(1,), spatial=1.0)
    >>> batch = {"image": torch.rand(2, 1, 8, 9), "labels": torch.zeros(2, 8, 9, dtype=torch.int64)}
    >>> augmentation(batch, np.random.default_rng(0))["image"].shape
    torch.Size([2, 1, 8, 9])
    """

    spacing: tuple[float, ...]
    flip: tuple[int, ...] = ()
    rotate: float = 15.0
    scale: float = 0.15
    spatial: float = 0.3
    intensity: float = 1.0

    def draw(self, random: np.random.Generator) -> PatchChange:
        """Draw the change of one patch."""
        mirror = tuple(axis for axis in self.flip if random.random() < 0.5)
        matrix, zoom = None, 1.0
        if random.random() < self.spatial:
            zoom = 1.0 + random.uniform(-self.scale, self.scale)
            matrix = _rotation(random, len(self.spacing), np.deg2rad(self.rotate)) / zoom
        chance = min(0.15 * self.intensity, 0.5)
        strength = 1.0 if self.intensity > 0 else 0.0
        return PatchChange(
            mirror=mirror,
            matrix=matrix,
            zoom=zoom,
            contrast=random.uniform(0.75, 1.25) if random.random() < chance else 1.0,
            brightness=random.normal(0, 0.1) * strength if random.random() < chance else 0.0,
            gamma=random.uniform(0.7, 1.5) if random.random() < chance else 1.0,
            noise=random.uniform(0, 0.15) if random.random() < chance else 0.0,
        )

    def __call__(self, batch: "dict[str, Tensor]", random: np.random.Generator) -> "dict[str, Tensor]":
        """Return the changed batch.

        Parameters
        ----------
        batch
            ``image`` [B, C, *spatial] float; ``labels`` [B, *spatial] int64; optional ``mask`` [B, 1, *spatial] bool;
            other entries are signed distances in mm, [B, N, *spatial] float, class indices, [B, N, *spatial] of
            integers, or facts about the case, [B, N], which stay as they are.
        random
            Source of all random numbers.
        """
        changes = [self.draw(random) for _ in range(batch["image"].shape[0])]
        changed = {name: tensor.clone() for name, tensor in batch.items()}
        for index, change in enumerate(changes):
            patch = {name: tensor[index] for name, tensor in changed.items()}
            for name, tensor in apply_change(patch, change, self.spacing, random).items():
                changed[name][index] = tensor
        return changed


def apply_change(
    patch: "dict[str, Tensor]", change: PatchChange, spacing: Sequence[float], random: np.random.Generator
) -> "dict[str, Tensor]":
    """Apply one change to one patch (entries as in a batch, without the first axis)."""
    facts = {name: tensor for name, tensor in patch.items() if tensor.ndim < len(spacing)}
    patch = {name: tensor for name, tensor in patch.items() if name not in facts}
    if change.mirror:
        patch = {
            name: tensor.flip([axis + tensor.ndim - len(spacing) for axis in change.mirror])
            for name, tensor in patch.items()
        }
    if change.matrix is not None:
        patch = _resample(patch, change.matrix, change.zoom, spacing)
    patch["image"] = _expose(patch["image"], change, random)
    return patch | facts


def _rotation(random: np.random.Generator, dims: int, limit: float) -> NDArray[np.float64]:
    """Return a random rotation matrix; in 3D the product of one rotation about each axis."""
    matrix = np.eye(dims)
    planes = [(0, 1)] if dims == 2 else [(1, 2), (0, 2), (0, 1)]
    for first, second in planes:
        angle = random.uniform(-limit, limit)
        turn = np.eye(dims)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _resample(
    patch: "dict[str, Tensor]", matrix: NDArray[np.float64], zoom: float, spacing: Sequence[float]
) -> "dict[str, Tensor]":
    """Resample a patch: images and distances linearly, labels and masks by nearest neighbour, edges repeated."""
    import torch
    from torch.nn import functional

    shape = patch["image"].shape[1:]
    half_extent = np.array(spacing) * np.array(shape) / 2
    normalised = matrix * half_extent[None, :] / half_extent[:, None]
    # grid_sample counts axes from the last (x, y, z), arrays from the first.
    theta = np.concatenate([normalised[::-1, ::-1], np.zeros((len(shape), 1))], axis=1)
    grid = functional.affine_grid(torch.tensor(theta[None], dtype=torch.float32), [1, 1, *shape], align_corners=False)

    linear = [name for name, tensor in patch.items() if tensor.is_floating_point()]
    nearest = [name for name in patch if name not in linear]
    result = {}
    for names, mode in ((linear, "bilinear"), (nearest, "nearest")):
        stacked = torch.cat([patch[name].reshape(-1, *shape).float() for name in names])
        warped = functional.grid_sample(stacked[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]
        parts = torch.split(warped, [patch[name].reshape(-1, *shape).shape[0] for name in names])
        for name, part in zip(names, parts, strict=True):
            result[name] = part.reshape(patch[name].shape).to(patch[name].dtype)
    for name in linear:
        if name != "image":
            result[name] = result[name] * zoom
    return result


def _expose(image: "Tensor", change: PatchChange, random: np.random.Generator) -> "Tensor":
    """Change contrast, brightness, gamma and noise of an image [C, *spatial], except of missing channels, NaN."""
    import torch

    there = ~image.flatten(1).isnan().any(dim=1)
    if not there.all():
        result = torch.full_like(image, torch.nan)
        result[there] = _expose(image[there], change, random)
        return result
    if change.gamma != 1.0:
        low, high = image.amin(), image.amax()
        span = (high - low).clamp_min(1e-6)
        image = ((image - low) / span).pow(change.gamma) * span + low
    if change.contrast != 1.0 or change.brightness != 0.0:
        image = (image - image.mean()) * change.contrast + image.mean() + change.brightness
    if change.noise > 0.0:
        noise = random.standard_normal(tuple(image.shape), dtype=np.float32) * change.noise
        image = image + torch.from_numpy(noise)
    return image
