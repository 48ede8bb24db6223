"""Labels that stand for several classes: against cross-entropy of merged classes, closed forms and torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shapewright.errors import InputError
from shapewright.losses import AdaptiveCrossEntropyLoss, DiceLoss, LabelSpace, MarginalDiceLoss
from shapewright.losses.label_space import admissible_classes

CLASSES, NOT_LESION = 5, (0, 1, 2, 3)  # background, three tissues, lesion


def logits(shape: tuple[int, ...] = (6, 7), seed: int = 0, classes: int = CLASSES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, classes, *shape, dtype=torch.float64, generator=generator).requires_grad_()


def labels(shape: tuple[int, ...] = (6, 7), low: int = 0, high: int = CLASSES, seed: int = 1) -> torch.Tensor:
    return torch.randint(low, high, (2, *shape), generator=torch.Generator().manual_seed(seed))


def lesion_labels(shape: tuple[int, ...] = (6, 7)) -> torch.Tensor:
    """Labels of a lesion data set: 4 is lesion, 5 any other class."""
    return labels(shape, 4, 6)


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5)], ids=["2D", "3D"])
def test_single_classes_are_cross_entropy(shape: tuple[int, ...]) -> None:
    values = AdaptiveCrossEntropyLoss([NOT_LESION], reduction="none")(logits(shape), labels(shape))
    expected = functional.cross_entropy(logits(shape), labels(shape), reduction="none")
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


def test_any_class_is_no_loss_and_no_gradient() -> None:
    values = logits()
    loss = AdaptiveCrossEntropyLoss([range(CLASSES)])(values, labels() * 0 + CLASSES)
    loss.backward()
    assert loss.item() == 0
    assert values.grad is not None
    assert (values.grad == 0).all()


def test_gradient_is_the_closed_form() -> None:
    values, target = logits(), lesion_labels()
    AdaptiveCrossEntropyLoss([NOT_LESION], reduction="sum")(values, target).backward()
    probabilities = values.detach().softmax(1)
    inside = torch.from_numpy(admissible_classes(CLASSES, [NOT_LESION]))[target].movedim(-1, 1)
    within = torch.where(inside, probabilities, 0.0)
    torch.testing.assert_close(values.grad, probabilities - within / within.sum(1, keepdim=True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits_stay_finite(size: float) -> None:
    values = torch.zeros(2, CLASSES, 6, 7)
    values[:, 4] = size
    values.requires_grad_()
    loss = AdaptiveCrossEntropyLoss([NOT_LESION], reduction="none")(values, lesion_labels())
    loss.sum().backward()
    wrong = lesion_labels() == (5 if size > 0 else 4)
    torch.testing.assert_close(loss, torch.where(wrong, 1e4, 0.0), rtol=1e-3, atol=1e-3)
    assert values.grad is not None
    assert values.grad.isfinite().all()


def test_the_order_of_classes_in_a_set_does_not_matter() -> None:
    loss = AdaptiveCrossEntropyLoss([NOT_LESION])
    shuffled = logits()[:, [2, 0, 3, 1, 4]]
    torch.testing.assert_close(loss(shuffled, lesion_labels()), loss(logits(), lesion_labels()), rtol=0, atol=1e-12)


def test_equals_cross_entropy_after_merging_the_classes() -> None:
    merged = torch.stack([logits()[:, :4].logsumexp(1), logits()[:, 4]], dim=1)
    expected = functional.cross_entropy(merged, (lesion_labels() == 4).long())
    torch.testing.assert_close(
        AdaptiveCrossEntropyLoss([NOT_LESION])(logits(), lesion_labels()), expected, rtol=0, atol=1e-12
    )


def test_two_merged_classes_equal_binary_cross_entropy() -> None:
    lesion = logits().softmax(1)[:, 4]
    expected = functional.binary_cross_entropy(lesion, (lesion_labels() == 4).double())
    torch.testing.assert_close(
        AdaptiveCrossEntropyLoss([NOT_LESION])(logits(), lesion_labels()), expected, rtol=0, atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=4), st.integers(0, 1000))
def test_any_label_sets_equal_the_sum_of_probabilities(sets: list[set[int]], seed: int) -> None:
    target = labels(high=CLASSES + len(sets), seed=seed)
    values = AdaptiveCrossEntropyLoss([sorted(s) for s in sets], reduction="none")(logits(seed=seed), target)
    probabilities = logits(seed=seed).softmax(1)
    meaning = [{k} for k in range(CLASSES)] + sets
    for place in range(target[0].numel()):
        image, y, x = place % 2, *divmod(place, 7)
        chosen = sorted(meaning[int(target[image, y, x])])
        expected = -torch.log(probabilities[image, chosen, y, x].sum())
        torch.testing.assert_close(values[image, y, x], expected, rtol=0, atol=1e-10)


def test_reading_patch_says_nothing_about_an_image_without_lesion() -> None:
    target = lesion_labels()
    target[0] = 5
    by_dataset = AdaptiveCrossEntropyLoss([NOT_LESION], reduction="none")(logits(), target)
    by_patch = AdaptiveCrossEntropyLoss([NOT_LESION], reading="patch", reduction="none")(logits(), target)
    assert (by_patch[0] == 0).all()
    assert (by_dataset[0] > 0).all()
    torch.testing.assert_close(by_patch[1], by_dataset[1])  # the readings agree where there is a lesion


def test_reading_patch_leaves_complete_labels_alone() -> None:
    target = labels(high=3)  # neither class 3 nor 4 occurs
    by_patch = AdaptiveCrossEntropyLoss([NOT_LESION], reading="patch")(logits(), target)
    torch.testing.assert_close(by_patch, functional.cross_entropy(logits(), target))


def test_reading_patch_follows_the_mask() -> None:
    target = lesion_labels()
    target[0] = 5
    target[0, 0, 0] = 4
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[0, 0, 0] = False  # the only lesion voxel of the first image does not count
    values = AdaptiveCrossEntropyLoss([NOT_LESION], reading="patch", reduction="none")(logits(), target, mask=mask)
    assert (values[0] == 0).all()


def test_marginal_dice_without_sets_is_dice_of_all_classes() -> None:
    expected = DiceLoss(channels=range(CLASSES))(logits(), labels())
    torch.testing.assert_close(MarginalDiceLoss()(logits(), labels()), expected)


def test_marginal_dice_is_dice_after_merging() -> None:
    merged = torch.stack([logits()[:, :4].logsumexp(1), logits()[:, 4]], dim=1)
    expected = DiceLoss(channels=[0, 1])(merged, (lesion_labels() == 4).long())
    torch.testing.assert_close(MarginalDiceLoss([NOT_LESION])(logits(), lesion_labels()), expected)


def test_marginal_dice_punishes_an_annotated_class_that_is_absent() -> None:
    target = lesion_labels() * 0 + 5
    values = MarginalDiceLoss([NOT_LESION], reduction="none")(logits(), target)
    assert (values[:, 4] > 0.99).all()  # the lesion, predicted but absent
    assert (values[:, :4] == 0).all()  # tissue that nobody looked for
    assert ((values[:, 5] > 0) & (values[:, 5] < 1)).all()


def test_labels_beyond_the_sets_are_refused() -> None:
    with pytest.raises(InputError, match=r"between 0 and 5 for logits with 5 channels and 1 label set; got .* to 6"):
        AdaptiveCrossEntropyLoss([NOT_LESION])(logits(), labels() * 0 + 6)


@pytest.mark.parametrize("members", [(), (0, 5), (-1,)])
def test_sets_must_hold_classes(members: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="a label set must hold classes between 0 and 4"):
        AdaptiveCrossEntropyLoss([members])(logits(), labels())


def test_a_misspelt_reading_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'patch'"):
        AdaptiveCrossEntropyLoss(reading="pach")


TISSUE = {"csf": "csf", "grey": "grey", "white": "white"}


def test_space_of_disjoint_sets() -> None:
    space = LabelSpace.union({"tissue": TISSUE, "lesion": {"spot": "lesion"}})
    assert space.classes == ("csf", "grey", "white", "lesion")
    assert space.sets == ((0, 4), (0, 1, 2, 3))
    assert space.numbers == {
        "tissue": {"background": 5, "csf": 1, "grey": 2, "white": 3},
        "lesion": {"background": 6, "spot": 4},
    }
    assert space.annotated("tissue") == {1, 2, 3}
    assert space.annotated("lesion") == {4}


def test_space_of_equal_sets_has_plain_labels() -> None:
    space = LabelSpace.union({"one": TISSUE, "two": dict(reversed(TISSUE.items()))})
    assert space.sets == ()
    assert space.numbers["one"]["background"] == space.numbers["two"]["background"] == 0
    assert space.annotated("two") == {1, 2, 3}


def test_space_with_merged_labels_and_certain_background() -> None:
    coarse = {"brain": ("csf", "grey", "white"), "lesion": "lesion", "background": "background"}
    space = LabelSpace.union({"tissue": TISSUE | {"white": ("white", "lesion")}, "coarse": coarse, "fine": TISSUE})
    assert space.numbers["coarse"]["background"] == 0
    assert space.sets[space.numbers["coarse"]["brain"] - 5] == (1, 2, 3)
    assert space.sets[space.numbers["tissue"]["white"] - 5] == (3, 4)
    assert space.numbers["tissue"]["background"] == 0  # every class is named by a label of the data set
    assert space.annotated("tissue") == {1, 2}
    assert space.annotated("coarse") == {4}


def test_classes_can_be_ordered() -> None:
    assert LabelSpace.union({"one": TISSUE}, classes=["white", "grey", "csf"]).numbers["one"]["white"] == 1


@pytest.mark.parametrize(
    ("meanings", "classes", "message"),
    [
        ({}, None, "at least one data set"),
        ({"one": {"background": "background"}}, None, "at least one class"),
        ({"one": {"brain": ("grey", "white"), "grey": "grey"}}, None, "no data set has a label for 'white' alone"),
        ({"one": {"grey": ()}}, None, "one: the label 'grey' must stand for at least one class"),
        ({"one": TISSUE}, ["csf", "grey"], r"lack \['white'\]"),
    ],
)
def test_spaces_that_make_no_sense_are_refused(meanings, classes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelSpace.union(meanings, classes)
