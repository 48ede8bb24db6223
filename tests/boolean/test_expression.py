import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapewright.boolean import Diagram, Expression, Filter, all_of, any_of, at_least, pixel, template, where
from shapewright.boolean.expression import FALSE, TRUE
from shapewright.errors import InputError

PIXELS = [pixel(0, x) for x in range(5)]

expressions = st.recursive(
    st.sampled_from([*PIXELS, TRUE, FALSE]),
    lambda inner: st.one_of(
        inner.map(lambda a: ~a),
        st.tuples(inner, inner).map(lambda p: p[0] & p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] | p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] ^ p[1]),
        st.tuples(inner, inner, inner).map(lambda p: where(*p)),
    ),
    max_leaves=12,
)


def value(expression: Expression, bits: dict[tuple[int, ...], bool]) -> bool:
    """Evaluate recursively, by the definition of each gate."""
    inputs = [value(argument, bits) for argument in expression.arguments]
    if expression.gate == "const":
        return expression.value
    if expression.gate == "pixel":
        return bits[expression.offset]
    if expression.gate == "not":
        return not inputs[0]
    if expression.gate == "where":
        return inputs[1] if inputs[0] else inputs[2]
    return {"and": all, "or": any, "xor": lambda v: sum(v) % 2 == 1}[expression.gate](inputs)


def table(expression: Expression) -> list[bool]:
    offsets = [p.offset for p in PIXELS]
    return [
        value(expression, dict(zip(offsets, bits, strict=True)))
        for bits in itertools.product((False, True), repeat=len(offsets))
    ]


@given(expressions)
@settings(max_examples=300, deadline=None)
def test_simplified_expression_is_the_same_function_and_not_longer(expression):
    short = expression.simplify()
    assert table(short) == table(expression)
    assert len(list(short.gates())) <= len(list(expression.gates())) + 1


@given(expressions)
@settings(max_examples=200, deadline=None)
def test_diagram_and_json_keep_the_function(expression):
    diagram = Diagram.from_expression(expression)
    assert table(diagram.expression) == table(expression)
    assert diagram.count(5) == sum(table(expression))
    assert Filter.from_json(Filter(expression, spatial_dims=2).to_json()).expression == expression


@given(expressions, expressions)
@settings(max_examples=200, deadline=None)
def test_filters_are_equal_exactly_where_their_tables_are(a, b):
    assert (Filter(a, spatial_dims=2) == Filter(b, spatial_dims=2)) == (table(a) == table(b))


def test_equal_filters_have_equal_hashes():
    a, b, c = PIXELS[:3]
    left, right = Filter(a & (b | c)), Filter((a & b) | (a & c))
    assert left == right
    assert hash(left) == hash(right)
    assert left != Filter(a & b)


@pytest.mark.parametrize("pixels", [1, 2, 5, 9])
def test_truth_tables_survive(pixels):
    rng = np.random.default_rng(pixels)
    offsets = [(0, x) for x in range(pixels)]
    for density in (0.0, 0.1, 0.5, 1.0):
        values = rng.random(2**pixels) < density
        diagram = Diagram.from_truth_table(values, offsets)
        for index, bits in enumerate(itertools.product((False, True), repeat=pixels)):
            assert diagram.evaluate(dict(zip(offsets, bits, strict=True))) == values[index]


def test_sifting_finds_the_linear_order():
    # The textbook example: 2 ** (n + 1) nodes in the order given, 2 n in the order of the pairs.
    variables = [pixel(0, x) for x in range(16)]
    pairs = any_of(variables[i] & variables[i + 8] for i in range(8))
    given_order = Diagram.from_expression(pairs, [v.offset for v in variables])
    assert len(given_order.nodes) == 510
    assert len(given_order.sifted().nodes) == 16
    assert Filter(pairs).nodes == 16


def test_at_least_counts():
    for count in range(-1, 7):
        expected = [sum(bits) >= count for bits in itertools.product((0, 1), repeat=5)]
        assert table(at_least(count, PIXELS)) == expected


def test_nodes_of_known_functions():
    assert Filter(all_of(PIXELS)).nodes == 5
    assert Filter(PIXELS[0] ^ PIXELS[1] ^ PIXELS[2]).nodes == 5
    assert Filter(at_least(3, PIXELS)).nodes == 9


def test_template_reads_lines_stacks_and_any():
    corner = template("""
        1 0 .
        . 1 .
        . . 0""")
    assert corner == pixel(-1, -1) & ~pixel(-1, 0) & pixel(0, 0) & ~pixel(1, 1)
    assert template(["...\n.1.\n...", "...\n.0.\n...", "..1\n...\n..."]) == pixel(-1, 0, 0) & ~pixel(0, 0, 0) & pixel(
        1, -1, 1
    )


def test_rotation_agrees_with_numpy():
    grid = np.arange(9).reshape(3, 3)
    for turns in range(4):
        for y, x in itertools.product(range(3), repeat=2):
            moved = pixel(y - 1, x - 1).rotated(turns).offset
            assert np.rot90(grid, turns)[moved[0] + 1, moved[1] + 1] == grid[y, x]


def test_printing_is_python_that_reads_back():
    a, b, c = PIXELS[:3]
    for expression in [~(a | b) & c, a ^ (b & c), where(a, b | c, ~a), a & b | c, ~~a, (a | b) ^ c]:
        again = eval(repr(expression), {"pixel": pixel, "where": where})
        assert table(again) == table(expression)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: template("1 2 0"), "'2'"),
        (lambda: template("10\n01"), "odd sizes"),
        (lambda: template("101\n01"), "equal sizes"),
        (lambda: pixel(1), "2 or 3 integers"),
        (lambda: Filter(pixel(0, 0) & pixel(0, 0, 0)), "one rank"),
        (lambda: Filter.from_function(any, [(0, x) for x in range(17)]), "at most 16"),
        (lambda: Filter.from_truth_table([1, 0, 1], [(0, 0)]), "2 ** 1 = 2"),
        (lambda: Filter.from_json("[1, 2]"), "not a filter"),
        (lambda: Filter.from_json('{"spatial_dims": 2, "gates": [["nand", 0]]}'), "unknown gate"),
        (lambda: bool(pixel(0, 0)), "instead of and, or, not"),
    ],
)
def test_wrong_input_is_explained(make, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        make()
