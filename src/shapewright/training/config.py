"""The configuration of a run: plain frozen dataclasses, readable without torch.

Every option of the command line is a field here or in a method's own ``Config``; ``config.yaml`` in a run's folder is
the same tree.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from shapewright.errors import InputError, check_number, suggest

Schedule = Literal["cosine", "constant", "plateau", "polynomial"]
Normalisation = Literal["volume", "nonzero_mean", "fundus", "none"]

T = TypeVar("T")


@dataclass(frozen=True)
class SplitConfig:
    """Which cases train, validate and test. A case, or a group of cases, is never in two splits.

    Parameters
    ----------
    file
        JSON, YAML or CSV file with the split; overrides the rest.
    seed
        Seed of the random split.
    validation
        Share of the cases that select the best checkpoint.
    test
        Share of the cases held out for the evaluation.
    group_by
        Regular expression; cases whose names match in the same text (a patient's number) stay together.
    """

    file: str | None = None
    seed: int = 0
    validation: float = 0.1
    test: float = 0.2
    group_by: str | None = None

    def __post_init__(self) -> None:
        check_number("split.validation", self.validation, minimum=0, below=1)
        check_number("split.test", self.test, minimum=0, below=1)
        check_number("split.validation + split.test", self.validation + self.test, below=1)


@dataclass(frozen=True)
class PrepareConfig:
    """How images become arrays and patches.

    Parameters
    ----------
    spatial_dims
        2 trains on slices or flat images, 3 on volumes. None takes the images' own rank; volumes of a single slice are
        flat images.
    spacing
        Voxel size in mm, (z,) y, x, that volumes are resampled to. None keeps a folder whose voxel sizes agree as it
        is, and takes the median where they differ.
    patch_size
        Voxels per axis of a training patch and of the inference window. None takes the median image, at most
        ``patch_voxels``.
    patch_voxels
        Upper bound on the voxels of an automatic patch; 160,000 (about 54^3, or 400^2) trains within 4 GB.
    foreground_share
        Share of patches centred on a voxel of a randomly chosen class, so that small structures are seen; 0.67
        rather than 1, so that background without foreground is seen as well.
    weak_share
        Share of patches from cases without a full mask, where there are cases of both kinds. None takes every case
        equally often.
    normalise
        ``volume``: every image to mean 0 and standard deviation 1 between its 0.5th and 99.5th percentiles;
        ``nonzero_mean``: divided by the mean of the voxels that are not 0, for skull-stripped images; ``fundus``: even
        contrast for photographs of the retina, in [0, 1]; ``none``: intensities as they are.
    binary
        Treat every non-zero label value as one class (instance labels).
    """

    spatial_dims: Literal[2, 3] | None = None
    spacing: tuple[float, ...] | None = None
    patch_size: tuple[int, ...] | None = None
    patch_voxels: int = 160_000
    foreground_share: float = 0.67
    weak_share: float | None = None
    normalise: Normalisation = "volume"
    binary: bool = False

    def __post_init__(self) -> None:
        check_number("prepare.patch_voxels", self.patch_voxels, minimum=1)
        check_number("prepare.foreground_share", self.foreground_share, minimum=0, maximum=1)
        if self.weak_share is not None:
            check_number("prepare.weak_share", self.weak_share, minimum=0, maximum=1)


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training patches.

    Parameters
    ----------
    flip
        Spatial axes, counted from the first, that may be mirrored. None by default: organs have a left and a right.
    rotate
        Largest rotation in degrees (about every axis in 3D).
    scale
        Largest relative change of size; 0.15 draws from 0.85 to 1.15.
    spatial
        Probability that a patch is rotated and scaled.
    intensity
        Strength of changes in contrast, brightness, gamma and noise; 0 switches them off.
    """

    flip: tuple[int, ...] = ()
    rotate: float = 15.0
    scale: float = 0.15
    spatial: float = 0.3
    intensity: float = 1.0

    def __post_init__(self) -> None:
        check_number("augment.rotate", self.rotate, minimum=0, maximum=180)
        check_number("augment.scale", self.scale, minimum=0, below=1)
        check_number("augment.spatial", self.spatial, minimum=0, maximum=1)
        check_number("augment.intensity", self.intensity, minimum=0)


@dataclass(frozen=True)
class TrainerConfig:
    """The training loop.

    Parameters
    ----------
    epochs
        Number of epochs; validation and a checkpoint follow each.
    steps_per_epoch
        Optimiser steps per epoch. None takes one pass over the training cases, at least 10 steps.
    batch_size
        Patches per step and process.
    learning_rate
        Peak learning rate of AdamW.
    weight_decay
        Decoupled weight decay.
    schedule
        ``cosine`` and ``polynomial`` (power 0.9) decay to zero; ``constant`` does not; ``plateau`` halves after
        ``plateau`` epochs without gain in validation Dice. Cosine by default: in this library's measurements a
        decaying rate matters more than the choice of the loss.
    plateau
        Epochs without gain before ``schedule="plateau"`` halves the rate.
    warmup
        Share of all steps over which the rate rises linearly.
    gradient_clip
        Largest norm of the gradient; 0 switches clipping off.
    patience
        Epochs without gain in validation Dice before training stops early; 0 never stops.
    accelerator
        ``auto``, ``cpu`` or ``gpu``.
    devices
        Number of processes or GPUs.
    strategy
        ``auto``, or ``ddp`` for several processes.
    precision
        ``auto`` takes bfloat16 where a GPU has it and float32 elsewhere.
    workers
        Processes that prepare batches; 0 prepares them in the training process.
    """

    epochs: int = 100
    steps_per_epoch: int | None = None
    batch_size: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    schedule: Schedule = "cosine"
    plateau: int = 20
    warmup: float = 0.02
    gradient_clip: float = 12.0
    patience: int = 0
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    strategy: Literal["auto", "ddp"] = "auto"
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "devices"):
            check_number(f"trainer.{name}", getattr(self, name), minimum=1)
        for name in ("weight_decay", "plateau", "gradient_clip", "patience", "workers"):
            check_number(f"trainer.{name}", getattr(self, name), minimum=0)
        if self.steps_per_epoch is not None:
            check_number("trainer.steps_per_epoch", self.steps_per_epoch, minimum=1)
        check_number("trainer.learning_rate", self.learning_rate, above=0)
        check_number("trainer.warmup", self.warmup, minimum=0, maximum=1)


@dataclass(frozen=True)
class InferenceConfig:
    """From a whole image to a label map.

    Parameters
    ----------
    overlap
        Share by which neighbouring inference windows overlap.
    mirror
        Average the prediction over mirrored copies along the axes that training flipped.
    rotate
        Average the prediction over copies turned by 180 degrees about every axis: 4 in 3D, 2 in 2D.
    window
        How much a window's voxels count where windows overlap: ``gaussian``, or ``spline``, a quadratic B-spline that
        falls off more slowly.
    batch_size
        Windows evaluated at once.
    connect
        Fit to the probabilities of every class a region that is one piece without holes, tunnels and cavities by
        construction; for objects that are so in truth.
    """

    overlap: float = 0.5
    mirror: bool = False
    rotate: bool = False
    window: Literal["gaussian", "spline"] = "gaussian"
    batch_size: int = 2
    connect: bool = False

    def __post_init__(self) -> None:
        check_number("inference.overlap", self.overlap, minimum=0, below=1)
        check_number("inference.batch_size", self.batch_size, minimum=1)


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on.

    Parameters
    ----------
    method
        Name of the method, as listed by ``shapewright methods``.
    data
        The dataset's folder, or ``sample:NAME`` for a bundled one.
    settings
        The method's own ``Config``.
    seed
        Seed of every random draw of the run.
    split, prepare, augment, trainer, inference
        The shared parts.
    """

    method: str
    data: str
    settings: Any
    seed: int = 0
    split: SplitConfig = field(default_factory=SplitConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)

    def __post_init__(self) -> None:
        check_number("seed", self.seed, minimum=0, below=2**32)


SECTIONS: dict[str, type] = {
    "split": SplitConfig,
    "prepare": PrepareConfig,
    "augment": AugmentConfig,
    "trainer": TrainerConfig,
    "inference": InferenceConfig,
}


def to_mapping(config: object) -> dict[str, Any]:
    """Return a dataclass as nested plain values, tuples as lists, ready for YAML.

    Examples
    --------
    >>> to_mapping(InferenceConfig())
    {'overlap': 0.5, 'mirror': False, ..., 'connect': False}
    """

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    result: dict[str, Any] = plain(config)
    return result


def to_yaml(config: object) -> str:
    """Return a configuration as YAML text."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from nested plain values, checking names and types.

    Parameters
    ----------
    cls
        A dataclass with annotated fields.
    mapping
        Field names and values, as read from YAML.
    where
        What the mapping is, for error messages (``"section 'trainer' of config.yaml"``).

    Raises
    ------
    InputError
        An unknown field (with a suggestion), a missing one, or a value of the wrong type.

    Examples
    --------
    >>> from_mapping(InferenceConfig, {"overlap": 0.25}, "inference").overlap
    0.25
    >>> from_mapping(InferenceConfig, {"overlp": 0.25}, "inference")
    Traceback (most recent call last):
    ...
    shapewright.errors.InputError: inference has no option 'overlp'; did you mean 'overlap'?
    """
    from jsonargparse import ArgumentParser, Namespace

    if not isinstance(mapping, Mapping):
        raise InputError(f"{where} must be a mapping of options to values; got {mapping!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in mapping:
        if name not in fields:
            hint = suggest(str(name), fields) or f". It has: {', '.join(fields)}"
            raise InputError(f"{where} has no option {str(name)!r}{hint}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls)
    try:
        parsed: Namespace = parser.parse_object(dict(mapping))
        built = parser.instantiate(parsed)
    except Exception as error:
        raise InputError(f"{where}: {_first_line(error)}") from error
    return cls(**vars(built))


def _first_line(error: Exception) -> str:
    """Return the part of a parser's message that tells what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__


def read_run_config(text: str, settings: type, where: str) -> RunConfig:
    """Rebuild a :class:`RunConfig` from the YAML text in a run's folder or a checkpoint's header.

    Parameters
    ----------
    text
        YAML.
    settings
        The method's ``Config`` class.
    where
        The file, for error messages.
    """
    tree = yaml.safe_load(text)
    if not isinstance(tree, Mapping) or "method" not in tree or "data" not in tree:
        raise InputError(f"{where} is not the configuration of a run: it lacks 'method' or 'data'")
    known = {"method", "data", "seed", "settings", *SECTIONS}
    for name in tree:
        if name not in known:
            raise InputError(f"{where} has no section {name!r}{suggest(name, known)}")
    sections: dict[str, Any] = {
        name: from_mapping(cls, tree.get(name) or {}, f"section {name!r} of {where}") for name, cls in SECTIONS.items()
    }
    return RunConfig(
        method=tree["method"],
        data=tree["data"],
        seed=int(tree.get("seed", 0)),
        settings=from_mapping(settings, tree.get("settings") or {}, f"section 'settings' of {where}"),
        **sections,
    )
