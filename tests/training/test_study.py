"""What studies share: arms measured once, batches, equal training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shapewright.training.study import by_setting, index_batches, measure_arms, study_unet, train_network


@dataclass(frozen=True)
class Arm:
    loss: str
    seed: int = 0


def silent(done: int, total: int, message: str) -> None:
    assert 0 <= done <= total
    assert message


def test_a_finished_arm_is_not_measured_again(tmp_path: Path) -> None:
    measured = []

    def measure(arm: Arm) -> dict[str, float]:
        measured.append(arm)
        return {"dice": len(measured) / 10}

    arms = [Arm("a"), Arm("a/b, c"), Arm("a", seed=1)]
    options = {"folder": tmp_path / "arms", "progress": silent, "name": lambda arm: f"{arm.loss} {arm.seed}"}
    first = measure_arms(arms, measure, **options)
    assert measure_arms(arms, measure, **options) == first
    assert measured == arms
    assert first[Arm("a", seed=1)]["dice"] == 0.3
    assert [run["dice"] for run in by_setting(first)[Arm("a")]] == [0.1, 0.3]
    measure_arms(arms[:1], measure, inputs="other data", **options)
    assert measured == [*arms, arms[0]]


def test_an_arm_that_failed_leaves_no_file(tmp_path: Path) -> None:
    def fail(arm: Arm) -> dict[str, float]:
        raise RuntimeError(arm.loss)

    with pytest.raises(RuntimeError):
        measure_arms([Arm("a")], fail, folder=tmp_path, progress=silent, name=lambda arm: arm.loss)
    assert not list(tmp_path.iterdir())


def test_batches_cover_the_images_evenly() -> None:
    indices = np.concatenate(list(index_batches(24, 8, 12, seed=[0, 1])))
    assert len(indices) == 96
    assert (np.bincount(indices) == 4).all()
    np.testing.assert_array_equal(indices, np.concatenate(list(index_batches(24, 8, 12, seed=[0, 1]))))


def test_equal_seeds_train_equally_and_leave_torchs_generator_alone() -> None:
    def trained(seed: int) -> nn.Module:
        network = study_unet(2, 1, 2, seed=seed, filters=(2, 4, 4))
        images, seen = torch.linspace(0, 1, 8 * 64).view(8, 1, 8, 8), []

        def loss(index: torch.Tensor) -> torch.Tensor:
            seen.append(torch.rand(1).item())
            return network(images[index]).square().mean()

        train_network(network, loss, images=8, steps=3, seed=seed, batch_size=2)
        assert not network.training
        assert len(set(seen)) == 3
        return network

    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again, other = trained(1), trained(1), trained(2)
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
