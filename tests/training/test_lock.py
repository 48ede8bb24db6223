"""One process trains into a folder at a time, and what a killed one leaves is no obstacle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shapewright.errors import InputError
from shapewright.training.lock import NAME, run_lock

HOLDER = "import sys, time; from pathlib import Path; from shapewright.training.lock import run_lock\n"
HOLDER += "with run_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_another_process_is_refused_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with (
            pytest.raises(InputError, match=rf"trained by another process \(number {process.pid}\)"),
            run_lock(tmp_path),
        ):
            pytest.fail("two processes in one folder")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / NAME).exists()  # what a killed process leaves
    with run_lock(tmp_path):
        assert (tmp_path / NAME).read_text() == str(os.getpid())
    assert not (tmp_path / NAME).exists()


def test_a_lock_is_released_after_an_error_and_makes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(ZeroDivisionError), run_lock(folder):
        raise ZeroDivisionError
    assert list(folder.iterdir()) == []
    (folder / NAME).write_text("999999999999")  # of another machine, longer than this process's number
    with run_lock(folder):
        assert (folder / NAME).read_text() == str(os.getpid())
