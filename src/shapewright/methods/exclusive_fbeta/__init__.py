"""Exclusive independent probabilities with the F-beta loss."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="exclusive-fbeta",
    title="Exclusive independent probabilities, F-beta loss, 3D FC-DenseNet",
    summary="Leaves the most frequent of several classes that exclude each other out of training and gives it what no "
    "other class claims; each other class has a sigmoid of its own and a loss that balances its precision and recall.",
    paper="Hashemi, Prabhu, Warfield, Gholipour: Exclusive independent probability estimation using deep 3D fully "
    "convolutional DenseNets: application to isointense infant brain MRI segmentation, MIDL 2019",
    link="https://proceedings.mlr.press/v102/hashemi19a.html",
    tags=("loss", "f-beta", "class imbalance", "brain", "densenet", "multi-label"),
)
