"""Packing: 64 pixels of a row become one machine word, pixel ``x`` the bit ``x % 64`` of the word ``x // 64``.

A comparison of 64 bytes and a conversion of its 64 answers to one integer are single instructions of current
processors; the two intrinsics below say exactly that to the compiler.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from shapewright.boolean._jit import for_each_block, kernel

Words = NDArray[np.uint64]
_BYTES, _HALF = ir.VectorType(ir.IntType(8), 64), ir.VectorType(ir.IntType(8), 32)
_ALIGNED_PIXELS = 1 << 17  # below, looking at the address costs more than it brings
_THREADED_PIXELS = 1 << 22  # below, starting threads costs more than packing


def _inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an intrinsic: a function that kernels call, written as the code to generate for the call."""
    made: Callable[..., Any] = intrinsic(function)
    return made


def _vector_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any = _BYTES) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


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


@_inline
def _half_word_to_bytes(_: Any, word: Any, data: Any, index: Any) -> Any:
    """Write the lower 32 bits of a word as 32 bytes 0 and 1 from an index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _vector_pointer(context, builder, signature.args[1], arguments[1], arguments[2], _HALF)
        bits = builder.bitcast(builder.trunc(arguments[0], ir.IntType(32)), ir.VectorType(ir.IntType(1), 32))
        builder.store(builder.zext(bits, _HALF), pointer, align=1)
        return context.get_dummy_value()

    return types.void(word, data, index), generate


@_inline
def shifted_pair(_: Any, low: Any, high: Any, shift: Any) -> Any:
    """Return 64 bits of two neighbouring words, from bit ``shift`` (below 64) of the lower one on."""

    def generate(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        name = "llvm.fshr.i64"  # one vector instruction of recent processors, four of older ones
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(word, [word] * 3), name)
        return builder.call(function, [arguments[1], arguments[0], arguments[2]])

    return types.uint64(low, high, shift), generate


# The whole words of a row and its rest are packed by functions of their own, called in loops of their own: a branch
# between rows keeps the compiler from making one loop of them, which costs as much as packing.


@kernel
def pack_whole(pixels: Any, start: int, width: int, inverse: Any, words: Any, at: int) -> None:
    """Pack the whole words of ``width`` pixels from ``start`` on into words from ``at`` on, each xor ``inverse``."""
    begin, to = np.uint64(start), np.uint64(at)  # signed indices would be tested for negative values at every word
    for k in range(np.uint64(width) // np.uint64(64)):
        words[to + k] = _bytes_to_word(pixels, begin + np.uint64(64) * k) ^ inverse


@kernel
def pack_rest(pixels: Any, start: int, width: int, inverse: Any, words: Any, at: int) -> None:
    """Pack the pixels of a row behind its last whole word, of which there must be some."""
    rest, end = width % 64, start + width
    if end >= 64:  # the last 64 pixels before the row's end, of which the row's rest is kept
        word = _bytes_to_word(pixels, np.uint64(end - 64)) >> np.uint64(64 - rest)
    else:
        word = _pack_slowly(pixels, end - rest, rest)
    words[at + width // 64] = word ^ inverse


@kernel
def _pack_slowly(pixels: Any, start: int, count: int) -> Any:
    """Return the word of a few pixels, a loop apart so that the calls that do not need it are compiled in line."""
    word = np.uint64(0)
    for x in range(np.uint64(count)):
        word |= np.uint64(pixels[np.uint64(start) + x] != 0) << x
    return word


@kernel
def unpack_whole(words: Any, at: int, inverse: Any, pixels: Any, start: int, width: int) -> None:
    """Unpack the whole words from ``at`` on, each xor ``inverse``, into pixels from ``start`` on."""
    begin, to = np.uint64(start), np.uint64(at)
    for k in range(np.uint64(width) // np.uint64(64)):
        _word_to_bytes(words[to + k] ^ inverse, pixels, begin + np.uint64(64) * k)


@kernel
def unpack_rest(words: Any, at: int, inverse: Any, pixels: Any, start: int, width: int) -> None:
    """Unpack the pixels of a row behind its last whole word, of which there must be some."""
    rest, whole = width % 64, width // 64
    if whole:  # the last 64 pixels of the row at once
        last = shifted_pair(words[at + whole - 1], words[at + whole], np.uint64(rest))
        _word_to_bytes(last ^ inverse, pixels, np.uint64(start + width - 64))
        return
    word, begin = words[at] ^ inverse, np.uint64(start)
    if rest >= 32:  # the first 32 and the last 32, which may overlap
        _half_word_to_bytes(word, pixels, begin)
        behind = np.uint64(rest - 32)
        _half_word_to_bytes(word >> behind, pixels, begin + behind)
    else:
        for x in range(np.uint64(rest)):
            pixels[begin + x] = (word >> x) & np.uint64(1)


@kernel
def _pack_rows(pixels: NDArray[np.uint8], words: Words, width: int, first: int, last: int) -> None:
    count = (width + 63) // 64
    for row in range(first, last):
        pack_whole(pixels, row * width, width, np.uint64(0), words, row * count)
    if width % 64:
        for row in range(first, last):
            pack_rest(pixels, row * width, width, np.uint64(0), words, row * count)


@kernel
def _unpack_rows(words: Words, pixels: NDArray[np.uint8], width: int, first: int, last: int) -> None:
    count = (width + 63) // 64
    for row in range(first, last):
        unpack_whole(words, row * count, np.uint64(0), pixels, row * width, width)
    if width % 64:
        for row in range(first, last):
            unpack_rest(words, row * count, np.uint64(0), pixels, row * width, width)


def aligned_pixels(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a new boolean array, not filled; a large one starts at a multiple of 64 bytes, for faster stores."""
    size = math.prod(shape)
    if size < _ALIGNED_PIXELS:
        return np.empty(shape, np.bool_)
    room = np.empty(size + 63, np.bool_)
    start = -room.__array_interface__["data"][0] % 64
    return room[start : start + size].reshape(shape)


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
    image = aligned_pixels((*words.shape[:-1], width))
    if image.size:
        pixels = image.reshape(-1).view(np.uint8)
        flat = np.ascontiguousarray(words).reshape(-1)
        rows = image.size // width
        threads = None if image.size >= _THREADED_PIXELS else 1
        for_each_block(lambda first, last: _unpack_rows(flat, pixels, width, first, last), rows, threads)
    return image
