"""Boxes, coordinate frames, overlaps and masks: arithmetic on original pixels, without files or models."""

from adfm.geometry.boxes import Box, clip, giou, iou, pairwise, union_mask_iou
from adfm.geometry.frames import Frame, FrameOf, TextBox
from adfm.geometry.masks import MaskBoxes, boxes_from_mask, enclosing, filled, foreground
from adfm.geometry.matching import best_sum, matched_sum, set_iou

__all__ = [
    "Box",
    "Frame",
    "FrameOf",
    "MaskBoxes",
    "TextBox",
    "best_sum",
    "boxes_from_mask",
    "clip",
    "enclosing",
    "filled",
    "foreground",
    "giou",
    "iou",
    "matched_sum",
    "pairwise",
    "set_iou",
    "union_mask_iou",
]
