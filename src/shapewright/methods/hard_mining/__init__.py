"""Hard-example mining and a compound of two scales."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="hard-mining",
    title="Hard-example mining and a compound network of two scales",
    summary="Takes its training patches where the present network is wrong, and lets a second network look at twice "
    "the context with the first one's probabilities as an extra channel.",
    paper="Burlutskiy, Pinchaud, Gu, Hägg, Andersson, Björk, Eurén, Svensson, Wilén, Hedlund: Segmenting potentially "
    "cancerous areas in prostate biopsies using semi-automatically annotated data, MIDL 2019",
    link="https://proceedings.mlr.press/v102/burlutskiy19a.html",
    supervision=("dense", "sparse"),
    tags=("sampling", "hard examples", "histology", "context", "label noise"),
)
