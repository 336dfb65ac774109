"""The names by which folders, files and classes say what they hold: normal or defective parts, masks, splits.

Every name is in lower case; layouts compare in lower case where a set leaves the case open.
"""

from __future__ import annotations

import re

from adfm.records import Split

NORMAL = frozenset({"ok", "good", "normal", "pass", "io"})
DEFECTIVE = frozenset({"ng", "nok", "bad", "defect", "defects", "anomaly", "anomalous", "ko", "fail", "nio"})

MASK_FOLDERS = frozenset({"mask", "masks", "ground_truth", "gt", "label", "labels"})
MASK_STEM = re.compile(r"(.+)_mask(?:[_-]?\d+)?")
LABEL_SUFFIX = "_label"  # of the masks of DAGM and KolektorSDD, which lie beside their images

TRAIN_TEST: tuple[Split, ...] = ("train", "test")
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
SPLIT_FOLDERS = frozenset({*SPLIT_NAMES, "training", "testing"})  # never a category
SPLIT_IN_PATH = re.compile(rf"(?:^|[^a-z])({'|'.join(SPLIT_NAMES)})(?:[^a-z]|$)")
