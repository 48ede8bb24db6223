"""Reading strokes: coloured pictures, arrays, label maps and lists of points.

Strokes are integers ``[*spatial]``: 0 unknown, 1 object, 2 background, 3 and on further objects.
"""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats import read_labels, suffix_of
from shapewright.data.formats.files import existing, reading
from shapewright.errors import InputError, unknown

COLOURS = {
    1: (0, 255, 0),
    2: (255, 0, 0),
    3: (0, 0, 255),
    4: (255, 255, 0),
    5: (255, 0, 255),
    6: (0, 255, 255),
}
KINDS = {"object": 1, "foreground": 1, "background": 2}
SATURATED = 128  # smallest difference between a colour's strongest and weakest part


def read_strokes(path: str | os.PathLike[str], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    r"""Read the strokes that belong to an image.

    Parameters
    ----------
    path
        One of: a PNG of the image's size with green strokes on the object and red ones on the background (blue, yellow,
        magenta, cyan for further objects; pale and grey pixels count as unmarked), or with the numbers themselves; an
        NPZ with ``scribbles``, integers ``[*spatial]``, or ``[2, *spatial]``: object and background; any label map; or
        a list of points: CSV lines ``kind,(z,)y,x``, or JSON ``{"object": [[y, x], ...], "background": [...]}``, in
        pixels from 0.
    shape
        The image's spatial shape.

    Returns
    -------
    array
        uint8 ``[*spatial]``.

    Raises
    ------
    InputError
        The file cannot be read or has another size than the image, a point lies outside it, or one pixel is marked in
        two ways.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "strokes.csv"
    >>> _ = path.write_text("object,2,1\nbackground,0,3\n")
    >>> read_strokes(path, (3, 4))
    array([[0, 0, 0, 2],
           [0, 0, 0, 0],
           [0, 1, 0, 0]], dtype=uint8)
    """
    file = existing(path)
    ending = file.suffix.lower()
    if ending in (".csv", ".txt"):
        return _from_points(file, _rows_of_csv(file), shape)
    if ending == ".json":
        return _from_points(file, _rows_of_json(file), shape)
    if ending == ".npz":
        strokes = _from_npz(file, shape)
    elif ending in (".png", ".bmp", ".gif"):
        strokes = _from_picture(file)
    elif suffix_of(file) in (".jpg", ".jpeg"):
        raise InputError(f"{file}: JPEG changes the colours of strokes; save them as PNG")
    else:
        strokes = read_labels(file).array[0]
    if strokes.shape != shape:
        raise InputError(
            f"{file}: strokes have shape {strokes.shape}, but the image {shape}; some would lie outside it"
        )
    if strokes.size and (strokes.min() < 0 or strokes.max() > 255):
        raise InputError(f"{file}: strokes must lie in 0 to 255; got {strokes.min()} to {strokes.max()}")
    return np.asarray(strokes, np.uint8)


def _from_picture(path: Path) -> NDArray[np.uint8]:
    """Return the numbers of a grey or palette picture, or what the colours of another stand for."""
    from PIL import Image as Pillow

    with reading(path, "an image"), Pillow.open(path) as file:
        if file.mode in ("P", "L", "1", "I", "I;16"):
            return np.asarray(file).astype(np.int64) if file.mode != "1" else np.asarray(file).astype(np.uint8)
        colours = np.asarray(file.convert("RGBA")).astype(int)
    visible = (np.ptp(colours[..., :3], axis=-1) >= SATURATED) & (colours[..., 3] >= SATURATED)
    palette = np.array(list(COLOURS.values()))
    nearest = np.abs(colours[..., None, :3] - palette).sum(-1).argmin(-1)
    return np.where(visible, np.array(list(COLOURS))[nearest], 0).astype(np.uint8)


def _from_npz(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    with reading(path, "a NumPy file"), np.load(path, allow_pickle=False) as content:
        key = next((key for key in ("scribbles", "strokes", "labels", "array") if key in content.files), None)
        if key is None:
            raise InputError(f"{path}: must hold an array named scribbles; it holds {', '.join(content.files)}")
        strokes: NDArray[Any] = content[key]
    if not (np.issubdtype(strokes.dtype, np.number) or strokes.dtype == np.bool_) or not np.isfinite(strokes).all():
        raise InputError(f"{path}: {key} must be finite numbers; got {strokes.dtype}")
    if strokes.shape == (2, *shape):
        inner, outer = strokes > strokes.max() / 2
        if (inner & outer).any():
            raise _contradiction(path, np.argwhere(inner & outer)[0])
        return np.where(inner, 1, np.where(outer, 2, 0))
    if not np.issubdtype(strokes.dtype, np.integer) and strokes.dtype != np.bool_:
        raise InputError(f"{path}: {key} must be integers, 0 unknown, 1 object, 2 background; got {strokes.dtype}")
    return strokes


def _rows_of_csv(path: Path) -> list[tuple[str, list[str]]]:
    with reading(path, "a list of points"), path.open(newline="", encoding="utf-8-sig") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if rows and rows[0][0].lower() not in KINDS and set(rows[0][1:]) <= {"z", "y", "x"}:  # a header
        rows = rows[1:]
    return [(row[0], row[1:]) for row in rows]


def _rows_of_json(path: Path) -> list[tuple[str, list[Any]]]:
    with reading(path, "JSON"):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not all(isinstance(points, list) for points in content.values()):
        raise InputError(f'{path}: must be {{"object": [[y, x], ...], "background": [[y, x], ...]}}')
    return [
        (kind, list(point) if isinstance(point, list) else [point])
        for kind, points in content.items()
        for point in points
    ]


def _from_points(path: Path, rows: Iterable[tuple[str, list[Any]]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    strokes = np.zeros(shape, np.uint8)
    axes = "z, y, x" if len(shape) == 3 else "y, x"
    for number, (kind, cells) in enumerate(rows, start=1):
        code = KINDS.get(kind.lower()) or (int(kind) if kind.isdecimal() else 0)
        if not 0 < code < 256:
            raise InputError(f"{path}, point {number}: {unknown('kind of stroke', kind, [*KINDS, '1', '2', '3'])}")
        try:
            place = tuple(int(np.floor(float(cell) + 0.5)) for cell in cells)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{path}, point {number}: {axes} must be numbers; got {cells}") from None
        if len(place) != len(shape):
            raise InputError(f"{path}, point {number}: must have {len(shape)} coordinates ({axes}); got {cells}")
        if not all(0 <= p < size for p, size in zip(place, shape, strict=True)):
            raise InputError(f"{path}, point {number}: ({axes}) = {place} lies outside the image of shape {shape}")
        if strokes[place] not in (0, code):
            raise _contradiction(path, place)
        strokes[place] = code
    return strokes


def _contradiction(path: Path, place: Any) -> InputError:
    where = ", ".join(str(int(p)) for p in place)
    return InputError(f"{path}: the pixel ({where}) is marked in two ways, as object and as something else; erase one")
