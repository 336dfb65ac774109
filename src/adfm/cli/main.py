"""`adfm`: finds the command, and turns every failure into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from tempfile import NamedTemporaryFile

from adfm import __version__
from adfm.cli.common import Parser, fail
from adfm.errors import UserError
from adfm.models.files import quiet_environment

COMMANDS = (
    "data",
    "score",
    "train",
    "evaluate",
    "calibrate",
    "inspect",
    "report",
    "nano",
    "demo",
    "adapt",
    "bench",
    "doctor",
)
EXAMPLE = """example:
  adfm demo --out runs/demo                            the whole chain on the bundled model, on a CPU
  adfm data build parts/ --out data/parts              images + masks -> manifest
  adfm inspect new/ --model runs/mine/final --out out  a verdict and an overlay per image

exit codes: 0 all OK; 1 some NG (inspect); 2 wrong use or bad input; 3 some file without a verdict;
101 internal error; 130 interrupted; 143 stopped by SIGTERM"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        parsed = build_parser().parse_args([word for word in arguments if word != "--debug"])
        quiet_environment()
        code: int = parsed.run(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader (`| head`) has gone. What is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else fail(str(stop.code))
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, UserError):
            return fail(str(error), error.exit_code)
        if isinstance(error, OSError) and error.errno is not None:
            where = "the system" if error.filename is None else os.fsdecode(error.filename)
            return fail(f"{where}: {error.strerror}; free or fix that and run again")
        if isinstance(error, MemoryError):
            return fail("there is not enough memory for this; use smaller images, a smaller batch or a smaller model")
        return fail(f"internal error: {type(error).__name__}: {error} ({_kept_traceback()})", 101)


def _kept_traceback() -> str:
    """Write the traceback of the current exception to a temporary file. Return where it is, or why it is not."""
    try:
        with NamedTemporaryFile(
            "w", prefix="adfm-", suffix=".traceback.txt", encoding="utf-8", errors="replace", delete=False
        ) as file:
            traceback.print_exc(file=file)
    except OSError:
        return "its traceback could not be kept; run again with --debug"
    return f"traceback in {file.name}"


def build_parser() -> Parser:
    """Return the parser with every command. Heavy imports wait until a command runs."""
    parser = Parser(prog="adfm", description="A vision-language model as an industrial inspector.", epilog=EXAMPLE)
    parser.add_argument("--version", action="version", version=f"adfm {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure (anywhere on the line)")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name in COMMANDS:
        import_module(f"adfm.cli.{name}").add(subparsers)
    return parser
