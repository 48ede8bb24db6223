"""Build the documentation site into site/: the guide, one page per method from its card, the API from the docstrings.

Usage: ``python scripts/build_docs.py [--strict]``.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from shapewright.methods import card, info, methods

ROOT = Path(__file__).parents[1]
GUIDE = {
    "Data": "data.md",
    "Training": "training.md",
    "Scribbles": "scribbles.md",
    "Morphology": "morphology.md",
    "Learning morphology": "bimonn.md",
    "Learning morphology, measured": "bimonn-table.md",
    "Benchmarks": "benchmarks.md",
    "Architecture": "architecture.md",
}
ROOMS = (
    "boolean",
    "morphology",
    "geometry",
    "metrics",
    "losses",
    "layers",
    "networks",
    "simulate",
    "data",
    "training",
    "methods",
    "report",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "docs"
        navigation = gather(source)
        settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text()) | {
            "docs_dir": str(source),
            "site_dir": str(ROOT / "site"),
            "nav": navigation,
        }
        settings["plugins"][1]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT / "src")]
        file = Path(folder) / "mkdocs.yml"
        file.write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(file), *sys.argv[1:]]
        code = subprocess.run(command, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode
    if code:
        sys.exit(code)
    print("open site/index.html")


def gather(source: Path) -> list[dict[str, object]]:
    """Collect the pages; return the navigation."""
    source.mkdir()
    shutil.copytree(ROOT / "docs" / "images", source / "images")
    (source / "index.md").write_text((ROOT / "README.md").read_text().replace("docs/", ""))
    (source / "contributing.md").write_text((ROOT / "CONTRIBUTING.md").read_text().replace("docs/", ""))
    (source / "changelog.md").write_text((ROOT / "CHANGELOG.md").read_text())
    guide = {title: name for title, name in GUIDE.items() if (ROOT / "docs" / name).exists()}
    for name in guide.values():
        shutil.copy(ROOT / "docs" / name, source / name)
    pages, reference = [], []
    for name in methods():
        text = re.sub(r"\((?:\.\./)+docs/images/", "(../images/", card(name))
        path = source / "methods" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n\n## Options\n\n::: {info(name).package}.config.Config\n")
        pages.append({name: f"methods/{name}.md"})
    for room in ROOMS:
        path = source / "reference" / f"{room}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {room}\n\n" + "\n\n".join(f"::: {module}" for module in modules(room)))
        reference.append({room: f"reference/{room}.md"})
    return [
        {"Start": "index.md"},
        *({title: name} for title, name in guide.items()),
        {"Methods": pages},
        {"Reference": reference},
        {"Contributing": "contributing.md"},
        {"Changelog": "changelog.md"},
    ]


def modules(room: str) -> list[str]:
    """Return the public modules of a room."""
    folder = ROOT / "src" / "shapewright" / room
    return [f"shapewright.{room}.{path.stem}" for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


if __name__ == "__main__":
    main()
