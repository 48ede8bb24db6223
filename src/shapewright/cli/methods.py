"""``shapewright methods``: what there is."""

import json
from collections.abc import Sequence

from shapewright.cli.main import OK
from shapewright.cli.parsers import Parser, say
from shapewright.methods import methods


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser("methods", "List the methods.")
    parser.add_argument("pattern", nargs="?", default="", help="only methods whose name, title or tags contain this")
    parser.add_argument("--format", choices=("table", "names", "json"), default="table", help="(default: table)")
    options = parser.parse_args(argv)
    wanted = options.pattern.lower()
    found = [m for m in methods().values() if wanted in " ".join((m.name, m.title, *m.tags)).lower()]
    if options.format == "names":
        say(*(method.name for method in found))
    elif options.format == "json":
        facts = [{k: v for k, v in vars(method).items() if k != "package"} for method in found]
        say(json.dumps(facts, indent=1))
    else:
        width = max((len(method.name) for method in found), default=0) + 2
        say(*(f"{m.name:{width}}{m.title}  [{', '.join(f'{d}D' for d in m.spatial_dims)}]" for m in found))
    return OK if found else 1
