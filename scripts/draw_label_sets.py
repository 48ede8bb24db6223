"""Draw the pictures of label sets into docs/images: networks are trained for them.

Usage: ``python scripts/draw_label_sets.py [NAME ...]``, by default all.
"""

import sys
from collections.abc import Mapping

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from draw_pictures import save
from numpy.typing import NDArray

IMAGES = ("T1", "FLAIR")


def label_sets() -> None:
    """Draw a brain, what two data sets say about it, and what networks trained on both find."""
    from shapewright.methods.adaptive_cross_entropy.reproduce import Arm, make_sets, train_joint

    sets = make_sets("spots", 0)
    images, truth = sets.test
    index = int((truth == 4).sum(axis=(1, 2)).argmax())
    image, labels = images[index], truth[index]
    found = {
        name: train_joint(Arm(loss, steps=300), sets, sets.channels("T1", "FLAIR"))[index]
        for name, loss in (("cross-entropy,\nbackground as given", "naive_ce"), ("adaptive\ncross-entropy", "ace"))
    }
    panels = {
        "T1": image[0],
        "FLAIR": image[1],
        "tissue data set": np.where(labels == 4, 3, labels),
        "lesion data set": np.where(labels == 4, 4, 0),
        **found,
        "all labels": labels,
    }
    draw_brains(panels, "label-sets")


def modalities() -> None:
    """Draw a patient, and what networks find with T1 and FLAIR that learnt tissue from T1 of controls."""
    from shapewright.methods.hetero_modal_joint.reproduce import Arm, build, make_sets, train, without_flair
    from shapewright.training.study import predict_probabilities

    sets = make_sets(0)
    images, truth = sets["test patients"]
    index = int((truth == 4).sum(dim=(1, 2)).argmax())
    patient = images[index : index + 1]
    panels = {"T1": patient[0, 0].numpy(), "FLAIR": patient[0, 1].numpy()}
    for name, objective in (("no consistency", "plain"), ("with consistency", "joint")):
        arm = Arm(objective)
        method = build(arm)
        train(method, arm, sets)
        panels[f"{name},\nT1 and FLAIR"] = predict_probabilities(method, patient)[0].argmax(0)
    panels["with consistency,\nT1 alone"] = predict_probabilities(method, without_flair(patient))[0].argmax(0)
    draw_brains(panels | {"all labels": truth[index].numpy()}, "hetero-modal-joint")


def draw_brains(panels: Mapping[str, NDArray[np.generic]], name: str) -> None:
    """Draw images and label maps side by side."""
    colours = matplotlib.colors.ListedColormap(["#000000", "#3b6ea5", "#8c8c8c", "#f0f0f0", "#ff7f0e"])
    figure, axes = plt.subplots(1, len(panels), figsize=(2.1 * len(panels), 2.7))
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        if title in IMAGES:
            axis.imshow(panel, cmap="gray")
        else:
            axis.imshow(panel, cmap=colours, vmin=0, vmax=4, interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    save(figure, name)


PICTURES = {"label-sets": label_sets, "hetero-modal-joint": modalities}


if __name__ == "__main__":
    for chosen in sys.argv[1:] or PICTURES:
        PICTURES[chosen]()
