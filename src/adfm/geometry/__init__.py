"""Boxes, coordinate frames, overlaps and masks: arithmetic on original pixels, without files or models."""

from adfm.geometry.boxes import Box, best_sum, clip, giou, iou, matched_sum, pairwise, set_iou, union_mask_iou
from adfm.geometry.frames import Frame, FrameOf, TextBox
from adfm.geometry.masks import MaskBoxes, boxes_from_mask, enclosing, filled, foreground

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
