"""Augmentation: labels, images and distance maps move together."""

import numpy as np
import pytest
import torch

from shapewright.data.augment import BatchAugmentation, PatchChange, apply_change
from shapewright.geometry import signed_distance


def disc(radius: float, spacing: tuple[float, float] = (1.0, 1.0), shape: tuple[int, int] = (65, 65)) -> np.ndarray:
    y, x = np.indices(shape)
    return np.hypot((y - shape[0] // 2) * spacing[0], (x - shape[1] // 2) * spacing[1]) <= radius


def test_scaling_multiplies_signed_distances() -> None:
    """A map made once and carried along equals the map of the scaled mask, away from the patch's border."""
    mask = disc(10)
    patch = {
        "image": torch.zeros(1, 65, 65),
        "labels": torch.from_numpy(mask.astype(np.int64)),
        "maps": torch.from_numpy(signed_distance(mask))[None],
    }
    zoom = 1.3
    changed = apply_change(
        dict(patch), PatchChange(matrix=np.eye(2) / zoom, zoom=zoom), (1.0, 1.0), np.random.default_rng()
    )
    expected = signed_distance(disc(10 * zoom))
    inner = (slice(12, 53), slice(12, 53))
    assert np.abs(changed["maps"][0].numpy() - expected)[inner].max() < 1.0
    assert np.abs(changed["maps"][0].numpy() - expected)[inner].mean() < 0.3
    area = int(changed["labels"].sum()) / mask.sum()
    assert area == pytest.approx(zoom**2, rel=0.05)


def test_rotation_is_a_rotation_in_millimetres() -> None:
    """On an anisotropic grid a disc in mm stays a disc under rotation by any angle."""
    spacing = (3.0, 1.0)
    mask = disc(18, spacing, (41, 123))
    for angle in (0.4, np.pi / 2):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        patch = {"image": torch.zeros(1, 41, 123), "labels": torch.from_numpy(mask.astype(np.int64))}
        turned = apply_change(patch, PatchChange(matrix=turn), spacing, np.random.default_rng())["labels"].numpy() == 1
        assert (turned ^ mask).sum() / mask.sum() < 0.08


def test_a_quarter_turn_moves_voxels_exactly() -> None:
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.normal(size=(1, 9, 9)).astype(np.float32))
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    patch = {"image": image, "labels": torch.zeros(9, 9, dtype=torch.int64)}
    turned = apply_change(patch, PatchChange(matrix=turn), (1.0, 1.0), random)["image"]
    candidates = [torch.rot90(image, k, (1, 2)) for k in (1, 3)]
    assert min(float((turned - candidate).abs().max()) for candidate in candidates) < 1e-4


def test_mirrors_are_exact_and_shared() -> None:
    random = np.random.default_rng(1)
    image = torch.from_numpy(random.normal(size=(2, 5, 6, 7)).astype(np.float32))
    patch = {"image": image, "labels": torch.arange(5 * 6 * 7).reshape(5, 6, 7), "maps": image[:1] * 2}
    mirrored = apply_change(dict(patch), PatchChange(mirror=(0, 2)), (1.0, 1.0, 1.0), random)
    assert torch.equal(mirrored["image"], image.flip(1, 3))
    assert torch.equal(mirrored["labels"], patch["labels"].flip(0, 2))
    assert torch.equal(mirrored["maps"], patch["maps"].flip(1, 3))


def test_a_missing_channel_stays_missing_and_changes_no_other() -> None:
    change = PatchChange(contrast=1.2, brightness=0.3, gamma=0.8, noise=0.1)
    one = torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(0))
    alone = apply_change({"image": one}, change, (1.0, 1.0), np.random.default_rng(1))["image"]
    image = torch.cat([torch.full_like(one, torch.nan), one])
    both = apply_change({"image": image}, change, (1.0, 1.0), np.random.default_rng(1))["image"]
    assert both[0].isnan().all()
    assert torch.equal(both[1:], alone)


def test_nothing_drawn_changes_nothing() -> None:
    batch = {"image": torch.rand(3, 1, 8, 8), "labels": torch.ones(3, 8, 8, dtype=torch.int64)}
    still = BatchAugmentation((1.0, 1.0), rotate=0, scale=0, spatial=0, intensity=0)
    for name, tensor in still(batch, np.random.default_rng(0)).items():
        assert torch.equal(tensor, batch[name])


def test_batches_are_repeatable_finite_and_leave_their_input_alone() -> None:
    augmentation = BatchAugmentation((1.0, 1.0, 2.0), flip=(0, 1, 2), spatial=1.0, intensity=3.0)
    batch = {
        "image": torch.rand(4, 2, 8, 9, 10),
        "labels": torch.randint(0, 3, (4, 8, 9, 10)),
        "mask": torch.rand(4, 1, 8, 9, 10) > 0.2,
        "maps": torch.randn(4, 3, 8, 9, 10),
    }
    before = {name: tensor.clone() for name, tensor in batch.items()}
    first, second = (augmentation(batch, np.random.default_rng(9)) for _ in range(2))
    for name, tensor in batch.items():
        assert torch.equal(tensor, before[name])
        assert torch.equal(first[name], second[name])
        assert first[name].dtype == tensor.dtype
        assert bool(torch.isfinite(first[name].float()).all())
    assert set(first["labels"].unique().tolist()) <= {0, 1, 2}
    constant = {"image": torch.zeros(1, 1, 4, 4, 4), "labels": torch.zeros(1, 4, 4, 4, dtype=torch.int64)}
    assert all(bool(torch.isfinite(t.float()).all()) for t in augmentation(constant, np.random.default_rng(2)).values())
