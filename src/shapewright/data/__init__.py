"""Images, dataset folders, samples, patches.

Names are imported on first use, so that ``shapewright.data`` itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapewright.data import samples as samples
    from shapewright.data.case import load_case
    from shapewright.data.check import CheckResult, Problem, check_dataset
    from shapewright.data.folder import CaseFiles, DatasetFolder, find_images, open_dataset
    from shapewright.data.formats import read_geometry, read_image, read_labels, write_image, write_labels
    from shapewright.data.image import Geometry, Image
    from shapewright.data.split import read_split, split_cases, write_split

_MODULES = {
    "CaseFiles": "folder",
    "CheckResult": "check",
    "DatasetFolder": "folder",
    "Geometry": "image",
    "Image": "image",
    "Problem": "check",
    "check_dataset": "check",
    "find_images": "folder",
    "load_case": "case",
    "open_dataset": "folder",
    "read_geometry": "formats",
    "read_image": "formats",
    "read_labels": "formats",
    "read_split": "split",
    "split_cases": "split",
    "write_image": "formats",
    "write_labels": "formats",
    "write_split": "split",
}

__all__ = [
    "CaseFiles",
    "CheckResult",
    "DatasetFolder",
    "Geometry",
    "Image",
    "Problem",
    "check_dataset",
    "find_images",
    "load_case",
    "open_dataset",
    "read_geometry",
    "read_image",
    "read_labels",
    "read_split",
    "samples",
    "split_cases",
    "write_image",
    "write_labels",
    "write_split",
]


def __getattr__(name: str) -> Any:
    if name == "samples":
        return importlib.import_module("shapewright.data.samples")
    if name in _MODULES:
        return getattr(importlib.import_module(f"shapewright.data.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'shapewright.data' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
