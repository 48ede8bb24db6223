"""Joint tissue and lesion segmentation from data sets with different labels and modalities."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="hetero-modal-joint",
    title="One network from data sets with different labels and modalities",
    summary="Trains one network on data sets that annotate different classes and were scanned with different "
    "modalities: what was learnt from one modality is kept, by a consistency term, when others are added.",
    paper="Dorent, Li, Ekanayake, Ourselin, Vercauteren: Learning joint lesion and tissue segmentation from "
    "task-specific hetero-modal datasets, MIDL 2019",
    link="https://proceedings.mlr.press/v102/dorent19a.html",
    supervision=("partial", "dense", "sparse"),
    missing_channels=True,
    tags=("loss", "partial labels", "several data sets", "missing modalities", "consistency", "brain", "lesion"),
)
