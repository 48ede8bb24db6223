"""Distances, sizes, components and topology."""

from shapewright.geometry.distance import distance_transform as distance_transform
from shapewright.geometry.signed import class_distance_maps as class_distance_maps
from shapewright.geometry.signed import signed_distance as signed_distance
