"""The boundary to the libraries that load and run models: what they raise about a stranger's model becomes one line."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from adfm.errors import ModelError, UserError

PANIC = "PanicException"
"""What a library in Rust raises where it gives up. It is no `Exception`."""


@contextmanager
def third_party(model: str, fault: str = "cannot be loaded") -> Iterator[None]:
    """Turn every failure of a library inside into one line about the model. What our own code raises passes.

    Only calls of transformers, torch, tokenizers and the like belong inside. They are quiet meanwhile.

    Raises:
        ModelError: names the model, the fault and the cause.
    """
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        if is_ours(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"{model}: {fault} ({reason})") from error
    finally:
        transformers_logging.set_verbosity(level)


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised inside this package: called back by a library, or beside one.

    A library in C or Rust has no frames, so an error of a type of its own is not ours wherever it appears.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    ours = str(frame.f_globals.get("__name__", "")).partition(".")[0] == "adfm"
    return ours and type(error).__module__ == "builtins"
