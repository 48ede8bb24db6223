"""The study of adaptive cross-entropy: what its arms are told, fusion, and that its patches are balanced."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shapewright.errors import InputError
from shapewright.methods.adaptive_cross_entropy.reproduce import (
    ERASED,
    FALSE,
    TISSUES,
    Arm,
    BalancedPatches,
    known_labels,
    make_sets,
    overwrite,
    relations,
    reproduce,
    scores,
    study,
    train_arm,
)


def test_an_arm_is_told_no_more_than_its_data_set_says() -> None:
    sets = make_sets("spots", 0)
    other = sets.space.numbers["lesion"]["background"]
    truth = sets.lesion[1]
    for loss, values in {
        "ace": {0, 4, other},
        "ace_air": {4, other},
        "naive_ce": {0, 4},
        "oracle": {0, 1, 2, 3, 4},
    }.items():
        tissue, lesion = known_labels(loss, sets)
        assert torch.equal(tissue, sets.anatomy[1])
        assert set(lesion.unique().tolist()) == values
        assert torch.equal(lesion == 4, truth == 4)
    assert sets.space.sets == ((0, 1, 2, 3),)
    assert (sets.anatomy[1] < 4).all()


def test_overwriting_is_idempotent_and_keeps_lesions() -> None:
    rng = np.random.default_rng(0)
    tissue, lesion = rng.integers(0, 4, (2, 8, 8)), rng.choice([0, 0, 4, 5], (2, 8, 8))
    fused = overwrite(tissue, lesion)
    np.testing.assert_array_equal(fused[lesion > 0], lesion[lesion > 0])
    np.testing.assert_array_equal(fused[lesion == 0], tissue[lesion == 0])
    np.testing.assert_array_equal(overwrite(fused, lesion), fused)


def test_patches_are_centred_on_every_label_equally_often() -> None:
    torch.manual_seed(0)
    images, labels = torch.zeros(3, 1, 80, 80), torch.zeros(3, 80, 80, dtype=torch.long)
    labels[0, 40, 40], labels[1, 30:50, 30:50] = 1, 2
    patches = BalancedPatches(images, labels, labels)
    _, drawn = patches.draw(600)
    single = (drawn == 1).flatten(1).any(1).float().mean()  # seen from its own centre, and by chance from the others
    assert drawn.shape == (600, 32, 32)
    assert 1 / 3 - 0.06 < single < 1 / 3 + 0.08
    _, drawn = BalancedPatches(images, labels, labels, by_image=True).draw(600)
    assert abs(float((drawn > 0).flatten(1).any(1).float().mean()) - 0.5) < 0.2


def test_scores_of_a_perfect_and_of_an_empty_prediction() -> None:
    sets = make_sets("tumour", 1)
    perfect = scores(sets.test[1].copy(), sets)
    assert all(perfect[name] == 1 for name in (*TISSUES, "edema", "core", "tissue"))
    assert perfect[ERASED] == perfect[FALSE] == 0
    empty = scores(np.zeros_like(sets.test[1]), sets)
    assert empty["tissue"] == 0
    assert empty[ERASED] == 1


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["multi", "ace_dice", "ace_patch_by_image", "naive_dice"])
def test_every_kind_of_arm_runs(loss: str) -> None:
    result = train_arm(Arm(loss, "tumour", steps=2))
    assert all(np.isfinite(value) for value in result.values())


def test_relations_speak_of_what_was_measured() -> None:
    arms = study(quick=False, seeds=[0])
    result = dict.fromkeys((*TISSUES, "tissue", ERASED, FALSE), 0.5)
    lesions = {"spots": {"lesion": 0.5}, "tumour": {"edema": 0.5, "core": 0.5}}
    found = list(relations({arm: [result | lesions[arm.task]] for arm in arms}))
    assert len({relation.name for relation in found}) == len(found)
    assert any(relation.name.startswith("R4 control core") for relation in found)


def test_real_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="makes them itself"):
        reproduce(quick=True, seeds=[0], data=tmp_path, out=tmp_path, progress=lambda *_: None)
