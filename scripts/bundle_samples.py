"""Make the bundled sample data sets from full ones.

    python scripts/bundle_samples.py SOURCE

SOURCE holds the folders msd_hippocampus, dsb2018_nuclei, chase_db1, mnist and medscribble_open. Files are copied
unmodified; which ones is decided by a seed, so a second run gives the same selection. README.md and LICENSE.txt of each
set are kept.
"""

import argparse
import csv
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np

TARGET = Path(__file__).parents[1] / "src/shapewright/data/bundled"
SEED = 0
VOLUMES = {"bytes": 9, "small floats": 25, "large floats": 6}  # as frequent as in the whole data set
NUCLEI = {"fluorescence": 18, "histology": 6}
CHILDREN = 5
SCRIBBLED = ("HipXRay_image_081", "HipXRay_image_102", "BTCV_2609008-Image", "BTCV_5502532-Image")
LARGE = 5e3  # maximum intensity above which a volume counts as "large floats"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with the full data sets")
    source = parser.parse_args().source
    bundle_hippocampus(source / "msd_hippocampus", TARGET / "hippocampus")
    bundle_nuclei(source / "dsb2018_nuclei", TARGET / "nuclei")
    bundle_vessels(source / "chase_db1", TARGET / "vessels")
    bundle_digits(source / "mnist", TARGET / "digits")
    bundle_scribbles(source / "medscribble_open", TARGET / "scribbles")
    total = sum(file.stat().st_size for file in TARGET.rglob("*") if file.is_file())
    print(f"{TARGET.name}: {total / 1e6:.1f} MB")


def bundle_hippocampus(source: Path, target: Path) -> None:
    """Draw volumes of each kind of intensity; the layout is that of the Medical Segmentation Decathlon."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in VOLUMES}
    for path in sorted((source / "imagesTr").glob("*.nii.gz")):
        by_kind[intensity_kind(path)].append(path.name)
    names = sorted(name for kind, count in VOLUMES.items() for name in draw(by_kind[kind], count))
    for folder in ("imagesTr", "labelsTr"):
        copy(names, source / folder, target / folder)
    write_json(
        target / "dataset.json",
        {
            "name": "Hippocampus",
            "description": "Anterior and posterior hippocampus in MRI: 40 of the 260 training volumes of Task04",
            "reference": "Vanderbilt University Medical Center",
            "licence": "CC BY-SA 4.0",
            "tensorImageSize": "3D",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "anterior", "2": "posterior"},
            "numTraining": len(names),
            "numTest": 0,
            "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
            "test": [],
        },
    )


def bundle_nuclei(source: Path, target: Path) -> None:
    """Draw images of both kinds among those of moderate size; the labels number the nuclei."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in NUCLEI}
    with (source / "index.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if max(int(row["height"]), int(row["width"])) <= 400:
                by_kind[row["kind"]].append(f"{row['id']}.png")
    names = sorted(name for kind, count in NUCLEI.items() for name in draw(by_kind[kind], count))
    for folder in ("images", "labels"):
        copy(names, source / folder, target / folder)
    write_json(
        target / "dataset.json",
        {
            "name": "Nuclei",
            "description": "Cell nuclei in fluorescence (grey) and stained tissue (colour), numbered one by one",
            "licence": "CC0 1.0",
            "labels": {"background": 0, "nucleus": 1},
            "instances": True,
        },
    )


def bundle_vessels(source: Path, target: Path) -> None:
    """Draw children, both eyes each; masks of the first observer get the image's name."""
    children = sorted({path.name[6:8] for path in source.glob("Image_*.jpg")})
    names = [f"Image_{child}{eye}" for child in draw(children, CHILDREN) for eye in "LR"]
    copy((f"{name}.jpg" for name in names), source, target / "images")
    copy((f"{name}_1stHO.png" for name in names), source, target / "labels")
    for name in names:
        (target / "labels" / f"{name}_1stHO.png").rename(target / "labels" / f"{name}.png")
    write_json(
        target / "dataset.json",
        {
            "name": "Vessels",
            "description": "Retinal vessels in colour photographs, both eyes of 5 children; first observer",
            "licence": "CC BY 4.0",
            "labels": {"background": 0, "vessel": 1},
        },
    )


def bundle_digits(source: Path, target: Path) -> None:
    """Copy the test part of MNIST."""
    copy(("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"), source, target)


def bundle_scribbles(source: Path, target: Path) -> None:
    """Copy the images with strokes, and their licence."""
    copy((f"{name}.npz" for name in SCRIBBLED), source, target)
    licence = (source / "LICENSE-scribbles-Apache-2.0.txt").read_bytes()
    (target / "LICENSE-scribbles.txt").write_bytes(licence)


def intensity_kind(path: Path) -> str:
    image = nibabel.load(path)
    if image.get_data_dtype() == np.uint8:
        return "bytes"
    return "large floats" if np.asarray(image.dataobj).max() > LARGE else "small floats"


def draw(names: Iterable[str], count: int) -> list[str]:
    """Choose names by a hash with the seed: the same ones whatever else the folder holds."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{SEED}:{name}".encode()).digest())
    return sorted(order[:count])


def copy(names: Iterable[str], source: Path, target: Path) -> None:
    if target.name in ("images", "labels", "imagesTr", "labelsTr") and target.is_dir():
        shutil.rmtree(target)
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        (target / name).write_bytes((source / name).read_bytes())


def write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
