"""Draw the picture of label sets into docs/images: two networks are trained for it.

Usage: ``python scripts/draw_label_sets.py``.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from draw_pictures import save


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
    colours = matplotlib.colors.ListedColormap(["#000000", "#3b6ea5", "#8c8c8c", "#f0f0f0", "#ff7f0e"])
    figure, axes = plt.subplots(1, len(panels), figsize=(2.1 * len(panels), 2.7))
    for axis, (name, panel) in zip(axes, panels.items(), strict=True):
        if name in ("T1", "FLAIR"):
            axis.imshow(panel, cmap="gray")
        else:
            axis.imshow(panel, cmap=colours, vmin=0, vmax=4, interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.set_axis_off()
    save(figure, "label-sets")


if __name__ == "__main__":
    label_sets()
