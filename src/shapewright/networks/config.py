"""Which network to build; readable without torch."""

from dataclasses import dataclass
from typing import Literal

from shapewright.errors import check_number

NetworkName = Literal[
    "light", "unet", "dynunet", "fc_densenet", "fcn8s", "fcn8s_concat", "additive", "concat_unet", "highresnet"
]


@dataclass(frozen=True)
class NetworkConfig:
    """A segmentation network.

    Parameters
    ----------
    name
        ``light``: a plain U-Net with one convolution per level, the quickest; ``unet``: the residual U-Net of MONAI;
        ``dynunet``: MONAI's version of the nnU-Net architecture, the best per second of training on the bundled
        volumes (with width 8); ``fc_densenet``: dense blocks from half the resolution downwards, with few parameters
        for its depth; ``fcn8s``: VGG stages and up-sampled class scores, with ``depth`` 5 and ``width`` 64 the original
        of 134 million weights; ``fcn8s_concat``: the same with concatenated skips; ``additive``: a U-Net with batch
        normalisation whose skips are added; ``concat_unet``: a U-Net that joins each block's input to its output;
        ``highresnet``: MONAI's residual blocks, dilated and at full resolution throughout, exact but slow.
    width
        Channels of the first level; doubled at every level. None takes 16, or 32 for ``dynunet`` and ``concat_unet``.
        For ``fc_densenet`` the maps that each layer adds; None takes 12.
    depth
        Number of levels. None takes as many as the patch allows, at most 4 for ``light``, 6 for ``dynunet``, 7 for
        ``fc_densenet``, 3 for ``highresnet``, 5 for the others.
    dropout
        Share of channels dropped in training; the FCNs were published with 0.5.
    """

    name: NetworkName = "light"
    width: int | None = None
    depth: int | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("depth", self.depth)):
            if value is not None:
                check_number(f"network.{name}", value, minimum=1)
        check_number("network.dropout", self.dropout, minimum=0, below=1)
