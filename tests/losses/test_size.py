"""The size loss: the estimator against enumeration of all masks, closed forms, intervals and several objects."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import extents, object_size
from shapewright.losses import SizeLevelLoss, SizeLoss
from shapewright.losses.size_level import _levels

SHAPE = (3, 3)
EVERY = torch.tensor(list(itertools.product([False, True], repeat=math.prod(SHAPE)))).reshape(-1, *SHAPE)
SPACING = (1.5, 1.0)
OF_MASKS = {
    "inscribed": lambda masks: object_size(masks, spacing=SPACING, spatial_dims=2)[:, None],
    "inscribed_euclidean": lambda masks: object_size(masks, metric="euclidean", spacing=SPACING, spatial_dims=2)[
        :, None
    ],
    "extents": lambda masks: extents(masks, spacing=SPACING, spatial_dims=2),
    "area": lambda masks: masks.flatten(1).sum(1, keepdim=True) * 1.5,
}


def chances(logits):
    """The probability of every mask of the tiny image."""
    p = torch.sigmoid(logits)
    return torch.where(EVERY, p, 1 - p).flatten(1).prod(1)


def expected_loss(logits, measure, target):
    """The expected squared error over all masks, exactly."""
    errors = (OF_MASKS[measure](EVERY).double() - target) ** 2
    return (chances(logits) * errors.mean(1)).sum()


def tiny_logits(seed=0):
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def square(size, shape=(12, 12), first=2):
    logits = torch.full((1, 1, *shape), -30.0)
    logits[(..., *(slice(first, first + size),) * len(shape))] = 30.0
    return logits


@pytest.mark.parametrize("measure", ["inscribed", "inscribed_euclidean", "extents"])
@pytest.mark.parametrize("seed", [0, 1])
def test_estimated_gradient_has_the_exact_gradient_as_its_mean(measure, seed, monkeypatch) -> None:
    """The estimates from all possible masks, weighed by their chances, give the derivative without sampling error."""
    logits = tiny_logits(seed)
    exact = expected_loss(logits, measure, 2.5)
    exact.backward()
    p = torch.sigmoid(logits.detach())
    numbers = torch.where(EVERY, 0.5 * p, 0.5 + 0.5 * p).float()  # one image for every mask that can be drawn
    monkeypatch.setattr(SizeLoss, "_uniform", lambda *_: numbers[None])
    given = logits.detach().expand(len(EVERY), 1, *SHAPE).clone().requires_grad_()
    sizes = torch.full((len(EVERY), 1, 2) if measure == "extents" else (len(EVERY),), 2.5, dtype=torch.float64)
    errors = SizeLoss(measure=measure, spacing=SPACING, reduction="none")(given, sizes)[:, 0]
    errors.sum().backward()
    weights = chances(logits).detach()
    torch.testing.assert_close(torch.einsum("n,nyx->yx", weights, given.grad[:, 0]), logits.grad, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(weights @ errors.detach(), exact.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("antithetic", [False, True])
def test_many_samples_come_near_the_exact_gradient(antithetic) -> None:
    logits = tiny_logits(2)
    expected_loss(logits, "inscribed", 4.0).backward()
    given = logits.detach()[None, None].clone().requires_grad_()
    generator = torch.Generator().manual_seed(3)
    samples = 4000
    loss = SizeLoss(samples=samples, antithetic=antithetic, spacing=SPACING, generator=generator)
    loss(given, torch.tensor([4.0])).backward()
    # An error of 16 at most and a derivative of the sigmoid of 1/4 at most bound the deviation of one sample by 4.
    assert (given.grad[0, 0] - logits.grad).abs().max() < 4 * 4 / math.sqrt(samples)


def test_opposite_pairs_scatter_less_where_the_error_falls_with_the_size() -> None:
    given = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(4)) * 2
    spread = {}
    for antithetic in (False, True):
        generator = torch.Generator().manual_seed(5)
        loss = SizeLoss(samples=2, antithetic=antithetic, generator=generator)
        spread[antithetic] = float(torch.stack([loss(given, torch.tensor([16.0])) for _ in range(400)]).std())
    assert spread[True] < 0.9 * spread[False]


def test_area_is_the_exact_expectation() -> None:
    logits = tiny_logits(6)
    given = logits.detach()[None, None].clone().requires_grad_()
    loss = SizeLoss(measure="area", spacing=SPACING)(given, torch.tensor([5.0]))
    expected = expected_loss(logits, "area", 5.0)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(given.grad[0, 0], logits.grad, rtol=1e-9, atol=1e-12)


def test_area_interval_is_nearly_the_expectation() -> None:
    logits = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    for low, high in ((100.0, 120.0), (128.0, 130.0), (140.0, math.inf), (-math.inf, 90.0)):
        loss = SizeLoss(measure="area")(logits, torch.tensor([[low, high]]))
        masks = torch.rand(20000, 256, generator=torch.Generator().manual_seed(8)) < torch.sigmoid(logits).flatten()
        areas = masks.sum(1).double()
        drawn = ((areas - high).clamp(min=0) + (low - areas).clamp(min=0)) ** 2
        assert loss.item() == pytest.approx(drawn.mean().item(), abs=5 * drawn.std().item() / math.sqrt(20000) + 0.05)


@pytest.mark.parametrize("measure", ["area", "centroid", "spread"])
@pytest.mark.parametrize("dims", [2, 3])
def test_gradient_of_exact_measures_is_the_derivative(measure, dims) -> None:
    shape = (5, 4, 3)[:dims]
    logits = torch.randn(2, 3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9)).requires_grad_()
    low = torch.tensor([1.0, 2.0], dtype=torch.float64).expand(2, 2)
    sizes = low if measure == "area" else low[..., None].expand(2, 2, dims)
    sizes = torch.stack([sizes, sizes + 1], -1)
    spacing = (2.0, 1.0, 0.5)[:dims]
    for relative in (False, True):
        loss = SizeLoss(measure=measure, relative=relative, spacing=spacing)
        assert torch.autograd.gradcheck(lambda values, loss=loss: loss(values, sizes), (logits,))


def test_moments_of_a_mask_are_those_of_scipy() -> None:
    mask = np.random.default_rng(10).random((9, 7, 8)) < 0.2
    logits = torch.from_numpy(np.where(mask, 40.0, -40.0))[None, None]
    spacing = np.array([2.0, 1.0, 0.5])
    centre = np.array(ndimage.center_of_mass(mask)) * spacing
    places = np.argwhere(mask) * spacing
    for measure, expected in (("centroid", centre), ("spread", places.std(axis=0))):
        loss = SizeLoss(measure=measure, spacing=tuple(spacing), reduction="sum")
        assert loss(logits, torch.from_numpy(expected)[None]).item() == pytest.approx(0, abs=1e-6)
        away = torch.from_numpy(expected + np.array([3.0, 0.0, 0.0]))[None]
        assert loss(logits, away).item() == pytest.approx(3.0, rel=1e-3)  # 9 on one of three axes


def test_intervals_cost_nothing_inside_and_open_ends_never() -> None:
    loss = SizeLoss()
    for interval, expected in (((4.0, 8.0), 0), ((8.0, 9.0), 4), ((2.0, 5.0), 1), ((-math.inf, 2.0), 16)):
        assert loss(square(5), torch.tensor([interval])).item() == expected
    assert SizeLoss(relative=True)(square(5), torch.tensor([[8.0, 10.0]])).item() == pytest.approx((2 / 8) ** 2)
    assert SizeLoss(relative=True)(square(5), torch.tensor([0.0])).item() == 36  # a pixel at least


def test_unknown_sizes_do_not_count() -> None:
    logits = torch.cat([square(5), square(7)]).requires_grad_()
    loss = SizeLoss()(logits, torch.tensor([8.0, math.nan]))
    loss.backward()
    assert loss.item() == 4
    assert (logits.grad[1] == 0).all()
    box = SizeLoss(measure="extents")(square(5), torch.tensor([[5.0, math.nan]]))
    assert box.item() == 0
    assert SizeLoss()(logits, torch.full((2,), math.nan)).item() == 0


def test_sizes_per_channel_in_3d_with_spacing() -> None:
    logits = torch.full((1, 3, 8, 8, 8), -30.0)
    logits[:, 0] = 0
    logits[:, 1, 1:4, 1:4, 1:4] = 30
    logits[:, 2, 4:7, 4:7, 4:7] = 30
    sizes = torch.tensor([[4.0, 3.0]])
    values = SizeLoss(spacing=(1.0, 1.5, 1.0), reduction="none")(logits, sizes)
    assert values.tolist() == [[0.0, 1.0]]  # both are 2 mm from the background along the thin axes
    volumes = SizeLoss(measure="area", spacing=(1.0, 1.5, 1.0), reduction="none")(logits, torch.tensor([[40.5, 40.5]]))
    assert volumes.abs().max() < 1e-6


def test_objects_in_regions_have_sizes_of_their_own() -> None:
    logits = torch.full((1, 1, 10, 20), -30.0)
    logits[..., 2:7, 2:7] = 30  # size 6
    logits[..., 4:7, 12:15] = 30  # size 4
    regions = torch.zeros(1, 10, 20, dtype=torch.long)
    regions[..., :10], regions[..., 10:] = 1, 2
    loss = SizeLoss(reduction="none")
    assert loss(logits, torch.tensor([[6.0, 4.0]]), regions=regions).tolist() == [[0, 0]]
    assert loss(logits, torch.tensor([[4.0, 4.0]]), regions=regions).tolist() == [[4, 0]]
    labels = (logits[:, 0] > 0).long()
    assert loss(logits, labels, regions=regions).tolist() == [[0, 0]]
    values = logits.clone().requires_grad_()
    loss(values * 0.1, torch.tensor([[4.0, math.nan]]), regions=regions).sum().backward()
    assert (values.grad[..., :10] != 0).any()
    assert (values.grad[..., 10:] == 0).all()


def test_components_meet_their_sizes_by_rank() -> None:
    logits = torch.full((1, 1, 10, 30), -30.0)
    logits[..., 4:7, 2:5] = 30  # size 4
    logits[..., 2:7, 9:14] = 30  # size 6
    logits[..., 5:6, 20:21] = 30  # size 2
    loss = SizeLoss(objects="components", reduction="none")
    assert loss(logits, torch.tensor([[4.0, 6.0, 2.0]])).sum() == 0
    assert loss(logits, torch.tensor([[4.0, math.nan, 6.0, 2.0]])).sum() == 0
    assert loss(logits, torch.tensor([[4.0, 8.0]])).tolist() == [[4, 0, 4]]  # one too small, one too many
    assert loss(logits, (logits[:, 0] > 0).long()).sum() == 0
    assert loss(-logits.abs(), torch.tensor([[4.0, 6.0]])).tolist() == [[36, 16]]  # nothing found
    assert loss(logits, torch.full((1, 3), math.nan)).sum() == 0
    intervals = torch.tensor([[[3.0, 5.0], [5.0, 7.0], [0.0, 2.0]]])
    assert loss(logits, intervals).sum() == 0


def test_surplus_component_shrinks() -> None:
    torch.manual_seed(11)
    logits = torch.full((1, 1, 8, 24), -4.0)
    logits[..., 2:5, 2:5] = 4
    logits[..., 2:5, 18:21] = 4
    logits.requires_grad_()
    loss = SizeLoss(objects="components", samples=64)
    loss(logits, torch.tensor([[4.0]])).backward()
    assert logits.grad[..., 3, 19] > 0  # its middle is pushed towards the background
    assert logits.grad[..., 3, 3].abs() < logits.grad[..., 3, 19]


def test_empty_and_full_images() -> None:
    empty, full = torch.full((1, 1, 6, 6), -1e4), torch.full((1, 1, 6, 6), 1e4)
    assert SizeLoss()(empty, torch.tensor([4.0])).item() == 16
    assert SizeLoss()(full, torch.tensor([12.0])).item() == 0
    centre = torch.tensor([[2.5, 2.5]])
    for image in (empty, full):
        assert SizeLoss(measure="centroid")(image, centre).item() == pytest.approx(0, abs=1e-6)
    absent = torch.zeros(1, 6, 6, dtype=torch.long)
    assert SizeLoss(measure="spread")(full, absent).item() == 0  # nowhere to be compared with


def test_traced_as_one_graph() -> None:
    logits, sizes = torch.randn(2, 2, 8, 8).requires_grad_(), torch.tensor([4.0, 6.0])
    for measure in ("inscribed", "area"):
        loss = SizeLoss(measure=measure)
        traced = torch.compile(loss, fullgraph=True, backend="aot_eager")
        torch.manual_seed(12)
        expected = loss(logits, sizes)
        (gradient,) = torch.autograd.grad(expected, logits)
        torch.manual_seed(12)
        got = traced(logits, sizes)
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(torch.autograd.grad(got, logits)[0], gradient)


def test_errors_name_what_is_wrong() -> None:
    logits = torch.zeros(2, 1, 8, 8)
    with pytest.raises(InputError, match="did you mean 'inscribed'"):
        SizeLoss(measure="inscribe")
    with pytest.raises(InputError, match="samples must be even"):
        SizeLoss(samples=3, antithetic=True)
    with pytest.raises(InputError, match=r"sizes must have shape \(2, 1\) or \(2, 1, 2\) or \(2,\).*got \(3,\)"):
        SizeLoss()(logits, torch.zeros(3))
    with pytest.raises(InputError, match="a lower and an upper end"):
        SizeLoss()(logits, torch.tensor([[3.0, 2.0], [1.0, 2.0]]))
    with pytest.raises(InputError, match="regions must be integers"):
        SizeLoss()(logits, torch.zeros(2, 1), regions=torch.zeros(2, 8, 8))
    with pytest.raises(InputError, match="need one channel; got 2"):
        SizeLoss(objects="components")(torch.zeros(2, 3, 8, 8), torch.zeros(2, 2))
    with pytest.raises(InputError, match="is one value per axis"):
        SizeLoss(objects="components", measure="extents")(logits, torch.zeros(2, 1, 2))


def bump(shape=(13, 17), top=3.0):
    """Logits that fall by 1 per pixel from a peak in the middle; one channel."""
    centre = torch.tensor(shape).view(-1, *(1,) * len(shape)) // 2
    steps = (torch.tensor(np.indices(shape)) - centre).abs().amax(0)
    return (top - 1.0 - steps + 0.5).double()[None, None]


def asked_for(logits, sizes, **options):
    """The mask that the level loss wants: where its gradient pushes towards foreground."""
    given = logits.clone().requires_grad_()
    SizeLevelLoss(**options)(given, sizes).backward()
    return given.grad < 0


@pytest.mark.parametrize("size", [2.0, 4.0, 6.0, 8.0, 12.0])
@pytest.mark.parametrize("shape", [(13, 17), (13, 15, 17)])
def test_level_set_has_the_known_size(size, shape) -> None:
    wanted = asked_for(bump(shape), torch.tensor([size]))
    assert object_size(wanted[0, 0]) == size
    narrow = asked_for(bump(shape) - 30, torch.tensor([size]))  # also where nothing is predicted
    assert object_size(narrow[0, 0]) in (0, size)
    near = asked_for(bump(shape) - 8, torch.tensor([size]))
    assert object_size(near[0, 0]) == size


def test_level_set_is_the_prediction_where_its_size_is_right() -> None:
    logits = torch.randn(3, 1, 20, 20, generator=torch.Generator().manual_seed(0)) + bump((20, 20), top=5.0).float()
    masks = logits[:, 0] > 0
    assert torch.equal(asked_for(logits, object_size(masks, spatial_dims=2))[:, 0], masks)
    assert torch.equal(asked_for(logits, torch.tensor([[0.0, 100.0]] * 3))[:, 0], masks)
    area = masks.flatten(1).sum(1) * 1.5
    assert torch.equal(asked_for(logits, area, measure="area", spacing=(1.5, 1.0))[:, 0], masks)


def test_level_sets_by_area_and_by_class() -> None:
    logits = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()
    sizes = torch.tensor([[20.0, 60.0], [100.0, torch.nan]])
    values = SizeLevelLoss(measure="area", reduction="none")(logits, sizes)
    assert values.shape == (2, 2)
    assert values[1, 1] == 0
    probabilities = torch.softmax(logits, 1)
    expected = probabilities[0, 1] > probabilities[0, 1].flatten().sort(descending=True).values[20]
    chosen = torch.nn.functional.binary_cross_entropy(probabilities[0, 1], expected.double())
    assert values[0, 0].item() == pytest.approx(chosen.item())
    assert SizeLevelLoss(measure="area")(logits, sizes).item() == pytest.approx(values.sum().item() / 3)


@pytest.mark.parametrize("measure", ["inscribed", "inscribed_euclidean", "area"])
def test_levels_are_those_of_one_search_per_image(measure) -> None:
    """Images above, below and within their interval share a batch; each is halved towards its own level."""
    random = torch.Generator().manual_seed(5)
    fields = torch.sigmoid(bump((12, 11), top=5.0).float()[0] + 2 * torch.randn(9, 12, 11, generator=random))
    low = torch.rand(9, generator=random) * (12 if measure != "area" else 90)
    high = low + torch.arange(9) % 3
    expected = []
    for field, least, most in zip(fields, low, high, strict=True):

        def size_at(level, field=field):
            mask = field > torch.sigmoid(level)
            if measure == "area":
                return mask.sum() * np.prod(SPACING)
            return object_size(mask, metric="euclidean" if "euclidean" in measure else "chebyshev", spacing=SPACING)

        near, far = torch.tensor([0.0]), torch.tensor([0.0])
        if size_at(near) > most or size_at(near) < least:
            side = 1 if size_at(near) > most else -1
            far = torch.tensor([16.0 * side])
            for _ in range(10):
                middle = (near + far) / 2
                if size_at(middle) > most if side > 0 else size_at(middle) < least:
                    near = middle
                else:
                    far = middle
        expected.append(torch.sigmoid(far))
    assert torch.equal(_levels(fields, low, high, SPACING, measure), torch.cat(expected))


def test_level_loss_ends_at_the_known_size() -> None:
    logits = (bump(top=-1.0)).requires_grad_()  # nothing is predicted
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(60):
        optimiser.zero_grad()
        SizeLevelLoss()(logits, torch.tensor([8.0])).backward()
        optimiser.step()
    assert object_size(logits.detach()[0, 0] > 0) == 8


def test_level_loss_of_extreme_inputs_is_finite() -> None:
    for value in (-1e4, 0.0, 1e4):
        for size in (0.0, 6.0, 100.0, torch.nan):
            logits = torch.full((1, 2, 8, 8), value).requires_grad_()
            loss = SizeLevelLoss()(logits * torch.tensor([0.0, 1.0]).view(1, 2, 1, 1), torch.tensor([size]))
            loss.backward()
            assert math.isfinite(loss.item())
            assert logits.grad.isfinite().all()
    with pytest.raises(InputError, match="measure"):
        SizeLevelLoss(measure="centroid")
    with pytest.raises(InputError, match="sizes must have shape"):
        SizeLevelLoss()(torch.zeros(2, 2, 8, 8), torch.zeros(3))


@pytest.mark.parametrize("loss", [SizeLoss(), SizeLoss(measure="area"), SizeLevelLoss()])
@pytest.mark.parametrize("size", [[math.inf], [[math.inf, math.inf]], [[-math.inf, -math.inf]]])
def test_infinite_sizes_are_refused(loss, size):
    with pytest.raises(InputError, match="finite"):
        loss(torch.zeros(1, 1, 5, 5), torch.tensor(size))


def test_half_open_intervals_are_accepted():
    logits = torch.full((1, 1, 9, 9), -20.0)
    logits[..., 2:7, 2:7] = 20.0  # inscribed size 6
    assert SizeLoss()(logits, torch.tensor([[8.0, math.inf]])).item() == 4.0
    assert SizeLoss()(logits, torch.tensor([[-math.inf, 8.0]])).item() == 0.0


def test_components_take_one_size_per_image_and_name_other_shapes():
    logits = torch.full((2, 1, 9, 9), -20.0)
    logits[..., 2:7, 2:7] = 20.0
    loss = SizeLoss(measure="area", objects="components")
    assert loss(logits, torch.tensor([25.0, 25.0])).item() == pytest.approx(0.0, abs=1e-4)
    for shape in ((3,), (3, 2), (2, 2, 3), (2, 2, 2, 2), ()):
        with pytest.raises(InputError, match="sizes must have shape"):
            loss(logits, torch.ones(shape))


def test_samples_are_a_whole_number():
    with pytest.raises(InputError, match="whole number"):
        SizeLoss(samples=1.5)
