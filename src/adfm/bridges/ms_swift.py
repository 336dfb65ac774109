"""ms-swift: one JSON-lines file per split for `swift sft` and GRPO, and the plugin that registers our rewards.

The plugin is a file of its own, because ms-swift puts a plugin's folder first on the import path. Beside
`adfm/rewards/trl.py` the engine's own `import trl` would find the wrong module.
Source: ms-swift 4.6, `docs/source_en/Customization/Custom-dataset.md` and `swift/utils/utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.exported import Exported, by_split, json_lines

NAME = "ms-swift"
ASKS = True
ANSWERS = True
LOAD = (
    "swift rlhf --rlhf_type grpo --dataset {out}/{split}.jsonl --external_plugins {out}/adfm_reward.py "
    "--reward_funcs adfm_format adfm_verdict adfm_grounding"
)

PLUGIN = b'''"""The rewards of adfm, for ms-swift's `--external_plugins`."""

from adfm.rewards.ms_swift import REWARDS
from swift.rewards import ORM, orms

orms.update({name: type(name, (reward, ORM), {}) for name, reward in REWARDS.items()})
'''


def row(item: Exported) -> dict[str, Any]:
    """Return one row: a chat with one `<image>`, the image's path, and the truth, which GRPO hands to the rewards.

    The assistant's turn is the canonical answer. Fine-tuning learns it, GRPO drops it.
    """
    return {
        "messages": [
            {"role": "user", "content": item.marked_prompt},
            {"role": "assistant", "content": item.answer},
        ],
        "images": [item.image],
        "truth": item.truth,
    }


def files(items: Sequence[Exported]) -> dict[str, bytes]:
    """Return `SPLIT.jsonl` for each split that has samples, and `adfm_reward.py`."""
    parts = {f"{split}.jsonl": json_lines([row(item) for item in part]) for split, part in by_split(items).items()}
    return {**parts, "adfm_reward.py": PLUGIN}
