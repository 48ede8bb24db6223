"""From a trained method to the label map of a whole image."""

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from shapewright.training.method import Method, WholeImages

Window = Literal["gaussian", "spline"]


@torch.inference_mode()
def predict_image(
    method: Method,
    image: Tensor,
    *,
    patch_size: Sequence[int],
    overlap: float = 0.5,
    batch_size: int = 2,
    mirror: Sequence[int] = (),
    rotate: bool = False,
    window: Window = "gaussian",
) -> Tensor:
    """Return class probabilities of a whole image by overlapping windows, weighted by their distance to the edge.

    A method whose ``whole_images`` is true sees the image at once.

    Parameters
    ----------
    method
        In evaluation mode, on the device of ``image``.
    image
        [C, *spatial]; with one spatial axis more than ``patch_size``, slices along the first are predicted one by one.
    patch_size
        Window in voxels.
    overlap
        Share by which windows overlap.
    batch_size
        Windows, or slices, evaluated at once.
    mirror
        Spatial axes of the window over whose mirrored copies the prediction is averaged.
    rotate
        Average over copies turned by 180 degrees about each axis as well (in 2D: in the plane).
    window
        Weights of overlapping windows: ``gaussian`` (an eighth of the window is its standard deviation) or
        ``spline``, see :func:`spline_window`.

    Returns
    -------
    Tensor
        float32 [K, *spatial].
    """
    slices = image.ndim - 1 > len(patch_size)
    parts = torch.split(image.movedim(1, 0), batch_size) if slices else (image[None],)
    copies = _copies(len(patch_size), mirror, rotate)
    predicted = torch.cat([_predict(method, part, patch_size, overlap, batch_size, copies, window) for part in parts])
    return predicted.movedim(0, 1) if slices else predicted[0]


def spline_window(size: Sequence[int]) -> Tensor:
    """Return the weights of a window ``[*size]``: a product of quadratic B-splines, 1 at most, above 0 everywhere.

    Overlapping windows are summed with these weights and divided by the sum of the weights, so a constant prediction
    comes back as it is.

    References
    ----------
    Hashemi et al., "Exclusive independent probability estimation using deep 3D fully convolutional DenseNets", MIDL
    2019, section 2.4.

    Examples
    --------
    >>> [round(value, 3) for value in spline_window((6,)).tolist()]
    [0.042, 0.375, 0.917, 0.917, 0.375, 0.042]
    """
    weights = torch.ones(())
    for length in size:
        # The spline's support is 3 units wide; voxels lie at the middles of equal parts of it.
        place = ((torch.arange(length) + 0.5) / length - 0.5).abs() * 3
        profile = torch.where(place <= 0.5, 0.75 - place**2, 0.5 * (1.5 - place) ** 2) / 0.75
        weights = weights[..., None] * profile
    return weights


def _copies(dims: int, mirror: Sequence[int], rotate: bool) -> list[tuple[int, ...]]:
    """Return the sets of axes to reverse, the empty one first, each once."""
    mirrored = [set(axes) for n in range(len(mirror) + 1) for axes in itertools.combinations(mirror, n)]
    turned = [set(axes) for axes in itertools.combinations(range(dims), 2)] if rotate else []
    every = {tuple(sorted(first ^ second)) for first in mirrored for second in [set[int](), *turned]}
    return sorted(every, key=lambda axes: (len(axes), axes))


def _predict(
    method: Method,
    images: Tensor,
    patch_size: Sequence[int],
    overlap: float,
    batch_size: int,
    copies: Sequence[tuple[int, ...]],
    window: Window,
) -> Tensor:
    """Return probabilities [B, K, *spatial] of [B, C, *spatial], averaged over reversed copies."""
    total: Tensor | None = None
    for axes in copies:
        dims = [axis + 2 for axis in axes]
        flipped = _windows(method, images.flip(dims), patch_size, overlap, batch_size, window).flip(dims)
        total = flipped if total is None else total + flipped
    assert total is not None
    return total / len(copies)


def _windows(
    method: Method, images: Tensor, patch_size: Sequence[int], overlap: float, batch_size: int, window: Window
) -> Tensor:
    """Predict as one window where the image fits into it or the method asks for it, by overlapping windows else."""
    whole = isinstance(method, WholeImages) and method.whole_images
    if whole or all(size <= window for size, window in zip(images.shape[2:], patch_size, strict=True)):
        return method.predict(images).float()
    from monai.inferers.utils import sliding_window_inference

    probabilities = sliding_window_inference(
        images,
        tuple(patch_size),
        batch_size,
        lambda part: method.predict(part).float(),
        overlap,
        mode="gaussian",
        roi_weight_map=spline_window(patch_size).to(images.device) if window == "spline" else None,
    )
    assert isinstance(probabilities, Tensor)
    return probabilities
