"""TIFF files: flat, coloured, or a stack of pages that is a volume; read and written with tifffile.

The spacing is taken from OME metadata, from ImageJ's (``spacing`` and ``unit``), or from a resolution in pixels per
centimetre. A resolution in pixels per inch is a hint for printing and ignored.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats.files import check_file_spacing, reading, writing
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError

MM_PER_UNIT = {"nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0, "cm": 10.0}
CENTIMETRE = 3  # value of the tag ResolutionUnit
CHANNEL_AXES = "CS"  # channel; sample of a colour
STACK_AXES = "ZQIT"  # depth; pages of unknown meaning; a sequence; time


def read(path: Path, *, labels: bool = False) -> Image:
    """Read a TIFF file; several pages are a volume (z, y, x)."""
    del labels  # one reading serves both
    with _opened(path) as file:
        axes, shape = _axes(file)
        order, sizes = _layout(path, axes, shape)
        pages = [series.asarray() for series in file.series] if len(shape) > file.series[0].ndim else None
        array = file.series[0].asarray() if pages is None else np.stack(pages)
        spacing = _spacing(path, file, order)
    stored = [axis for axis in axes if axis in order]
    array = array.reshape([sizes[order.index(axis)] for axis in stored])
    array = array.transpose([stored.index(axis) for axis in order])
    return Image(np.ascontiguousarray(array if order[0] in CHANNEL_AXES else array[None]), spacing=spacing, path=path)


def geometry(path: Path) -> Geometry:
    """Read the tags only."""
    with _opened(path) as file:
        order, sizes = _layout(path, *_axes(file))
        spacing = _spacing(path, file, order)
    channels = sizes[0] if order[0] in CHANNEL_AXES else 1
    return Geometry(channels, sizes[-len(spacing) :], spacing)


def write(path: Path, array: NDArray[Any], like: Image) -> None:
    """Write ``[C, (z,) y, x]`` as an ImageJ TIFF with the spacing of ``like``."""
    import tifffile

    if array.dtype not in (np.uint8, np.uint16, np.float32):
        array = array.astype(np.float32)
    stored = np.moveaxis(array, 0, -3) if len(array) > 1 else array[0]  # ImageJ's order is Z, C, Y, X
    axes = ("Z" if array.ndim == 4 else "") + ("C" if len(array) > 1 else "") + "YX"
    spacing = like.spacing
    if like.reorientation is not None:
        spacing = tuple(like.spacing[axis] for axis in np.argsort(like.reorientation.axes))
    metadata: dict[str, Any] = {"axes": axes, "unit": "mm"}
    if array.ndim == 4:
        metadata["spacing"] = spacing[0]
    with writing(path) as temporary:
        tifffile.imwrite(
            temporary, stored, imagej=True, resolution=(1 / spacing[-1], 1 / spacing[-2]), metadata=metadata
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a TIFF file, and refuse one from which tifffile would return fewer pages than were written.

    Where the chain of pages is broken, as in a truncated file, tifffile says so in its log only.
    """
    import tifffile

    complaints: list[str] = []
    reader = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if record.thread == reader and ("page offset" in text or "series" in text):
                complaints.append(text)

    listener = Listener(logging.ERROR)
    log = logging.getLogger("tifffile")
    log.addHandler(listener)
    try:
        with reading(path, "TIFF"), tifffile.TiffFile(path) as file:
            yield file
            if complaints:
                raise InputError(f"{path}: the TIFF is truncated or damaged: {complaints[0]}")
    finally:
        log.removeHandler(listener)


def _axes(file: Any) -> tuple[str, tuple[int, ...]]:
    """Return names and sizes of the axes; pages that were written one by one count as a stack."""
    first = file.series[0]
    if len(file.series) > 1 and all(series.shape == first.shape for series in file.series):
        return f"I{first.axes}", (len(file.series), *first.shape)
    return first.axes, first.shape


def _layout(path: Path, axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the file's axes that matter, in our order, and their sizes: channel, depth, y, x."""
    sizes = dict(zip(axes, shape, strict=True))
    kept = [axis for axis in axes if sizes[axis] > 1 or axis in "YX"]
    channel = [axis for axis in kept if axis in CHANNEL_AXES]
    depth = [axis for axis in kept if axis in STACK_AXES]
    if len(channel) > 1 or len(depth) > 1 or len(channel) + len(depth) + 2 != len(kept) or not {"Y", "X"} <= set(kept):
        raise InputError(
            f"{path}: a TIFF must be one flat image or one stack, of one or more channels; got axes {axes} of sizes "
            f"{tuple(shape)}. Save the parts as files of their own"
        )
    order = "".join([*channel, *depth, "Y", "X"])
    return order, tuple(int(sizes[axis]) for axis in order)


def _spacing(path: Path, file: Any, order: str) -> tuple[float, ...]:
    stack = any(axis in STACK_AXES for axis in order)
    z, y, x = _ome_spacing(file) or _tag_spacing(path, file)
    return check_file_spacing(path, (z, y, x) if stack else (y, x))


def _ome_spacing(file: Any) -> tuple[float, float, float] | None:
    if not file.ome_metadata:
        return None
    pixels = next(
        (node for node in ElementTree.fromstring(file.ome_metadata).iter() if node.tag.endswith("Pixels")), None
    )
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return None

    def size(axis: str) -> float:
        unit = MM_PER_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 1.0)
        return float(pixels.get(f"PhysicalSize{axis}", 1.0 / unit)) * unit

    return size("Z"), size("Y"), size("X")


def _tag_spacing(path: Path, file: Any) -> tuple[float, float, float]:
    imagej = file.imagej_metadata or {}
    tags = file.pages[0].tags
    unit = MM_PER_UNIT.get(str(imagej.get("unit", "")).replace("\\u00B5", "µ"))
    if unit is None:
        if imagej or "ResolutionUnit" not in tags or tags["ResolutionUnit"].value != CENTIMETRE:
            return 1.0, 1.0, 1.0
        unit = MM_PER_UNIT["cm"]
    plane = [_pixel_size(path, tags, name) * unit for name in ("YResolution", "XResolution")]
    return float(imagej.get("spacing", 1.0 / unit)) * unit, plane[0], plane[1]


def _pixel_size(path: Path, tags: Any, name: str) -> float:
    if name not in tags:
        return 1.0
    pixels, per_units = tags[name].value
    if pixels == 0 or per_units == 0:
        raise InputError(f"{path}: the tag {name} must be positive; got {pixels}/{per_units}")
    return float(per_units / pixels)
