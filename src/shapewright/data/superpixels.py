"""Superpixels as an augmentation: texture goes, boundaries of regions stay, labels are untouched.

:func:`superpixelise` replaces every pixel by the mean of its SLIC cell. :class:`SuperpixelPairs` doubles a batch: every
patch once as it is and once superpixelised.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_numpy, check_spacing, same_kind
from shapewright.errors import InputError, check_number, unknown

if TYPE_CHECKING:
    from torch import Tensor

Smoothing = Literal["superpixels", "blur"]
SMOOTHINGS = ("superpixels", "blur")
CELL_SIZES: dict[int, tuple[int, int]] = {2: (18, 46), 3: (66, 131)}
"""Fewest and most pixels of a cell by rank: the paper's 800 to 2000 cells on 192 x 192 pixels, 2000 to 4000 on 64^3."""


def superpixelise(
    image: Array,
    *,
    cell_size: float | None = None,
    cells: int | None = None,
    compactness: float = 20.0,
    spacing: tuple[float, ...] | None = None,
    colour: bool = False,
) -> tuple[Array, Array]:
    """Replace every pixel by the mean of its superpixel.

    Parameters
    ----------
    image
        ``[C, *spatial]``, 2D or 3D; any real type, kept. Integers are rounded.
    cell_size
        Wanted pixels (voxels) per cell; below the smallest object's size, so that cells follow its boundary. The
        default is the middle of the paper's range, 26 in 2D and 87 in 3D. 1 or less returns the image itself.
    cells
        Wanted number of cells instead. SLIC starts from a grid and returns a number near it (729 for 800). 1 is the
        mean image.
    compactness
        How much nearness counts against likeness, in units of CIELAB, where lightness goes from 0 to 100. 20 is the
        default of SLIC's authors. Without ``colour`` the image's own range counts as 0 to 100, so that the value means
        the same for grey and for colour images of any scale.
    spacing
        Pixel size in mm per spatial axis; cells are compact in mm. Default 1.
    colour
        The three channels are red, green and blue; likeness is then measured in CIELAB.

    Returns
    -------
    tuple
        The image, and the number of every pixel's cell ``[*spatial]`` (int64, from 0). Means of cells are those of the
        image, so the image's own mean is kept.

    Raises
    ------
    InputError
        An image without 2 or 3 spatial axes, without pixels or with values that are not finite; both or neither kind
        of size given where one is wanted; a size, compactness or spacing that is not positive; ``colour`` without three
        channels.

    Notes
    -----
    *Convention*: ``skimage.segmentation.slic(image, n_segments, compactness / 100, channel_axis=0, convert2lab=False)``
    for grey images; with the compactness of 20 that is usual for colour, that function cuts a grey image into an almost
    regular grid, because it rescales every image to the range 0 to 1. A constant image comes back as it is.
    Mirroring before and after differ a little: the grid that SLIC starts from is not symmetric.

    References
    ----------
    Zhang et al., "SPDA: superpixel-based data augmentation for biomedical image segmentation", MIDL 2019, section 2.4;
    Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", TPAMI 2012.

    Examples
    --------
    >>> image = np.zeros((1, 12, 12))
    >>> image[:, :, 6:] = 1
    >>> image[:, ::2] += 0.1
    >>> smooth, cells = superpixelise(image, cell_size=18)
    >>> bool(np.isclose(smooth.mean(), image.mean())), len(np.unique(cells)) > 1, bool(smooth.var() < image.var())
    (True, True, True)
    """
    array = as_numpy(image, "image")
    _check_image(array)
    wanted = _wanted_cells(array, cell_size, cells)
    labels = _cells(array, wanted, compactness, spacing, colour)
    return same_kind(_cell_means(array, labels), image), same_kind(labels, image)


def matched_blur(image: Array, smooth: Array) -> Array:
    """Blur an image until it differs from the original by as much as ``smooth`` does.

    The control for :func:`superpixelise`: the same variance is removed, but boundaries go with the texture.

    Parameters
    ----------
    image, smooth
        ``[C, *spatial]``; the original and another version of it.

    Returns
    -------
    Array
        ``image`` under a Gaussian whose residual has the variance of ``image - smooth`` within 1 %, or under the
        widest tried (a quarter of the shortest axis) where no blur removes as much.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(1, 32, 32))
    >>> blurred = matched_blur(image, superpixelise(image)[0])
    >>> round(float(np.var(image - blurred) / np.var(image - superpixelise(image)[0])), 1)
    1.0
    """
    from scipy import ndimage

    array: NDArray[Any] = as_numpy(image, "image")
    wanted = float(np.var(array - as_numpy(smooth, "smooth"), dtype=np.float64))

    def blurred(sigma: float) -> NDArray[Any]:
        result: NDArray[Any] = ndimage.gaussian_filter(array, (0, *[sigma] * (array.ndim - 1)), mode="nearest")
        return result

    if wanted <= 0:
        return same_kind(array.copy(), image)
    low, high = 0.0, max(min(array.shape[1:]) / 4, 0.5)
    result = blurred(high)
    for _ in range(12):
        middle = (low + high) / 2
        candidate = blurred(middle)
        removed = float(np.var(array - candidate, dtype=np.float64))
        low, high = (middle, high) if removed < wanted else (low, middle)
        if abs(removed - wanted) <= 0.01 * wanted:
            return same_kind(candidate, image)
        result = candidate if removed >= wanted else result
    return same_kind(result, image)


@dataclass(frozen=True)
class SuperpixelPairs:
    """Double a batch: every patch as it is, and once more superpixelised, with the same labels.

    Half of what the network sees is then raw, half superpixelised, as in the paper's algorithm 1; both count the same
    in the loss. Patches come already cropped, mirrored and rotated, so that one label map serves both.

    Parameters
    ----------
    cell_size
        Fewest and most pixels of a cell. Every number of cells between those that they give for the patch is equally
        likely. Default 18 to 46 in 2D, 66 to 131 in 3D, as in the paper; keep it below the smallest object.
    compactness, spacing, colour
        As in :func:`superpixelise`.
    smoothing
        ``superpixels``; ``blur`` replaces them by a Gaussian that removes as much variance: the control.

    Raises
    ------
    InputError
        A range of sizes that is not one, or another smoothing.

    References
    ----------
    Zhang et al., MIDL 2019, equation 5 and algorithm 1 (where the pair shares one image; reconstructed from the
    listing).

    Examples
    --------
    >>> import torch
    >>> batch = {"image": torch.rand(2, 1, 32, 32), "labels": torch.zeros(2, 32, 32, dtype=torch.int64)}
    >>> doubled = SuperpixelPairs()(batch, np.random.default_rng(0))
    >>> doubled["image"].shape, doubled["labels"].shape, bool((doubled["image"][:2] == batch["image"]).all())
    (torch.Size([4, 1, 32, 32]), torch.Size([4, 32, 32]), True)
    """

    cell_size: tuple[int, int] | None = None
    compactness: float = 20.0
    spacing: tuple[float, ...] | None = None
    colour: bool = False
    smoothing: Smoothing = "superpixels"

    def __post_init__(self) -> None:
        if self.cell_size is not None and not 1 <= self.cell_size[0] <= self.cell_size[1]:
            raise InputError(f"cell_size must be (fewest, most) pixels, at least 1; got {self.cell_size}")
        check_number("compactness", self.compactness, above=0)
        if self.smoothing not in SMOOTHINGS:
            raise unknown("smoothing", self.smoothing, SMOOTHINGS)

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> int:
        """Draw the number of cells of one patch, uniform over every whole number of the range."""
        smallest, largest = self.cell_size or CELL_SIZES[len(shape)]
        pixels = int(np.prod(shape))
        fewest, most = max(round(pixels / largest), 1), max(round(pixels / smallest), 1)
        return int(random.integers(fewest, most + 1))

    def __call__(self, batch: "dict[str, Tensor]", random: np.random.Generator) -> "dict[str, Tensor]":
        """Return the batch of twice the size.

        Parameters
        ----------
        batch
            ``image`` ``[B, C, *spatial]``; every other entry is repeated as it is.
        random
            Source of the numbers of cells.
        """
        import torch

        images = batch["image"]
        smooth = [self.smoothen(image, random) for image in images.detach().cpu()]
        doubled = {name: torch.cat([tensor, tensor]) for name, tensor in batch.items()}
        doubled["image"] = torch.cat([images, torch.stack(smooth).to(images)])
        return doubled

    def smoothen(self, image: Array, random: np.random.Generator) -> Array:
        """Return one smooth version of an image ``[C, *spatial]``.

        Making a few versions of each whole image once, and mirroring them with it, costs less than making one of every
        patch.
        """
        cells = self.draw(random, tuple(image.shape[1:]))
        changed, _ = superpixelise(
            image, cells=cells, compactness=self.compactness, spacing=self.spacing, colour=self.colour
        )
        return matched_blur(image, changed) if self.smoothing == "blur" else changed


def _check_image(array: NDArray[Any]) -> None:
    if array.ndim not in (3, 4) or array.size == 0 or np.iscomplexobj(array):
        raise InputError(
            f"image must be [C, *spatial] with 2 or 3 spatial axes and at least one pixel; got {array.dtype} of shape "
            f"{array.shape}"
        )
    if not np.isfinite(array).all():
        raise InputError("image must be finite; it holds NaN or infinite values")


def _wanted_cells(array: NDArray[Any], cell_size: float | None, cells: int | None) -> int:
    """Return the wanted number of cells, between 1 and the number of pixels."""
    pixels = array[0].size
    if cells is not None and cell_size is not None:
        raise InputError(f"give cell_size or cells, not both; got {cell_size} and {cells}")
    if cells is None:
        fewest, most = CELL_SIZES[array.ndim - 1]
        size = 2 / (1 / fewest + 1 / most) if cell_size is None else cell_size
        check_number("cell_size", size, above=0)
        cells = round(pixels / max(size, 1))
    else:
        check_number("cells", cells, minimum=1)
    return int(np.clip(cells, 1, pixels))


def _cells(
    array: NDArray[Any], cells: int, compactness: float, spacing: tuple[float, ...] | None, colour: bool
) -> NDArray[np.int64]:
    """Return the number of every pixel's cell."""
    from skimage.segmentation import slic

    check_number("compactness", compactness, above=0)
    shape = array.shape[1:]
    steps = check_spacing(spacing, len(shape))
    features = _lab_features(array, colour)
    extent = float(np.ptp(features))
    if cells == 1:
        return np.zeros(shape, np.int64)
    if cells == array[0].size:
        return np.arange(cells, dtype=np.int64).reshape(shape)
    # The function rescales its input to the range 0 to 1, which the compactness has to follow.
    found = slic(
        np.moveaxis(features, 0, -1),
        n_segments=cells,
        compactness=compactness / extent if extent > 0 else compactness,
        spacing=[step / min(steps) for step in steps],
        convert2lab=False,
        channel_axis=-1,
        start_label=0,
    )
    labels: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].reshape(shape)
    return labels


def _lab_features(array: NDArray[Any], colour: bool) -> NDArray[np.float64]:
    """Return what likeness is measured in, with a range of 100: CIELAB, or the channels on a common scale."""
    values = array.astype(np.float64)
    low, extent = float(values.min()), float(np.ptp(values))
    scaled = (values - low) / extent if extent > 0 else np.zeros_like(values)
    if not colour:
        common: NDArray[np.float64] = 100 * scaled / np.sqrt(len(scaled))
        return common
    if len(scaled) != 3:
        raise InputError(f"colour needs three channels, red, green and blue; the image has {len(scaled)}")
    from skimage.color import rgb2lab

    lab: NDArray[np.float64] = np.moveaxis(rgb2lab(np.moveaxis(scaled, 0, -1)), -1, 0)
    return lab


def _cell_means(array: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Return the image of the cells' means, in the image's own type."""
    flat = labels.ravel()
    sizes = np.bincount(flat)
    means = np.stack([np.bincount(flat, weights=channel.ravel()) / sizes for channel in array])
    # Rounding must not push a mean beyond the values it is a mean of.
    means = means.clip(array.min(), array.max())
    if not np.issubdtype(array.dtype, np.floating):
        means = np.rint(means)
    result: NDArray[Any] = means[:, labels].astype(array.dtype)
    return result
