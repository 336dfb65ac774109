"""`adfm data check`: compares lines, images, masks, boxes, copies and the whole of a manifest with their rules."""

from adfm.data.check.images import read_known
from adfm.data.check.run import Extra, check
from adfm.data.faults import KINDS, Broken, Fault, Kind, broken

__all__ = ["KINDS", "Broken", "Extra", "Fault", "Kind", "broken", "check", "read_known"]
