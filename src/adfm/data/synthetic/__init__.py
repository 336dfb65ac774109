"""Draws synthetic industrial parts: random products, their normal parts and their defects, with exact masks."""

from adfm.data.synthetic.benign import BENIGN_KINDS
from adfm.data.synthetic.defects import DEFECT_KINDS
from adfm.data.synthetic.make import make
from adfm.data.synthetic.materials import MATERIALS
from adfm.data.synthetic.part import Part, draw_part
from adfm.data.synthetic.product import Product, random_product

__all__ = ["BENIGN_KINDS", "DEFECT_KINDS", "MATERIALS", "Part", "Product", "draw_part", "make", "random_product"]
