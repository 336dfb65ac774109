"""Images in, verdicts out: the inspector, its verdict, and the inspection of a folder with overlays."""

from adfm.inspection.folder import inspect_folder
from adfm.inspection.inspector import Inspector
from adfm.inspection.verdict import Verdict

__all__ = ["Inspector", "Verdict", "inspect_folder"]
