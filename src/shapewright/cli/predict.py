"""``shapewright predict``: label maps of new images."""

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from shapewright.cli.main import OK, USAGE
from shapewright.cli.parsers import Parser, say, track
from shapewright.errors import InputError

FORMATS = (".nii.gz", ".nii", ".png", ".tif", ".npz")


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "predict",
        "Label new images with a trained run. Every result has its image's geometry (shape, spacing, orientation). An "
        "image that cannot be read is named at the end, with exit code 2; the others are labelled all the same.",
        "examples:\n  shapewright predict runs/a new_images/ --out masks\n"
        "  shapewright predict runs/a scan.nii.gz --out masks --probabilities",
    )
    parser.add_argument("run", type=Path, help="run's folder, or a checkpoint (*.safetensors)")
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        help="image files, DICOM folders, or a folder of images; NAME_0000, NAME_0001, ... are the channels of one, of "
        "which some may be missing where the method allows it",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the label maps")
    parser.add_argument("--format", choices=FORMATS, help="format of the results (default: the image's own)")
    parser.add_argument("--probabilities", action="store_true", help="write the class probabilities as well")
    parser.add_argument(
        "--connect", action="store_true", help="make every label one piece without holes (as inference.connect)"
    )
    parser.add_argument("--overwrite", action="store_true", help="predict again where a result exists")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    options = parser.parse_args(argv)

    images = collect_images(options.images)
    from shapewright.methods import config_class, factory
    from shapewright.training.predict import Predictor, predict_files

    predictor = Predictor.load(options.run, config_class, factory, device=options.device)
    if options.connect:
        inference = dataclasses.replace(predictor.config.inference, connect=True)
        predictor = dataclasses.replace(predictor, config=dataclasses.replace(predictor.config, inference=inference))
    failed: dict[str, str] = {}
    results = predict_files(
        predictor,
        images,
        options.out,
        suffix=options.format,
        probabilities=options.probabilities,
        overwrite=options.overwrite,
        failed=failed,
        track=track,
    )
    say(*(str(path) for path in results.values()))
    for message in failed.values():
        sys.stderr.write(f"error: {message}\n")
    if len(failed) > 1:
        sys.stderr.write(f"{len(failed)} of {len(images)} images could not be labelled\n")
    return USAGE if failed else OK


def collect_images(paths: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """Return case name to channel files for files and folders of images.

    ``NAME_0000.nii.gz``, ``NAME_0001.nii.gz`` ... are the channels of one case, as in nnU-Net's layout.

    Raises
    ------
    InputError
        A path that does not exist, a folder without images, or two images of one name.
    """
    from shapewright.data.folder import find_images
    from shapewright.data.formats import stem_of

    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist")
        inside = find_images(path) if path.is_dir() else []
        files += inside or [path]
    cases: dict[str, list[Path]] = {}
    for file in files:
        stem = stem_of(file)
        channel = re.fullmatch(r"(.+)_(\d{4})", stem)
        cases.setdefault(channel.group(1) if channel else stem, []).append(file)
    for name, parts in cases.items():
        if len(parts) > 1 and not all(re.search(r"_\d{4}$", stem_of(part)) for part in parts):
            raise InputError(f"{parts[0]} and {parts[1]} have the same name {name!r}; predict them into two folders")
    return {name: tuple(sorted(parts)) for name, parts in cases.items()}
