"""Learning to segment from object sizes."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="object-size",
    title="Learning to segment from object sizes",
    summary="Trains on a few masks, then also on images of which only the size of the object is known: by an unbiased "
    "gradient of the expected size error, and by the level set of the prediction that has the known size.",
    paper="Barucic, Kybic: Learning to segment from object sizes, ITAT 2022",
    link="https://ceur-ws.org/Vol-3226/paper6.pdf",
    supervision=("dense", "sparse", "size"),
    tags=("weak supervision", "size", "diameter", "volume", "semi-supervised", "distance"),
)
