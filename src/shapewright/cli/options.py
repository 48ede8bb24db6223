"""The options of a training run: from the dataclasses to the command line and to YAML."""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from shapewright.cli.parsers import explain
from shapewright.errors import InputError, suggest, unknown
from shapewright.methods import config_class, info, presets
from shapewright.training.config import SECTIONS, RunConfig, read_run_config

_DESCRIPTION = """\
{title}

Train on a folder of images; writes weights, learning curves, metrics of held-out cases and report.html.
Every option can also stand in a YAML file (--config), as print-config shows it; later wins: preset, file, option."""

_EXAMPLES = """\
examples:
  shapewright train {name} --data DATA --out runs/a
  shapewright train {name} --data sample:hippocampus --preset fast --trainer.epochs 20
  shapewright train --resume runs/a"""


def split_method(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the method's name (the first argument that is no option) and the other arguments."""
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    return None, list(argv)


def run_parser(method: str, preset: Mapping[str, Any]) -> Any:
    """Build the parser of all options of a method, with a preset's values as defaults.

    Parameters
    ----------
    method
        The method's name.
    preset
        Nested mapping that overrides defaults.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=f"shapewright train {method}",
        usage=f"shapewright train {method} --data DATA [--out RUN] [--preset PRESET] [--config FILE] [OPTIONS]",
        description=_DESCRIPTION.format(title=info(method).title),
        epilog=_EXAMPLES.format(name=method),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--data", type=str, default=None, help="dataset's folder, or sample:NAME")
    parser.add_argument("--out", type=str, default=None, help="the run's folder (default: runs/METHOD)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw")
    parser.add_argument("--preset", type=str, default="default", help=f"starting point: {', '.join(presets(method))}")
    parser.add_argument("--config", type=str, default=None, help="YAML file with options; - is standard input")
    parser.add_argument("--evaluate", type=bool, default=True, help="measure the held-out cases after training")
    parser.add_class_arguments(config_class(method), "settings")
    for name, section in SECTIONS.items():
        parser.add_class_arguments(section, name)
    parser.set_defaults(_flatten(preset, "", method))
    return parser


def run_config(tree: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that a nested mapping of options describes, defaults filled in."""
    method = str(tree["method"])
    return read_run_config(yaml.safe_dump(dict(tree)), config_class(method), "the configuration")


def parse_run(argv: Sequence[str]) -> tuple[RunConfig, argparse.Namespace]:
    """Return the configuration that the arguments describe, and the options beside it (``out``, ``evaluate``).

    Raises
    ------
    InputError
        An unknown method, preset, option or a value of the wrong type.
    """
    method, rest = split_method(argv)
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--config")
    early.add_argument("--preset", default="default")
    known, _ = early.parse_known_args(rest)
    tree = _read_tree(Path(known.config)) if known.config else {}
    method = method or str(tree.get("method", ""))
    if not method:
        raise InputError("name a method, as in shapewright train boundary-loss --data DATA; see shapewright methods")
    available = presets(method)
    if known.preset not in available:
        raise unknown("preset", known.preset, available)
    parser = run_parser(method, _merge(available[known.preset], {k: v for k, v in tree.items() if k != "method"}))
    if any(flag in rest for flag in ("-h", "--help")):
        parser.print_help()
        raise SystemExit(0)
    try:
        namespace = parser.parse_args(rest)
        built = parser.instantiate(namespace)
    except SystemExit:
        raise
    except Exception as error:
        text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise InputError(explain(text, parser._option_string_actions)) from error
    if not built.data:
        raise InputError("--data is missing: name the dataset's folder, or a bundled one such as sample:hippocampus")
    sections = {name: getattr(built, name) for name in SECTIONS}
    config = RunConfig(method=method, data=built.data, settings=built.settings, seed=built.seed, **sections)
    return config, argparse.Namespace(out=Path(built.out or f"runs/{method}"), evaluate=built.evaluate)


def _read_tree(path: Path) -> dict[str, Any]:
    """Read a YAML file of options."""
    try:
        tree = yaml.safe_load(sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"--config {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise InputError(f"--config {path} must hold options by name, as print-config shows them")
    return tree


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings merged, the second winning."""
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _flatten(tree: Mapping[str, Any], prefix: str, method: str) -> dict[str, Any]:
    """Return nested options as ``{"trainer.epochs": 3}``, refusing unknown names."""
    flat: dict[str, Any] = {}
    known = _names(method)
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.", method)
        elif name in known:
            flat[name] = tuple(value) if isinstance(value, list) else value
        elif any(option.startswith(f"{name}.") for option in known):
            raise InputError(f"{name!r} in the configuration must hold options by name; got {value!r}")
        else:
            raise InputError(f"unknown option {name!r} in the configuration{suggest(name, known)}")
    return flat


def _names(method: str) -> set[str]:
    """Return the dotted names of all options."""

    def walk(cls: type, prefix: str) -> set[str]:
        names = set()
        for entry in dataclasses.fields(cls):
            default = entry.default_factory() if callable(entry.default_factory) else entry.default
            nested = dataclasses.is_dataclass(default) and not isinstance(default, type)
            names |= walk(type(default), f"{prefix}{entry.name}.") if nested else {f"{prefix}{entry.name}"}
        return names

    names = {"data", "seed"} | walk(config_class(method), "settings.")
    for section, cls in SECTIONS.items():
        names |= walk(cls, f"{section}.")
    return names
