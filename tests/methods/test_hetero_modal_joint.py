"""Joint training on data sets with different modalities: which part of the objective sees what."""

import numpy as np
import pytest
import torch
from torch import Tensor

from shapewright.data.patches import TrainingCase
from shapewright.data.supervision import Supervision
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.losses import JaccardLoss, modality_consistency
from shapewright.methods.hetero_modal_joint.config import Config
from shapewright.methods.hetero_modal_joint.method import UNKNOWN_CLASSES, HeteroModalJoint
from shapewright.networks import NetworkConfig
from shapewright.training.method import Progress

LABELS = {"grey": 1, "white": 2, "lesion": 3}
SETS = ((0, 1, 2),)  # label 4: anything but a lesion
TASK = Task(2, 2, ("T1", "FLAIR"), LABELS, (16, 16), (1.0, 1.0), label_sets=SETS, optional_channels=True)
SMALL = NetworkConfig(name="light", width=4, depth=2)


def case(name: str, seed: int) -> TrainingCase:
    """Return a control with T1 and tissue labels, or a patient with both modalities and lesion labels."""
    random = np.random.default_rng(seed)
    image = random.normal(size=(2, 16, 16)).astype(np.float32)
    if name == "control":
        image[1] = np.nan
        return TrainingCase(name, image, random.integers(0, 3, (16, 16)).astype(np.uint8), (1.0, 1.0))
    known = Supervision(mask="dense", annotated=frozenset({3}))
    labels = random.integers(3, 5, (16, 16)).astype(np.uint8)
    return TrainingCase(name, image, labels, (1.0, 1.0), supervision=known)


def method(**options: object) -> HeteroModalJoint:
    torch.manual_seed(0)
    made = HeteroModalJoint(Config(network=SMALL, **options), TASK)  # type: ignore[arg-type]
    made.prepare([case("control", 0), case("patient", 1)])
    return made


def batch_of(made: HeteroModalJoint, *names: str) -> dict[str, Tensor]:
    cases = [case(name, seed) for seed, name in enumerate(names)]
    unknown = [dict(made.image_targets(one))[UNKNOWN_CLASSES] for one in cases]
    return {
        "image": torch.from_numpy(np.stack([one.image for one in cases])),
        "labels": torch.from_numpy(np.stack([one.labels for one in cases])).long(),
        UNKNOWN_CLASSES: torch.from_numpy(np.stack(unknown)),
    }


def at(step: int) -> Progress:
    return Progress(epoch=0, epochs=1, step=step, steps=1000)


def test_what_a_case_does_not_annotate_is_unknown_the_background_included() -> None:
    made = method()
    assert made.image_targets(case("control", 0))[UNKNOWN_CLASSES].tolist() == [0, 0, 0, 0]
    assert made.image_targets(case("patient", 0))[UNKNOWN_CLASSES].tolist() == [1, 1, 1, 0]
    assert made.shared.tolist() == [True, False]


def test_consistency_counts_from_the_stated_step() -> None:
    made = method(warmup_steps=7)
    batch = batch_of(made, "control", "patient")
    before, after = made.step(batch, at(6)), made.step(batch, at(7))
    assert before.logs["weight/consistency"] == 0
    assert "loss/consistency" not in before.logs
    assert after.logs["weight/consistency"] == 1
    torch.testing.assert_close(after.loss, before.loss + after.logs["loss/consistency"])
    assert after.logs["loss/consistency"] > 0


def test_consistency_counts_from_the_middle_of_a_run_by_default() -> None:
    made = method()
    batch = batch_of(made, "patient")
    weights = [made.step(batch, at(step)).logs["weight/consistency"] for step in (0, 499, 500, 999)]
    assert weights == [0, 0, 1, 1]


@pytest.mark.parametrize("form", ["l1", "tanimoto"])
def test_the_objective_is_the_papers(form: str) -> None:
    made = method(warmup_steps=0, form=form)
    batch = batch_of(made, "control", "patient")
    supervised = JaccardLoss(SETS, channels=range(5), form=form)(made(batch["image"]), batch["labels"])  # type: ignore[arg-type]
    tissue = torch.tensor([[True, True, True, False]])
    consistency = modality_consistency(made, batch["image"][1:], [0], classes=tissue, form=form)  # type: ignore[arg-type]
    torch.testing.assert_close(made.step(batch, at(0)).loss, supervised + consistency[0] / 2)


def test_controls_and_complete_labels_need_no_consistency() -> None:
    made = method(warmup_steps=0)
    assert "loss/consistency" not in made.step(batch_of(made, "control", "control"), at(5)).logs
    batch = batch_of(made, "control", "patient")
    batch[UNKNOWN_CLASSES] = torch.zeros(2, 4)
    assert "loss/consistency" not in made.step(batch, at(5)).logs
    assert "loss/consistency" not in method(consistency=0.0).step(batch_of(made, "patient"), at(5)).logs


def test_a_prediction_depends_on_its_own_image_alone() -> None:
    made = method()
    image = batch_of(made, "control", "patient", "patient")["image"]
    together = made.train().predict(image)
    for one, expected in zip(image, together, strict=True):
        torch.testing.assert_close(made.eval().predict(one[None])[0], expected)


def test_batch_statistics_are_refused() -> None:
    assert Config().network.name == "unet"
    with pytest.raises(InputError, match="one of light, unet, dynunet, highresnet; got 'additive'"):
        Config(network=NetworkConfig(name="additive"))


def test_data_without_a_channel_in_common_are_refused() -> None:
    made = method()
    other = case("patient", 0)
    other.image[0] = np.nan
    with pytest.raises(InputError, match="needs a channel that every case has; none of T1, FLAIR is"):
        made.prepare([case("control", 0), other])
