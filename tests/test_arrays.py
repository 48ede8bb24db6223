"""The same kind out as in."""

import numpy as np
import pytest
import torch

from shapewright.arrays import as_binary, as_numpy, check_spacing, check_spatial_dims, same_kind
from shapewright.errors import InputError


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 4)])
def test_kind_and_shape_are_kept(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    tensor = torch.from_numpy(array.copy()).reshape(shape)
    assert same_kind(array, array) is array
    back = same_kind(as_numpy(tensor, "x"), tensor)
    assert isinstance(back, torch.Tensor)
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


def test_tensors_with_gradients_and_reversed_strides() -> None:
    tensor = torch.rand(3, 4, requires_grad=True)
    assert np.array_equal(as_numpy(tensor, "x"), tensor.detach().numpy())
    assert same_kind(np.arange(4)[::-1], torch.zeros(1)).tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("bad", [np.array([0, 2]), np.array([-1, 0]), np.array([0.0, 1.0])])
def test_masks_must_be_binary(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="mask must be a binary mask"):
        as_binary(bad, "mask")


def test_lists_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="image must be a NumPy array or a torch tensor; got list"):
        as_numpy([1, 2], "image")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan")), (1.0, float("inf"))])
def test_spacing_is_checked(bad: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="spacing must have 2 positive values"):
        check_spacing(bad, 2)


@pytest.mark.parametrize(
    ("dims", "shape"), [(None, (4,)), (None, (2, 3, 4, 5)), (4, (2, 3, 4, 5)), (3, (4, 4)), (1, (4,))]
)
def test_spatial_dims_are_checked(dims: int | None, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="spatial_dims must be"):
        check_spatial_dims(dims, shape)
