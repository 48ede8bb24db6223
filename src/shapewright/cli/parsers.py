"""Argument parsers that all commands share: help that keeps its lines, and a suggestion for a misspelt option."""

import argparse
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn, Self

from shapewright.errors import InputError, suggest


def explain(message: str, options: Iterable[str]) -> str:
    r"""Return a parser's message in plain words, with a suggestion where it complains about an unknown option.

    Examples
    --------
    >>> explain("unrecognized arguments: --otu x", ["--out", "--data"])
    "unknown option --otu; did you mean '--out'?"
    >>> explain("Parser key \"seed\": Expected a <class 'int'>. Got value: many", [])
    'seed must be of type int; got many'
    """
    wrong = re.fullmatch(r'Parser key "(\S+)": Expected an? (.+)\. Got value: (.*)', message)
    if wrong is not None:
        name, kind, given = wrong.groups()
        kind = re.sub(r"<class '(.+)'>", r"of type \1", re.sub(r"typing\.Literal\[(.+)\]", r"one of \1", kind))
        return f"{name} must be {kind}; got {given}"
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


class Countdown:
    """A bar for work that reports itself: called with the number of finished parts, of all, and the present one.

    Where output is not a terminal, one line per part.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(stderr=True, highlight=False)
        self.bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.job = self.bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, done: int, parts: int, description: str) -> None:
        """Show how far the work is."""
        self.bar.update(self.job, completed=done, total=parts, description=description)
        if not self.console.is_terminal:
            self.console.print(f"{done}/{parts}  {description}")


def track(items: Iterable[Any], description: str) -> Iterable[Any]:
    """Yield the items behind a progress bar with the time left; silent where output is not a terminal."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    return rich_track(items, description=description, console=console, transient=True, disable=not console.is_terminal)
