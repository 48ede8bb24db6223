"""The isointense brain: shares, contrasts and the jitter of its labels."""

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.simulate import IsointensePhantom


@pytest.mark.parametrize("shape", [(64, 64), (48, 70), (32, 36, 30)])
def test_shapes_and_exact_shares(shape) -> None:
    images, labels = IsointensePhantom(shape=shape).generate(3, seed=0)
    assert images.shape == (3, 2, *shape)
    assert images.dtype == np.float32
    assert labels.dtype == np.uint8
    for one in labels:
        counts = np.bincount(one.ravel(), minlength=4)[1:]
        np.testing.assert_allclose(counts / counts.sum(), (0.22, 0.47, 0.31), atol=0.01)
    assert ((images != 0).any(1) == (labels > 0)).all()


def test_an_image_depends_on_seed_and_index_only() -> None:
    few, _ = IsointensePhantom().generate(2, seed=3)
    many, _ = IsointensePhantom().generate(5, seed=3)
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(few, IsointensePhantom().generate(2, seed=4)[0])


def test_grey_and_white_matter_are_almost_alike_and_fluid_is_not() -> None:
    images, labels = IsointensePhantom(blur=0.0).generate(20, seed=0)
    for channel in (0, 1):
        values = [images[:, channel][labels == k] for k in (1, 2, 3)]
        noise = 0.05
        assert 0.2 * noise < abs(values[2].mean() - values[1].mean()) < noise
        assert abs(values[0].mean() - values[1].mean()) > 4 * noise


def test_jitter_moves_labels_at_the_border_of_grey_and_white_matter_only() -> None:
    images, clean = IsointensePhantom().generate(3, seed=1)
    again, noisy = IsointensePhantom(jitter=0.5).generate(3, seed=1)
    np.testing.assert_array_equal(images, again)
    changed = clean != noisy
    assert 0.002 < changed.mean() < 0.05
    assert set(np.unique(clean[changed])) == {2, 3}
    from scipy import ndimage

    for one, moved in zip(clean, changed, strict=True):
        border = ndimage.binary_dilation(one == 2, np.ones((3, 3))) & ndimage.binary_dilation(one == 3, np.ones((3, 3)))
        assert (border | ~moved).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (10, 64)}, "at least 24"),
        ({"shares": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"jitter": 2.0}, "jitter must be between"),
        ({"noise": -1.0}, "noise must not be negative"),
    ],
)
def test_parameters_that_cannot_be(options, message) -> None:
    with pytest.raises(InputError, match=message):
        IsointensePhantom(**options)
