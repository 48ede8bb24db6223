"""Seeded phantoms and physics.

A phantom is a frozen dataclass of parameters with ``generate(count, *, seed)``, which returns images
``[N, 1, *spatial]`` (float32) and labels ``[N, *spatial]`` (uint8). Image *i* of a seed depends on the seed and *i*
alone: asking for more images later extends the set without changing it.
"""

from shapewright.simulate.diskorect import Diskorect, JointPhantom, noisy_sticks
from shapewright.simulate.small_lesion import SmallLesionPhantom

__all__ = ["Diskorect", "JointPhantom", "SmallLesionPhantom", "noisy_sticks"]
