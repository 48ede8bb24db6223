"""Run every benchmark beside its peers, print the tables and write them to docs/benchmarks.md.

Usage: ``python benchmarks/run.py [--quick] [NAME ...]``; names are the files of this folder.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "benchmarks.md"
TAKES_QUICK = ("distance", "metrics", "morphology")
INTRODUCTION = """\
# Benchmarks

Made by `make bench`. Every table is measured in one process with the peers interleaved, so that trust belongs to the
ratios rather than to the times: they hold when the machine's speed drifts.

Machine: {cores} cores, {system}, Python {python}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="benchmarks to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes where a benchmark has them")
    options = parser.parse_args()
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "run")
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    page = [INTRODUCTION.format(cores=os.cpu_count(), system=platform.system(), python=platform.python_version())]
    for name in options.names or known:
        flags = ["--quick"] if options.quick and name in TAKES_QUICK else []
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, FOLDER / f"{name}.py", *flags], capture_output=True, text=True)
        print(done.stdout, done.stderr if done.returncode else "", flush=True)
        if done.returncode:
            sys.exit(f"benchmark {name} failed")
        title = name.replace("_", " ").capitalize()
        command = " ".join(["python", f"benchmarks/{name}.py", *flags])
        page.append(f"## {title}\n\n`{command}`\n\n```text\n{done.stdout.strip()}\n```\n")
    if not options.names:
        PAGE.write_text("\n".join(page), encoding="utf-8")
        print(f"written to {PAGE.relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    main()
