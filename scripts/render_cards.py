"""Write the measured results of every method into its card, from ``results.json`` beside it.

Usage: ``python scripts/render_cards.py``. A card's text between the two marks is replaced.
"""

import json
from pathlib import Path

from shapewright.training.reproduction import Reproduction

METHODS = Path(__file__).parents[1] / "src" / "shapewright" / "methods"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def render(results: Path) -> str:
    """Return results as the text of a card."""
    content = json.loads(results.read_text(encoding="utf-8"))
    table = Reproduction.from_dict(content)
    seeds = ", ".join(map(str, content["seeds"]))
    return f"`{content['command']}`; seeds {seeds}; {content['machine']}.\n\n{table.to_markdown()}"


def main() -> None:
    for results in sorted(METHODS.glob("*/results.json")):
        card = results.with_name("README.md")
        before, rest = card.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        card.write_text(f"{before}{BEGIN}\n{render(results)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
