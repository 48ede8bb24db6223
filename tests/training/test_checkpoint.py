"""Checkpoints: exact, atomic, and clear about files that are not checkpoints."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from shapewright.errors import InputError
from shapewright.training.checkpoint import load_checkpoint, load_weights, save_checkpoint

plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5)
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(nested)
def test_plain_values_come_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("plain") / "c.safetensors"
    save_checkpoint(path, {"value": value, "tensor": torch.ones(1)}, config="c", task="t")
    assert load_checkpoint(path).state["value"] == value


def test_an_optimiser_comes_back_bit_for_bit(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = torch.optim.AdamW(network.parameters())
    for _ in range(3):
        network(torch.randn(5, 3)).square().sum().backward()
        optimiser.step()
    state = {"state_dict": network.state_dict(), "optimizer_states": [optimiser.state_dict()]}
    save_checkpoint(tmp_path / "c.safetensors", state, config="a: 1", task="b: 2")
    checkpoint = load_checkpoint(tmp_path / "c.safetensors")
    assert (checkpoint.config, checkpoint.task) == ("a: 1", "b: 2")
    again = torch.optim.AdamW(network.parameters())
    again.load_state_dict(checkpoint.state["optimizer_states"][0])
    for old, new in zip(optimiser.state.values(), again.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(old[name]), torch.as_tensor(new[name])) for name in old)
    for name, value in network.state_dict().items():
        assert torch.equal(value, checkpoint.state["state_dict"][name])
        assert value.dtype == checkpoint.state["state_dict"][name].dtype


def test_a_failed_write_keeps_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"value": 1, "t": torch.zeros(1)}, config="", task="")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(InputError, match=r"c\.safetensors: cannot be written: No space"):
        save_checkpoint(path, {"value": 2, "t": torch.zeros(1)}, config="", task="")
    assert load_checkpoint(path).state["value"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match=r"garbage.*cannot be read"):
        load_checkpoint(garbage)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, foreign)
    with pytest.raises(InputError, match="not a checkpoint of shapewright"):
        load_checkpoint(foreign)
    whole = tmp_path / "whole.safetensors"
    save_checkpoint(whole, {"t": torch.zeros(1000)}, config="", task="")
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(whole)


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"state_dict": torch.nn.Linear(3, 4).state_dict()}, config="", task="")
    checkpoint = load_checkpoint(path)
    load_weights(torch.nn.Linear(3, 4), checkpoint, path)
    with pytest.raises(InputError, match=r"another architecture.*another shape"):
        load_weights(torch.nn.Linear(5, 4), checkpoint, path)
    with pytest.raises(InputError, match="1 unknown"):
        load_weights(torch.nn.Linear(3, 4, bias=False), checkpoint, path)
