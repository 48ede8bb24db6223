"""Bundled samples: complete, licensed, small, readable, and importable without heavy libraries."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shapewright.data import load_case, read_labels, samples, split_cases
from shapewright.errors import InputError

MEGABYTES = 15e6


@pytest.mark.parametrize("name", samples.names())
def test_licence_citation_and_source_are_stated(name):
    found = samples.describe(name)
    assert found.licence.startswith("CC")
    assert len(found.citation) > 50
    assert len(found.source) > 50
    text = (found.path / "LICENSE.txt").read_text(encoding="utf-8")
    assert len(text) > 5000
    family = {"CC BY-SA": "ShareAlike", "CC BY": "Attribution", "CC0": "CC0"}[found.licence.rsplit(" ", 1)[0]]
    assert family in text.split("\n\n", 2)[0] + text.split("\n\n", 2)[1]
    if name not in ("digits", "scribbles"):
        assert samples.load(name).licence == found.licence


def test_all_samples_together_are_small():
    assert sum(file.stat().st_size for file in samples.FOLDER.rglob("*") if file.is_file()) < MEGABYTES


@pytest.mark.parametrize(
    ("name", "cases", "channels", "labels", "rank"),
    [
        ("hippocampus", 40, 1, {"anterior": 1, "posterior": 2}, 3),
        ("nuclei", 24, 3, {"nucleus": 1}, 2),
        ("vessels", 10, 3, {"vessel": 1}, 2),
    ],
)
def test_every_case_can_be_read(name, cases, channels, labels, rank):
    dataset = samples.load(name)
    assert len(dataset.cases) == cases
    assert dataset.labels == labels
    for case in dataset.cases:
        image, label = load_case(case, dataset)
        assert image.spatial_dims == rank
        assert image.channels == len(dataset.channels) == channels
        assert set(np.unique(label.array)) == {0, *labels.values()}


def test_hippocampus_mixes_three_scales_of_intensity():
    dataset = samples.load("hippocampus")
    largest = [load_case(case, dataset)[0].array for case in dataset.cases]
    kinds = ["bytes" if a.dtype == np.uint8 else "small" if a.max() < 5e3 else "large" for a in largest]
    assert (kinds.count("bytes"), kinds.count("small"), kinds.count("large")) == (9, 25, 6)


def test_nuclei_are_numbered_and_of_both_kinds():
    dataset = samples.load("nuclei")
    assert max(int(read_labels(case.label).array.max()) for case in dataset.cases) > 20
    coloured = [np.ptp(load_case(case, dataset)[0].array.astype(int), axis=0).max() > 0 for case in dataset.cases]
    assert sum(coloured) == 6


def test_both_eyes_of_a_child_stay_together():
    split = split_cases(samples.load("vessels").ids, group_by=r"\d+")
    assert {name: len(cases) for name, cases in split.items()} == {"train": 6, "val": 2, "test": 2}
    for cases in split.values():
        assert {case[:-1] + "L" for case in cases} | {case[:-1] + "R" for case in cases} == set(cases)


def test_digits():
    images, labels = samples.load_digits()
    assert images.shape == (10000, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    with pytest.raises(InputError, match="load_digits"):
        samples.load("digits")


def test_unknown_names_are_suggested():
    with pytest.raises(InputError, match="did you mean 'hippocampus'"):
        samples.load("hippocampos")
    with pytest.raises(InputError, match="did you mean 'vessels'"):
        samples.describe("vessel")


def test_data_is_read_without_torch_and_readers_are_imported_late():
    code = (
        "import sys, shapewright.data as data\n"
        "assert 'numpy' not in sys.modules\n"
        "data.samples.load('vessels')\n"
        "heavy = {'torch', 'nibabel', 'SimpleITK', 'tifffile', 'monai', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "data.load_case(data.samples.load('hippocampus').cases[0], data.samples.load('hippocampus'))[0].canonical()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scribbles_are_images_with_strokes_of_three_people() -> None:
    for one in samples.load_scribbles():
        assert one.image.shape == one.mask.shape == one.scribbles.shape[1:]
        assert len(one.scribbles) == 3
        for strokes in one.scribbles:
            assert set(np.unique(strokes)) == {0, 1, 2}
            assert one.mask[strokes == 1].mean() > 0.95
            assert one.mask[strokes == 2].mean() < 0.05
    with pytest.raises(InputError, match="load_scribbles"):
        samples.load("scribbles")


def test_a_folder_without_scribbles_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no NPZ file"):
        samples.load_scribbles(tmp_path)
    np.savez(tmp_path / "a.npz", img=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"a\.npz must hold img, seg and scribbles"):
        samples.load_scribbles(tmp_path)
