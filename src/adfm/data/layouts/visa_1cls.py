"""VisA as its converter lays it out: the `mvtec` folders of its objects, in `1cls/` or without it; masks without `_mask`."""

from __future__ import annotations

from functools import partial

from adfm.data.layouts import mvtec, visa

NAME = "visa-1cls"
SHAPE = "[1cls/]<object>/{train/good,test/{good,bad},ground_truth/bad} of two or more of VisA's objects"
TERMS: str | None = visa.TERMS

_OBJECTS = ("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pipe_fryum")
_BOARDS = ("pcb1", "pcb2", "pcb3", "pcb4")

read, recognise = mvtec.read, partial(mvtec.named, known=(*_OBJECTS, *_BOARDS))
