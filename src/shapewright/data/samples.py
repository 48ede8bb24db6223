"""Small, licensed data sets that come with the package; nothing is ever downloaded."""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shapewright.data.folder import DatasetFolder, open_dataset
from shapewright.errors import InputError, unknown

FOLDER = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class SampleDescription:
    """Where a bundled data set comes from.

    Parameters
    ----------
    name, title
        Its name for :func:`load` and one line about it.
    licence
        The licence's name; the text is in ``LICENSE.txt`` beside the data.
    citation, source
        What to cite, and where the files were taken from.
    path
        The folder.
    """

    name: str
    title: str
    licence: str
    citation: str
    source: str
    path: Path


@dataclass(frozen=True, eq=False)
class ScribbledImage:
    """An image with its true mask and the strokes that people drew.

    Parameters
    ----------
    name
        The image's name.
    image
        float32 ``[256, 256]`` in 0 to 1.
    mask
        bool ``[256, 256]``.
    scribbles
        uint8 ``[3, 256, 256]``, one map per person: 0 unknown, 1 object, 2 background.
    """

    name: str
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    scribbles: NDArray[np.uint8]


def names() -> tuple[str, ...]:
    """Return the names of the bundled data sets.

    Examples
    --------
    >>> names()
    ('digits', 'hippocampus', 'nuclei', 'scribbles', 'vessels')
    """
    return tuple(sorted(entry.name for entry in FOLDER.iterdir() if (entry / "README.md").is_file()))


def load(name: str) -> DatasetFolder:
    """Return a bundled segmentation data set.

    Parameters
    ----------
    name
        ``hippocampus``: 40 MRI volumes with the anterior and posterior hippocampus; ``nuclei``: 24 microscopy images
        with numbered cell nuclei, read as one class; ``vessels``: 10 colour photographs of the retina with the vessels,
        two eyes per child. (``digits`` and ``scribbles`` are of
        another kind; see :func:`load_digits` and :func:`load_scribbles`.)

    Raises
    ------
    InputError
        No data set of that name.

    Examples
    --------
    >>> load("vessels").labels
    {'vessel': 1}
    """
    if name == "digits":
        raise InputError("the sample digits are pictures without segmentation; use samples.load_digits()")
    if name == "scribbles":
        raise InputError("the sample scribbles are images with strokes; use samples.load_scribbles()")
    if name not in names():
        raise unknown("sample", name, names())
    return open_dataset(FOLDER / name)


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the test part of MNIST: 10,000 images [10000, 28, 28] and their digits [10000].

    Examples
    --------
    >>> images, labels = load_digits()
    >>> images.shape, labels[:4]
    ((10000, 28, 28), array([7, 2, 1, 0], dtype=uint8))
    """
    folder = FOLDER / "digits"
    return read_idx(folder / "t10k-images-idx3-ubyte.gz"), read_idx(folder / "t10k-labels-idx1-ubyte.gz")


def load_scribbles(folder: Path | None = None) -> list[ScribbledImage]:
    """Return images with strokes that three people each drew on them: two femurs (X-ray) and two cervices (CT).

    Parameters
    ----------
    folder
        Another folder of files like the bundled ones: NPZ with ``img``, ``seg`` and ``scribbles``.

    Raises
    ------
    InputError
        The folder holds none.

    Examples
    --------
    >>> [one.name for one in load_scribbles()]
    ['BTCV_2609008-Image', 'BTCV_5502532-Image', 'HipXRay_image_081', 'HipXRay_image_102']
    """
    files = sorted((folder or FOLDER / "scribbles").glob("*.npz"))
    if not files:
        raise InputError(f"{folder} holds no NPZ file with an image and strokes")
    loaded = []
    for file in files:
        with np.load(file, allow_pickle=False) as content:
            if not {"img", "seg", "scribbles"} <= set(content.files):
                raise InputError(f"{file} must hold img, seg and scribbles; it holds {', '.join(content.files)}")
            strokes = content["scribbles"] > 127
            scribbles = np.where(strokes[:, 0], 1, np.where(strokes[:, 1], 2, 0)).astype(np.uint8)
            image, mask = content["img"].astype(np.float32), content["seg"] > 0.5
        loaded.append(ScribbledImage(file.stem, image, mask, scribbles))
    return loaded


def describe(name: str) -> SampleDescription:
    """Return a data set's licence, citation and source, as its ``README.md`` says.

    Examples
    --------
    >>> describe("hippocampus").licence
    'CC BY-SA 4.0'
    """
    if name not in names():
        raise unknown("sample", name, names())
    text = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    title = text.splitlines()[0].removeprefix("# ")
    fields = {
        key.lower(): " ".join(value.split())
        for key, value in re.findall(r"\*\*(\w+)\.\*\* (.+?)(?=\n\n|\Z)", text, re.S)
    }
    return SampleDescription(name, title, fields["licence"], fields["citation"], fields["source"], FOLDER / name)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped idx file of bytes, the format of MNIST: two zeros, type 8, number of axes, sizes, values.

    Raises
    ------
    InputError
        A file that is missing, or another format.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    if content[:3] != b"\0\0\x08":
        raise InputError(f"{path}: not an idx file of bytes")
    shape = np.frombuffer(content, ">u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
