"""A conditional random field as a loss: neighbours of one colour should have one class."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.arrays import check_spacing
from shapewright.errors import InputError
from shapewright.losses import _inputs


class DenseCRFLoss(nn.Module):
    r"""Potts energy of the predicted probabilities under a kernel of distance and colour.

    .. math:: \frac{1}{2N} \sum_k \sum_{ij} s_{ik} (1 - s_{jk}) \exp(-|f_i - f_j|^2 / 2), \qquad
        f = (position / \sigma_{position}, colour / \sigma_{colour})

    over all pairs of N pixels, each pixel with itself included, which is an entropy. It costs nothing to predict:
    no field is computed after training.

    Parameters
    ----------
    position_sigma
        Range of the kernel in pixels (mm with ``spacing``); the paper has 10.
    colour_sigma
        Range of the kernel in the image's own units; the default is the paper's 10 of 255 for images in [0, 1].
    samples
        Pixels j that each pixel i is compared with. With as many as there are pixels the sum is exact; else they lie
        in a randomly shifted regular pattern over the image, drawn from torch's generator, and the sum is estimated
        without bias. 1024 make 64 x 64 pixels cost as much as a convolution or two.
    spacing
        Pixel size in mm per spatial axis; default 1.
    reduction
        ``"mean"`` (over images), ``"sum"``, or ``"none"`` for ``[B]``.

    Raises
    ------
    InputError
        An option out of range, or an image that does not fit the logits.

    Notes
    -----
    For two classes this is equation 5's :math:`\sum_{ij} y_i (1 - y_j) W_{ij}` divided by the number of pixels, the
    scale to which the paper's weight 5e-4 belongs in its authors' code. The paper evaluates W by filtering on a
    permutohedral lattice.

    References
    ----------
    Tang et al., "On regularized losses for weakly-supervised CNN segmentation", ECCV 2018; Qu et al., "Weakly
    supervised deep nuclei segmentation using points annotation in histopathology images", MIDL 2019.

    Examples
    --------
    >>> image = torch.zeros(1, 3, 16, 16)
    >>> image[..., 8:] = 1
    >>> along = 40 * (image[:, :1] - 0.5)  # changes class where the image changes
    >>> across = along.transpose(2, 3)
    >>> loss = DenseCRFLoss()
    >>> bool(loss(along, image) < 0.01 * loss(across, image))
    True
    """

    def __init__(
        self,
        *,
        position_sigma: float = 10.0,
        colour_sigma: float = 10 / 255,
        samples: int = 1024,
        spacing: Sequence[float] | float | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        for name, value in (("position_sigma", position_sigma), ("colour_sigma", colour_sigma), ("samples", samples)):
            if not value > 0:
                raise InputError(f"{name} must be positive; got {value}")
        self.position_sigma = position_sigma
        self.colour_sigma = colour_sigma
        self.samples = samples
        self.spacing = spacing
        self.reduction = _inputs.check_reduction(reduction)

    def forward(self, logits: Tensor, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` on the image ``[B, C, *spatial]``."""
        _inputs.class_count(logits)
        if image.shape[0] != logits.shape[0] or image.shape[2:] != logits.shape[2:]:
            raise InputError(
                f"image must be [B, C, *spatial] like the logits {tuple(logits.shape)}; got {tuple(image.shape)}"
            )
        counted = _inputs.counted_voxels(mask, logits, None, None)
        probabilities = _inputs.class_probabilities(logits).flatten(2)
        known = probabilities.new_ones(len(logits), probabilities.shape[2])
        if counted is not None:
            known = known * counted.flatten(1)
        chosen, weight = self._chosen(logits.shape[2:], logits.device)
        features = self._features(image, probabilities.dtype)
        values = [
            _energy(probabilities[n], features[n], known[n], chosen) * weight / known[n].sum().clamp(min=1)
            for n in range(len(logits))
        ]
        return _inputs.reduce_values(torch.stack(values), self.reduction)

    @torch.no_grad()
    def _features(self, image: Tensor, dtype: torch.dtype) -> Tensor:
        """Return position and colour of every pixel, ``[B, N, dims + C]``, in units of the kernel."""
        shape = image.shape[2:]
        spacing = check_spacing(self.spacing, len(shape))
        axes = [
            torch.arange(size, device=image.device, dtype=dtype) * step / self.position_sigma
            for size, step in zip(shape, spacing, strict=True)
        ]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1).T
        colour = image.to(dtype).flatten(2).transpose(1, 2) / self.colour_sigma
        return torch.cat([place.expand(len(image), -1, -1), colour], dim=2)

    def _chosen(self, shape: torch.Size, device: torch.device) -> tuple[Tensor | None, float]:
        """Return the pixels compared with (None for all), and how many each of them stands for."""
        pixels = shape.numel()
        if pixels <= self.samples:
            return None, 1.0
        step = -(-pixels // self.samples)
        offsets = torch.randint(step, (-(-pixels // step),), device=device)  # one in every run of ``step`` pixels
        places = torch.arange(0, pixels, step, device=device) + offsets
        return places[places < pixels], float(step)


def _energy(probabilities: Tensor, features: Tensor, known: Tensor, chosen: Tensor | None) -> Tensor:
    """Return half the sum over classes and pairs of pixels of one image."""
    other = slice(None) if chosen is None else chosen
    with torch.no_grad():
        kernel = torch.exp(-0.5 * torch.cdist(features, features[other]).square())
        kernel = kernel * known[:, None] * known[other]
    return 0.5 * (probabilities * ((1 - probabilities[:, other]) @ kernel.T)).sum()
