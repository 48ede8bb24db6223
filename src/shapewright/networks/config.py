"""Which network to build; readable without torch."""

from dataclasses import dataclass
from typing import Literal

from shapewright.errors import check_number

NetworkName = Literal["light", "unet", "dynunet", "concat_unet"]


@dataclass(frozen=True)
class NetworkConfig:
    """A segmentation network.

    Parameters
    ----------
    name
        ``light``: a plain U-Net with one convolution per level, the quickest; ``unet``: the residual U-Net of MONAI;
        ``dynunet``: MONAI's version of the nnU-Net architecture, the best per second of training on the bundled
        volumes (with width 8); ``concat_unet``: a U-Net that joins each block's input to its output.
    width
        Channels of the first level; doubled at every level. None takes 16 for ``light`` and ``unet``, 32 for
        ``dynunet`` and ``concat_unet``.
    depth
        Number of levels. None takes as many as the patch allows, at most 4 for ``light``, 5 for ``unet`` and
        ``concat_unet``, 6 for ``dynunet``.
    dropout
        Share of channels dropped in training.
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
