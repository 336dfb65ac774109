"""Reads strict settings from YAML and `key=value` overrides, and describes them; an unknown name is refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from adfm.errors import ConfigError, UserError, nearest
from adfm.storage import read_file, regular_file

MAX_CONFIG_BYTES = 1 << 17
MAX_DEPTH, MAX_TEXT = 10, 4096
"""How deep settings nest, and characters of one text: a longer one is no path."""
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_EXPONENT = re.compile(r"[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")  # a number that YAML 1.1 reads as text without a dot


class Settings(BaseModel):
    """Base of every settings record: frozen, no unknown names, finite numbers, no silent conversion of them to text.

    A field's `description` says what the setting does. `renamed` maps old dotted names to new ones. It belongs to the
    record that a file is read into, so that an old file is refused with the new name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}


S = TypeVar("S", bound=Settings)


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without aliases (bombs), tags, and repeated keys (the later one would win silently)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        if getattr(self.peek_event(), "tag", None):  # type: ignore[no-untyped-call]
            raise yaml.YAMLError("tags (!name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = [str(key) for key, times in Counter(keys).items() if times > 1]
        if repeated:
            raise yaml.YAMLError(f"'{min(repeated)}' is given twice")
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, origin: str) -> Any:
    """Read YAML as plain data.

    Raises:
        ConfigError: not YAML, tags, aliases, or repeated keys.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - the loader is SafeLoader made stricter
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise ConfigError(f"{origin}: is not a valid settings file ({' '.join(str(error).split())[:160]})") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file of at most 128 KiB as plain data.

    Raises:
        ConfigError: it cannot be read, is too large, or is not valid.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: is larger than a settings file can be ({MAX_CONFIG_BYTES >> 10} KiB)")
        text = read_file(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a settings file ({error})") from error
    return parse_yaml(text, str(path))


def load_settings(kind: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read settings from a YAML file and apply `a.b=value` overrides, which win.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold 'name: value' lines")
    return make_settings(kind, apply_overrides(values, overrides), str(path), overrides)


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values with each `a.b=value` put in; a value is read as YAML, where `1e-4` too is a number.

    Raises:
        ConfigError: an override is not of the form name=value, or its value is not YAML.
    """
    result = dict(values)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise ConfigError(f"'{override:.80}': an override must look like name=value")
        *parents, last = name.split(".")
        if len(parents) > MAX_DEPTH:
            raise ConfigError(f"'{override[:80]}': names a setting inside over {MAX_DEPTH} others")
        target = result
        for parent in parents:
            child = target.get(parent)
            target[parent] = dict(child) if isinstance(child, dict) else {}
            target = target[parent]
        target[last] = float(text) if _EXPONENT.fullmatch(text) else parse_yaml(text, f"{override:.80}")
    return result


def make_settings(kind: type[S], values: dict[str, Any], origin: str, overrides: Sequence[str] = ()) -> S:
    """Check values against a settings record. A fault of one that the user's `overrides` gave does not name `origin`.

    Raises:
        ConfigError: names the first fault, its place and the nearest known name.
    """
    try:
        _require_plain(values, origin)
        return kind.model_validate(values)
    except ValidationError as error:
        name, fault, given = first_fault(error)
        given_names = [f"{override.partition('=')[0]}." for override in overrides]
        if any(one.startswith(f"{name}.") or f"{name}.".startswith(one) for one in given_names):
            origin = "the command line"
        if name in kind.renamed:
            raise ConfigError(f"{origin}: setting '{name}' is now '{kind.renamed[name]}'") from error
        if error.errors()[0]["type"] == "extra_forbidden":
            parent, last = name[: name.rfind(".") + 1], name.rpartition(".")[2]
            known = [setting.name for setting in describe(kind) if setting.name.startswith(parent)]
            siblings = [other.removeprefix(parent).split(".")[0] for other in known]
            raise ConfigError(f"{origin}: unknown setting '{name}'{nearest(last, siblings)}") from error
        raise ConfigError(f"{origin}: setting '{name}': {fault} (given: {given})") from error


def _require_plain(value: Any, origin: str, place: str = "", depth: int = 0) -> None:
    """Refuse what neither a message nor a file can hold: deep nesting, and text with control characters or no end.

    Raises:
        ConfigError: names the place.
    """
    if depth > MAX_DEPTH:
        raise ConfigError(f"{origin}: setting '{place[:80]}': nests over {MAX_DEPTH} deep")
    if isinstance(value, str) and is_odd(value):
        raise ConfigError(f"{origin}: setting '{place[:80]}': has control characters or is over {MAX_TEXT} long")
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, inner in pairs:
        _require_plain(str(name), origin, f"{place}.{name}"[:200].lstrip("."), depth + 1)
        _require_plain(inner, origin, f"{place}.{name}"[:200].lstrip("."), depth + 1)


def is_odd(text: str) -> bool:
    """Whether a text can be no path or name: control characters, halves of broken characters, or far too long."""
    return len(text) > MAX_TEXT or _CONTROL.search(text) is not None


def read_json_settings(kind: type[S], file: Path, limit: int, refuse: type[UserError], *, what: str, fix: str) -> S:
    """Read settings from an untrusted JSON file of at most `limit` bytes. Messages call it `what`.

    A record whose own configuration is strict is strict about the records inside it too.

    Raises:
        UserError: of the type `refuse`. The file cannot be read, is too large, or a field is not valid. Then it ends in
            `fix`.
    """
    try:
        with regular_file(file) as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise refuse(f"{file}: cannot be read ({error.strerror})") from error
    if len(content) > limit:
        size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
        raise refuse(f"{file}: is larger than {what} can be ({size})")
    try:
        return kind.model_validate_json(content, strict=kind.model_config.get("strict"))
    except ValidationError as error:
        name, rule, _ = first_fault(error)
        raise refuse(f"{file}: {name or 'the file'}: {rule}; {fix}") from error


def first_fault(error: ValidationError) -> tuple[str, str, str]:
    """Return the dotted place, the rule and the given value (at most 80 characters) of pydantic's first complaint."""
    fault = error.errors()[0]
    try:
        given = str(fault["input"])[:80]
    except (ValueError, RecursionError):  # a number of thousands of digits, or very deep lists
        given = type(fault["input"]).__name__
    return (
        ".".join(str(part) for part in fault["loc"])[:200],
        fault["msg"].removeprefix("Value error, "),
        f"{given!r}",
    )


def dump_settings(settings: Settings) -> str:
    """Return the resolved settings as YAML that `load_settings` reads back to an equal record."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


class Setting(NamedTuple):
    """One setting: its dotted name, the values it takes in words, its default as YAML, and what it does."""

    name: str
    values: str
    default: str
    description: str | None


_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "string": "text",
    "null": "null",
    "object": "names and values",
}
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def describe(kind: type[Settings]) -> list[Setting]:
    """Return every setting of a record, and of the records inside it by dotted names, in the order of the fields.

    A nested record is listed itself only where it may be null. `default` is "required" where there is none.
    """
    schema = kind.model_json_schema()
    return list(_described(schema, schema.get("$defs", {}), {}, ""))


def _described(
    schema: dict[str, Any], records: dict[str, Any], defaults: dict[str, Any], prefix: str
) -> Iterator[Setting]:
    """Yield the settings of one record's JSON schema; `defaults` are those that the field holding it gives."""
    for name, field in schema["properties"].items():
        references = [part["$ref"] for part in field.get("anyOf", [field]) if "$ref" in part]
        default = defaults.get(name, field.get("default", ...))
        if not references or default is None:
            written = "required" if default is ... else yaml.safe_dump(default, default_flow_style=True, width=10_000)
            written = written.removesuffix("...\n").strip()  # YAML ends a bare value with dots
            yield Setting(prefix + name, _values(field), written, field.get("description"))
        for reference in references:
            inner = default if isinstance(default, dict) else {}
            yield from _described(records[reference.rpartition("/")[2]], records, inner, f"{prefix}{name}.")


def _values(field: dict[str, Any]) -> str:
    """Say in words which values a field of a JSON schema takes."""
    if "anyOf" in field:
        return " or ".join(_values(part) for part in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        return "the settings below"
    if field.get("type") == "array":
        item = field.get("items") or field.get("prefixItems", [{}])[0]
        return f"list of {_TYPES.get(item.get('type', ''), 'value')}s"
    limits = " and ".join(f"{word} {field[limit]:g}" for limit, word in _LIMITS.items() if limit in field)
    return f"{_TYPES.get(field.get('type', ''), 'any value')} {limits}".strip()
