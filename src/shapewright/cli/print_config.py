"""``shapewright print-config``: all options of a method as YAML."""

from collections.abc import Sequence

from shapewright.cli.main import OK
from shapewright.cli.options import parse_run, split_method
from shapewright.cli.parsers import Parser, say
from shapewright.training.config import to_yaml


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    method, rest = split_method(argv)
    if method is None and (not rest or rest[0] in ("-h", "--help")):
        Parser(
            "print-config",
            "Print all options of a method as YAML, as shapewright train --config reads them. Takes the options of "
            "train, which change what is printed.",
            "example:\n  shapewright print-config boundary-loss --preset fast --data DATA > run.yaml",
        ).print_help()
        return OK if rest else 2
    if not any(argument.startswith(("--data", "--config")) for argument in rest):
        rest = [*rest, "--data", "DATA"]
    config, _ = parse_run([*([method] if method else []), *rest])
    say(to_yaml(config).rstrip())
    return OK
