"""Published systems, one folder each; methods never import each other."""

from shapewright.methods.registry import (
    MethodInfo,
    card,
    config_class,
    factory,
    info,
    methods,
    presets,
    reproduction,
)

__all__ = ["MethodInfo", "card", "config_class", "factory", "info", "methods", "presets", "reproduction"]
