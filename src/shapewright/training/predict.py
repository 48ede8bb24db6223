"""Prediction and evaluation with a trained run."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shapewright.data import CaseFiles, DatasetFolder, Image, load_case, read_labels, write_image, write_labels
from shapewright.data.collection import place_channels
from shapewright.data.folder import find_images
from shapewright.data.formats import stem_of
from shapewright.data.preprocess import prepare_image
from shapewright.data.task import Task
from shapewright.data.weak_labels import load_supervision
from shapewright.errors import InputError
from shapewright.metrics import CaseScores, case_rows, evaluate, summarise, write_csv, write_json
from shapewright.training.cases import Track, open_data, split_dataset
from shapewright.training.checkpoint import load_checkpoint, load_weights
from shapewright.training.config import RunConfig, read_run_config
from shapewright.training.inference import predict_image
from shapewright.training.run import Build, RunFolder, read_task


@dataclass(frozen=True)
class Predictor:
    """A trained method, ready for images.

    Parameters
    ----------
    method
        In evaluation mode.
    config, task
        What it was trained with.
    device
        Where it computes.
    """

    method: Any
    config: RunConfig
    task: Task
    device: torch.device

    @classmethod
    def load(
        cls, path: Path, settings: Callable[[str], type], factory: Callable[[str], Build], *, device: str = "auto"
    ) -> "Predictor":
        """Load a checkpoint, or the best one of a run's folder.

        Parameters
        ----------
        path
            ``*.safetensors`` file or run's folder.
        settings, factory
            ``shapewright.methods.config_class`` and ``shapewright.methods.factory``.
        device
            ``auto``, ``cpu`` or ``cuda``.

        Raises
        ------
        InputError
            No checkpoint, an unreadable one, one from another architecture, or ``cuda`` where there is none.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device is 'cuda', but torch finds no CUDA device; see shapewright doctor")
        file = find_checkpoint(path)
        checkpoint = load_checkpoint(file)
        name = _method_name(checkpoint.config)
        config = read_run_config(checkpoint.config, settings(name), f"the header of {file}")
        task = read_task(checkpoint.task, f"the header of {file}")
        method = factory(name)(config.settings, task)
        load_weights(method, checkpoint, file)
        chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        return cls(method.eval().to(chosen), config, task, chosen)

    def probabilities(self, image: Image) -> NDArray[np.float32]:
        """Return class probabilities [K, *spatial] on the grid of an image in canonical orientation."""
        prepared = prepare_image(image, self.task)
        inference = self.config.inference
        result = predict_image(
            self.method,
            torch.from_numpy(prepared.array).to(self.device),
            patch_size=self.task.patch_size,
            overlap=inference.overlap,
            batch_size=inference.batch_size,
            mirror=self.config.augment.flip if inference.mirror else (),
            rotate=inference.rotate,
            window=inference.window,
        )
        return prepared.restore(result.cpu().numpy())

    def labels(self, probabilities: NDArray[np.float32]) -> NDArray[Any]:
        """Return the label values of the most probable classes, or of the connected regions fitted to them."""
        values = np.array([0, *self.task.labels.values()])
        if self.config.inference.connect:
            from shapewright.training.connected import connect

            classes = connect(probabilities, spatial_dims=probabilities.ndim - 1, seed=self.config.seed)
        else:
            classes = probabilities.argmax(axis=0)
        chosen: NDArray[Any] = values.astype(np.min_scalar_type(values.max()))[classes]
        return chosen


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that a path means: itself, or the best (else last) of a run's folder."""
    if path.is_dir():
        folder = RunFolder(path)
        for candidate in (folder.best, folder.last):
            if candidate.exists():
                return candidate
        raise InputError(f"{path} holds no checkpoint: checkpoints/best.safetensors is missing. Train first")
    return path


def _method_name(config: str) -> str:
    import yaml

    return str(yaml.safe_load(config)["method"])


def predict_files(
    predictor: Predictor,
    images: Mapping[str, Sequence[Path]],
    out: Path,
    *,
    suffix: str | None = None,
    probabilities: bool = False,
    overwrite: bool = False,
    read: Callable[[str, Sequence[Path]], Image] | None = None,
    failed: dict[str, str] | None = None,
    track: Track = lambda items, _: items,
) -> dict[str, Path]:
    """Predict label maps of images, written with the geometry of each.

    Parameters
    ----------
    predictor
        The trained method.
    images
        Case name to its channel files.
    out
        Folder for ``NAME + suffix``; existing files are kept, so an interrupted call can be repeated.
    suffix
        Format of the results; None takes each image's own (PNG for JPEG).
    probabilities
        Write ``NAME_probabilities`` as well, one channel per class.
    overwrite
        Predict again where a result exists.
    read
        Reads a case by its name and files; None reads the files as the task's channels, :func:`read_case`.
    failed
        Takes case name to message where an image cannot be read or does not fit, and the others are predicted all the
        same. None raises at the first one.
    track
        Wraps an iterable to show progress.

    Returns
    -------
    dict
        Case name to result, without those in ``failed``.

    Raises
    ------
    InputError
        An image cannot be read or does not fit the network, unless ``failed`` takes it; or a result would replace an
        image.
    """
    if out.is_file():
        raise InputError(f"{out} is a file; --out must be a folder")
    results = {name: out / f"{name}{suffix or result_suffix(files[0])}" for name, files in images.items()}
    inputs = {file.resolve() for files in images.values() for file in files}
    for target in results.values():
        if target.resolve() in inputs:
            raise InputError(
                f"the label map of {target} would replace the image itself; name another folder with --out"
            )
    out.mkdir(parents=True, exist_ok=True)
    for name, files in track(list(images.items()), "predicting"):
        target = results[name]
        ending = suffix or result_suffix(files[0])
        soft = out / f"{name}_probabilities{'.npz' if ending == '.png' else ending}"
        if target.exists() and (soft.exists() or not probabilities) and not overwrite:
            continue
        try:
            image = (read(name, files) if read else read_case(name, files, predictor.task)).canonical()
            result = predictor.probabilities(image)
        except InputError as error:
            if failed is None:
                raise
            failed[name] = str(error)
            continue
        if probabilities:
            write_image(soft, result, like=image)
        write_labels(target, predictor.labels(result), like=image)
    return {name: target for name, target in results.items() if name not in (failed or {})}


def read_case(name: str, files: Sequence[Path], task: Task) -> Image:
    """Read the channel files of a case as one image with the task's channels.

    Where the method takes images that lack channels, ``NAME_0001`` is the second channel even if it is alone.

    Raises
    ------
    InputError
        A file cannot be read, or it is not clear which channels there are.
    """
    channels = _named_channels(name, files, task) if task.optional_channels else task.channels
    as_trained = DatasetFolder(files[0].parent, name, channels, task.labels, cases=())
    return place_channels(load_case(CaseFiles(name, tuple(files)), as_trained)[0], channels, task.channels)


def _named_channels(name: str, files: Sequence[Path], task: Task) -> tuple[str, ...]:
    """Return the channels that a case's files say they are; all of them where they do not say."""
    numbers = [found[1] for file in files if (found := re.search(r"_(\d{4})$", stem_of(file)))]
    if len(numbers) < len(files):
        return task.channels
    if any(int(number) >= len(task.channels) for number in numbers):
        expected = ", ".join(f"{name}_{k:04d} ({channel})" for k, channel in enumerate(task.channels))
        raise InputError(f"{files[0]}: the channels of a case are some of {expected}; got {', '.join(numbers)}")
    return tuple(task.channels[int(number)] for number in numbers)


def result_suffix(file: Path) -> str:
    """Return the format in which a prediction for an image file is written.

    Examples
    --------
    >>> result_suffix(Path("a.nii.gz")), result_suffix(Path("b.jpg")), result_suffix(Path("dicom_folder"))
    ('.nii.gz', '.png', '.nii.gz')
    """
    name = file.name.lower()
    for ending in (".nii.gz", ".nii", ".png", ".tif", ".tiff", ".npz"):
        if name.endswith(ending):
            return ending
    return ".png" if name.endswith((".jpg", ".jpeg", ".bmp")) else ".nii.gz"


def evaluate_run(
    folder: RunFolder,
    predictor: Predictor,
    *,
    split: str = "test",
    tolerance: float = 1.0,
    overwrite: bool = False,
    track: Track = lambda items, _: items,
) -> dict[str, Any]:
    """Predict a run's held-out cases and write ``predictions/`` and ``evaluation/``.

    Parameters
    ----------
    folder
        The run.
    predictor
        Its trained method.
    split
        ``test`` or ``val``.
    tolerance
        Tolerance of the surface Dice in mm.
    overwrite
        Predict again where a prediction exists.
    track
        Wraps an iterable to show progress.

    Returns
    -------
    dict
        The content of ``evaluation/summary.json``.
    """
    config = predictor.config
    task = predictor.task
    dataset = open_data(config.data, binary=config.prepare.binary)
    dataset = dataclasses.replace(dataset, channels=task.channels) if dataset.members else dataset
    cases = split_dataset(dataset, config.split)[split]
    if not cases:
        raise InputError(f"the split {split!r} of {folder.path} has no case; train with a larger split.{split}")
    images = {case.id: case.images for case in cases}
    predicted = predict_files(
        predictor,
        images,
        folder.predictions,
        overwrite=overwrite,
        read=lambda name, _: load_case(dataset.case(name), dataset)[0],
        track=track,
    )
    rows: list[CaseScores] = []
    truths: dict[str, str] = {}
    for case in track(cases, "measuring"):
        image, truth = load_case(case, dataset)
        assert truth is not None
        annotated = load_supervision(case, dataset, image, truth).annotated
        known = {
            name: value
            for number, (name, value) in enumerate(task.labels.items(), start=1)
            if annotated is None or number in annotated
        }
        if case.member:  # the files of its data set have values of their own
            truth = dataclasses.replace(truth, array=np.where(truth.array < 0, 0, truth.array).astype(np.uint8))
            truths[case.id] = f"{folder.evaluation.name}/truth/{case.id}{result_suffix(case.images[0])}"
            (folder.evaluation / "truth").mkdir(parents=True, exist_ok=True)
            write_labels(folder.path / truths[case.id], truth.array[0], like=truth)
        rows += score_case(case.id, predicted[case.id], truth, known, tolerance, ignore_label=task.ignore_label)
    files = {
        case.id: {
            "image": [str(path.resolve()) for path in case.images],
            "truth": truths.get(case.id) or (str(case.label.resolve()) if case.label else None),
            "prediction": f"{folder.predictions.name}/{predicted[case.id].name}",
        }
        for case in cases
    }
    return write_evaluation(folder.evaluation, rows, split=split, tolerance=tolerance, files=files)


def evaluate_folders(
    predictions: Path,
    truth: Path,
    out: Path,
    *,
    labels: Mapping[str, int] | None = None,
    binary: bool = False,
    ignore: int | None = None,
    tolerance: float = 1.0,
    topology: bool = False,
    track: Track = lambda items, _: items,
) -> dict[str, Any]:
    """Measure a folder of label maps against one with the true ones of the same names.

    Parameters
    ----------
    predictions, truth
        Folders; a file's format may differ between them. ``NAME_probabilities`` beside a prediction ``NAME`` is no
        label map.
    out
        Folder for ``cases.csv`` and ``summary.json``.
    labels
        Label name to value; None takes every value that occurs.
    binary
        Count every non-zero value as one label; so are true masks of 0 and 255 alone, as in a dataset's folder.
    ignore
        Value of true voxels that do not count.
    tolerance
        Tolerance of the surface Dice in mm.
    topology
        Count components, holes and cavities as well.
    track
        Wraps an iterable to show progress.

    Raises
    ------
    InputError
        A folder without label maps, or a prediction without its truth.
    """
    found, wanted = _by_name(predictions), _by_name(truth)
    found = {name: file for name, file in found.items() if name.removesuffix("_probabilities") not in {*found} - {name}}
    missing = sorted(set(found) - set(wanted))
    if missing:
        raise InputError(f"{truth} has no label map for {len(missing)} prediction(s), such as {found[missing[0]]}")
    if labels is None and ignore not in (0, 255):
        binary = binary or _black_and_white([wanted[name] for name in found])
    rows: list[CaseScores] = []
    for name, file in track(list(found.items()), "measuring"):
        true = read_labels(wanted[name])
        rows += score_case(name, file, true, labels, tolerance, topology=topology, binary=binary, ignore_label=ignore)
    files = {
        name: {"image": [], "truth": str(wanted[name].resolve()), "prediction": str(file.resolve())}
        for name, file in found.items()
    }
    return write_evaluation(out, rows, split="given", tolerance=tolerance, files=files)


def _black_and_white(files: Sequence[Path]) -> bool:
    """Say whether masks hold 0 and 255 alone, which means one class."""
    values: set[int] = set()
    for file in files:
        values |= set(np.unique(read_labels(file).array).tolist())
        if not values <= {0, 255}:
            return False
    return 255 in values


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of label maps")
    files = {stem_of(file): file for file in find_images(folder)}
    if not files:
        raise InputError(f"{folder} holds no label map in a format that can be read")
    return files


def score_case(
    name: str,
    prediction: Path,
    truth: Image,
    labels: Mapping[str, int] | None,
    tolerance: float,
    *,
    topology: bool = False,
    binary: bool = False,
    ignore_label: int | None = None,
) -> list[CaseScores]:
    """Return one row of metrics per label of a case; nothing predicted on ignored voxels counts."""
    found = read_labels(prediction)
    if found.spatial_shape != truth.spatial_shape:
        raise InputError(
            f"{prediction} has shape {found.spatial_shape}, but its truth {truth.path} has {truth.spatial_shape}"
        )
    values, wanted = found.array[0], truth.array[0]
    if ignore_label is not None:
        ignored = wanted == ignore_label
        values, wanted = np.where(ignored, 0, values), np.where(ignored, 0, wanted)
    if binary:
        values, wanted = (values != 0).astype(np.uint8), (wanted != 0).astype(np.uint8)
    names = {"foreground": 1} if binary and labels is None else labels
    scores = evaluate(values, wanted, spacing=truth.spacing, labels=names, tolerance=tolerance, topology=topology)
    return case_rows(name, scores)


def write_evaluation(
    out: Path, rows: Sequence[CaseScores], *, split: str, tolerance: float, files: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``cases.csv`` and ``summary.json``; return the latter's content."""
    summary = {
        label: {metric: dataclasses.asdict(summary) for metric, summary in metrics.items()}
        for label, metrics in summarise(rows).items()
    }
    content = {"split": split, "tolerance_mm": tolerance, "summary": summary, "files": files}
    write_csv(out / "cases.csv", rows)
    write_json(out / "summary.json", content)
    return content
