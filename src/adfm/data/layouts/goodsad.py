"""GoodsAD, packed goods: the `mvtec` folders under the names of its six categories; .jpg images, .png masks."""

from __future__ import annotations

from functools import partial

from adfm.data.layouts import mvtec

NAME = "goodsad"
SHAPE = "the mvtec folders of cigarette_box, drink_bottle, drink_can, food_bottle, food_box, food_package (two or more)"
TERMS: str | None = "GoodsAD: GPL-3.0 (the licence file of its repository)"

_NAMES = ("cigarette_box", "drink_bottle", "drink_can", "food_bottle", "food_box", "food_package")

read, recognise = mvtec.read, partial(mvtec.named, known=_NAMES)
