"""Soft Jaccard distances: metric axioms, MONAI, counting; and what holds for parts of the classes."""

import pytest
import torch
from torch import Tensor

from shapewright.errors import InputError
from shapewright.losses import DiceLoss, JaccardLoss, LabelSpace, MarginalDiceLoss, modality_consistency, soft_jaccard
from shapewright.losses.jaccard import FORMS

SPACE = LabelSpace.union({"controls": {n: n for n in ("background", "grey", "white")}, "patients": {"WMH": "lesion"}})
LESION, OTHER = SPACE.numbers["patients"]["WMH"], SPACE.numbers["patients"]["background"]
forms = pytest.mark.parametrize("form", FORMS)


def maps(count: int, *, seed: int = 0, shape: tuple[int, ...] = (4, 3, 2, 2)) -> list[Tensor]:
    """Return non-negative maps, some empty, some equal to 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(count, *shape, dtype=torch.float64, generator=generator)
    share = torch.rand(count, shape[0], 1, 1, 1, dtype=torch.float64, generator=generator)
    return list(torch.where(values < share, (values / share.clamp(min=1e-9)).round(), values))


def random_labels(low: int, high: int, *, seed: int = 1) -> Tensor:
    return torch.randint(low, high, (2, 6, 5), generator=torch.Generator().manual_seed(seed))


def random_logits(*, seed: int = 0, classes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, classes, 6, 5, dtype=torch.float64, generator=generator)


def test_l1_is_a_metric() -> None:
    for seed in range(3):
        a, b, c = maps(3, seed=seed, shape=(5000, 3, 2, 2))
        ab, bc, ac = soft_jaccard(a, b), soft_jaccard(b, c), soft_jaccard(a, c)
        assert (ac <= ab + bc + 1e-12).all()
        torch.testing.assert_close(ab, soft_jaccard(b, a), rtol=0, atol=1e-14)
        assert ((ab >= 0) & (ab <= 1)).all()
        assert (soft_jaccard(a, a) == 0).all()
        assert (ab[(a != b).flatten(2).any(-1)] > 0).all()


def test_tanimoto_is_none() -> None:
    first, middle, last = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (0.25, 0.5, 1.0))
    direct = soft_jaccard(first, last, "tanimoto")
    detour = soft_jaccard(first, middle, "tanimoto") + soft_jaccard(middle, last, "tanimoto")
    torch.testing.assert_close(direct.item(), 9 / 13)
    torch.testing.assert_close(detour.item(), 2 / 3)
    first, middle, last = maps(3, shape=(5000, 1, 2, 2))
    last = last.round()
    direct = soft_jaccard(first, last, "tanimoto")
    detour = soft_jaccard(first, middle, "tanimoto") + soft_jaccard(middle, last, "tanimoto")
    assert 0.01 < (direct > detour + 1e-9).double().mean() < 0.3


@forms
def test_binary_maps_count_voxels(form: str) -> None:
    a, b = (one.round() for one in maps(2, shape=(50, 3, 4, 4)))
    shared = (a.bool() & b.bool()).flatten(2).sum(-1)
    union = (a.bool() | b.bool()).flatten(2).sum(-1)
    expected = torch.where(union > 0, 1 - shared / union.clamp(min=1), 0.0)
    torch.testing.assert_close(soft_jaccard(a, b, form), expected.double())


@pytest.mark.parametrize(("form", "options"), [("l1", {"soft_label": True}), ("tanimoto", {"squared_pred": True})])
def test_equals_monai(form: str, options: dict[str, bool]) -> None:
    from monai.losses.dice import DiceLoss

    a, b = maps(2, shape=(6, 3, 5, 4))
    monai = DiceLoss(jaccard=True, smooth_nr=0, smooth_dr=0, reduction="none", **options)
    torch.testing.assert_close(soft_jaccard(a, b, form), monai(a, b)[..., 0, 0])


def test_the_loss_of_all_classes_is_the_sum_of_parts() -> None:
    logits, labels = random_logits(), random_labels(0, 4)
    whole = JaccardLoss(channels=range(4), reduction="none")(logits, labels)
    parts = [JaccardLoss(channels=part, reduction="none")(logits, labels) for part in ((0, 1, 2), (3,))]
    torch.testing.assert_close(4 * whole, 3 * parts[0] + parts[1])


def test_weights_sum_to_one_over_what_counts() -> None:
    logits = torch.zeros(2, 4, 6, 5)
    logits[:, 0] = 1e4  # background everywhere: every other class is at distance 1
    labels = random_labels(1, 4)
    for weights in (None, (1.0, 2.0, 5.0)):
        torch.testing.assert_close(JaccardLoss(class_weights=weights)(logits, labels).item(), 1.0)
    paper = JaccardLoss(SPACE.sets, channels=range(5), class_weights=(1 / 16,) * 3 + (1 / 2, 0))
    torch.testing.assert_close(paper(logits, labels).item(), 1.0)
    torch.testing.assert_close(JaccardLoss(class_weights=(0.0, 0.0, 0.0))(logits, labels).item(), 0.0)


@forms
def test_tissue_does_not_depend_on_the_probability_of_lesions(form: str) -> None:
    probabilities = random_logits().softmax(1).requires_grad_()
    truth = torch.nn.functional.one_hot(random_labels(0, 3), 4).movedim(-1, 1).double()
    tissue = soft_jaccard(probabilities, truth, form)[:, :3].sum()
    (gradient,) = torch.autograd.grad(tissue, probabilities)
    assert (gradient[:, 3] == 0).all()
    assert (gradient[:, :3] != 0).any()


def test_a_lesion_set_says_nothing_about_tissue() -> None:
    loss = JaccardLoss(SPACE.sets, channels=range(4 + len(SPACE.sets)), reduction="none")
    labels = torch.where(random_labels(0, 2) == 1, LESION, OTHER)
    logits = random_logits()
    proportions = logits.clone()  # the same sum of what is not lesion, other shares
    proportions[:, :3] = logits[:, [2, 0, 1]]
    torch.testing.assert_close(loss(proportions, labels), loss(logits, labels))
    lesion = logits.softmax(1)[:, 3:]
    truth = (labels == LESION)[:, None].double()
    expected = (soft_jaccard(lesion, truth) + soft_jaccard(1 - lesion, 1 - truth))[:, 0] / 2
    torch.testing.assert_close(loss(logits, labels), expected)


def test_certain_background_counts_where_it_is_told_apart() -> None:
    logits, labels = random_logits(), random_labels(0, 3)
    labels = torch.tensor([0, LESION, OTHER])[labels]  # air outside the head is certain
    told = labels != OTHER
    expected = soft_jaccard((logits.softmax(1)[:, 0] * told)[:, None], (labels == 0)[:, None].double())[:, 0]
    loss = JaccardLoss(SPACE.sets, channels=[0], reduction="none")
    torch.testing.assert_close(loss(logits, labels), expected)
    dice = MarginalDiceLoss(SPACE.sets, reduction="none")(logits, labels)[:, 0]
    expected = DiceLoss(channels=[0], reduction="none")(logits, labels * told, mask=told)[:, 0]
    torch.testing.assert_close(dice, expected)


def test_a_class_left_out_does_not_matter_as_target() -> None:
    loss, logits = JaccardLoss(channels=[3]), random_logits()
    labels = random_labels(0, 4)
    other = torch.where(labels == 3, 3, (labels + 1) % 3)
    assert torch.equal(loss(logits, labels), loss(logits, other))


def test_a_patch_without_lesion_still_says_where_none_is() -> None:
    logits = random_logits().requires_grad_()
    labels = torch.full((2, 6, 5), OTHER)
    JaccardLoss(SPACE.sets, channels=range(4 + len(SPACE.sets)))(logits, labels).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 3] > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "tanimot"}, "did you mean 'tanimoto'"),
        ({"class_weights": (1.0, -1.0, 0.0)}, "must not be negative"),
        ({"class_weights": (1.0,)}, "must have 3 values, one per channel; got 1"),
        ({"channels": [7]}, "channels must be distinct classes"),
    ],
)
def test_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        JaccardLoss(**options)(random_logits(), random_labels(0, 4))  # type: ignore[arg-type]


def test_maps_of_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="same shape"):
        soft_jaccard(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, 3))


def linear(weights: Tensor) -> torch.nn.Module:
    """Return a network of the mean of what there is: every channel counts as much, missing ones not at all."""

    class Linear(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            there = ~image.isnan()
            shares = torch.einsum("kc,bcyx->bkyx", weights, image.nan_to_num())
            return shares / there.sum(1, keepdim=True)

    return Linear()


def test_the_bound_holds_for_any_batch() -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        image = 4 * torch.randn(3, 2, 5, 5, dtype=torch.float64, generator=generator)
        network = linear(4 * torch.randn(3, 2, dtype=torch.float64, generator=generator))
        reduced = image.clone()
        reduced[:, 1] = torch.nan
        labels = torch.randint(0, 3, (3, 5, 5), generator=generator)
        loss = JaccardLoss(channels=range(3), reduction="none")
        bound = modality_consistency(network, image, [0]) + loss(network(reduced), labels)
        assert (loss(network(image), labels) <= bound + 1e-12).all()


@forms
@pytest.mark.parametrize("detach", ["none", "target"])
def test_consistency_lets_gradients_through_one_or_both_predictions(form: str, detach: str) -> None:
    image = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    classes = torch.tensor([[True, True, False], [True, True, True]])

    def distance(values: Tensor) -> Tensor:
        return modality_consistency(linear(values), image, [0], classes=classes, form=form, detach=detach)  # type: ignore[arg-type]

    full, reduced = (weights.clone().detach().requires_grad_() for _ in range(2))
    missing = image.clone()
    missing[:, 1] = torch.nan
    predictions = linear(full)(image).softmax(1), linear(reduced)(missing).softmax(1)
    apart = soft_jaccard(*predictions, form)  # type: ignore[arg-type]
    expected = (apart * classes).sum(1) / classes.sum(1)
    torch.testing.assert_close(distance(weights), expected)
    expected.sum().backward()
    distance(weights).sum().backward()
    assert full.grad is not None
    assert reduced.grad is not None
    torch.testing.assert_close(weights.grad, full.grad + (reduced.grad if detach == "none" else 0))
    if detach == "none":
        assert torch.autograd.gradcheck(distance, (weights,))


def test_consistency_knows_its_options() -> None:
    image = torch.zeros(1, 2, 3, 3, dtype=torch.float64)
    network = linear(torch.zeros(3, 2, dtype=torch.float64))
    with pytest.raises(InputError, match="did you mean 'target'"):
        modality_consistency(network, image, [0], detach="targets")
    nothing = modality_consistency(network, image, [0], classes=torch.zeros(1, 3, dtype=torch.bool))
    assert nothing.tolist() == [0.0]
