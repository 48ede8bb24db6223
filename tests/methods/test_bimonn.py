"""Learning programs from pairs; a run of the command ends with one."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shapewright.cli.main import main
from shapewright.data.patches import TrainingCase
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.layers import BiSE
from shapewright.layers.activation import closest_operator
from shapewright.methods.bimonn import fit_morphology, reproduce
from shapewright.methods.bimonn.config import Config
from shapewright.methods.bimonn.fit import train_network
from shapewright.methods.bimonn.method import BinaryMorphology
from shapewright.methods.bimonn.objective import activation_distance, balanced_cross_entropy
from shapewright.methods.bimonn.reproduce import Arm
from shapewright.morphology import ball, box, dilation, line, opening, reconstruction, white_tophat
from shapewright.morphology.program import Program
from shapewright.simulate import Diskorect, noisy_sticks
from shapewright.training.inference import predict_image

IMAGES = Diskorect().generate(24, seed=101)


def test_auto_finds_the_simplest_architecture() -> None:
    learned = fit_morphology(IMAGES, dilation(IMAGES, box(1)), kernel_size=5, restarts=0)
    assert learned.channels == (1, 1)
    assert str(learned) == "y = dilation(x, box(1))"
    learned = fit_morphology(IMAGES, white_tophat(IMAGES, ball(2)), kernel_size=5, restarts=0)
    assert learned.channels == (1, 2, 1)
    assert str(learned) == "y = x & ~opening(x, ball(2))"
    assert learned.final.binary == learned.final.real == learned.final.activated == 1


def test_a_union_of_openings_in_three_directions_is_found() -> None:
    noisy, _ = noisy_sticks(24, seed=101, noise=0.05)
    targets = opening(noisy, line(3)) | opening(noisy, line(3, 90)) | opening(noisy, box(2))
    learned = fit_morphology(noisy, targets, (1, 3, 1), kernel_size=5, restarts=0, kicks=20)
    assert learned.final.binary == 1


def test_three_dimensions() -> None:
    random = np.random.default_rng(0)
    volumes = dilation(random.random((6, 14, 15, 16)) < 0.05, ball(1, 3))
    targets = opening(volumes, ball(1, 3))
    learned = fit_morphology(volumes, targets, (1, 1, 1), kernel_size=3, spatial_dims=3, restarts=0)
    inner = (..., *[slice(2, -2)] * 3)
    np.testing.assert_array_equal(learned.program(volumes)[inner], targets[inner])


def test_a_learned_step_is_repeated_until_it_is_a_reconstruction() -> None:
    random = np.random.default_rng(2)
    mask = IMAGES
    marker = dilation(mask & (random.random(mask.shape) < 0.01), box(2)) & mask
    pairs = np.stack([marker, mask], axis=1)
    step = fit_morphology(pairs, dilation(marker, box(1)) & mask, (2, 1), kernel_size=3, restarts=0)
    found = step.program.until_stable(pairs)[:, 0]
    np.testing.assert_array_equal(found, reconstruction(marker, mask, connectivity=8, spatial_dims=2))


def test_gradient_descent_learns_a_dilation() -> None:
    targets = dilation(IMAGES, ball(2))[:, None]
    network = train_network(IMAGES[:, None], targets, (1, 1), 5, steps=60, seed=0)
    with torch.no_grad():
        found = network(torch.from_numpy(IMAGES[:, None]).float()).numpy() > 0.5
    inner = (..., slice(2, -2), slice(2, -2))
    wrong = (found != targets)[inner].mean()
    assert wrong < 0.3 * (IMAGES[:, None] != targets)[inner].mean()


def test_the_penalty_is_the_distance_to_the_closest_operator() -> None:
    torch.manual_seed(0)
    neuron = BiSE(1, 20, kernel_size=3)
    with torch.no_grad():
        neuron.weight.normal_()
        neuron.bias.normal_()
    weights, biases = neuron.positive_weight().detach().double().numpy(), neuron.positive_bias().detach().double()
    expected = [closest_operator(w, float(b)).distance / w.max() for w, b in zip(weights, biases, strict=True)]
    np.testing.assert_allclose(activation_distance(neuron).detach(), expected, atol=1e-6)


def test_rare_pixels_weigh_more() -> None:
    inputs, targets = torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10)
    targets[..., 0, 0] = 1
    valid = torch.ones(1, 1, 10, 10, dtype=torch.bool)
    outputs = torch.full((1, 1, 10, 10), 0.5, requires_grad=True)
    balanced_cross_entropy(outputs, inputs, targets, valid).backward()
    assert outputs.grad is not None
    ratio = float(outputs.grad[..., 0, 0] / outputs.grad[..., 5, 5])
    assert ratio == pytest.approx(-(99**0.5), rel=1e-4)


@pytest.mark.slow
def test_a_run_ends_with_a_program_that_predicts(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    targets = opening(IMAGES, ball(2))
    for index in range(10):
        for part, array in (("images", IMAGES), ("labels", targets)):
            Image.fromarray(array[index].astype(np.uint8) * 255).save(tmp_path / "data" / part / f"p{index}.png")
    run = tmp_path / "run"
    options = ["--settings.hidden", "[1]", "--settings.kernel_size", "5", "--trainer.epochs", "1"]
    assert main(["train", "bimonn", "--data", str(tmp_path / "data"), "--out", str(run), *options]) == 0
    assert (run / "program.txt").read_text().startswith("y = opening(x, ball(2))\n")
    assert (run / "program.png").stat().st_size > 1000
    program = Program.load(run / "program.json")
    np.testing.assert_array_equal(program(IMAGES), targets)
    assert main(["predict", str(run), str(tmp_path / "data" / "images"), "--out", str(tmp_path / "masks")]) == 0
    for index in range(10):
        mask = np.asarray(Image.open(tmp_path / "masks" / f"p{index}.png")) > 0
        np.testing.assert_array_equal(mask, targets[index])


TASK = Task(
    spatial_dims=2,
    image_dims=2,
    channels=("x",),
    labels={"y": 1},
    patch_size=(24, 24),
    spacing=(1.0, 1.0),
    normalise="none",
)


def test_a_finished_run_predicts_images_larger_than_its_patches_as_its_program_does() -> None:
    method = BinaryMorphology(Config(hidden=(1,), kernel_size=5), TASK).eval()
    for layer, operator in zip(method.network.layers, ("erosion", "dilation"), strict=True):
        layer.bise.set_operator(0, operator, ball(2))
        layer.lui.set_operator(0, "union")
    image = torch.from_numpy(IMAGES[:1]).float()
    method.finished.fill_(True)
    found = predict_image(method, image, patch_size=TASK.patch_size).argmax(0).numpy() == 1
    np.testing.assert_array_equal(found, opening(IMAGES[0], ball(2)))


def test_grey_images_are_refused_unless_a_threshold_is_chosen() -> None:
    grey = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    labels = np.zeros((16, 16), np.uint8)
    with pytest.raises(InputError, match="pair 3 is a grey image with 256 values from 0 to 255"):
        BinaryMorphology(Config(), TASK).prepare([TrainingCase("pair 3", grey, labels, (1.0, 1.0))])
    BinaryMorphology(Config(threshold=100), TASK).prepare([TrainingCase("pair 3", grey, labels, (1.0, 1.0))])
    for accepted in (255 * (grey > 9), grey / 255):
        BinaryMorphology(Config(), TASK).prepare([TrainingCase("mask", accepted, labels, (1.0, 1.0))])


def test_one_pair_is_left_to_learn_from() -> None:
    learned = fit_morphology(IMAGES[:2], IMAGES[:2], (1, 1), kernel_size=3, validation=0.9, restarts=0, kicks=1)
    assert learned.final.binary == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="validation"):
        fit_morphology(IMAGES, IMAGES, (1, 1), validation=share)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="two or more pairs"):
        fit_morphology(IMAGES[:1], IMAGES[:1])
    with pytest.raises(InputError, match="must begin with 1 and end with 1"):
        fit_morphology(IMAGES, IMAGES, (2, 1))
    with pytest.raises(InputError, match="architecture must be 'auto'"):
        fit_morphology(IMAGES, IMAGES, "deep")
    with pytest.raises(InputError, match="restarts and kicks"):
        fit_morphology(IMAGES, IMAGES, (1, 1), restarts=0, kicks=0)
    with pytest.raises(InputError, match="binary mask"):
        fit_morphology(IMAGES.astype(float), IMAGES)


def test_a_cell_is_measured_once_and_the_table_has_the_papers_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [Arm("dilation", "stick", "MNIST"), Arm("joint, wide")]
    monkeypatch.setattr(reproduce, "study", lambda **_: cells)
    calls = []

    def learn(arm: Arm, data: Path | None) -> tuple[dict[str, float], Program]:
        calls.append(arm)
        program = fit_morphology(IMAGES[:4], IMAGES[:4], (1, 1), kernel_size=3, restarts=0).program
        scores = dict.fromkeys(reproduce.COLUMNS, 1.0)
        return scores, program

    monkeypatch.setattr(reproduce, "learn", learn)
    arguments = {"quick": False, "seeds": (0,), "data": None, "out": tmp_path, "progress": lambda *_: None}
    first = reproduce.reproduce(**arguments)
    assert reproduce.reproduce(**arguments) == first
    assert calls == cells
    assert first.rows[0].paper == {"R": "1.00", "B": "1.00"}
    assert first.rows[1].paper == {"R": "1.0", "B": "0.98"}
    assert all(relation.holds for relation in first.relations)
    json.dumps(first.to_dict())


def test_the_study_has_every_cell_of_the_paper() -> None:
    cells = [arm for arm in reproduce.study(quick=False, seeds=(0,)) if arm.operator in reproduce.OPERATORS]
    assert len(cells) == len(set(cells)) == 54
    for arm in cells:
        assert set(reproduce.paper(arm)) == {"R", "B"}
    assert len(reproduce.study(quick=True, seeds=(0, 1, 2))) == 12
    inputs, targets, tests, wanted, channels, kernel = reproduce.task(dataclasses.replace(cells[0], seed=3), None)
    assert inputs.shape == targets.shape == (256, 1, 50, 50)
    assert tests.shape == wanted.shape == (64, 1, 50, 50)
    assert (channels, kernel) == ((1, 1), 7)
