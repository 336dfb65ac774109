"""Draws synthetic industrial parts: random products, their normal parts and their defects, with exact masks."""

from adfm.data.synthetic.benign import BENIGN_KINDS, Feature
from adfm.data.synthetic.defects import DEFECT_KINDS
from adfm.data.synthetic.make import make
from adfm.data.synthetic.materials import MATERIALS, Look
from adfm.data.synthetic.part import Part, draw_part
from adfm.data.synthetic.product import Conditions, Product, random_product
from adfm.data.synthetic.shapes import Outline
from adfm.data.synthetic.sheet import contact_sheet

__all__ = [
    "BENIGN_KINDS",
    "DEFECT_KINDS",
    "MATERIALS",
    "Conditions",
    "Feature",
    "Look",
    "Outline",
    "Part",
    "Product",
    "contact_sheet",
    "draw_part",
    "make",
    "random_product",
]
