"""Networks for images that lack some of their modalities: the mean of the features of those that are there."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.networks.additive_unet import Norm, conv_block


class ModalityMeanNet(nn.Module):
    """A stem of its own for every modality, the mean of what there is, and one network for the rest.

    An image without a modality is one with fewer features to average: no zero image stands in for what was not
    scanned. Missing is a channel that is NaN anywhere; images of a batch may lack different ones.

    Parameters
    ----------
    channels
        Names of the modalities, in the order of an image's channels.
    body
        Features [B, width, *spatial] to logits [B, K, *spatial].
    width
        Channels of the stems.
    spatial_dims
        2 or 3.
    norm
        Normalisation of the stems. ``instance``, which the body should have too: images with different modalities
        have different statistics, and running averages of batch normalisation fit neither.

    Raises
    ------
    InputError
        No modality, one named twice, or an image without any.

    Notes
    -----
    Where the mean is taken is not stated in the paper: here after two convolutions. HeMIS passes the variance on as
    well; the paper does not, nor does this.

    References
    ----------
    Dorent et al., "Learning joint lesion and tissue segmentation from task-specific hetero-modal datasets", MIDL 2019,
    figure 2; Havaei et al., "HeMIS: hetero-modal image segmentation", MICCAI 2016.

    Examples
    --------
    >>> network = ModalityMeanNet(["T1", "FLAIR"], nn.Conv2d(8, 4, 1), width=8)
    >>> t1 = torch.rand(1, 1, 8, 8)
    >>> alone = network({"T1": t1})
    >>> missing = network(torch.cat([t1, torch.full_like(t1, torch.nan)], dim=1))
    >>> alone.shape, torch.equal(alone, missing)
    (torch.Size([1, 4, 8, 8]), True)
    """

    def __init__(
        self,
        channels: Sequence[str],
        body: nn.Module,
        *,
        width: int = 16,
        spatial_dims: int = 2,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        if not channels or len(set(channels)) < len(channels):
            raise InputError(f"channels must be different names of at least one modality; got {tuple(channels)}")
        self.channels = tuple(channels)
        self.stems = nn.ModuleList(conv_block(1, width, spatial_dims, norm) for _ in channels)
        self.body = body

    def forward(self, image: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return logits [B, K, *spatial].

        Parameters
        ----------
        image
            [B, C, *spatial], channels that are missing NaN; or the modalities that there are by name,
            [B, 1, *spatial] each.
        """
        logits: Tensor = self.body(self.fuse(image))
        return logits

    def fuse(self, image: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the mean features [B, width, *spatial] of the modalities that are there."""
        if isinstance(image, Mapping):
            image = self._with_missing(image)
        if image.shape[1] != len(self.channels):
            raise InputError(
                f"image must have {len(self.channels)} channels ({', '.join(self.channels)}), missing ones NaN; got "
                f"shape {tuple(image.shape)}"
            )
        there = present_channels(image)
        if not bool(there.any(dim=1).all()):
            raise InputError(f"an image has none of the modalities {', '.join(self.channels)}")
        total: Tensor | None = None
        for channel, stem in enumerate(self.stems):
            rows = there[:, channel].nonzero()[:, 0]
            if not len(rows):
                continue
            features = stem(image[rows, channel : channel + 1])
            if total is None:
                total = features.new_zeros(len(image), *features.shape[1:])
            total = total.index_add(0, rows, features)
        assert total is not None
        count = there.sum(dim=1).to(total.dtype)
        return total / count.view(-1, *[1] * (total.ndim - 1))

    def _with_missing(self, images: Mapping[str, Tensor]) -> Tensor:
        """Return named modalities as the channels of one image."""
        strange = sorted(set(images) - set(self.channels))
        if strange or not images:
            raise InputError(
                f"modalities must be some of {', '.join(self.channels)}; got {', '.join(images) or 'none'}"
            )
        blank = torch.full_like(next(iter(images.values())), torch.nan)
        return torch.cat([images.get(name, blank) for name in self.channels], dim=1)


def present_channels(image: Tensor) -> Tensor:
    """Return which channels of [B, C, *spatial] are there, bool [B, C]: those without NaN."""
    return ~image.flatten(2).isnan().any(dim=-1)
