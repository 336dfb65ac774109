"""Tries a stranger's template, tokenizer and patterns in a process of its own, which ends when its time or memory does.

Run as a script it is that process: one JSON object comes in by stdin, one goes out by stdout. It imports nothing of ours.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

SECONDS = 10
"""Of processor time, for all that one trial does. A trial of Qwen's tokenizer takes about one."""
PATIENCE = 12
"""How many times longer a trial may take by the clock, on a busy machine."""
MEMORY = 4 << 30
"""Bytes of address space."""
LONGEST = 1 << 18
"""Characters of a rendered prompt."""
PROBES = ("a", " ", "\n", "1", "!", "a ", "\r\n ", "é")
"""What texts are made of that make a pattern slow."""


@lru_cache(maxsize=64)
def tried(request: str) -> dict[str, Any]:
    """Run one trial, described in JSON. `fault` in what comes back says why it failed.

    The keys are `templates` and `chats` (each template is rendered with each chat), `tokenizer` (a file) with `sha256`,
    or `pattern` and `names` (`matches` comes back: the names that match).
    """
    command = [sys.executable, "-P", str(Path(__file__)), str(SECONDS)]
    try:
        run = subprocess.run(  # noqa: S603 - our own file
            command, input=request.encode(), capture_output=True, timeout=SECONDS * PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return {"fault": f"takes over {SECONDS} s"}
    if run.returncode:
        return {"fault": f"takes over {SECONDS} s or {MEMORY >> 30} GiB, or crashes"}
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def limit(seconds: int) -> None:
    """Limit this process's time and memory, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the clock of the parent is left
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def render(template: str, chats: Sequence[dict[str, Any]]) -> list[str]:
    """Render a chat template as transformers does."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block that marks what an assistant wrote: its content, as it is."""

        tags = {"generation"}  # noqa: RUF012 - as jinja declares it

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False} | options)
    environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: form}
    made = environment.from_string(template)
    texts = [made.render(**chat) for chat in chats]
    if max(map(len, texts), default=0) > LONGEST:
        raise TemplateError(f"writes over {LONGEST} characters")
    return texts


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Do what a request asks."""
    if "pattern" in request:
        pattern = re.compile(request["pattern"])
        return {"matches": [name for name in request["names"] if pattern.fullmatch(name)]}
    texts = [text for template in request["templates"] for text in render(template, request["chats"])]
    if request["tokenizer"]:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(request["tokenizer"])
        for text in [*texts, *(probe * (2000 // len(probe)) for probe in PROBES)]:
            if len(tokenizer.encode(text).ids) > LONGEST:
                return {"fault": f"makes over {LONGEST} tokens of a prompt"}
    return {}


def main() -> None:
    limit(int(sys.argv[1]))
    try:
        answer = answer_to(json.load(sys.stdin))
    except MemoryError:
        sys.exit(3)
    except BaseException as error:  # noqa: BLE001 - a library's panic is no Exception
        answer = {"fault": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
