"""PNG, JPEG, BMP and GIF files, read and (PNG only) written with Pillow.

These formats know no size in mm, so the spacing is 1; their dots per inch are a hint for printing, not a measurement.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats.files import reading, writing
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError

ONE_CHANNEL = ("1", "L", "I", "F")  # and I;16 in its byte orders


def read(path: Path, *, labels: bool = False) -> Image:
    """Read a flat image: one channel if grey, three if coloured; a transparency channel is dropped.

    In a label file with a palette the palette's indices are the labels.
    """
    from PIL import Image as Pillow

    with reading(path, "an image"), Pillow.open(path) as file:
        keep = labels and file.mode == "P"
        mode = file.mode if keep else _mode(file.mode)
        array = np.asarray(file if mode == file.mode else file.convert(mode))
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    channels_first = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return Image(np.ascontiguousarray(channels_first), spacing=(1.0, 1.0), path=path)


def geometry(path: Path) -> Geometry:
    """Read the header only."""
    from PIL import Image as Pillow

    with reading(path, "an image"), Pillow.open(path) as file:
        return Geometry(3 if _mode(file.mode) == "RGB" else 1, (file.height, file.width), (1.0, 1.0))


def write(path: Path, array: NDArray[Any], like: Image) -> None:
    """Write one or three channels of integers as PNG (8 bits, or 16 for one channel)."""
    from PIL import Image as Pillow

    del like  # nothing of its geometry fits into the file
    grey = array.ndim == 3 and len(array) == 1 and array.dtype in (np.uint8, np.uint16)
    colour = array.ndim == 3 and len(array) == 3 and array.dtype == np.uint8
    if path.suffix.lower() != ".png" or not (grey or colour):
        raise InputError(
            f"{path}: only PNG is written, and it holds a flat image of 8 or 16 bit integers; got {array.dtype} of "
            f"shape {array.shape}. Use .tif, .nii.gz or .npz"
        )
    picture = Pillow.fromarray(array[0] if grey else np.ascontiguousarray(array.transpose(1, 2, 0)))
    with writing(path) as temporary:
        picture.save(temporary, format="PNG")


def _mode(mode: str) -> str:
    if mode in ONE_CHANNEL or mode.startswith("I;16"):
        return mode
    return "L" if mode in ("LA", "La") else "RGB"
