"""Packing: 64 pixels of a row become one machine word, pixel ``x`` the bit ``x % 64`` of the word ``x // 64``.

A comparison of 64 bytes and a conversion of its 64 answers to one integer are single instructions of current
processors; the two intrinsics below say exactly that to the compiler.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from shapewright.boolean._jit import for_each_block, kernel

Words = NDArray[np.uint64]
_BYTES = ir.VectorType(ir.IntType(8), 64)
_THREADED_PIXELS = 1 << 22  # below, starting threads costs more than packing


def _inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an intrinsic: a function that kernels call, written as the code to generate for the call."""
    made: Callable[..., Any] = intrinsic(function)
    return made


def _vector_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _BYTES.as_pointer())


@_inline
def _bytes_to_word(_: Any, data: Any, index: Any) -> Any:
    """Return the word of the 64 bytes at an index: a bit is set where the byte is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _vector_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        is_set = builder.icmp_unsigned("!=", builder.load(pointer, align=1), ir.Constant(_BYTES, None))
        return builder.bitcast(is_set, ir.IntType(64))

    return types.uint64(data, index), generate


@_inline
def _word_to_bytes(_: Any, word: Any, data: Any, index: Any) -> Any:
    """Write the 64 bits of a word as 64 bytes 0 and 1 from an index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _vector_pointer(context, builder, signature.args[1], arguments[1], arguments[2])
        bits = builder.bitcast(arguments[0], ir.VectorType(ir.IntType(1), 64))
        builder.store(builder.zext(bits, _BYTES), pointer, align=1)
        return context.get_dummy_value()

    return types.void(word, data, index), generate


@kernel
def pack_row(pixels: Any, start: int, width: int, inverse: Any, words: Any, at: int) -> None:
    """Pack ``width`` pixels from ``start`` on into words from ``at`` on, combined with ``inverse`` by exclusive or."""
    whole = width // 64
    rest = width - 64 * whole
    for k in range(whole):
        words[at + k] = _bytes_to_word(pixels, start + 64 * k) ^ inverse
    if rest:
        end = start + width
        word = np.uint64(0)
        if end >= 64:  # the last 64 pixels before the row's end, of which the row's rest is kept
            word = _bytes_to_word(pixels, end - 64) >> np.uint64(64 - rest)
        else:
            for x in range(rest):
                word |= np.uint64(pixels[start + x] != 0) << np.uint64(x)
        words[at + whole] = word ^ inverse


@kernel
def unpack_row(words: Any, at: int, inverse: Any, pixels: Any, start: int, width: int) -> None:
    """Unpack words from ``at`` on, combined with ``inverse``, into ``width`` pixels from ``start`` on."""
    whole = width // 64
    rest = width - 64 * whole
    for k in range(whole):
        _word_to_bytes(words[at + k] ^ inverse, pixels, start + 64 * k)
    if rest and whole:  # the last 64 pixels of the row at once
        before, here = words[at + whole - 1], words[at + whole]
        last = (before >> np.uint64(rest)) | (here << np.uint64(64 - rest))
        _word_to_bytes(last ^ inverse, pixels, start + width - 64)
    elif rest:
        for x in range(rest):
            pixels[start + x] = ((words[at] ^ inverse) >> np.uint64(x)) & np.uint64(1)


@kernel
def _pack_rows(pixels: NDArray[np.uint8], words: Words, width: int, first: int, last: int) -> None:
    for row in range(first, last):
        pack_row(pixels, row * width, width, np.uint64(0), words, row * ((width + 63) // 64))


@kernel
def _unpack_rows(words: Words, pixels: NDArray[np.uint8], width: int, first: int, last: int) -> None:
    for row in range(first, last):
        unpack_row(words, row * ((width + 63) // 64), np.uint64(0), pixels, row * width, width)


def pack_bits(image: NDArray[np.bool_]) -> Words:
    """Return the words of a boolean array: the last axis shrinks to ``ceil(width / 64)``, unused bits are 0."""
    width = image.shape[-1]
    words = np.empty((*image.shape[:-1], (width + 63) // 64), np.uint64)
    if image.size:
        pixels = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
        flat = words.reshape(-1)
        rows = image.size // width
        threads = None if image.size >= _THREADED_PIXELS else 1
        for_each_block(lambda first, last: _pack_rows(pixels, flat, width, first, last), rows, threads)
    return words


def unpack_bits(words: Words, width: int) -> NDArray[np.bool_]:
    """Return the boolean array whose rows of ``width`` pixels the words hold."""
    image = np.empty((*words.shape[:-1], width), np.bool_)
    if image.size:
        pixels = image.reshape(-1).view(np.uint8)
        flat = np.ascontiguousarray(words).reshape(-1)
        rows = image.size // width
        threads = None if image.size >= _THREADED_PIXELS else 1
        for_each_block(lambda first, last: _unpack_rows(flat, pixels, width, first, last), rows, threads)
    return image
