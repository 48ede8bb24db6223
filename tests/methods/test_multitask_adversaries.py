"""Multitask adversaries: who gets which gradient, what is masked, what is swapped and shuffled."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from shapewright.data.patches import TrainingCase
from shapewright.data.supervision import Supervision
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.methods.multitask_adversaries.config import Config
from shapewright.methods.multitask_adversaries.method import MultitaskAdversaries, pair_maps
from shapewright.networks import NetworkConfig
from shapewright.training.method import Progress

TASK = Task(2, 2, ("red", "green"), {"vessels": 1, "disc": 2, "blots": 3}, (16, 16), (1.0, 1.0))
TINY = Config(discriminator_widths=(4, 6), network=NetworkConfig(width=4, depth=2))
GAMES = ("pair", "non-saturating", "least-squares", "hinge")
START = Progress(0, 1)


def method(**options: Any) -> MultitaskAdversaries:
    torch.manual_seed(0)
    return MultitaskAdversaries(replace(TINY, **options), TASK)


def batch(annotated: Any = ((1, 0, 0), (0, 1, 1))) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(2, 16, 16, dtype=torch.long)
    labels[0, 2:5] = 1
    labels[1, 6:12, 6:12] = 2
    return {
        "image": torch.randn(2, 2, 16, 16, generator=generator),
        "labels": labels,
        "annotated": torch.tensor(annotated).float(),
        "present": torch.full((2, 3), torch.nan),
    }


def norms(model: torch.nn.Module | None) -> float:
    assert model is not None
    return sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)


def test_what_is_not_annotated_has_exactly_no_gradient_of_the_segmentation_loss() -> None:
    model = method(presence_weight=0, realism_weight=0)
    logits: list[torch.Tensor] = []
    model.network.register_forward_hook(lambda *args: logits.append(args[-1]) or args[-1].retain_grad())
    model.step(batch(), START).loss.backward()
    gradient = logits[0].grad
    assert gradient is not None
    assert (gradient[0, 1:] == 0).all()
    assert (gradient[1, 0] == 0).all()
    assert (gradient[0, 0] != 0).all()
    assert (gradient[1, 1:] != 0).all()


@pytest.mark.parametrize("game", GAMES)
def test_the_second_discriminator_sees_nothing_of_what_is_not_annotated(game: str) -> None:
    model = method(game=game)
    assert model.realism is not None
    seen: list[torch.Tensor] = []
    model.realism.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model.step(batch(), START)
    for maps in seen:
        groups = maps.view(2, -1, 3, 16, 16)
        assert (groups[0, :, 1:] == 0).all()
        assert (groups[1, :, 0] == 0).all()
        assert groups[0, :, 0].flatten(1).any(dim=1).all()


@pytest.mark.parametrize("game", GAMES)
def test_each_player_gets_its_own_gradient_only(game: str) -> None:
    model = method(game=game)
    assert model.realism is not None
    drawn, generator = torch.zeros(2, 3, 16, 16), torch.Generator()
    drawn[:, :, 4:9] = 1
    predicted = torch.rand(2, 3, 16, 16, requires_grad=True)
    network, discriminator, _ = model.realism_losses(drawn, predicted, generator)
    network.backward()
    assert predicted.grad is not None
    assert predicted.grad.abs().sum() > 0
    assert norms(model.realism) == 0
    predicted.grad = None
    discriminator.backward()
    assert predicted.grad is None
    assert norms(model.realism) > 0

    maps, present = torch.rand(2, 3, 16, 16, requires_grad=True), torch.tensor([[1.0, torch.nan, 0.0]] * 2)
    network, discriminator, _ = model.presence_losses(torch.randn(2, 2, 16, 16), maps, present)
    network.backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0
    assert norms(model.presence) == 0
    maps.grad = None
    discriminator.backward()
    assert maps.grad is None
    assert norms(model.presence) > 0


def test_swapping_the_groups_swaps_the_target() -> None:
    drawn, predicted = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    maps = pair_maps(drawn, predicted, torch.tensor([False, True]))
    assert torch.equal(maps[0], torch.cat([drawn[0], predicted[0]]))
    assert torch.equal(maps[1], torch.cat([predicted[1], drawn[1]]))
    # A discriminator that points at the brighter group is right whatever the order, and the network pays for it.
    model = method()
    model.realism = Brighter()  # type: ignore[assignment]
    ones, zeros = torch.ones(4, 3, 4, 5), torch.zeros(4, 3, 4, 5)
    for seed in range(5):
        network, discriminator, right = model.realism_losses(ones, zeros, torch.Generator().manual_seed(seed))
        assert right == 1
        assert discriminator < 0.01
        assert network > 5


class Brighter(torch.nn.Module):
    """Says that the brighter of two groups of maps is the drawn one."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        means = maps.view(len(maps), 2, -1).mean(dim=2)
        return 10 * (2 * means - 1)


def test_a_step_of_the_network_makes_the_second_discriminator_err_more() -> None:
    model = method(realism_weight=1.0).eval()
    assert model.realism is not None
    drawn = torch.zeros(4, 3, 16, 16)
    drawn[:, :, 4:9] = 1
    predicted = (0.3 + 0.4 * torch.rand(4, 3, 16, 16)).requires_grad_()
    optimiser = torch.optim.SGD(model.realism.parameters(), lr=0.1)
    for _ in range(30):  # so that there is something to be wrong about
        optimiser.zero_grad()
        model.realism_losses(drawn, predicted, torch.Generator().manual_seed(0))[1].backward()
        optimiser.step()
    network, before, _ = model.realism_losses(drawn, predicted, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(network, predicted)
    moved = predicted - 1e-3 * gradient / gradient.norm()
    _, after, _ = model.realism_losses(drawn, moved, torch.Generator().manual_seed(0))
    assert after > before


@pytest.mark.parametrize("permute", [False, True])
def test_maps_are_shuffled_beside_the_image_and_the_target_follows_where_asked(permute: bool) -> None:
    model = method(permute_target=permute)
    assert model.presence is not None
    seen: list[torch.Tensor] = []
    model.presence.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    image = torch.randn(8, 2, 16, 16)
    maps = torch.arange(3.0).view(1, 3, 1, 1).expand(8, 3, 16, 16)
    present = torch.tensor([[1.0, 0.0, torch.nan]] * 8)
    targets: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "shapewright.methods.multitask_adversaries.method.known_binary_cross_entropy",
            lambda logits, target: targets.append(target) or logits.sum(),
        )
        model.presence_losses(image, maps, present, torch.Generator().manual_seed(0))
    orders = seen[0][:, 2:, 0, 0].long()
    assert torch.equal(seen[0][:, :2], image)
    assert len({tuple(order) for order in orders.tolist()}) > 2
    expected = torch.gather(present, 1, orders) if permute else present
    assert torch.equal(targets[0].nan_to_num(-1), expected.nan_to_num(-1))


@pytest.mark.parametrize("game", GAMES)
def test_what_lies_outside_the_image_has_no_loss(game: str) -> None:
    model = method(game=game)
    data = batch()
    mask = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    mask[..., 10:] = False
    logits: list[torch.Tensor] = []
    model.network.register_forward_hook(lambda *args: logits.append(args[-1]) or args[-1].retain_grad())
    model.step({**data, "mask": mask}, START).loss.backward()
    gradient = logits[0].grad
    assert gradient is not None
    assert (gradient[..., 10:] == 0).all()
    assert gradient[..., :10].abs().sum() > 0


def test_presence_comes_from_annotations_then_from_what_is_told_then_is_unknown() -> None:
    model = method()
    data = batch()
    data["present"] = torch.tensor([[0.0, 1.0, torch.nan], [1.0, 0.0, torch.nan]])
    truth, known, _ = model._truth(data)
    present = model._present(data, truth, known)
    assert present.nan_to_num(-1).tolist() == [[1, 1, -1], [1, 1, 0]]


def test_an_image_known_by_its_classes_alone_trains_the_first_discriminator() -> None:
    model = method()
    data = {**batch(), "present": torch.tensor([[1.0, 1.0, 0.0]] * 2), "annotated": torch.zeros(2, 3)}
    step = model.step({**data, "mask": torch.zeros(2, 1, 16, 16, dtype=torch.bool)}, START)
    assert step.logs["loss/segmentation"] == 0
    step.loss.backward()
    assert norms(model.network) > 0


def case(supervision: Supervision) -> TrainingCase:
    return TrainingCase("eye", np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), np.uint8), (1.0, 1.0), {}, supervision)


def test_facts_about_a_case() -> None:
    drive = case(Supervision("dense", annotated=frozenset({1})))
    graded = case(Supervision(present={3: True}))

    def facts(one: TrainingCase, **options: Any) -> tuple[list[float], list[float]]:
        targets = method(**options).image_targets(one)
        return targets["annotated"].tolist(), np.nan_to_num(targets["present"], nan=-1).tolist()

    assert facts(drive) == ([1, 0, 0], [-1, -1, -1])
    assert facts(drive, always_present=("vessels", "disc")) == ([1, 0, 0], [1, 1, -1])
    assert facts(drive, always_present=("disc",), unannotated="absent") == ([1, 0, 0], [0, 1, 0])
    assert facts(graded, unannotated="absent") == ([0, 0, 0], [-1, -1, 1])
    assert facts(case(Supervision("dense"))) == ([1, 1, 1], [-1, -1, -1])


def test_predictions_agree_with_each_class_for_itself() -> None:
    model = method().eval()
    with torch.no_grad():
        image = 3 * torch.randn(1, 2, 16, 16)
        each, shared = model.class_probabilities(image), model.predict(image)
    strongest = shared.argmax(dim=1)
    assert torch.equal(strongest > 0, (each > 0.5).any(dim=1))
    assert torch.equal(strongest[strongest > 0], each.argmax(dim=1)[strongest > 0] + 1)


@pytest.mark.parametrize("game", GAMES[1:])
def test_gradient_penalty_and_spectral_normalisation(game: str) -> None:
    step = method(game=game, gradient_penalty=1.0, spectral=True).step(batch(), START)
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert (
        step.logs["loss/realism"]
        > method(game=game, spectral=True, gradient_penalty=1e-9).step(batch(), START).logs["loss/realism"]
    )


def test_discriminators_can_be_left_out() -> None:
    model = method(presence_weight=0, realism_weight=0)
    assert model.presence is None
    assert model.realism is None
    step = model.step(batch(), START)
    assert step.loss.item() == pytest.approx(10 * float(step.logs["loss/segmentation"]))


def test_errors() -> None:
    with pytest.raises(InputError, match="did you mean 'vessels'"):
        method(always_present=("vessel",))
    with pytest.raises(InputError, match="another game"):
        method(gradient_penalty=1.0)
    with pytest.raises(InputError, match="realism_weight"):
        method(realism_weight=-1.0)
