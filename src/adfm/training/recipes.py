"""Where recipes lie and how a program, not a user, fills one in; what a recipe may say is in `settings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from adfm.config import load_settings, make_settings
from adfm.errors import ConfigError, nearest
from adfm.training.settings import TrainSettings

RECIPES = Path(__file__).parent.parent / "recipes"
T = TypeVar("T", bound=TrainSettings)


def find_recipe(name: str) -> Path:
    """Return a recipe file, given its path or the name of a packaged one.

    Raises:
        ConfigError: neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = sorted(file.stem for file in RECIPES.glob("*.yaml"))
    if name in known:
        return RECIPES / f"{name}.yaml"
    raise ConfigError(f"{name}: no such file or recipe{nearest(name, known)}; recipes: {', '.join(known)}")


def filled_recipe(kind: type[T], name: str, overrides: Sequence[str], *, manifest: Path, **values: Any) -> T:
    """Return a recipe with a user's overrides, then with values that a program sets: taken as they are, never as YAML.

    Raises:
        ConfigError: no such recipe, or a setting is unknown, of the wrong type or out of range.
    """
    recipe = find_recipe(name)
    chosen: Mapping[str, Any] = load_settings(kind, recipe, overrides).model_dump()
    data = {**chosen["data"], "manifest": str(manifest)}
    return make_settings(kind, {**chosen, **values, "data": data}, str(recipe))
