"""What only a browser can say. Skipped where none is installed."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shapewright.report import write_report

from .conftest import WriteRun

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome")

# The page in a frame of a phone's width; a script looks at it and writes what it saw into the outer page.
HARNESS = """<!doctype html><title>waiting</title>
<iframe id="frame" style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe>
<pre id="seen"></pre>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  const seen = (() => {{ {script} }})();
  document.getElementById("seen").textContent = "SEEN" + JSON.stringify(seen) + "END";
}});
</script>"""


def look(report: Path, script: str, tmp_path: Path, width: int = 390) -> Any:
    page = html.escape(report.read_text(encoding="utf-8"), quote=True)
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.format(width=width, page=page, script=script), encoding="utf-8")
    command = [
        str(BROWSER),
        *(
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--virtual-time-budget=3000",
        ),
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        harness.as_uri(),
    ]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r"SEEN(.*)END</pre>", out, re.DOTALL)
    assert found, out[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("runs", [1, 2])
def test_the_page_never_scrolls_sideways(write_run: WriteRun, tmp_path: Path, width: int, runs: int) -> None:
    long = "a_case_with_a_name_that_nobody_would_like_to_type_or_to_read_twice_in_a_day"
    folders = [write_run(f"run {index}", cases=(long, "b"), shifts=(1, 2)) for index in range(runs)]
    script = """
      page.querySelectorAll("details").forEach((fold) => { fold.open = true; });
      return [page.documentElement.scrollWidth, view.innerWidth];
    """
    content, window = look(write_report(folders), script, tmp_path, width)
    assert window == width
    assert content <= window


def test_the_reader_can_sort_filter_and_change_colours(write_run: WriteRun, tmp_path: Path) -> None:
    script = """
      const first = () => page.querySelector("table.cases tbody tr:not([hidden])").cells;
      const seen = { worst: first()[0].textContent };
      const dice = page.querySelectorAll("table.cases thead button")[2];
      dice.click(); dice.click();
      seen.best = first()[0].textContent;
      seen.sort = dice.closest("th").getAttribute("aria-sort");
      const filter = page.querySelector("select[data-filter]");
      filter.value = "rim";
      filter.dispatchEvent(new view.Event("change"));
      const rows = [...page.querySelectorAll("table.cases tbody tr:not([hidden])")];
      seen.labels = [...new Set(rows.map((row) => row.cells[1].textContent))];
      const ground = () => view.getComputedStyle(page.body).backgroundColor;
      const before = ground();
      page.getElementById("theme").click();
      seen.changed = ground() !== before;
      page.getElementById("show-truth").click();
      seen.truth = view.getComputedStyle(page.querySelector(".truth")).display;
      seen.prediction = view.getComputedStyle(page.querySelector(".prediction")).display;
      return seen;
    """
    assert look(write_report([write_run()]), script, tmp_path) == {
        "worst": "hard",
        "best": "easy",
        "sort": "descending",
        "labels": ["rim"],
        "changed": True,
        "truth": "none",
        "prediction": "inline",
    }


def test_pointing_at_a_chart_reads_its_values(write_run: WriteRun, tmp_path: Path) -> None:
    script = """
      const chart = page.querySelector("svg[data-chart]");
      const box = chart.getBoundingClientRect();
      chart.dispatchEvent(new view.PointerEvent("pointermove", { clientX: box.right - 2, clientY: box.top + 20 }));
      const reading = chart.parentElement.querySelector(".reading");
      return [reading.hidden, [...reading.children].map((row) => row.textContent)];
    """
    assert look(write_report([write_run()]), script, tmp_path) == [False, ["4", "total 0.25", "boundary -0.2"]]
