"""Decoding of independent sigmoids: every voxel gets exactly one class."""

import itertools

import pytest
import torch

from shapewright.errors import InputError
from shapewright.training.exclusive import (
    choose_left_out,
    exclusive_decode,
    exclusive_probabilities,
    exclusive_targets,
)


def brute_force(values: tuple[float, ...], trained: tuple[int, ...], left_out: int) -> int:
    claims = [(value, -position) for position, value in enumerate(values) if value >= 0.5]
    return trained[-max(claims)[1]] if claims else left_out


@pytest.mark.parametrize(("trained", "left_out"), [((1, 3), 2), ((2, 1), 0), ((1, 2, 3), 0)])
def test_decoding_is_the_rule_for_every_combination_ties_included(trained, left_out) -> None:
    levels = (0.0, 0.2, 0.5, 0.5000001, 0.8, 1.0)
    combinations = list(itertools.product(levels, repeat=len(trained)))
    sigmoids = torch.tensor(combinations, dtype=torch.float64).T[None, :, :, None]
    expected = [brute_force(values, trained, left_out) for values in combinations]
    decoded = exclusive_decode(sigmoids, trained, left_out)
    assert decoded[0, :, 0].tolist() == expected
    probabilities = exclusive_probabilities(sigmoids, trained, left_out, 4)
    torch.testing.assert_close(probabilities.sum(1), torch.ones_like(probabilities.sum(1)))
    if trained == tuple(sorted(trained)):  # the largest probability of equals is that of the smallest class
        assert probabilities.argmax(1)[0, :, 0].tolist() == expected


def test_outside_the_mask_there_is_background() -> None:
    sigmoids = torch.rand(2, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 5, 6, dtype=torch.bool)
    mask[:, 1:4] = True
    for given in (mask, mask[:, None]):
        labels = exclusive_decode(sigmoids, (1, 3), 2, mask=given)
        assert (labels[~mask] == 0).all()
        assert (labels[mask] > 0).all()
        probabilities = exclusive_probabilities(sigmoids, (1, 3), 2, 4, mask=given)
        assert torch.equal(probabilities.argmax(1), labels)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 5, 6))


def test_targets_leave_one_class_without_a_channel() -> None:
    labels = torch.tensor([[[0, 1], [2, 3]]])
    targets = exclusive_targets(labels, (3, 1))
    assert targets.shape == (1, 2, 2, 2)
    assert torch.equal(targets[:, 0], labels == 3)
    assert torch.equal(targets[:, 1], labels == 1)


def test_the_most_frequent_class_is_left_out() -> None:
    assert choose_left_out([5, 9, 7]) == 1
    assert choose_left_out([36, 1, 2, 1.5], confusable=(2, 3)) == 2
    with pytest.raises(InputError, match="confusable must name"):
        choose_left_out([1, 2], confusable=())
