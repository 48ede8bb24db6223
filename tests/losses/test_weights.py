"""Balancing weights: their identities, and their equality with torch's weighted cross-entropy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shapewright.errors import InputError
from shapewright.losses import BalancedCrossEntropy, balance_weights

SCHEMES = ("mask", "instance", "batch")


def sparse_labels(seed: int, shape: tuple[int, ...] = (3, 9, 8), classes: int = 5) -> torch.Tensor:
    """Return labels of very unequal classes, about half of them unknown (0)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(torch.tensor([8.0, 4, 2, 1, 0.3][:classes]), 3 * 72, True, generator=generator)
    return drawn.view(shape)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), scheme=st.sampled_from(SCHEMES))
def test_weights_sum_to_the_labelled_voxels_and_classes_weigh_the_same(seed: int, scheme: str) -> None:
    labels = sparse_labels(seed)
    weights = balance_weights(labels, scheme, ignore_label=0)
    assert (weights[labels == 0] == 0).all()
    groups = [(labels, weights)] if scheme == "batch" else list(zip(labels, weights, strict=True))
    for part, weight in groups:
        known = part[part != 0]
        torch.testing.assert_close(weight.sum(), torch.tensor(float(len(known))))
        for k in known.unique() if scheme != "mask" else ():
            torch.testing.assert_close(weight[part == k].sum(), torch.tensor(len(known) / len(known.unique())))


def test_one_class_has_weight_one_and_one_image_is_a_batch() -> None:
    labels = torch.zeros(2, 6, 7, dtype=torch.long)
    labels[0, :3], labels[1, 2:4] = 3, 3
    for scheme in SCHEMES:
        assert torch.equal(balance_weights(labels, scheme, ignore_label=0), (labels == 3).float())
    single = sparse_labels(1)[:1]
    instance, batch = (balance_weights(single, scheme, ignore_label=0) for scheme in ("instance", "batch"))
    assert torch.equal(instance, batch)


def test_equal_counts_have_weight_one() -> None:
    labels = torch.arange(4).repeat(2, 12).view(2, 6, 8)
    for scheme in SCHEMES:
        torch.testing.assert_close(balance_weights(labels, scheme), torch.ones(2, 6, 8))


def test_two_images_of_one_class_each_are_balanced_over_the_batch_alone() -> None:
    labels = torch.zeros(2, 40, 50, dtype=torch.long)
    labels[0].view(-1)[:1000], labels[1].view(-1)[:10] = 1, 2
    totals = {
        s: [float(balance_weights(labels, s, ignore_label=0)[labels == k].sum()) for k in (1, 2)] for s in SCHEMES
    }
    assert totals["instance"] == totals["mask"] == [1000, 10]
    assert totals["batch"] == pytest.approx([505, 505])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_follow_a_renaming_of_classes_and_a_mirroring(scheme: str) -> None:
    labels = sparse_labels(2)
    renamed = torch.tensor([0, 3, 1, 4, 2])[labels]
    weights = balance_weights(labels, scheme, ignore_label=0)
    assert torch.equal(balance_weights(renamed, scheme, ignore_label=0), weights)
    assert torch.equal(balance_weights(labels.flip(1), scheme, ignore_label=0), weights.flip(1))
    volumes = labels.view(3, 2, 4, 9)
    assert torch.equal(balance_weights(volumes, scheme, ignore_label=0).flatten(), weights.flatten())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unknown_voxels_have_exactly_no_gradient(scheme: str) -> None:
    labels = sparse_labels(3)
    logits = torch.randn(3, 5, 9, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    BalancedCrossEntropy(scheme, ignore_label=0)(logits, labels).backward()
    gradient = logits.grad.abs().sum(1)
    assert (gradient[labels == 0] == 0).all()
    assert (gradient[labels != 0] > 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("per", ["labelled", "all"])
def test_a_batch_without_labels_is_zero_with_a_graph(scheme: str, per: str) -> None:
    logits = torch.randn(2, 3, 4, 4).requires_grad_()
    loss = BalancedCrossEntropy(scheme, per=per, ignore_label=0)(logits, torch.zeros(2, 4, 4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_batch_balancing_is_torchs_class_weighted_cross_entropy() -> None:
    labels = sparse_labels(4)
    logits = torch.randn(3, 5, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counts = torch.bincount(labels[labels != 0], minlength=5).double()
    inverse = torch.where(counts > 0, 1 / counts, 0.0)
    expected = functional.cross_entropy(logits, labels, weight=inverse, ignore_index=0)
    torch.testing.assert_close(BalancedCrossEntropy("batch", ignore_label=0)(logits, labels), expected)


def test_one_hot_and_index_targets_agree() -> None:
    labels = sparse_labels(5)
    logits = torch.randn(3, 5, 9, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = balance_weights(labels, "batch", ignore_label=0).double()
    soft = -(functional.one_hot(labels, 5).movedim(-1, 1) * torch.log_softmax(logits, 1)).sum(1)
    expected = (weights * soft).sum() / weights.sum()
    torch.testing.assert_close(BalancedCrossEntropy("batch", ignore_label=0)(logits, labels), expected)


def test_per_all_lets_images_with_few_labels_count_less() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, 0, :2] = 1
    logits = torch.zeros(1, 2, 8, 8)
    assert BalancedCrossEntropy(ignore_label=0)(logits, labels).item() == pytest.approx(np.log(2))
    every = BalancedCrossEntropy(per="all", ignore_label=0)(logits, labels)
    assert every.item() == pytest.approx(np.log(2) * 2 / 64)


def test_a_cap_bounds_the_influence_of_one_voxel() -> None:
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[0, 0, 0] = 1
    logits = torch.zeros(1, 2, 20, 20).requires_grad_()
    shares = []
    for cap in (None, 4.0):
        logits.grad = None
        BalancedCrossEntropy(cap=cap)(logits, labels).backward()
        shares.append(float(logits.grad[0, :, 0, 0].abs().sum() / logits.grad.abs().sum()))
    assert shares[0] == pytest.approx(0.5)
    assert shares[1] < 0.05


def test_errors() -> None:
    with pytest.raises(InputError, match="did you mean 'batch'"):
        balance_weights(torch.zeros(1, 2, 2).long(), "bach")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="labels must be integers"):
        balance_weights(torch.zeros(1, 2, 2))
    with pytest.raises(InputError, match="cap must be positive"):
        BalancedCrossEntropy(cap=0)
    with pytest.raises(InputError, match="mask must have the labels' shape"):
        balance_weights(torch.zeros(1, 2, 2).long(), mask=torch.ones(3))
