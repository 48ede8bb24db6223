"""Entry point of ``shapewright``: finds the command, turns errors into messages and exit codes.

Exit codes: 0 done; 1 done, but something did not hold (``doctor`` found errors, ``reproduce`` found a relation that
does not hold); 2 wrong usage or input; 70 an error in shapewright itself; 130 interrupted (a run can be resumed).
"""

import importlib
import io
import os
import sys
from collections.abc import Sequence

from shapewright._version import __version__
from shapewright.errors import InputError, suggest

COMMANDS = {
    "demo": "train, evaluate and compare two methods on the bundled images",
    "doctor": "check the installation, or every file of a dataset's folder",
    "methods": "list the methods",
    "describe": "show a method's card: what it does, when to use it, what was measured",
    "train": "train a method on a folder of images",
    "predict": "label new images with a trained run",
    "apply": 'apply morphological operators to masks, as in "opening(ball(3)) | skeletonize"',
    "scribble": "turn strokes on an image into a mask in one piece; --serve to draw them in a browser",
    "evaluate": "measure predictions against true masks",
    "report": "make the HTML report of a run, or compare several",
    "reproduce": "repeat a paper's central experiment",
    "print-config": "print all options of a method as YAML",
    "completion": "print a completion script for bash, zsh or tcsh",
}

_HELP = """\
usage: shapewright COMMAND [OPTIONS]

Shape-aware segmentation of biomedical images, from a folder of images to a report.

commands:
{commands}

first steps:
  shapewright demo                                      results on real images in five minutes
  shapewright doctor DATA                               what is wrong with a dataset, all at once
  shapewright train boundary-loss --data DATA --out runs/first
  shapewright predict runs/first IMAGES --out masks
  shapewright COMMAND --help                            the options of a command

options:
  -h, --help     show this text
  --version      show the version
  --debug        show the full traceback of an error

exit codes: 0 done; 1 a check did not hold; 2 wrong usage or input; 70 internal error; 130 interrupted
"""

OK, NOT_HELD, USAGE, INTERNAL, INTERRUPTED = 0, 1, 2, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_output()
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _dispatch(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, debug)
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except InputError as error:
        return _fail(str(error), USAGE, debug)
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return _fail(named, USAGE, debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _fail(
            f"internal error ({type(error).__name__}): {error}\nRepeat with --debug to see where", INTERNAL, debug
        )


def _prepare_output() -> None:
    """Let no character that the terminal lacks, and no closed output, end a command."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS)) + 3
        sys.stdout.write(_HELP.format(commands="\n".join(f"  {name:{width}}{text}" for name, text in COMMANDS.items())))
        return OK if arguments else USAGE
    if arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"shapewright {__version__}\n")
        return OK
    command = arguments[0]
    if command not in COMMANDS:
        hint = suggest(command, COMMANDS) or f". Commands: {', '.join(COMMANDS)}"
        raise InputError(f"unknown command {command!r}{hint}")
    module = importlib.import_module(f"shapewright.cli.{command.replace('-', '_')}")
    code: int = module.main(arguments[1:])
    return code


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n" if code != INTERRUPTED else f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
