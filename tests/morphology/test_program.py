"""Programs of set operations: packed bits, NumPy source and ONNX agree; text, JSON and simplification."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.morphology import ball, box, closing, line, opening, pack, reconstruction, white_tophat
from shapewright.morphology.program import Neuron, Node, Program, element_name


def random_program(seed: int, dims: int = 2, channels: int = 2, size: int = 9, stride: bool = False) -> Program:
    random = np.random.default_rng(seed)
    nodes = [Node("input", number=channel) for channel in range(channels)]
    operations = ("dilation", "erosion", "anti_dilation", "anti_erosion", "union", "intersection", "complement")
    for _ in range(size):
        operation: Any = operations[random.integers(len(operations))]
        if operation in ("union", "intersection"):
            count = random.integers(1, 4)
            nodes.append(Node(operation, tuple(random.integers(0, len(nodes), count).tolist())))
            continue
        source = (int(random.integers(len(nodes))),)
        if operation == "complement":
            nodes.append(Node(operation, source))
            continue
        shape = tuple(random.choice([1, 3, 5], dims))
        element = random.random(shape) < 0.3
        element.reshape(-1)[random.integers(element.size)] = True
        nodes.append(Node(operation, source, element, outside=bool(random.random() < 0.3)))
    outputs = [len(nodes) - 1, int(random.integers(len(nodes)))]
    if stride:
        nodes += [Node("subsample", (outputs[0],), number=2), Node("subsample", (outputs[1],), number=2)]
        outputs = [len(nodes) - 2, len(nodes) - 1]
    return Program(nodes, outputs, channels, dims)


def by_scipy(program: Program, image: np.ndarray) -> np.ndarray:
    """Run a program with SciPy, one image [C, *spatial]."""
    values: list[np.ndarray] = []
    for node in program.nodes:
        arguments = [values[number] for number in node.arguments]
        if node.operation == "input":
            value = image[node.number]
        elif node.operation == "complement":
            value = ~arguments[0]
        elif node.operation == "union":
            value = np.logical_or.reduce(arguments)
        elif node.operation == "intersection":
            value = np.logical_and.reduce(arguments)
        elif node.operation == "subsample":
            value = arguments[0][(slice(None, None, node.number),) * program.spatial_dims]
        else:
            function = getattr(ndimage, f"binary_{node.operation.removeprefix('anti_')}")
            value = function(arguments[0], node.element, border_value=int(node.outside))
            value = ~value if node.operation.startswith("anti") else value
        values.append(value)
    return np.stack([values[number] for number in program.outputs])


PROGRAMS = [(random_program(seed), (13, 70)) for seed in range(12)]
PROGRAMS += [(random_program(seed, dims=3, channels=1, size=5), (6, 7, 9)) for seed in range(4)]
PROGRAMS += [(random_program(seed, stride=True), (11, 12)) for seed in range(3)]


@pytest.mark.parametrize(("program", "shape"), PROGRAMS)
def test_all_forms_agree(program: Program, shape: tuple[int, ...], tmp_path: Path) -> None:
    import onnxruntime

    image = np.random.default_rng(1).random((3, program.channels, *shape)) < 0.5
    expected = np.stack([by_scipy(program, one) for one in image])
    np.testing.assert_array_equal(program(image), expected)
    np.testing.assert_array_equal(program(pack(image, spatial_dims=len(shape))).unpack(), expected)
    assert torch.equal(program(torch.from_numpy(image)), torch.from_numpy(expected))
    np.testing.assert_array_equal(program.simplified()(image), expected)
    assert len(program.simplified().nodes) <= len(program.nodes) + len(program.outputs)
    np.testing.assert_array_equal(Program.from_json(program.to_json())(image), expected)
    module: dict[str, Any] = {}
    exec(compile(program.to_numpy_source(), "program", "exec"), module)
    np.testing.assert_array_equal(module["run"](image), expected)
    program.to_onnx(tmp_path / "program.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "program.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"image": image})[0], expected)


@pytest.mark.parametrize(
    "shape", [(1, 1), (40, 1), (1, 31), (3, 32), (5, 33), (7, 63), (9, 64), (4, 65), (50, 50), (6, 130), (2, 3, 37)]
)
def test_small_images_in_one_call_are_what_packed_images_are_step_by_step(shape: tuple[int, ...]) -> None:
    for seed in range(6):
        program = random_program(seed, dims=len(shape), channels=1 + seed % 3)
        image = np.random.default_rng(seed).random((2, 5, program.channels, *shape)) < 0.5
        packed = pack(image, spatial_dims=len(shape))
        np.testing.assert_array_equal(program(image), program(packed).unpack())
        assert program._fused[image.shape[2:]] is not None


def test_large_images_are_run_step_by_step() -> None:
    program = random_program(0, channels=1)
    image = np.random.default_rng(0).random((1, 300, 900)) < 0.5
    np.testing.assert_array_equal(program(image), by_scipy(program, image))
    assert program._fused[image.shape] is None


def chain(*steps: Node, channels: int = 1) -> Program:
    nodes = [Node("input", number=channel) for channel in range(channels)]
    return Program([*nodes, *steps], [len(nodes) + len(steps) - 1], channels, 2)


def test_text_is_morphology() -> None:
    assert str(chain(Node("dilation", (0,), ball(2)), Node("erosion", (1,), ball(2)))) == "y = closing(x, ball(2))"
    two_anti = chain(Node("anti_dilation", (0,), line(7)), Node("anti_dilation", (1,), line(7)))
    assert str(two_anti) == "y = erosion(dilation(x, line(7)), line(7), outside=1)"
    diagonals = line(5, 45) | line(5, 315)
    assert str(chain(Node("anti_erosion", (0,), diagonals))) == "y = ~erosion(x, line(5, 45) | line(5, 315))"
    shifted = np.zeros((3, 3), bool)
    shifted[0, 1] = True
    assert str(chain(Node("erosion", (0,), shifted))) == "y = shift(x, (1, 0))"
    pair = chain(
        Node("dilation", (0,), box(1)), Node("dilation", (1,), box(1)), Node("intersection", (2, 3)), channels=2
    )
    assert str(pair) == "y = dilation(x0, box(1)) & dilation(x1, box(1))"


def test_text_draws_elements_without_a_name() -> None:
    element = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert str(chain(Node("dilation", (0,), element))) == "y = dilation(x, E1)\n\nE1 =\n  ##.\n  .#.\n  ..."


def test_what_is_used_twice_gets_a_name() -> None:
    program = Program(
        [Node("input"), Node("erosion", (0,), box(1)), Node("dilation", (1,), box(2)), Node("complement", (1,)),
         Node("intersection", (2, 3))],
        [4],
    )  # fmt: skip
    assert str(program) == "t1 = erosion(x, box(1))\ny = ~t1 & dilation(t1, box(2))"


@pytest.mark.parametrize("radius", [1, 2, 3, 5])
def test_named_elements(radius: int) -> None:
    assert element_name(ball(radius)) == f"ball({radius})"
    assert element_name(np.pad(box(radius), 2)) == f"box({radius})"
    assert element_name(line(2 * radius + 1, 90)) == f"line({2 * radius + 1}, 90)"
    assert element_name(ball(radius, 3)) == f"ball({radius}, 3)"


def test_known_operators() -> None:
    image = np.random.default_rng(0).random((20, 30)) < 0.7
    element = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    opened = chain(Node("erosion", (0,), element), Node("dilation", (1,), element))
    np.testing.assert_array_equal(opened(image), opening(image, element))
    closed = chain(Node("dilation", (0,), element), Node("erosion", (1,), element))
    np.testing.assert_array_equal(closed(image), closing(image, element))
    tophat = chain(Node("erosion", (0,), element), Node("anti_dilation", (1,), element), Node("intersection", (0, 2)))
    np.testing.assert_array_equal(tophat(image), white_tophat(image, element))
    assert str(tophat).startswith("y = x & ~opening(x, E1)")


def test_repeated_until_stable_it_is_a_reconstruction() -> None:
    mask = np.random.default_rng(2).random((4, 1, 25, 33)) < 0.6
    marker = mask & (np.random.default_rng(3).random(mask.shape) < 0.02)
    step = chain(Node("dilation", (0,), box(1)), Node("intersection", (1, 2)), channels=2)
    result = step.until_stable(np.concatenate([marker, mask], axis=1))
    np.testing.assert_array_equal(
        result[:, 0], reconstruction(marker[:, 0], mask[:, 0], connectivity=8, spatial_dims=2)
    )
    flip = chain(Node("complement", (0,)))
    with pytest.raises(InputError, match="has not settled"):
        flip.until_stable(mask[0], iterations=5)


def test_json_is_kept_whole_and_read_without_torch(tmp_path: Path) -> None:
    neuron = Neuron("layer 1", False, 0.25, np.array([[0.5, 1.0, 2.0]]), 0.75, -3.0)
    program = chain(Node("anti_dilation", (0,), line(3), neuron=neuron))
    program.save(tmp_path / "program.json")
    again = Program.load(tmp_path / "program.json")
    assert again.to_json() == program.to_json()
    assert not again.exact
    assert again.neurons[0].distance == 0.25
    code = (
        "import sys, numpy as np\nfrom shapewright.morphology.program import Program\n"
        f"program = Program.load({str(tmp_path / 'program.json')!r})\n"
        "assert program(np.zeros((4, 5), bool)).all()\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is not a program"),
        ("[]", "is not a program"),
        ('{"format": "other"}', "lacks 'format'"),
        ('{"format": "shapewright program", "version": 9}', "version 9"),
        ('{"format": "shapewright program", "version": 1}', "is not a program"),
        (
            '{"format":"shapewright program","version":1,"spatial_dims":2,"channels":1,"outputs":[0],'
            '"nodes":[{"operation":"dilate"}]}',
            "did you mean 'dilation'",
        ),
    ],
)
def test_other_files_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Program.from_json(text, "a.json")


def test_bad_programs_and_images_are_refused() -> None:
    with pytest.raises(InputError, match="nodes before it"):
        chain(Node("complement", (1,)))
    with pytest.raises(InputError, match="needs a 2D element"):
        chain(Node("dilation", (0,)))
    with pytest.raises(InputError, match="odd sizes"):
        chain(Node("dilation", (0,), np.ones((2, 3), bool)))
    with pytest.raises(InputError, match=r"shape \[..., 2, \*spatial\]"):
        chain(Node("union", (0, 1)), channels=2)(np.zeros((5, 5), bool))
    with pytest.raises(InputError, match="binary mask"):
        chain(Node("complement", (0,)))(np.zeros((5, 5)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (0, 4)])
def test_small_and_empty_images(shape: tuple[int, int]) -> None:
    image = np.ones(shape, bool)
    program = chain(Node("erosion", (0,), box(1)), Node("anti_dilation", (1,), box(1)))
    np.testing.assert_array_equal(program(image), ~opening(image, box(1)))


def test_drawing(tmp_path: Path) -> None:
    weights = np.linspace(0, 1, 9).reshape(3, 3)
    neuron = Neuron("layer 1", True, 0.0, weights, 0.75, 3.0)
    program = chain(Node("erosion", (0,), box(1), neuron=neuron), Node("union", (0, 1)))
    figure = program.draw(tmp_path / "program.png")
    assert (tmp_path / "program.png").stat().st_size > 1000
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"x", "y", "erosion", "exact", "∪"} <= texts
