"""``shapewright reproduce``: a paper's central experiment."""

import json
from collections.abc import Sequence
from pathlib import Path

from shapewright.cli.main import NOT_HELD, OK
from shapewright.cli.parsers import Countdown, Parser, say
from shapewright.errors import InputError, check_number
from shapewright.methods import reproduction


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "reproduce",
        "Repeat a paper's central experiment: the paper's figures beside ours, with seeds and spread, and which of its "
        "relations hold. An interrupted call continues where it was. Exit code 1 where a relation does not hold.",
        "example:\n  shapewright reproduce boundary-loss --quick",
    )
    parser.add_argument("method")
    parser.add_argument("--quick", action="store_true", help="a smaller experiment, within minutes")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated (default: 0,1,2)")
    parser.add_argument("--data", type=Path, help="a folder with the full data, where the method can use one")
    parser.add_argument("--out", type=Path, help="folder for the results (default: runs/reproduce-METHOD)")
    options = parser.parse_args(argv)
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        raise InputError(f"--seeds must be whole numbers, as in 0,1,2; got {options.seeds!r}") from None

    for seed in seeds:
        check_number("--seeds", seed, minimum=0)
    run = reproduction(options.method)
    out = options.out or Path("runs") / f"reproduce-{options.method}{'-quick' if options.quick else ''}"
    with Countdown() as countdown:
        result = run(quick=options.quick, seeds=seeds, data=options.data, out=out, progress=countdown)

    from shapewright.training.checkpoint import write_atomically

    write_atomically(out / "results.json", json.dumps(result.to_dict(), indent=1).encode())
    write_atomically(out / "results.md", result.to_markdown().encode())
    say(result.to_markdown(), f"written to {out / 'results.md'} and results.json")
    return OK if all(relation.holds for relation in result.relations) else NOT_HELD
