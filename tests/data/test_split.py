"""Splits: by case and group, from a seed or a file, never one case in two."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapewright.data import read_split, split_cases, write_split
from shapewright.errors import InputError

NAMES = st.lists(st.text("abcxyz0123456789_", min_size=1, max_size=8), min_size=3, max_size=60, unique=True)


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 10))
def test_every_case_once_with_the_wanted_sizes(names, seed):
    split = split_cases(names, seed=seed)
    assert sorted(case for cases in split.values() for case in cases) == sorted(names)
    assert list(split) == ["train", "val", "test"]
    for name, share in {"train": 0.7, "val": 0.1, "test": 0.2}.items():
        assert len(split[name]) >= 1
        if len(names) >= 10:
            assert abs(len(split[name]) - share * len(names)) < 1


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 10))
def test_order_of_names_does_not_matter(names, seed):
    shuffled = random.Random(1).sample(names, len(names))
    assert split_cases(names, seed=seed) == split_cases(shuffled, seed=seed)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=3, max_size=20), seed=st.integers(0, 10))
def test_groups_stay_together(sizes, seed):
    names = [f"patient{group}_{scan}" for group, size in enumerate(sizes) for scan in range(size)]
    split = split_cases(names, seed=seed, group_by=r"(patient\d+)_")
    homes = {}
    for name, cases in split.items():
        assert cases
        for case in cases:
            assert homes.setdefault(case.split("_")[0], name) == name
    as_mapping = split_cases(names, seed=seed, groups={name: name.split("_")[0] for name in names})
    assert as_mapping == split


def test_seed_changes_the_split():
    names = [f"case{i}" for i in range(30)]
    assert len({split_cases(names, seed=seed)["test"] for seed in range(5)}) == 5


def test_split_is_the_same_on_every_machine():
    assert split_cases([f"c{i}" for i in range(10)], seed=0) == {
        "train": ("c1", "c2", "c3", "c4", "c5", "c6", "c9"),
        "val": ("c7",),
        "test": ("c0", "c8"),
    }


def test_a_share_of_zero_leaves_a_split_empty():
    split = split_cases("abcde", fractions={"train": 0.8, "val": 0.2, "test": 0.0})
    assert {name: len(cases) for name, cases in split.items()} == {"train": 4, "val": 1, "test": 0}


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (["a", "a", "b", "c"], {}, "given twice: a"),
        (["a", "b"], {}, "at least 3 cases are needed"),
        (["a1", "a2", "b1", "b2"], {"group_by": "[ab]"}, "at least 3 groups are needed"),
        (["a", "b", "c"], {"fractions": {"train": 0.7, "test": 0.2}}, "sum to 1"),
        (["a", "b", "c"], {"fractions": {"train": 1.5, "test": -0.5}}, "lie in 0 to 1"),
        (["a", "b", "c"], {"group_by": r"\d+"}, "does not match 'a'"),
        (["a", "b", "c"], {"group_by": "("}, "regular expression"),
        (["a", "b", "c"], {"groups": {"a": "1"}}, "none for 'b'"),
        (["a", "b", "c"], {"groups": {}, "group_by": "x"}, "cannot both be given"),
    ],
)
def test_impossible_splits(ids, options, message):
    with pytest.raises(InputError, match=message):
        split_cases(ids, **options)


@pytest.mark.parametrize("ending", ["json", "yaml", "yml", "csv"])
def test_files_round_trip(tmp_path, ending):
    split = split_cases([f"case_{i:03}" for i in range(20)] + ["007"])
    path = tmp_path / f"split.{ending}"
    write_split(path, split)
    assert read_split(path, ids=[case for cases in split.values() for case in cases]) == split


def test_nnunet_folds(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}, {"train": ["b", "c"], "val": ["a"]}]))
    assert read_split(path)["val"] == ("c",)
    assert read_split(path, fold=1)["val"] == ("a",)
    with pytest.raises(InputError, match="fold must lie in 0 to 1; got 2"):
        read_split(path, fold=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["a", "b"], "test": ["b", "c"]}, "b is in train and in test"),
        ({"train": ["a", "a"], "test": ["b", "c"]}, "a is twice in train"),
        ({"train": ["a", "bb"], "test": ["c"]}, "no case 'bb'"),
        ({"train": ["a"], "test": ["c"]}, "missing: b"),
        ({"train": "a"}, "must look like"),
        (3, "must look like"),
    ],
)
def test_faulty_files_are_named(tmp_path, content, message):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"split\.json: .*{message}"):
        read_split(path, ids="abc")


@pytest.mark.parametrize(("name", "content"), [("a.json", "{"), ("a.csv", "name,part\na,train\n"), ("a.yaml", "a: [b")])
def test_unreadable_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: "):
        read_split(tmp_path / name)


def test_unused_cases_can_be_listed(tmp_path):
    path = tmp_path / "split.yaml"
    path.write_text("train: [a]\ntest: [b]\nunused: [c]\n")
    assert read_split(path, ids="abc")["unused"] == ("c",)


def test_unknown_ending(tmp_path):
    with pytest.raises(InputError, match=r"written as \.json, \.yaml or \.csv; got \.txt"):
        write_split(tmp_path / "split.txt", {"train": ["a"]})
