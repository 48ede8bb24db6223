"""One process per run's folder."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from shapewright.errors import InputError

if sys.platform != "win32":
    import fcntl

NAME = "run.lock"


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep other processes from training into a run's folder; the lock ends with the process, however it ends.

    The file ``run.lock`` holds the process's number, for the message. What counts is the operating system's lock on it,
    so that a file left by a killed process, or from another container with the same numbers, is no obstacle. Systems
    without such locks (Windows) are not guarded.

    Parameters
    ----------
    folder
        The run's folder; it is made where it is missing.

    Raises
    ------
    InputError
        Another process holds the lock.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name, run_lock(Path(name)):
    ...     (Path(name) / NAME).read_text() == str(os.getpid())
    True
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    file = _hold(path)
    try:
        os.truncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _hold(path: Path) -> int:
    """Return the open, locked file."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if sys.platform == "win32":
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 32).decode(errors="replace") or "unknown"
            os.close(file)
            raise InputError(
                f"{path.parent} is being trained by another process (number {owner}); wait for it, or end it"
            ) from None
        except OSError:  # the file system has no locks
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)  # the one who held it has just removed the file: take the new one
