"""``shapewright doctor``: what is wrong with the installation, or with a dataset."""

import importlib.util
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shapewright._version import __version__
from shapewright.cli.main import NOT_HELD, OK
from shapewright.cli.parsers import Parser, say, track
from shapewright.data.kinds import KINDS, usable
from shapewright.methods import methods
from shapewright.training.cases import SAMPLE_PREFIX

LIBRARIES = ("torch", "numpy", "numba", "scipy", "lightning", "monai", "nibabel", "SimpleITK", "tifffile", "matplotlib")
EXTRAS = {"large": ("dask", "zarr"), "napari": ("napari",), "docs": ("mkdocs",), "dev": ("pytest", "ruff", "mypy")}
TESTED_TORCH = "2.13"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, and the fix where something is wrong."""

    subject: str
    found: str
    fix: str = ""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "doctor",
        "Without arguments: versions, devices, kernels and optional parts of the installation, and the fix for what is "
        "wrong.\nWith a dataset's folder: every problem of its files at once, and which methods can learn from its "
        "labels. Exit code 1 where something is wrong.",
        "examples:\n  shapewright doctor\n  shapewright doctor DATA",
    )
    parser.add_argument("data", nargs="?", help="a dataset's folder, or sample:NAME")
    options = parser.parse_args(argv)
    return _check_data(options.data) if options.data else _check_installation()


def _check_installation() -> int:
    findings = [*_versions(), *_torch(), _kernels(), *_extras(), *_places()]
    width = max(len(finding.subject) for finding in findings) + 2
    for finding in findings:
        say(f"{finding.subject:{width}}{finding.found}")
        if finding.fix:
            say(f"{'':{width}}fix: {finding.fix}")
    wrong = sum(bool(finding.fix) for finding in findings)
    say("", "everything is in order" if not wrong else f"{wrong} thing(s) to fix")
    return NOT_HELD if wrong else OK


def _versions() -> list[Finding]:
    findings = [
        Finding("shapewright", __version__),
        Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    for library in LIBRARIES:
        try:
            findings.append(Finding(library, version(library)))
        except PackageNotFoundError:
            findings.append(Finding(library, "missing", f"pip install {library}"))
    return findings


def _torch() -> list[Finding]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    findings = [Finding("torch build", f"{build}, {torch.get_num_threads()} threads")]
    if not torch.__version__.startswith(TESTED_TORCH):
        findings.append(Finding("torch version", f"{torch.__version__}, tested with {TESTED_TORCH}"))
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        findings.append(Finding("device", ", ".join(names)))
    elif torch.version.cuda and Path("/dev/nvidia0").exists():
        fix = "update the NVIDIA driver, or install a torch build for its CUDA version"
        findings.append(Finding("device", "an NVIDIA GPU is there, but torch cannot use it", fix))
    elif not torch.version.cuda and Path("/dev/nvidia0").exists():
        fix = "install a CUDA build of torch to use the GPU"
        findings.append(Finding("device", "an NVIDIA GPU is there, but this torch is built for CPUs", fix))
    else:
        findings.append(Finding("device", f"CPU, {os.cpu_count()} cores"))
    return findings


def _kernels() -> Finding:
    """Compile and run a kernel."""
    try:
        import numba
        import numpy as np

        from shapewright.boolean._jit import thread_count
        from shapewright.geometry import distance_transform

        mask = np.ones((3, 3), bool)
        mask[0, 0] = False
        assert distance_transform(mask)[2, 2] == np.sqrt(np.float32(8))
    except Exception as error:  # noqa: BLE001 - whatever a broken compiler raises
        return Finding("kernels", f"the CPU kernels do not run: {error}", "pip install --force-reinstall numba")
    return Finding("kernels", f"CPU: Numba {numba.__version__} ({thread_count()} threads)")


def _extras() -> list[Finding]:
    findings = []
    for extra, modules in EXTRAS.items():
        there = all(importlib.util.find_spec(module) for module in modules)
        found = "installed" if there else f"not installed (optional: pip install 'shapewright[{extra}]')"
        findings.append(Finding(f"extra {extra}", found))
    return findings


def _places() -> list[Finding]:
    """Check that kernels can be cached and runs written."""
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", Path(__file__).parents[1]))
    if os.access(cache, os.W_OK):
        return [Finding("kernel cache", str(cache))]
    home = Path.home() / ".cache"
    if os.access(home if home.exists() else home.parent, os.W_OK):
        return [Finding("kernel cache", f"{home} (the package's folder is read-only)")]
    fix = "set NUMBA_CACHE_DIR to a folder you can write to, or kernels are compiled anew in every process"
    return [Finding("kernel cache", f"neither {cache} nor {home} can be written", fix)]


def _check_data(source: str) -> int:
    from shapewright.data import check_dataset
    from shapewright.training.cases import open_data

    dataset = open_data(source) if source.startswith(SAMPLE_PREFIX) else Path(source)
    result = check_dataset(dataset, track=track)
    for problem in result.problems:
        say(f"{problem.severity}: {problem.kind}: {problem.message}")
    if result.summary:
        facts = result.summary
        say("" if result.problems else f"{facts['name']}: nothing to complain about", *_facts(facts))
    if result.summary.get("supervision"):
        say("", *_methods(result.summary))
    say("", f"{len(result.errors)} error(s), {len(result.warnings)} warning(s)")
    return OK if result.ok else NOT_HELD


def _facts(summary: Mapping[str, Any]) -> list[str]:
    """Return a dataset's summary as lines."""
    lines = [
        f"cases     {summary['cases']}, {summary['labelled']} labelled; {summary['test_cases']} set apart for testing",
        f"channels  {', '.join(summary['channels'])}",
    ]
    for name, member in summary["members"].items():
        unknown = f"; not annotated: {', '.join(member['unknown'])}" if member["unknown"] else ""
        lines.append(f"data set  {name}: {member['cases']} case(s) with {', '.join(member['channels'])}{unknown}")
    for name, ranks in (("shape", summary["shapes"]), ("spacing", summary["spacings"])):
        lines += [f"{name:10}{' x '.join(map(_range, axes))}" for axes in ranks]
    lines += [f"known     {KINDS[kind]}: {count} case(s)" for kind, count in summary["supervision"].items()]
    for name, label in summary["labels"].items():
        share = f", {100 * label['share']['median']:.3g} % of the image" if label["cases"] else ""
        lines.append(f"label     {name} = {label['value']}: in {label['cases']} case(s){share}")
    return lines


def _methods(summary: Mapping[str, Any]) -> list[str]:
    """Say which methods can learn from the folder's labels, and what the others need."""
    known, ranks = summary["supervision"], [len(axes) for axes in summary["shapes"]]
    lines: dict[bool, list[str]] = {True: ["methods that fit"], False: ["methods that do not"]}
    for name, method in methods().items():
        served = {kind: known[kind] for kind in usable(known, method.supervision) if kind != "unlabelled"}
        flat = any(rank >= dims for rank in ranks for dims in method.spatial_dims)
        if served and flat:
            also = {kind: known[kind] for kind in usable(known, method.supervision) if kind == "unlabelled"}
            found = ", ".join(f"{kind} ({count})" for kind, count in {**served, **also}.items())
            lines[True].append(f"  {name:24}{found}")
        elif served:
            wanted = " or ".join(f"{dims}D" for dims in method.spatial_dims)
            lines[False].append(f"  {name:24}works on {wanted} images")
        else:
            needed = " or ".join(KINDS[kind] for kind in method.supervision if kind != "unlabelled")
            lines[False].append(f"  {name:24}needs {needed}")
    return [line for part in lines.values() if len(part) > 1 for line in part]


def _range(values: Mapping[str, float]) -> str:
    """Return one number where all agree, else the range."""
    low, high = values["min"], values["max"]
    return f"{low:g}" if low == high else f"({low:g} to {high:g})"
