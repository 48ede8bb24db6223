"""Boolean filters of a pixel's neighbourhood, and their three evaluations.

A filter is written once, as an expression over shifted pixels, and runs on binary images (64 pixels a machine word),
as the proxy polynomial on probability maps, and as the exact expectation under independent pixels::

    from shapewright.boolean import Filter, pixel

    isolated = Filter(pixel(0, 0) & ~(pixel(-1, 0) | pixel(1, 0) | pixel(0, -1) | pixel(0, 1)))
    isolated(mask)  # bool in, bool out
    isolated(probabilities)  # float in, the probability out, differentiable
"""

from shapewright.boolean.diagram import Diagram
from shapewright.boolean.expression import Expression, all_of, any_of, at_least, pixel, template, where
from shapewright.boolean.filter import Filter, from_function, from_truth_table
from shapewright.boolean.packed import PackedImage, pack

__all__ = [
    "Diagram",
    "Expression",
    "Filter",
    "PackedImage",
    "all_of",
    "any_of",
    "at_least",
    "from_function",
    "from_truth_table",
    "pack",
    "pixel",
    "template",
    "where",
]
