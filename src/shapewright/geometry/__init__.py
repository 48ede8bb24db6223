"""Distances, sizes, components and topology."""

from shapewright.geometry.components import connected_components as connected_components
from shapewright.geometry.components import holes as holes
from shapewright.geometry.components import largest_component as largest_component
from shapewright.geometry.distance import distance_transform as distance_transform
from shapewright.geometry.distance import label_distance as label_distance
from shapewright.geometry.extent import extents as extents
from shapewright.geometry.extent import flip_extents as flip_extents
from shapewright.geometry.geodesic import geodesic_distance as geodesic_distance
from shapewright.geometry.objects import ObjectRow as ObjectRow
from shapewright.geometry.objects import object_table as object_table
from shapewright.geometry.point_labels import cluster_labels as cluster_labels
from shapewright.geometry.point_labels import voronoi_labels as voronoi_labels
from shapewright.geometry.shape_cues import ShapePrior as ShapePrior
from shapewright.geometry.shape_cues import box_cues as box_cues
from shapewright.geometry.shape_cues import eccentricity as eccentricity
from shapewright.geometry.shape_cues import fill_boxes as fill_boxes
from shapewright.geometry.signed import class_distance_maps as class_distance_maps
from shapewright.geometry.signed import signed_distance as signed_distance
from shapewright.geometry.sizes import flip_sizes as flip_sizes
from shapewright.geometry.sizes import object_size as object_size
from shapewright.geometry.sizes import two_nearest_sources as two_nearest_sources
from shapewright.geometry.topology import betti_numbers as betti_numbers
from shapewright.geometry.topology import euler_number as euler_number
