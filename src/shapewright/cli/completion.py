"""``shapewright completion``: a completion script for the shell."""

import argparse
from collections.abc import Sequence

from shapewright.cli.main import COMMANDS, OK
from shapewright.cli.parsers import Parser, say


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "completion",
        "Print a completion script.",
        'examples:\n  eval "$(shapewright completion bash)"        for this shell\n'
        "  shapewright completion bash > ~/.local/share/bash-completion/completions/shapewright",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    shell = parser.parse_args(argv).shell

    import shtab

    say(shtab.complete(_whole_parser(), shell=shell).rstrip())
    return OK


def _whole_parser() -> argparse.ArgumentParser:
    """Return one parser with every command, every method and every option of training."""
    import shtab

    from shapewright.cli.options import run_parser
    from shapewright.methods import methods

    whole = argparse.ArgumentParser(prog="shapewright")
    commands = whole.add_subparsers()
    names = list(methods())
    for command, text in COMMANDS.items():
        sub = commands.add_parser(command, help=text)
        if command in ("train", "print-config", "describe", "reproduce"):
            sub.add_argument("method", choices=names)
        else:
            path = sub.add_argument("path", nargs="*")
            path.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads this attribute
        if command in ("train", "print-config"):
            for action in run_parser(names[0], {})._actions:
                flags = [flag for flag in action.option_strings if flag.startswith("--") and flag != "--help"]
                if flags and not any(flag.startswith("--settings") for flag in flags):
                    sub.add_argument(*flags, choices=action.choices)
    return whole
