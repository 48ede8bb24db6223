"""``shapewright evaluate``: predictions against true masks."""

from collections.abc import Sequence
from pathlib import Path

from shapewright.cli.main import OK
from shapewright.cli.parsers import Parser, say, track
from shapewright.errors import InputError


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "evaluate",
        "Measure predictions against true masks: overlap, surface distances in mm, volumes, per case and label, with "
        "95 % intervals. Writes cases.csv and summary.json.",
        "examples:\n  shapewright evaluate masks/ truth/ --out evaluation\n"
        "  shapewright evaluate runs/a            the held-out cases of a run, predicted again where missing",
    )
    parser.add_argument("predictions", type=Path, help="folder of label maps, or a run's folder")
    parser.add_argument("truth", type=Path, nargs="?", help="folder of true label maps with the same names")
    parser.add_argument("--out", type=Path, help="folder for the results (default: PREDICTIONS/evaluation)")
    parser.add_argument("--labels", help="names of label values, as in anterior=1,posterior=2 (default: their numbers)")
    parser.add_argument("--binary", action="store_true", help="count every non-zero value as one label")
    parser.add_argument("--ignore", type=int, metavar="VALUE", help="of true voxels that do not count")
    parser.add_argument("--tolerance", type=float, default=1.0, help="of the surface Dice, in mm (default: 1)")
    parser.add_argument("--topology", action="store_true", help="count components, holes and cavities as well")
    parser.add_argument("--split", choices=("test", "val"), help="of a run (default: test)")
    options = parser.parse_args(argv)
    if options.tolerance < 0:
        raise InputError(f"--tolerance must not be negative; got {options.tolerance}")

    from shapewright.cli.results import summary_lines

    if options.truth is None:
        options_of_folders = ("out", "labels", "binary", "ignore", "topology")
        given = [f"--{name}" for name in options_of_folders if getattr(options, name) not in (None, False)]
        if given:
            raise InputError(
                f"{', '.join(given)}: only for two folders of masks, PREDICTIONS and TRUTH; a run has its own"
            )
        content = _evaluate_run(options.predictions, options.split or "test", options.tolerance)
        out = options.predictions / "evaluation"
    else:
        if options.split:
            raise InputError(
                f"--split is only for a run's folder; got two folders, {options.predictions} and {options.truth}"
            )
        from shapewright.training.predict import evaluate_folders

        out = options.out or options.predictions / "evaluation"
        content = evaluate_folders(
            options.predictions,
            options.truth,
            out,
            labels=_read_labels(options.labels),
            binary=options.binary,
            ignore=options.ignore,
            tolerance=options.tolerance,
            topology=options.topology,
            track=track,
        )
    say(*summary_lines(content), f"details: {out / 'cases.csv'}")
    return OK


def _evaluate_run(path: Path, split: str, tolerance: float) -> dict[str, object]:
    from shapewright.methods import config_class, factory
    from shapewright.training.predict import Predictor, evaluate_run
    from shapewright.training.run import RunFolder

    folder = RunFolder(path)
    if not folder.config.is_file():
        raise InputError(f"{path} is not a run's folder; to compare two folders of masks name the second: TRUTH")
    predictor = Predictor.load(path, config_class, factory)
    return evaluate_run(folder, predictor, split=split, tolerance=tolerance, track=track)


def _read_labels(text: str | None) -> dict[str, int] | None:
    """Read ``name=value,name=value``."""
    if text is None:
        return None
    try:
        pairs = [(name.strip(), int(value)) for name, value in (part.split("=") for part in text.split(","))]
    except ValueError:
        raise InputError(f"--labels must look like anterior=1,posterior=2; got {text!r}") from None
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise InputError(f"--labels must give every name once; got {text!r}")
    return labels
