"""``shapewright apply``: a chain of morphological operators on masks."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.cli.main import OK
from shapewright.cli.parsers import Parser, say, track
from shapewright.errors import InputError

FORMATS = (".nii.gz", ".nii", ".png", ".tif", ".npz", ".npy")
WITHOUT_SPACING = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".npy")

_LANGUAGE = """\
the language: operators joined by |, each with a structuring element or numbers in parentheses

  operators with an element     erosion dilation opening closing (iterations=, outside=)
                                white_tophat black_tophat gradient (outside=)
                                hit_or_miss(foreground, background)
  thinning                      skeletonize  skeletonize(10)  skeletonize(kind=surface)  thin(2)
  whole components              fill_holes  area_opening(50)  area_opening(20mm3)  (connectivity=)
                                reconstruction: components of the input that the result so far touches
  complement                    invert
  structuring elements          ball(3) box(1) diamond(2) cross(1) line(9, 45) connectivity(18)

  A length is in pixels, as in ball(3), or in millimetres of the image's spacing, as in ball(3mm).
  outside=1 counts pixels beyond the border as foreground; the default is 0.

examples:
  shapewright apply "opening(ball(3)) | skeletonize" mask.nii.gz centre_line.nii.gz
  shapewright apply "closing(ball(2mm)) | fill_holes | area_opening(50mm3)" masks/ cleaned/ --label 2
  shapewright apply "erosion(ball(3)) | reconstruction" mask.png without_small_parts.png
  shapewright apply "gradient(box(1))" probability.nii.gz band.nii.gz --threshold 0.5
  shapewright apply "opening(ball(5))" volume.zarr opened.zarr       larger than memory, chunk by chunk"""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "apply",
        "Apply morphological operators to masks. The result has the input's geometry (shape, spacing, orientation).",
        _LANGUAGE,
    )
    parser.add_argument("operators", help="what to do, in quotes; see below")
    parser.add_argument("input", type=Path, help="mask or label file, folder of them, or Zarr array")
    parser.add_argument("output", type=Path, help="file, folder, or Zarr array (.zarr) to write")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--label", type=int, help="foreground: this label (default: everything that is not 0)")
    which.add_argument("--threshold", type=float, help="foreground: values above this, for images and probabilities")
    parser.add_argument("--value", type=int, help="value of the foreground in the result (default: the label, else 1)")
    parser.add_argument("--spacing", help="in mm as in 3,1,1, (z,)y,x (default: the file's own)")
    parser.add_argument("--format", choices=FORMATS, help="format of a folder's results (default: each file's own)")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist; a folder skips them")
    options = parser.parse_args(argv)
    _check(options)

    from shapewright.data.chunked import is_chunked
    from shapewright.morphology.language import parse

    pipeline = parse(options.operators)
    source, target = options.input, options.output
    if not source.exists():
        raise InputError(f"{source} does not exist")
    if is_chunked(source):
        _apply_to_zarr(pipeline, source, target, options)
        results = [target]
    elif found := _files_of(source):
        results = _apply_to_folder(pipeline, found, target, options)
    else:
        _refuse_existing(target, options)
        _apply_to_file(pipeline, source, target, options)
        results = [target]
    say(*map(str, results))
    return OK


def _check(options: argparse.Namespace) -> None:
    if options.label == 0:
        raise InputError("--label 0 is the background; to work on it, add invert to the operators")
    if options.value is not None and not 0 < options.value < 2**31:
        raise InputError(f"--value must be a positive whole number; got {options.value}")
    if options.spacing is not None:
        try:
            options.spacing = tuple(float(part) for part in options.spacing.split(","))
        except ValueError:
            raise InputError(f"--spacing must look like 3,1,1; got {options.spacing!r}") from None


def _files_of(source: Path) -> list[Path]:
    """Return the files of a folder of masks; none where the path is one image, a file or a DICOM series."""
    from shapewright.data.folder import find_images
    from shapewright.data.formats import suffix_of

    found = find_images(source)
    return [] if any(suffix_of(file) == ".dcm" for file in found) else found


def _apply_to_folder(pipeline: Any, files: Sequence[Path], out: Path, options: argparse.Namespace) -> list[Path]:
    from shapewright.data.formats import stem_of, suffix_of

    if out.is_file():
        raise InputError(f"{out} must be a folder, because the input is one")
    targets = [out / f"{stem_of(file)}{options.format or suffix_of(file) or '.nii.gz'}" for file in files]
    twice = [file for file, target in zip(files, targets, strict=True) if targets.count(target) > 1]
    if twice:
        raise InputError(f"{twice[0]} and {twice[1]} would have one result; use --format, or move one of them")
    out.mkdir(parents=True, exist_ok=True)
    lacking = []
    for file, target in track(list(zip(files, targets, strict=True)), "applying"):
        if options.overwrite or not target.exists():
            has_label = _apply_to_file(pipeline, file, target, options, in_folder=True)
            lacking += [] if has_label else [file.name]
    if lacking:
        names = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")
        sys.stderr.write(f"warning: {len(lacking)} of {len(files)} files have no label {options.label}: {names}\n")
    return targets


def _apply_to_file(
    pipeline: Any, source: Path, target: Path, options: argparse.Namespace, *, in_folder: bool = False
) -> bool:
    """Write the result for a file; say whether it has the label, without which a file of its own is refused."""
    from shapewright.data import read_image, read_labels, write_labels
    from shapewright.data.formats import suffix_of

    image = read_labels(source) if options.threshold is None else read_image(source)
    if image.channels != 1:
        raise InputError(f"{source} has {image.channels} channels; --threshold needs an image with one")
    has_label = options.label is None or bool((image.array == options.label).any())
    if not has_label and not in_folder:
        there = ", ".join(str(label) for label in np.unique(image.array)[:10] if label) or "none"
        raise InputError(f"{source} has no label {options.label}; its labels: {there}")
    known = None if suffix_of(source) in WITHOUT_SPACING else image.spacing
    result = _run(pipeline, image.array[0], source, _spacing(pipeline, known, source, options), options)
    write_labels(target, _as_labels(result, options), like=image)
    return has_label


def _apply_to_zarr(pipeline: Any, source: Path, target: Path, options: argparse.Namespace) -> None:
    from shapewright.data.chunked import is_chunked, open_chunked, write_chunked
    from shapewright.morphology.large import apply_in_parts

    if not is_chunked(target):
        raise InputError(f"{target} must end in .zarr, because the input is a Zarr array")
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the input itself; chunks are still read from it while results are written")
    _refuse_existing(target, options)
    image = open_chunked(source)
    spacing = _spacing(pipeline, image.spacing, source, options)
    result = apply_in_parts(pipeline, _foreground(image.array, options), spacing=spacing)
    with _chunk_progress():
        write_chunked(target, _as_labels(result, options), like=image)


def _run(
    pipeline: Any, values: NDArray[Any], source: Path, spacing: Sequence[float] | None, options: argparse.Namespace
) -> NDArray[np.bool_]:
    try:
        result: NDArray[np.bool_] = pipeline(_foreground(values, options), spacing=spacing)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return result


def _foreground(values: Any, options: argparse.Namespace) -> Any:
    if options.threshold is not None:
        return values > options.threshold
    return values != 0 if options.label is None else values == options.label


def _as_labels(result: Any, options: argparse.Namespace) -> Any:
    value = options.value or options.label or 1
    return result.astype(np.min_scalar_type(value)) * np.array(value, np.min_scalar_type(value))


def _spacing(
    pipeline: Any, known: tuple[float, ...] | None, source: Path, options: argparse.Namespace
) -> tuple[float, ...] | None:
    spacing: tuple[float, ...] | None = options.spacing or known
    if spacing is None and pipeline.in_millimetres:
        raise InputError(f"{source} does not say its spacing; give --spacing, or lengths in pixels, as in ball(3)")
    return spacing


def _chunk_progress() -> AbstractContextManager[Any]:
    """Show how many chunks are done, where output is a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    diagnostics: Any = importlib.import_module("dask.diagnostics")  # whose annotations are partial
    bar: AbstractContextManager[Any] = diagnostics.ProgressBar(out=sys.stderr)
    return bar


def _refuse_existing(target: Path, options: argparse.Namespace) -> None:
    if target.exists() and not options.overwrite:
        raise InputError(f"{target} exists; replace it with --overwrite")
