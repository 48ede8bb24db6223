"""``shapewright train``: a method, a dataset's folder, a run."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from shapewright.cli.main import INTERRUPTED, OK
from shapewright.cli.options import parse_run, split_method
from shapewright.cli.parsers import Parser, say, track
from shapewright.errors import InputError
from shapewright.methods import config_class, factory, info
from shapewright.training.config import RunConfig

_HELP = """\
usage: shapewright train METHOD --data DATA [--out RUN] [OPTIONS]
       shapewright train --resume RUN

Train a method on a dataset's folder, measure the held-out cases, write the report.

DATA is a Medical Segmentation Decathlon or nnU-Net folder (dataset.json, imagesTr, labelsTr), or a folder with
images/ and labels/ that hold files of the same names; a YAML file that names several folders with different labels;
or sample:NAME for bundled images. Methods that need less
than a full mask take points/, boxes/, scribbles/ or tables of sizes; shapewright doctor DATA says which methods fit.

  shapewright methods                  the methods
  shapewright train METHOD --help      all options of a method, with their defaults
  shapewright print-config METHOD      the same as a YAML file for --config
"""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    method, rest = split_method(argv)
    if method is None and (not rest or rest[0] in ("-h", "--help")):
        sys.stdout.write(_HELP)
        return OK if rest else 2
    if any(argument.startswith("--resume") for argument in argv):
        return _resume(argv)
    config, options = parse_run(argv)
    return train_and_report(config, options.out, evaluate=options.evaluate)


def _resume(argv: Sequence[str]) -> int:
    from shapewright.training.run import RunFolder

    parser = Parser("train", "Continue an interrupted run with the options it was started with.")
    parser.add_argument("--resume", required=True, metavar="RUN", help="the run's folder")
    folder = RunFolder(Path(parser.parse_args(argv).resume))
    if not folder.path.is_dir():
        raise InputError(f"--resume {folder.path}: no such folder")
    config = folder.read_config(config_class(folder.method_name()))
    return train_and_report(config, folder.path, resume=True)


def train_and_report(
    config: RunConfig, out: Path, *, resume: bool = False, evaluate: bool = True, title: str | None = None
) -> int:
    """Train, measure the held-out cases and write the report; return the exit code."""
    from shapewright.training.fit import Interrupted
    from shapewright.training.run import RunFolder

    try:
        return _train_and_report(config, out, resume, evaluate, title)
    except (Interrupted, KeyboardInterrupt):
        begun = RunFolder(out).config.exists()
        hint = f"; continue with: shapewright train --resume {shlex.quote(str(out))}" if begun else ""
        sys.stderr.write(f"interrupted{hint}\n")
        return INTERRUPTED


def _train_and_report(config: RunConfig, out: Path, resume: bool, evaluate: bool, title: str | None) -> int:
    from shapewright.cli.results import summary_lines
    from shapewright.training.run import is_main_process, train

    command = ["shapewright", *sys.argv[1:]]
    folder = train(
        config,
        factory(config.method),
        out,
        resume=resume,
        supervision=info(config.method).supervision,
        missing_channels=info(config.method).missing_channels,
        title=title,
        track=track,
        command=command,
    )
    if not is_main_process():
        return OK
    lines = []
    if evaluate and config_has_test(folder.data):
        from shapewright.training.predict import Predictor, evaluate_run

        predictor = Predictor.load(folder.path, config_class, factory)
        lines = summary_lines(evaluate_run(folder, predictor, overwrite=True, track=track))
    from shapewright.report import write_report

    say(*lines, f"report: {write_report([folder.path])}")
    return OK


def config_has_test(data: Path) -> bool:
    """Say whether a run holds cases out for the evaluation."""
    import json

    return bool(json.loads(data.read_text(encoding="utf-8"))["splits"]["test"])
