"""Cards show what was measured, no more and no less."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("render_cards", ROOT / "scripts" / "render_cards.py")
assert SPEC is not None
assert SPEC.loader is not None
render_cards = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(render_cards)


@pytest.mark.parametrize("results", sorted(render_cards.METHODS.glob("*/results.json")), ids=lambda p: p.parent.name)
def test_the_card_shows_the_committed_results(results: Path) -> None:
    text = results.with_name("README.md").read_text(encoding="utf-8")
    shown = text.split(render_cards.BEGIN)[1].split(render_cards.END)[0].strip()
    assert shown == render_cards.render(results).strip(), "run scripts/render_cards.py"


def test_pictures_of_cards_exist() -> None:
    for card in render_cards.METHODS.glob("*/README.md"):
        for part in card.read_text(encoding="utf-8").split("](")[1:]:
            target = part.split(")")[0]
            if not target.startswith("http"):
                assert (card.parent / target).exists(), f"{card}: {target}"
