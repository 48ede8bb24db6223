"""Filters on NVIDIA GPUs: kernels generated from the same table of gates that the CPU runs.

Each filter becomes one straight-line Triton kernel, one gate a line: on words of 64 pixels for binary images, and as
the polynomial with its gradient for probabilities. Triton compiles it on first use and keeps the result on disk. An
image is seen as [images, planes, rows, width], every pixel (or word) is one item of a program.

The gradient is computed in two deterministic steps: the derivative of every result with respect to each pixel that it
reads, then for every pixel the sum over the results that read it. The first needs room for as many values per pixel as
the filter reads pixels, so it goes slab by slab.
"""

import linecache
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl

from shapewright.boolean._blocks import as_plane_offset, as_planes
from shapewright.boolean._machine import AND, CONSTANT, LOAD, NOT, OR, XOR
from shapewright.boolean._program import Program, program
from shapewright.boolean.expression import Expression, Offset
from shapewright.boolean.filter import repeat

BLOCK = 256
_SLAB_VALUES = 1 << 24  # derivatives that are held at a time


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function with Triton, or interpret it where ``TRITON_INTERPRET=1``."""
    return triton.jit(function)


@jit
def _pack(pixels: "Any", words: "Any", total: "Any", width: "Any", count: "Any", block: tl.constexpr) -> None:
    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    lane = tl.arange(0, 64)[None, :]
    x = (index % count)[:, None] * 64 + lane
    used = (index < total)[:, None] & (x < width)
    bits = tl.load(pixels + (index // count)[:, None] * width + x, mask=used, other=0)
    tl.store(words + index, tl.sum(bits.to(tl.int64) << lane.to(tl.int64), axis=1), mask=index < total)


@jit
def _unpack(words: "Any", pixels: "Any", total: "Any", width: "Any", count: "Any", block: tl.constexpr) -> None:
    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    x = index % width
    word = tl.load(words + index // width * count + x // 64, mask=index < total, other=0)
    tl.store(pixels + index, ((word >> (x % 64)) & 1).to(tl.int8), mask=index < total)


def pack(image: torch.Tensor) -> torch.Tensor:
    """Return a bool tensor as words (int64): the last axis shrinks to ``ceil(width / 64)``."""
    width = image.shape[-1]
    words = torch.empty((*image.shape[:-1], (width + 63) // 64), dtype=torch.int64, device=image.device)
    if words.numel():
        pixels = image.contiguous().view(torch.uint8)
        _pack[grid(words.numel(), 32)](pixels, words, words.numel(), width, words.shape[-1], block=32)
    return words


def unpack(words: torch.Tensor, width: int) -> torch.Tensor:
    """Return the bool tensor whose rows of ``width`` pixels the words hold."""
    pixels = torch.empty((*words.shape[:-1], width), dtype=torch.int8, device=words.device)
    if pixels.numel():
        _unpack[grid(pixels.numel())](words, pixels, pixels.numel(), width, words.shape[-1], block=BLOCK)
    return pixels.view(torch.bool)


def run_words(
    expression: Expression, words: torch.Tensor, shape: Sequence[int], spatial_dims: int, outside: bool
) -> torch.Tensor:
    """Return a filter's result on the words of an image of a shape."""
    out = torch.empty_like(words)
    if words.numel():
        _, planes, rows, width = as_planes(tuple(shape), spatial_dims)
        used = (1 << width % 64) - 1 if width % 64 else -1
        sizes = (words.numel(), planes, rows, words.shape[-1])
        _kernels(expression)["words"][grid(words.numel())](words, out, *sizes, used, -int(outside), block=BLOCK)
    return out


def run_exact(
    expression: Expression, image: torch.Tensor, spatial_dims: int, outside: bool, iterations: int | None
) -> torch.Tensor:
    """Return a filter's result on a bool tensor, applied a number of times."""
    words = repeat(
        lambda before: run_words(expression, before, image.shape, spatial_dims, outside), pack(image), iterations
    )
    return unpack(words, image.shape[-1])


def forward(expression: Expression, image: torch.Tensor, outside: float) -> torch.Tensor:
    """Return the polynomial of an expression at every pixel of a float32 or float64 tensor."""
    image = image.contiguous()
    if expression.gate == "const":
        return torch.full_like(image, float(expression.value))
    out = torch.empty_like(image)
    if out.numel():
        _, *sizes = as_planes(tuple(image.shape), len(expression.offsets[0]))
        beyond = image.new_tensor([outside])
        _kernels(expression)["forward"][grid(out.numel())](image, out, out.numel(), *sizes, beyond, block=BLOCK)
    return out


def backward(expression: Expression, image: torch.Tensor, upstream: torch.Tensor, outside: float) -> torch.Tensor:
    """Return the gradient with respect to the image, given the one with respect to the result."""
    image, upstream = image.contiguous(), upstream.contiguous()
    gradient = torch.zeros_like(image)
    if expression.gate == "const" or not image.numel():
        return gradient
    _, planes, rows, width = as_planes(tuple(image.shape), len(expression.offsets[0]))
    offsets = [as_plane_offset(offset) for offset in expression.offsets]
    reach = max(abs((p * rows + r) * width + x) for p, r, x in offsets)
    beyond, table = image.new_tensor([outside]), offset_table(offsets, image.device)
    total, count = image.numel(), len(offsets)
    slab = max(_SLAB_VALUES // count, 2 * reach, 1)
    for first in range(0, total, slab):
        last = min(first + slab, total)
        begin, end = max(first - reach, 0), min(last + reach, total)
        derivatives = image.new_empty((end - begin, count))
        _kernels(expression)["backward"][grid(end - begin)](
            image, upstream, derivatives, begin, end, planes, rows, width, beyond, block=BLOCK
        )
        _gather[grid(last - first)](
            derivatives, gradient, table, count, begin, first, last, planes, rows, width, block=BLOCK
        )
    return gradient


def offset_table(offsets: Sequence[Offset], device: torch.device) -> torch.Tensor:
    """Return offsets (plane, row, x) as a tensor of a device."""
    return torch.tensor(offsets, dtype=torch.int64, device=device).reshape(-1, 3)


@jit
def _gather(
    derivatives: "Any",
    gradient: "Any",
    offsets: "Any",
    count: tl.constexpr,
    begin: "Any",
    first: "Any",
    last: "Any",
    planes: "Any",
    rows: "Any",
    width: "Any",
    block: tl.constexpr,
) -> None:
    """Sum for the pixels ``first`` to ``last`` the derivatives of all results that read them."""
    index = first + tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    total = tl.zeros([block], dtype=gradient.dtype.element_ty)
    for k in range(count):
        p, r, x = tl.load(offsets + 3 * k), tl.load(offsets + 3 * k + 1), tl.load(offsets + 3 * k + 2)
        used = (index < last) & is_inside(index, -p, -r, -x, planes, rows, width)
        source = index - (p * rows + r) * width - x
        total += tl.load(derivatives + (source - begin) * count + k, mask=used, other=0.0)
    tl.store(gradient + index, total, mask=index < last)


@jit
def is_inside(index: "Any", p: "Any", r: "Any", x: "Any", planes: "Any", rows: "Any", width: "Any") -> "Any":
    """Say whether the pixel at an offset from pixel ``index`` lies in the same image."""
    x += index % width
    r += index // width % rows
    p += index // (width * rows) % planes
    return (p >= 0) & (p < planes) & (r >= 0) & (r < rows) & (x >= 0) & (x < width)


@jit
def _word(
    words: "Any",
    index: "Any",
    p: "Any",
    r: "Any",
    k: "Any",
    total: "Any",
    planes: "Any",
    rows: "Any",
    count: "Any",
    used: "Any",
    beyond: "Any",
) -> "Any":
    """Load the word at an offset; the pixels of it that are outside the image have the value ``beyond``."""
    inside = (index < total) & is_inside(index, p, r, k, planes, rows, count)
    word = tl.load(words + index + (p * rows + r) * count + k, mask=inside, other=beyond)
    return tl.where(inside & (index % count + k == count - 1), (word & used) | (beyond & ~used), word)


@lru_cache(maxsize=256)
def _kernels(expression: Expression) -> dict[str, Any]:
    """Return the kernels of an expression by name, generated from its program."""
    gates = program(expression, reuse_slots=False)
    source = "\n\n".join((_words_source(gates), _forward_source(gates), _backward_source(gates)))
    name = f"<shapewright filter {abs(hash(expression)):x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # where Triton reads it
    made: dict[str, Any] = {"__name__": __name__, "tl": tl, "_word": _word, "is_inside": is_inside}
    exec(compile(source, name, "exec"), made)  # the text holds gates and integers only
    return {kernel: jit(made[kernel]) for kernel in ("words", "forward", "backward")}


def _lines(gates: Program, load: Callable[[Offset], str], operations: dict[int, str], where: str) -> list[str]:
    """Return a line ``v<slot> = ...`` for every gate."""
    lines = []
    for code, target, *arguments in gates.gates.tolist():
        if code == LOAD:
            value = load(as_plane_offset(gates.offsets[arguments[0]]))
        elif code == CONSTANT:
            value = operations[CONSTANT].format(arguments[0])
        else:
            value = operations.get(code, where).format(*(f"v{argument}" for argument in arguments))
        lines.append(f"    v{target} = {value}")
    return lines


def _words_source(gates: Program) -> str:
    def load(offset: Offset) -> str:
        p, r, x = offset
        step, shift = x >> 6, x & 63
        rest = "total, planes, rows, count, used, beyond"
        low = f"_word(words, index, {p}, {r}, {step}, {rest})"
        if not shift:
            return low
        high = f"_word(words, index, {p}, {r}, {step + 1}, {rest})"
        shifted = f"({low}.to(tl.uint64, bitcast=True) >> {shift}).to(tl.int64, bitcast=True)"
        return f"{shifted} | ({high} << {64 - shift})"

    operations = {CONSTANT: "tl.full([block], -{0}, tl.int64)", NOT: "~{0}", AND: "{0} & {1}", OR: "{0} | {1}"}
    operations[XOR] = "{0} ^ {1}"
    return "\n".join(
        (
            "def words(words, out, total, planes, rows, count, used, beyond, block: tl.constexpr):",
            "    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)",
            *_lines(gates, load, operations, "{2} ^ ({0} & ({1} ^ {2}))"),
            f"    result = tl.where(index % count == count - 1, v{gates.gates[-1, 1]} & used, v{gates.gates[-1, 1]})",
            "    tl.store(out + index, result, mask=index < total)",
        )
    )


_POLYNOMIAL = {
    CONSTANT: "tl.full([block], {0}, image.dtype.element_ty)",
    NOT: "1 - {0}",
    AND: "{0} * {1}",
    OR: "{0} + {1} * (1 - {0})",
    XOR: "{0} + {1} * (1 - 2 * {0})",
}
_WHERE = "{2} + {0} * ({1} - {2})"
_DERIVATIVES: dict[int, tuple[str, ...]] = {
    NOT: ("-1",),
    AND: ("{1}", "{0}"),
    OR: ("(1 - {1})", "(1 - {0})"),
    XOR: ("(1 - 2 * {1})", "(1 - 2 * {0})"),
}
_WHERE_DERIVATIVES = ("({1} - {2})", "{0}", "(1 - {0})")


def _load_pixel(offset: Offset) -> str:
    p, r, x = offset
    used = f"(index < last) & is_inside(index, {p}, {r}, {x}, planes, rows, width)"
    return f"tl.load(image + index + ({p} * rows + {r}) * width + {x}, mask={used}, other=beyond)"


def _forward_source(gates: Program) -> str:
    return "\n".join(
        (
            "def forward(image, out, last, planes, rows, width, outside, block: tl.constexpr):",
            "    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)",
            "    beyond = tl.load(outside)",
            *_lines(gates, _load_pixel, _POLYNOMIAL, _WHERE),
            f"    tl.store(out + index, v{gates.gates[-1, 1]}, mask=index < last)",
        )
    )


def _backward_source(gates: Program) -> str:
    received = {int(gates.gates[-1, 1]): "upstream_here"}  # slot -> name of its gradient so far
    lines = []
    for code, target, *arguments in reversed(gates.gates.tolist()):
        if target not in received:
            continue
        share = received[target]
        if code == LOAD:
            at = f"derivatives + (index - begin) * {len(gates.offsets)} + {arguments[0]}"
            lines.append(f"    tl.store({at}, {share}, mask=used)")
        elif code != CONSTANT:
            names = [f"v{argument}" for argument in arguments]
            for slot, factor in zip(arguments, _DERIVATIVES.get(code, _WHERE_DERIVATIVES), strict=False):
                name = f"g{len(lines)}"
                before = f"{received[slot]} + " if slot in received else ""
                lines.append(f"    {name} = {before}{share} * {factor.format(*names)}")
                received[slot] = name
    return "\n".join(
        (
            "def backward(",
            "    image, upstream, derivatives, begin, last, planes, rows, width, outside, block: tl.constexpr",
            "):",
            "    index = begin + tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)",
            "    used = index < last",
            "    beyond = tl.load(outside)",
            *_lines(gates, _load_pixel, _POLYNOMIAL, _WHERE),
            "    upstream_here = tl.load(upstream + index, mask=used, other=0.0)",
            *lines,
        )
    )


def grid(items: int, block: int = BLOCK) -> tuple[int]:
    """Return how many programs cover a number of items."""
    return (triton.cdiv(items, block),)
