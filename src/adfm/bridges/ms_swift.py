"""ms-swift: one JSON-lines file a split for `swift sft` and GRPO, and the plugin that registers our rewards.

The plugin is a file of its own, because ms-swift puts a plugin's folder first on the path of imports: beside
`adfm/rewards/trl.py` the engine's own `import trl` would find the wrong one.
Source: ms-swift 4.6, `docs/source_en/Customization/Custom-dataset.md` and `swift/utils/utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adfm.bridges.question import Question, answer, by_split, marked_text
from adfm.rewards.truth import truth_text
from adfm.storage import encode_line

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


def row(question: Question) -> dict[str, Any]:
    """Return one row: a chat with one `<image>`, the picture's path, and the truth, which GRPO hands to the rewards.

    The assistant's turn is the canonical answer: fine-tuning learns it, GRPO drops it.
    """
    return {
        "messages": [
            {"role": "user", "content": marked_text(question)},
            {"role": "assistant", "content": answer(question)},
        ],
        "images": [str(question.picture)],
        "truth": truth_text(question.truth),
    }


def files(questions: Sequence[Question]) -> dict[str, bytes]:
    """Return `SPLIT.jsonl` for each split that has questions, and `adfm_reward.py`."""
    parts = {
        f"{split}.jsonl": "".join(encode_line(row(each)) for each in part).encode("utf-8", "replace")
        for split, part in by_split(questions).items()
    }
    return {**parts, "adfm_reward.py": PLUGIN}
