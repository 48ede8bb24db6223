"""Write the page."""

import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from shapewright._version import __version__
from shapewright.errors import InputError
from shapewright.report.run import load_run
from shapewright.report.surface_error import colour_stops
from shapewright.report.wording import listing


def write_report(runs: Sequence[str | Path], out: str | Path | None = None, *, title: str | None = None) -> Path:
    """Write the HTML report of a run, or the comparison of several, as one self-contained file.

    The file opens without a network, in light and dark, on paper and on a phone.

    Parameters
    ----------
    runs
        Folders of runs. With two or more, the others are compared with the first.
    out
        The file to write. By default ``report.html`` in the run's folder, or in the folder that holds all of several
        runs.
    title
        The page's title; by default made of method and data.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        No run, the same folder twice, a folder that is no run, or an ``out`` that cannot be written.
    """
    if isinstance(runs, str | Path) or not runs:
        raise InputError(f"runs must be a list of one or more run folders; got {runs!r}")
    loaded = [load_run(path) for path in runs]
    folders = [run.folder.resolve() for run in loaded]
    if len(set(folders)) < len(folders):
        raise InputError(f"runs must be different folders; got {', '.join(str(path) for path in runs)}")
    if len(loaded) == 1:
        from shapewright.report.run_page import run_page

        text = _render("run.html", run_page(loaded[0], title))
    else:
        from shapewright.report.comparison import comparison_page

        text = _render("comparison.html", comparison_page(loaded, title))
    target = Path(out) if out is not None else _default_target(folders)
    _write(target, text)
    return target


def _default_target(folders: Sequence[Path]) -> Path:
    parent = folders[0] if len(folders) == 1 else Path(os.path.commonpath(folders))
    return parent / "report.html"


def _render(template: str, page: object) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("shapewright.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(anchor=_anchor, listing=lambda names: listing([str(name) for name in names]))
    assets = files("shapewright.report") / "templates"
    context: dict[str, Any] = {
        "css": Markup((assets / "report.css").read_text(encoding="utf-8")),
        "js": Markup((assets / "report.js").read_text(encoding="utf-8")),
        "stops": colour_stops(),
        "version": __version__,
    }
    return environment.get_template(template).render(page=page, **context)


def _anchor(text: str) -> str:
    """Return a text as an element's id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _write(target: Path, text: str) -> None:
    """Write the file under a temporary name and rename it, so that no half-written page is left."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"cannot write the report to {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
