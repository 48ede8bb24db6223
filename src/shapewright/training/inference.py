"""From a trained method to the label map of a whole image."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from shapewright.training.method import Method


@torch.inference_mode()
def predict_image(
    method: Method,
    image: Tensor,
    *,
    patch_size: Sequence[int],
    overlap: float = 0.5,
    batch_size: int = 2,
    mirror: Sequence[int] = (),
) -> Tensor:
    """Return class probabilities of a whole image by sliding windows with Gaussian weights.

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

    Returns
    -------
    Tensor
        float32 [K, *spatial].
    """
    if image.ndim - 1 > len(patch_size):
        slices = torch.split(image.movedim(1, 0), batch_size)
        return torch.cat([_predict(method, part, patch_size, overlap, batch_size, mirror) for part in slices]).movedim(
            0, 1
        )
    return _predict(method, image[None], patch_size, overlap, batch_size, mirror)[0]


def _predict(
    method: Method, images: Tensor, patch_size: Sequence[int], overlap: float, batch_size: int, mirror: Sequence[int]
) -> Tensor:
    """Return probabilities [B, K, *spatial] of [B, C, *spatial], averaged over mirrored copies."""
    subsets = [axes for n in range(len(mirror) + 1) for axes in itertools.combinations(mirror, n)]
    total: Tensor | None = None
    for axes in subsets:
        dims = [axis + 2 for axis in axes]
        flipped = _windows(method, images.flip(dims), patch_size, overlap, batch_size).flip(dims)
        total = flipped if total is None else total + flipped
    assert total is not None
    return total / len(subsets)


def _windows(method: Method, images: Tensor, patch_size: Sequence[int], overlap: float, batch_size: int) -> Tensor:
    """Predict as one window where the image fits into it, by overlapping windows where not."""
    if all(size <= window for size, window in zip(images.shape[2:], patch_size, strict=True)):
        return method.predict(images).float()
    from monai.inferers.utils import sliding_window_inference

    probabilities = sliding_window_inference(
        images, tuple(patch_size), batch_size, lambda window: method.predict(window).float(), overlap, mode="gaussian"
    )
    assert isinstance(probabilities, Tensor)
    return probabilities
