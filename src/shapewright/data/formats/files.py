"""Files that are read with a clear error and written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from shapewright.errors import InputError, suggest


def existing(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` if it exists.

    Raises
    ------
    InputError
        It does not; a similar name in the same folder is suggested.
    """
    found = Path(path)
    try:
        if found.exists():
            return found
        siblings = [entry.name for entry in found.parent.iterdir()] if found.parent.is_dir() else []
    except OSError as error:
        raise InputError(f"{found}: cannot be opened: {error.strerror}") from error
    raise InputError(f"{found}: no such file or folder{suggest(found.name, siblings)}")


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a reader raises about a damaged file into one :class:`InputError` that names it."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it") from error
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise InputError(
            f"{path}: cannot be read as {kind}; the file is truncated, damaged, or not what its name says "
            f"({reason[-1][:200] if reason else type(error).__name__})"
        ) from error


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name in the folder of ``path``; rename it to ``path`` once all is written.

    A full disk, a crash or Ctrl-C leaves either the old file or none, never half a file. The temporary name ends like
    ``path``, because libraries choose the format by it.

    Raises
    ------
    InputError
        The folder is missing or not writable, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with writing(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> [file.name for file in folder.iterdir()]
    ['a.txt']
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist")
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_file_spacing(path: Path, spacing: Sequence[float]) -> tuple[float, ...]:
    """Return a file's spacing as floats.

    Raises
    ------
    InputError
        A value is NaN, infinite, zero or negative.
    """
    values = tuple(float(value) for value in spacing)
    if not all(np.isfinite(value) and value > 0 for value in values):
        raise InputError(
            f"{path}: spacing must be positive and finite for every axis; the file says {values} ((z,) y, x, in mm). "
            "Correct the file's header"
        )
    return values
