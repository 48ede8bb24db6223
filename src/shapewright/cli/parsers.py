"""Argument parsers that all commands share: help that keeps its lines, and a suggestion for a misspelt option."""

import argparse
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from shapewright.errors import InputError, suggest


def explain(message: str, options: Iterable[str]) -> str:
    """Return a parser's message with a suggestion where it complains about an unknown option.

    Examples
    --------
    >>> explain("unrecognized arguments: --otu x", ["--out", "--data"])
    "unknown option --otu; did you mean '--out'?"
    """
    match = re.search(r"[Uu]nrecognized arguments?:\s*(--?[\w.-]+)", message)
    if match is None:
        return message
    given = match.group(1).split("=")[0]
    return f"unknown option {given}{suggest(given, options) or '. See --help'}"


class Parser(argparse.ArgumentParser):
    """An ``argparse`` parser whose errors are :class:`InputError`.

    Parameters
    ----------
    command
        The command's name.
    description
        What it does.
    epilog
        Examples.
    """

    def __init__(self, command: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"shapewright {command}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise the message instead of printing usage and exiting."""
        raise InputError(f"{explain(message, self._option_string_actions)} (shapewright {self._command} --help)")

    @property
    def _command(self) -> str:
        return self.prog.removeprefix("shapewright ")


def say(*lines: str) -> None:
    """Print result lines to standard output."""
    sys.stdout.write("\n".join(lines) + "\n")


def track(items: Iterable[Any], description: str) -> Iterable[Any]:
    """Yield the items behind a progress bar with the time left; silent where output is not a terminal."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    return rich_track(items, description=description, console=console, transient=True, disable=not console.is_terminal)
