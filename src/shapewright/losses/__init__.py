"""Loss modules: ``loss(logits, target, mask=None)`` with logits ``[B, K, *spatial]`` in 2D and 3D.

Every loss takes integer labels ``[B, *spatial]`` (or ``[B, 1, *spatial]``), applies the softmax itself (a sigmoid
where the network has one channel), computes in at least single precision under autocast, honours ``mask`` and
``ignore_label``, and has a finite value and gradient for empty, full and constant inputs.
:class:`~shapewright.losses.WeightSchedule`, the names of the schedules and
:class:`~shapewright.losses.LabelSpace` are readable without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from shapewright.losses.schedule import SCHEDULES, WeightSchedule

if TYPE_CHECKING:
    from shapewright.losses.adversarial import AdversarialLoss as AdversarialLoss
    from shapewright.losses.boundary import BoundaryLoss as BoundaryLoss
    from shapewright.losses.compose import ScheduledSum as ScheduledSum
    from shapewright.losses.crf import DenseCRFLoss as DenseCRFLoss
    from shapewright.losses.cross_entropy import CrossEntropyLoss as CrossEntropyLoss
    from shapewright.losses.fbeta import FBetaLoss as FBetaLoss
    from shapewright.losses.fbeta import auto_beta as auto_beta
    from shapewright.losses.hausdorff import HausdorffLoss as HausdorffLoss
    from shapewright.losses.independent import IndependentLoss as IndependentLoss
    from shapewright.losses.jaccard import JaccardLoss as JaccardLoss
    from shapewright.losses.jaccard import modality_consistency as modality_consistency
    from shapewright.losses.jaccard import soft_jaccard as soft_jaccard
    from shapewright.losses.label_sets import AdaptiveCrossEntropyLoss as AdaptiveCrossEntropyLoss
    from shapewright.losses.label_sets import MarginalDiceLoss as MarginalDiceLoss
    from shapewright.losses.label_space import LabelSpace as LabelSpace
    from shapewright.losses.overlap import DiceLoss as DiceLoss
    from shapewright.losses.overlap import GeneralisedDiceLoss as GeneralisedDiceLoss
    from shapewright.losses.size import SizeLoss as SizeLoss
    from shapewright.losses.size_level import SizeLevelLoss as SizeLevelLoss
    from shapewright.losses.skeleton import SkeletonLoss as SkeletonLoss
    from shapewright.losses.weights import BalancedCrossEntropy as BalancedCrossEntropy
    from shapewright.losses.weights import balance_weights as balance_weights

_MODULES = {
    "AdaptiveCrossEntropyLoss": "label_sets",
    "AdversarialLoss": "adversarial",
    "BalancedCrossEntropy": "weights",
    "BoundaryLoss": "boundary",
    "CrossEntropyLoss": "cross_entropy",
    "DenseCRFLoss": "crf",
    "DiceLoss": "overlap",
    "FBetaLoss": "fbeta",
    "GeneralisedDiceLoss": "overlap",
    "HausdorffLoss": "hausdorff",
    "JaccardLoss": "jaccard",
    "LabelSpace": "label_space",
    "MarginalDiceLoss": "label_sets",
    "modality_consistency": "jaccard",
    "soft_jaccard": "jaccard",
    "IndependentLoss": "independent",
    "ScheduledSum": "compose",
    "SizeLevelLoss": "size_level",
    "SizeLoss": "size",
    "SkeletonLoss": "skeleton",
    "auto_beta": "fbeta",
    "balance_weights": "weights",
}

__all__ = [
    "SCHEDULES",
    "AdaptiveCrossEntropyLoss",
    "AdversarialLoss",
    "BalancedCrossEntropy",
    "BoundaryLoss",
    "CrossEntropyLoss",
    "DenseCRFLoss",
    "DiceLoss",
    "FBetaLoss",
    "GeneralisedDiceLoss",
    "HausdorffLoss",
    "IndependentLoss",
    "JaccardLoss",
    "LabelSpace",
    "MarginalDiceLoss",
    "ScheduledSum",
    "SizeLevelLoss",
    "SizeLoss",
    "SkeletonLoss",
    "WeightSchedule",
    "auto_beta",
    "balance_weights",
    "modality_consistency",
    "soft_jaccard",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"shapewright.losses.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'shapewright.losses' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
