"""The challenge's score against the rows of a published table."""

import pytest

from shapewright.errors import InputError
from shapewright.metrics import hvsmr_score


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [
        ((0.694, 1.461, 10.221), (0.926, 0.940, 8.628), -0.419),
        ((0.774, 1.026, 6.572), (0.929, 0.981, 9.966), -0.202),
        ((0.821, 0.964, 7.294), (0.931, 0.938, 9.533), -0.161),
        ((0.817, 0.723, 3.639), (0.938, 0.778, 5.548), 0.196),
    ],
)
def test_reproduces_the_published_scores(first, second, score) -> None:
    dice, distance, hausdorff = zip(first, second, strict=True)
    assert hvsmr_score(dice, distance, hausdorff) == pytest.approx(score, abs=0.002)


def test_refuses_different_numbers_of_classes() -> None:
    with pytest.raises(InputError, match="2, 1 and 2"):
        hvsmr_score([0.9, 0.8], [1.0], [2.0, 3.0])
