"""Strict settings from YAML: plain data only, unknown names refused with the nearest known one, `key=value` overrides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from adfm.errors import ConfigError, nearest

MAX_CONFIG_BYTES = 1 << 20


class Settings(BaseModel):
    """Base of every settings record: frozen, no unknown names, no silent conversion of numbers to text."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


S = TypeVar("S", bound=Settings)


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without aliases (bombs) and without repeated keys (the later one would win silently)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {str(key) for key in keys if keys.count(key) > 1}
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


def load_settings(kind: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read settings from a YAML file and apply `a.b=value` overrides, which win.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: is larger than a settings file can be (1 MiB)")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a settings file ({error})") from error
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold 'name: value' lines")
    return make_settings(kind, apply_overrides(values, overrides), str(path))


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values with each `a.b=value` put in; a value is read as YAML (`1e-4` too is a number)."""
    result = dict(values)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise ConfigError(f"'{override}': an override must look like name=value")
        *parents, last = name.split(".")
        target = result
        for parent in parents:
            child = target.get(parent)
            target[parent] = dict(child) if isinstance(child, dict) else {}
            target = target[parent]
        target[last] = _number(text) if _number(text) is not None else parse_yaml(text, override)
    return result


def _number(text: str) -> float | None:
    """YAML 1.1 reads `1e-4` as text; everybody means the number."""
    try:
        return float(text) if "e" in text.lower() and text[:1].isdigit() else None
    except ValueError:
        return None


def make_settings(kind: type[S], values: dict[str, Any], origin: str) -> S:
    """Check values against a settings record.

    Raises:
        ConfigError: names the first fault, its place and the nearest known name.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        name, fault, given = first_fault(error)
        if error.errors()[0]["type"] == "extra_forbidden":
            parents, _, last = name.rpartition(".")
            known = _names(kind, parents.split(".") if parents else [])
            raise ConfigError(f"{origin}: unknown setting '{name}'{nearest(last, known)}") from error
        raise ConfigError(f"{origin}: setting '{name}': {fault} (given: {given})") from error


def first_fault(error: ValidationError) -> tuple[str, str, str]:
    """Return the dotted place, the rule and the given value (at most 80 characters) of pydantic's first complaint."""
    fault = error.errors()[0]
    return ".".join(str(part) for part in fault["loc"]), fault["msg"], f"{str(fault['input'])[:80]!r}"


def _names(kind: type[BaseModel], path: list[str]) -> list[str]:
    """The names known at a nested place of a settings record."""
    for part in path:
        field = kind.model_fields.get(part)
        inner = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)] if field else []
        models = [t for t in inner if issubclass(t, BaseModel)]
        if not models:
            return []
        kind = models[0]
    return list(kind.model_fields)


def dump_settings(settings: Settings) -> str:
    """Return the resolved settings as YAML that `load_settings` reads back to an equal record."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
