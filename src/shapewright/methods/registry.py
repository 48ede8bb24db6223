"""Which methods exist: pure data about each, read without importing torch.

The methods of this package are the sub-packages of ``shapewright.methods`` that define ``METHOD``. Other packages add
theirs through the entry-point group ``shapewright.methods``, whose value names such a sub-package.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from shapewright.data.kinds import Kind
from shapewright.errors import unknown


@dataclass(frozen=True)
class MethodInfo:
    """Pure data about a method.

    Parameters
    ----------
    name
        Name on the command line, such as ``boundary-loss``.
    title
        One line.
    summary
        What it does, in a sentence or two.
    paper
        Authors, title, venue and year; empty for a method that is no single paper's.
    link
        Where to read it.
    task
        What comes out: ``segmentation``, ...
    spatial_dims
        Ranks of images it works on.
    supervision
        Kinds of labels it learns from, words of :data:`shapewright.data.kinds.KINDS`; a case with any of them
        trains.
    missing_channels
        Whether it takes images that lack some of the channels.
    tags
        Words to find it by.
    """

    name: str
    title: str
    summary: str
    paper: str = ""
    link: str = ""
    task: str = "segmentation"
    spatial_dims: tuple[int, ...] = (2, 3)
    supervision: tuple[Kind, ...] = ("dense",)
    missing_channels: bool = False
    tags: tuple[str, ...] = ()
    package: str = field(default="", compare=False)


@functools.cache
def methods() -> Mapping[str, MethodInfo]:
    """Return all methods by name, in alphabetical order.

    Examples
    --------
    >>> methods()["boundary-loss"].title
    'Boundary loss for highly unbalanced segmentation'
    """
    import shapewright.methods as room

    packages = [f"{room.__name__}.{module.name}" for module in pkgutil.iter_modules(room.__path__) if module.ispkg]
    packages += [point.value for point in entry_points(group="shapewright.methods")]
    found = {}
    for package in packages:
        info = importlib.import_module(package).METHOD
        found[info.name] = MethodInfo(**{**vars(info), "package": package})
    return dict(sorted(found.items()))


def info(name: str) -> MethodInfo:
    """Return one method's data.

    Raises
    ------
    InputError
        No such method; the nearest name is suggested.
    """
    known = methods()
    if name not in known:
        raise unknown("method", name, known)
    return known[name]


def config_class(name: str) -> type:
    """Return the method's ``Config`` dataclass, without importing torch."""
    result: type = _module(name, "config").Config
    return result


def presets(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the method's presets: name to a nested mapping of options, ``trainer`` and other sections included."""
    result: Mapping[str, Mapping[str, Any]] = _module(name, "config").PRESETS
    return result


def factory(name: str) -> Callable[[Any, Any], Any]:
    """Return the function ``build(settings, task) -> Method``."""
    result: Callable[[Any, Any], Any] = _module(name, "method").build
    return result


def reproduction(name: str) -> Callable[..., Any]:
    """Return the method's ``reproduce`` function.

    Raises
    ------
    InputError
        The method has no reproduction.
    """
    package = Path(_module(name, "config").__file__ or "").parent
    if not (package / "reproduce.py").exists():
        able = [m for m in methods() if (Path(_module(m, "config").__file__ or "").parent / "reproduce.py").exists()]
        raise unknown("reproduction", name, able)
    result: Callable[..., Any] = _module(name, "reproduce").reproduce
    return result


def card(name: str) -> str:
    """Return the method's card as Markdown."""
    return (Path(_module(name, "config").__file__ or "").parent / "README.md").read_text(encoding="utf-8")


def _module(name: str, part: str) -> ModuleType:
    return importlib.import_module(f"{info(name).package}.{part}")
