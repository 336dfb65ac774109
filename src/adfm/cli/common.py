"""What commands share: the parser with an example at its end, JSON on stdout, a progress bar on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from adfm.errors import ConfigError, nearest
from adfm.progress import Progress, quiet

if TYPE_CHECKING:
    from adfm.geometry import FrameOf
    from adfm.reasoning import ProtocolFlags

STAGE_NAMES = ("full", "locate_answer", "verdict")
"""The choices of `--stages`. They are written out here because reading them would import the packages below."""
Run = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose errors are one line and name the nearest known option or command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self._given: list[str] = []
        self.takes_overrides = False
        self.explained_later: dict[argparse.Action, Callable[[], str]] = {}

    def format_help(self) -> str:
        """Format the help. What heavy modules know about an option is asked for only now."""
        for action, explain in self.explained_later.items():
            action.help = explain()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Print argparse's message on one line of stderr, with the nearest known name, and exit with 2."""
        mistyped = [
            word for word in self._given if word.startswith("--") and word.partition("=")[0] not in self._options()
        ]
        head, marker, rest = message.partition("invalid choice: '")
        if mistyped and "required: -" in message:
            message = self._unknown(mistyped[0])  # a mistyped option explains a missing one better
        elif marker:
            given, _, choices = rest.partition("'")
            known = [word.strip(" ')") for word in choices.partition("choose from")[2].split(",")]
            message = f"{head}'{given}' is not known{nearest(given, known)}"
        raise SystemExit(fail(f"{message} (see `{self.prog} --help`)"))

    def _unknown(self, argument: str) -> str:
        return f"unknown argument '{argument}'{nearest(argument.partition('=')[0], self._options())}"

    def _options(self) -> list[str]:
        return [option for action in self._actions for option in action.option_strings]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse. An unknown argument is an error of the command that it was given to, with the nearest option it has."""
        self._given = [str(word) for word in args or []]
        parsed, unknown = super().parse_known_args(args, namespace)
        if self.takes_overrides:
            # argparse cannot take a list of words on both sides of options, so `name=value` words are picked up here.
            parsed.overrides = [word for word in unknown if "=" in word and not word.startswith("-")]
            unknown = [word for word in unknown if word not in parsed.overrides]
        if unknown:
            self.error(self._unknown(unknown[0]))
        return parsed, []


def add_command(subparsers: Any, name: str, run: Run, summary: str, example: str) -> Parser:
    """Add a command with its one-line summary and an example at the end of its help."""
    text = "\n".join(f"  {line}" for line in example.strip().splitlines())
    parser: Parser = subparsers.add_parser(name, help=summary, description=summary, epilog=f"example:\n{text}")
    parser.set_defaults(run=run)
    return parser


def add_protocol(parser: argparse._ActionsContainer) -> None:
    """Add the flags that win over the model's own protocol."""
    parser.add_argument("--stages", choices=STAGE_NAMES, help="blocks of an answer (default: the model's own)")
    parser.add_argument(
        "--no-category", action="store_const", const=False, dest="name_category", help="do not name the part's category"
    )
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="longest answer (default: the model's own)")


def protocol_flags(args: argparse.Namespace) -> ProtocolFlags:
    """Return what the flags of `add_protocol` say.

    Raises:
        ConfigError: a value is out of range.
    """
    from adfm.config import make_settings
    from adfm.reasoning import ProtocolFlags

    names = ("stages", "name_category", "max_new_tokens")
    return make_settings(ProtocolFlags, {name: getattr(args, name) for name in names}, "protocol")


def frame_rule(frame: str | None, model: str | None) -> FrameOf:
    """Return the frame rule that `--frame` names, else that of a model, else original pixels.

    Raises:
        UserError: it is no frame, or the model cannot be found.
    """
    from adfm.geometry import Frame

    if frame is not None:
        Frame.parse(frame, 1, 1)
        return partial(Frame.parse, frame)
    if model is None:
        return Frame.original
    from adfm.models.families import frame_of_model

    return frame_of_model(model)


def add_score(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a part's score comes from."""
    parser.add_argument(
        "--score",
        choices=("odds", "votes"),
        default="odds",
        help="where scores come from: odds of the verdict token, or share of sampled answers (%(default)s)",
    )
    parser.add_argument("--votes", type=int, help="sampled answers per image, for --score votes (8)")


def require_votes(args: argparse.Namespace) -> None:
    """Fill in and check `args.votes`.

    Raises:
        ConfigError: fewer than 2 votes, or votes for another score.
    """
    if args.votes is not None and args.score != "votes":
        raise ConfigError(f"--votes {args.votes}: needs --score votes")
    args.votes = 8 if args.votes is None else args.votes
    if args.votes < 2:
        raise ConfigError(f"--votes {args.votes}: must be at least 2; for one answer take --score odds")


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Check that each of these options, where it has a value, is at least 1.

    Raises:
        ConfigError: names the first that is not.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be at least 1")


def folded(message: str) -> str:
    """Return a message on one line, without control characters that could move the cursor or recolour the terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(message.split()))


def fail(message: str, code: int = 2) -> int:
    """Print one line `adfm: message` on stderr and return the exit code."""
    with suppress(BrokenPipeError):  # nobody reads it
        print(f"adfm: {folded(message)}", file=sys.stderr)
    return code


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(rows: list[list[str]]) -> None:
    """Print rows with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def plain(stage: str, done: int, total: int) -> None:
    """Print a line on stderr now and then."""
    if done == total or done % max(1, total // 5) == 0:
        print(f"{stage} {done}/{total}", file=sys.stderr, flush=True)


@contextmanager
def progress_bar(otherwise: Progress = quiet) -> Iterator[Progress]:
    """Yield what draws a bar on stderr for each stage, or `otherwise` where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield otherwise
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            name = stage.partition("  ")[0]
            if name not in tasks:
                tasks[name] = bars.add_task(stage, total=total)
            bars.update(tasks[name], description=stage, completed=done, total=total)

        yield update
