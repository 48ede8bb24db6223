"""What a dataset asks of a network: the facts that training fixes and prediction needs again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shapewright.errors import InputError

_GRID = 8  # automatic patch sizes are multiples of this, so that three halvings are exact


@dataclass(frozen=True)
class Task:
    """A segmentation task.

    Parameters
    ----------
    spatial_dims
        Rank that the network works in.
    image_dims
        Rank of the images; 3 with ``spatial_dims=2`` means slices of volumes along the first axis.
    channels
        Names of the image channels.
    labels
        Label name to the value in the files; the network's class k is the k-th name, class 0 the background.
    patch_size
        Voxels per axis of the network's input.
    spacing
        Voxel size in mm of prepared images, one per image axis.
    normalise
        How intensities are normalised, see :func:`shapewright.data.preprocess.normalise_intensity`.
    ignore_label
        Label value of voxels whose class is unknown.
    label_sets
        Classes that the further class indices ``classes``, ``classes + 1``, ... of training labels stand for.
    optional_channels
        Whether an image may lack channels, which are then NaN throughout.
    """

    spatial_dims: int
    image_dims: int
    channels: tuple[str, ...]
    labels: dict[str, int]
    patch_size: tuple[int, ...]
    spacing: tuple[float, ...]
    normalise: str = "volume"
    ignore_label: int | None = None
    label_sets: tuple[tuple[int, ...], ...] = ()
    optional_channels: bool = False

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return len(self.labels) + 1

    @property
    def patch_spacing(self) -> tuple[float, ...]:
        """Voxel size in mm of a patch."""
        return self.spacing[-self.spatial_dims :]


def choose_spacing(spacings: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the median voxel size of a dataset.

    Examples
    --------
    >>> choose_spacing([(3.0, 1.0), (3.0, 1.0), (1.0, 1.0)])
    (3.0, 1.0)
    """
    median = np.median(np.array(spacings, dtype=float), axis=0)
    return tuple(round(float(value), 6) for value in median)


def choose_patch_size(
    shapes: Sequence[tuple[int, ...]], *, spatial_dims: int, max_voxels: int, given: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return a patch that holds the median image, shrunk along its longest axes to ``max_voxels``.

    Parameters
    ----------
    shapes
        Shapes of the prepared images.
    spatial_dims
        How many trailing axes the network sees.
    max_voxels
        Upper bound on the number of voxels.
    given
        A size chosen by the user, checked and returned.

    Raises
    ------
    InputError
        ``given`` has the wrong number of axes or a size below 8.

    Examples
    --------
    >>> choose_patch_size([(36, 50, 35)], spatial_dims=3, max_voxels=160_000)
    (40, 56, 40)
    >>> choose_patch_size([(512, 512)], spatial_dims=2, max_voxels=65_536)
    (256, 256)
    """
    if given is not None:
        if len(given) != spatial_dims or min(given) < _GRID:
            raise InputError(
                f"prepare.patch_size must have {spatial_dims} values of at least {_GRID} voxels; got {tuple(given)}"
            )
        return tuple(int(size) for size in given)
    median = np.median(np.array([shape[-spatial_dims:] for shape in shapes]), axis=0)
    patch = [max(int(-(-size // _GRID)) * _GRID, _GRID) for size in median]
    while np.prod(patch) > max_voxels and max(patch) > _GRID:
        patch[int(np.argmax(patch))] -= _GRID
    return tuple(patch)
