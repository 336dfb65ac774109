"""Boxes, coordinate frames, overlaps and masks: arithmetic on original pixels, with no files and no models."""

from adfm.geometry.boxes import Box, clip, giou, iou, pairwise, union_mask_iou
from adfm.geometry.frames import Frame, FrameOf, TextBox
from adfm.geometry.masks import MaskBoxes, boxes_from_mask, enclosing, filled, foreground

__all__ = [
    "Box",
    "Frame",
    "FrameOf",
    "MaskBoxes",
    "TextBox",
    "boxes_from_mask",
    "clip",
    "enclosing",
    "filled",
    "foreground",
    "giou",
    "iou",
    "pairwise",
    "union_mask_iou",
]
