"""Binary images of 64 pixels a word, on which operators compose without unpacking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, check_spatial_dims, is_tensor
from shapewright.boolean._bits import pack_bits, unpack_bits
from shapewright.errors import InputError

Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class PackedImage:
    """A binary image whose rows are words of 64 pixels; bits beyond the width are 0.

    Every operator of ``shapewright.morphology`` that is exact on bool, and every ``Filter``, takes a packed image and
    returns one. ``& | ^ ~`` combine packed images of equal shape.

    Attributes
    ----------
    words
        uint64, the image's shape with the last axis shrunk to ``ceil(width / 64)``.
    shape
        Shape of the image in pixels.
    spatial_dims
        How many trailing axes are space.
    from_tensor
        Whether :meth:`unpack` returns a torch tensor.

    Examples
    --------
    >>> packed = pack(np.eye(3, dtype=bool))
    >>> (~packed).unpack().sum()
    np.int64(6)
    """

    words: Words
    shape: tuple[int, ...]
    spatial_dims: int
    from_tensor: bool = False

    def unpack(self) -> Any:
        """Return the boolean array, or tensor where a tensor was packed."""
        image = unpack_bits(self.words, self.shape[-1])
        if not self.from_tensor:
            return image
        import torch

        return torch.from_numpy(image)

    def with_words(self, words: Words) -> PackedImage:
        """Return an image of the same shape with other words."""
        return PackedImage(words, self.shape, self.spatial_dims, self.from_tensor)

    def count(self) -> int:
        """Return the number of set pixels."""
        return int(np.bitwise_count(self.words).sum())

    def __and__(self, other: PackedImage) -> PackedImage:
        return self._combine(other, np.bitwise_and)

    def __or__(self, other: PackedImage) -> PackedImage:
        return self._combine(other, np.bitwise_or)

    def __xor__(self, other: PackedImage) -> PackedImage:
        return self._combine(other, np.bitwise_xor)

    def __invert__(self) -> PackedImage:
        words = ~self.words
        rest = self.shape[-1] % 64
        if rest:
            words[..., -1] &= np.uint64((1 << rest) - 1)
        return self.with_words(words)

    def _combine(self, other: PackedImage, operation: Callable[..., Words]) -> PackedImage:
        if not isinstance(other, PackedImage) or other.shape != self.shape:
            given = other.shape if isinstance(other, PackedImage) else type(other).__name__
            raise InputError(f"packed images combine with packed images of equal shape {self.shape}; got {given}")
        return self.with_words(operation(self.words, other.words))


def pack(image: AnyArray, *, spatial_dims: int | None = None) -> PackedImage:
    """Pack a binary image, 64 pixels of a row to a word.

    Parameters
    ----------
    image
        bool, or integers 0 and 1; any leading axes.
    spatial_dims
        How many trailing axes are space; by default all of an image with 2 or 3 axes.

    Examples
    --------
    >>> pack(np.ones((2, 70), bool)).words.shape
    (2, 2)
    """
    binary = as_binary(image, "image")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    return PackedImage(pack_bits(binary), binary.shape, dims, is_tensor(image))
