"""``shapewright describe``: a method's card."""

import sys
from collections.abc import Sequence

from shapewright.cli.main import OK
from shapewright.cli.parsers import Parser, say
from shapewright.methods import card, info, presets


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser("describe", "Show a method's card: the idea, when to use it and when not, what was measured.")
    parser.add_argument("method")
    method = info(parser.parse_args(argv).method)
    text = card(method.name)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    else:
        say(text.rstrip())
    say(
        "",
        f"labels: {', '.join(method.supervision)}   images: {', '.join(f'{d}D' for d in method.spatial_dims)}   "
        f"presets: {', '.join(presets(method.name))}",
        *([f"paper: {method.paper} {method.link}"] if method.paper else []),
        f"train:  shapewright train {method.name} --data DATA",
    )
    return OK
