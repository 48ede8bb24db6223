"""The study of joint training: what its arms are told, what is missing, and that scores are right."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.methods.hetero_modal_joint.reproduce import (
    ARMS,
    COLUMNS,
    CONTROLS,
    LESION,
    LESION_FROM_T1,
    OTHER,
    OWN,
    TISSUE,
    TISSUES,
    Arm,
    build,
    known_labels,
    label_space,
    make_sets,
    relations,
    reproduce,
    scores,
    study,
    train_arm,
    unknown_classes,
)
from shapewright.training.study import predict_probabilities


def test_an_arm_is_told_no_more_than_its_data_set_says() -> None:
    sets = make_sets(0)
    assert label_space().sets == ((0, 1, 2, 3),)
    assert (sets["controls"][1] < LESION).all()
    assert sets["controls"][0][:, 1].isnan().all()
    for objective, values in {"joint": {LESION, OTHER}, "naive": {0, LESION}, "oracle": {0, 1, 2, 3, LESION}}.items():
        arm = Arm(objective)
        assert set(known_labels(arm, "patients", sets["patients"][1]).unique().tolist()) == values
        assert torch.equal(known_labels(arm, "controls", sets["controls"][1]), sets["controls"][1])
        expected = [1, 1, 1, 1, 0] if objective == "joint" else [0] * 5
        assert unknown_classes(arm, "patients")[0].tolist() == expected


class Told(nn.Module):
    """A network that knows the labels of images by their T1, but no lesion without FLAIR."""

    def __init__(self, sets: dict[str, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.known = {
            image[0].numpy().tobytes(): label
            for name in ("test patients", "test controls")
            for image, label in zip(*sets[name], strict=True)
        }

    def forward(self, images: Tensor) -> Tensor:
        labels = torch.stack([self.known[image[0].numpy().tobytes()].clone() for image in images])
        labels[(labels == LESION) & images[:, 1].isnan()] = 3
        return 50.0 * nn.functional.one_hot(labels, LESION + 1).movedim(-1, 1).float()


def test_scores_of_a_known_prediction() -> None:
    sets = make_sets(0)
    found = scores(Told(sets), sets)
    assert all(found[name] == 1 for name in (*TISSUES, "lesion", TISSUE, CONTROLS))
    assert found[LESION_FROM_T1] == 0
    assert OWN not in found


def test_statistics_of_the_image_do_not_depend_on_training() -> None:
    method = build(Arm("batch")).eval()
    images = make_sets(0)["test patients"][0][:2]
    before = predict_probabilities(method, images)
    found = scores(method, make_sets(0))
    assert 0 <= found[OWN] <= 1
    np.testing.assert_raises(AssertionError, np.testing.assert_allclose, predict_probabilities(method, images), before)


@pytest.mark.parametrize("objective", ["lesion", "joint", "naive", "batch"])
def test_every_kind_of_arm_runs(objective: str) -> None:
    result = train_arm(Arm(objective, steps=2))
    assert set(result) <= set(COLUMNS)
    assert all(np.isfinite(value) for value in result.values())


def test_relations_speak_of_what_was_measured() -> None:
    found = list(relations({arm.objective: [dict.fromkeys(COLUMNS, 0.5)] for arm in study(quick=False, seeds=[0])}))
    assert len({relation.name for relation in found}) == len(found)
    assert {arm.objective for arm in study(quick=False, seeds=[0])} == set(ARMS)
    holds = {relation.name: relation.holds for relation in found}
    assert holds["R1 tissue"]
    assert holds["R3 lesion"]
    assert not holds["R4"]
    assert not holds["control: batch norm"]


def test_real_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="makes them itself"):
        reproduce(quick=True, seeds=[0], data=tmp_path, out=tmp_path, progress=lambda *_: None)
