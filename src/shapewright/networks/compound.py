"""A network that sees more context, fed with the probabilities of one that sees more detail."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapewright.errors import InputError, check_number


class CompoundNetwork(nn.Module):
    """A fine network, and a coarse one that gets the image and the fine network's probabilities at a lower resolution.

    On the coarse grid the same patch shows ``scale`` times as much around every pixel, and the fine network's map says
    what the detail looked like.

    Parameters
    ----------
    fine
        ``[B, C, *spatial]`` to logits ``[B, K, *spatial]``.
    coarse
        ``[B, C + K - 1, *spatial / scale]`` to logits of that size; the probability of class 0 is left out, because
        it follows from the others.
    scale
        How much coarser; 2 as in the paper (1 and 2 micrometres per pixel).
    end_to_end
        Let the coarse network's loss train the fine one too; False as in the paper, where the fine network is trained
        first (whether it was frozen is not stated).

    References
    ----------
    Burlutskiy et al., "Segmenting potentially cancerous areas in prostate biopsies using semi-automatically annotated
    data", MIDL 2019, section 2.3.

    Examples
    --------
    >>> fine, coarse = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
    >>> both = CompoundNetwork(fine, coarse)(torch.rand(1, 3, 16, 17))
    >>> [logits.shape for logits in both]
    [torch.Size([1, 2, 16, 17]), torch.Size([1, 2, 16, 17])]
    """

    def __init__(self, fine: nn.Module, coarse: nn.Module, *, scale: int = 2, end_to_end: bool = False) -> None:
        super().__init__()
        check_number("scale", scale, minimum=1)
        self.fine = fine
        self.coarse = coarse
        self.scale = scale
        self.end_to_end = end_to_end

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fine and the coarse network's logits, both ``[B, K, *spatial]``."""
        fine = self.fine(image)
        return fine, self.refine(image, fine)

    def refine(self, image: Tensor, fine: Tensor) -> Tensor:
        """Return the coarse network's logits on the image's grid, given the fine network's."""
        probabilities = torch.softmax(fine.float(), dim=1)[:, 1:]
        if not self.end_to_end:
            probabilities = probabilities.detach()
        coarse = self.coarse(shrink(torch.cat([image, probabilities.to(image.dtype)], dim=1), self.scale))
        return enlarge(coarse, self.scale, image.shape[2:])


def shrink(values: Tensor, scale: int) -> Tensor:
    """Average ``[B, C, *spatial]`` over blocks of ``scale`` per axis; the last block of an axis may be smaller.

    Examples
    --------
    >>> shrink(torch.arange(5.0).view(1, 1, 1, 5), 2).flatten().tolist()
    [0.5, 2.5, 4.0]
    """
    if values.ndim not in (4, 5):
        raise InputError(f"values must be [B, C, *spatial] with 2 or 3 spatial axes; got shape {tuple(values.shape)}")
    if scale == 1:
        return values
    pool = functional.avg_pool2d if values.ndim == 4 else functional.avg_pool3d
    block = [min(scale, size) for size in values.shape[2:]]  # an axis may be shorter than a block
    pooled: Tensor = pool(values, block, stride=scale, ceil_mode=True, count_include_pad=False)
    return pooled


def enlarge(values: Tensor, scale: int, shape: Sequence[int]) -> Tensor:
    """Interpolate ``[B, C, *coarse]`` linearly to ``shape``, so that a block's middle keeps its value."""
    if scale == 1:
        return values
    mode = "bilinear" if values.ndim == 4 else "trilinear"
    whole = functional.interpolate(values, scale_factor=float(scale), mode=mode, align_corners=False)
    return whole[(slice(None), slice(None), *(slice(size) for size in shape))]
