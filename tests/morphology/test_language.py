"""The language of chains: what it reads, what it refuses and where, and that parts equal the whole."""

import re
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.morphology import (
    area_opening,
    ball,
    box,
    closing,
    cross,
    dilation,
    erosion,
    fill_holes,
    hit_or_miss,
    line,
    opening,
    reconstruction,
    skeletonize,
)
from shapewright.morphology.language import OPERATORS, parse
from shapewright.morphology.large import apply_in_parts

SPACING = (3.0, 1.0, 0.5)


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 1.5) > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("opening(ball(2))", lambda x: opening(x, ball(2, 3))),
        ("opening(ball(3mm))", lambda x: opening(x, ball(3, 3, SPACING))),
        ("opening( ball( radius = 3 mm ) )", lambda x: opening(x, ball(3, 3, SPACING))),
        ("erosion(box(1.5mm), outside=1)", lambda x: erosion(x, box(1.5, 3, SPACING), outside=1)),
        ("dilation(cross(1), 2)", lambda x: dilation(x, cross(1, 3), iterations=2)),
        ("dilation(line(5, (0, 1, -1)))", lambda x: dilation(x, line(5, (0, 1, -1)))),
        ("dilation(line(5))", lambda x: dilation(x, np.ones((1, 1, 5), bool))),
        ("dilation(connectivity(18))", lambda x: ndimage.binary_dilation(x, ndimage.generate_binary_structure(3, 2))),
        ("closing(diamond(1)) | fill-holes", lambda x: fill_holes(closing(x, cross(1, 3)))),
        ("area_opening(20)", lambda x: area_opening(x, 20)),
        ("area_opening(20mm3)", lambda x: area_opening(x, 14)),  # voxels of 1.5 mm3
        ("area_opening(9, connectivity=26)", lambda x: area_opening(x, 9, connectivity=26)),
        ("erosion(ball(1))|reconstruction", lambda x: reconstruction(erosion(x, ball(1, 3)), x)),
        ("skeletonize", skeletonize),
        ("skeletonize(2, kind=surface)", lambda x: skeletonize(x, iterations=2, kind="surface")),
        ("thin(1) | invert", lambda x: ~skeletonize(x, iterations=1)),
        ("hit_or_miss(cross(0), line(3))", lambda x: hit_or_miss(x, cross(0, 3), np.ones((1, 1, 3), bool))),
        ("white_tophat(ball(1))", lambda x: x & ~opening(x, ball(1, 3))),
        ("black_tophat(ball(1))", lambda x: closing(x, ball(1, 3)) & ~x),
        (
            "gradient(ball(1), outside=1)",
            lambda x: dilation(x, ball(1, 3), outside=1) & ~erosion(x, ball(1, 3), outside=1),
        ),
    ],
)
def test_means_the_operators(text: str, expected) -> None:
    image = blobs((9, 20, 30))
    assert np.array_equal(parse(text)(image, spacing=SPACING), expected(image))


def test_spacing_matters_where_a_length_is_in_millimetres() -> None:
    assert not parse("opening(ball(3))").in_millimetres
    assert parse("opening(ball(3)) | dilation(ball(radius=2mm))").in_millimetres
    image = blobs((20, 30))
    chain = parse("dilation(ball(3mm))")
    assert np.array_equal(chain(image), dilation(image, ball(3)))
    assert np.array_equal(chain(image, spacing=3), dilation(image, ball(1)))


def test_same_kind_out_as_in_and_leading_axes() -> None:
    image = np.stack([blobs((20, 70), seed) for seed in range(3)])
    chain = parse("opening(ball(1)) | skeletonize | dilation(box(1))")
    result = chain(image, spatial_dims=2)
    for number in range(3):
        assert np.array_equal(result[number], chain(image[number]))
    tensor = chain(torch.from_numpy(image.astype(np.uint8)), spatial_dims=2)
    assert tensor.dtype == torch.bool
    assert np.array_equal(tensor.numpy(), result)


def test_probabilities_stay_differentiable() -> None:
    values = torch.rand(1, 12, 12, dtype=torch.float64, requires_grad=True)
    chain = parse("closing(cross(1)) | skeletonize(2) | invert")
    result = chain(values, spatial_dims=2)
    result.sum().backward()
    assert values.grad.abs().sum() > 0
    expected = 1 - skeletonize(closing(values, cross(1)), iterations=2, spatial_dims=2)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 1, "expected an operator, found the end"),
        ("openin(ball(3))", 1, "unknown operator 'openin'; did you mean 'opening'?"),
        ("fill_holes | skeletonise", 14, "unknown operator 'skeletonise'; did you mean 'skeletonize'?"),
        ("opening(bal(3))", 9, "unknown structuring element 'bal'; did you mean 'ball'?"),
        ("ball(3)", 1, "ball is a structuring element; give it to an operator"),
        ("opening(3)", 9, "expected a structuring element such as ball"),
        ("opening", 1, "opening needs footprint"),
        ("hit_or_miss(ball(1))", 1, "hit_or_miss needs background"),
        ("opening(ball(3)", 16, "expected ',' or ')', found the end"),
        ("opening(ball(3)) skeletonize", 18, "expected '|' or the end, found 'skeletonize'"),
        ("opening(ball(3)) |", 19, "expected an operator, found the end"),
        ("opening(ball(3cm))", 14, "unknown unit 'cm'"),
        ("opening(ball(3mm2))", 14, "expected a length in pixels"),
        ("opening(ball(-3))", 14, "expected a length"),
        ("opening(ball(3), iteration=2)", 18, "unknown option of opening 'iteration'; did you mean 'iterations'?"),
        ("opening(ball(3), footprint=ball(2))", 18, "footprint of opening is given twice"),
        ("opening(ball(3), 1, 0, 5)", 24, "opening takes at most footprint, iterations, outside"),
        ("invert(3)", 8, "invert takes no arguments"),
        ("opening(ball(3), iterations=0)", 18 + 11, "expected a whole number of at least 1"),
        ("opening(ball(3), outside=2)", 18 + 8, "expected 0 or 1"),
        ("dilation(line(3, ball(1)))", 18, "expected an angle in degrees, or a direction"),
        ("skeletonize(kind=surfaces)", 18, "expected curve or surface"),
        ("area_opening(20mm)", 14, "expected a number of pixels"),
        ("opening(ball(3)) ; skeletonize", 18, "unexpected character ';'"),
        ("opening(ball((1, 2", 19, "expected ',' or ')', found the end"),
    ],
)
def test_errors_name_the_position(text: str, position: int, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        parse(text)
    assert f"at position {position}:" in str(caught.value)
    *_, shown, mark = str(caught.value).split("\n")
    assert mark.index("^") - 2 == position - 1
    assert shown[2:] == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("invert | dilation(line(5, 45))", "line has 2 axes here, the image 3"),
        ("dilation(line(4))", "length must be a positive odd number"),
        ("dilation(connectivity(8))", "connectivity must be 6, 18 or 26 in 3D; got 8"),
        ("area_opening(20mm2)", "a size in 3D is in mm3; got mm2"),
    ],
)
def test_errors_that_depend_on_the_image_name_the_position_too(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(text)(blobs((5, 6, 7)))
    assert "at position" in str(caught.value)


@given(st.text(alphabet="opening(bal3m)|,=. -x", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except InputError as error:
        message = str(error)
    else:
        message = "read"
    assert message == "read" or "at position" in message


CHAINS_2D = [
    "erosion(ball(3)) | dilation(line(9, 30))",
    "opening(ball(2)) | skeletonize(3)",
    "closing(diamond(3), iterations=2, outside=1)",
    "white_tophat(box(2)) | thin(1) | black_tophat(ball(1))",
    "gradient(ball(2mm)) | invert",
    "hit_or_miss(cross(0), line(5))",
    "skeletonize(6)",
]
CHAINS_3D = ["opening(ball(2))", "skeletonize(1)", "thin(1, surface) | dilation(cross(1))", "closing(ball(3mm))"]


@pytest.mark.parametrize("text", CHAINS_2D)
@pytest.mark.parametrize("chunks", [(17, 23), (16, 30), (200, 10), (1, 60)])
def test_parts_equal_the_whole_in_2d(text: str, chunks: tuple[int, int]) -> None:
    dask_array = pytest.importorskip("dask.array")
    image, chain = blobs((120, 131), seed=4), parse(text)
    parts = apply_in_parts(chain, dask_array.from_array(image, chunks=chunks), spacing=(1.0, 0.4))
    assert np.array_equal(parts.compute(scheduler="sync"), chain(image, spacing=(1.0, 0.4)))


@pytest.mark.parametrize("text", CHAINS_3D)
def test_parts_equal_the_whole_in_3d(text: str) -> None:
    dask_array = pytest.importorskip("dask.array")
    image, chain = blobs((40, 45, 50), seed=5), parse(text)
    parts = apply_in_parts(chain, dask_array.from_array(image, chunks=(9, 20, 21)), spacing=SPACING)
    assert max(parts.numblocks) > 1
    assert np.array_equal(parts.compute(scheduler="sync"), chain(image, spacing=SPACING))


@pytest.mark.parametrize("text", [*CHAINS_2D, "dilation(ball(3), iterations=2)"])
def test_reach_bounds_what_a_pixel_depends_on(text: str) -> None:
    """Pixels beyond the reach are replaced by noise; the result in the middle stays."""
    chain = parse(text)
    reach = chain.reach(2, spacing=(1.0, 0.4))
    shape = tuple(2 * r + 9 for r in reach)
    for seed in range(5):
        inside, outside = blobs(shape, seed), np.random.default_rng(seed).random([n + 20 for n in shape]) < 0.5
        embedded = outside.copy()
        embedded[10:-10, 10:-10] = inside
        margins = [slice(r, -r or None) for r in reach]
        alone = chain(inside, spacing=(1.0, 0.4))[tuple(margins)]
        assert np.array_equal(chain(embedded, spacing=(1.0, 0.4))[10:-10, 10:-10][tuple(margins)], alone)


@pytest.mark.parametrize("name", ["fill_holes", "area_opening(5)", "reconstruction", "skeletonize"])
def test_operators_without_finite_reach_are_refused_in_parts(name: str) -> None:
    with pytest.raises(InputError, match=f"{name.split('(')[0]} has no finite reach") as caught:
        parse(f"thin(2)  | {name}").reach(2)
    assert "at position 12:" in str(caught.value)
    assert ("skeletonize(5)" in str(caught.value)) == (name == "skeletonize")


def test_every_operator_knows_its_reach() -> None:
    for name, operator in OPERATORS.items():
        needs = [parameter.name for parameter in operator.parameters if parameter.required]
        texts = {"footprint": "ball(1)", "foreground": "ball(1)", "background": "ball(2)", "area": "3"}
        text = f"{name}({', '.join(texts.get(need, '1') for need in needs)})"
        step = parse(text).steps[0]
        assert step.name == name
        if name not in ("fill_holes", "area_opening", "reconstruction", "skeletonize"):
            assert len(parse(text).reach(3)) == 3


def test_missing_dask_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(InputError, match=re.escape("pip install 'shapewright[large]'")):
        apply_in_parts(parse("invert"), np.zeros((3, 3), bool))
