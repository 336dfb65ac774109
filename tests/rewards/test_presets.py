"""The table of grounding rewards, and presets of installed packages: by entry points only, checked, never from a path."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adfm.config import make_settings
from adfm.errors import ConfigError
from adfm.geometry import Box, Frame
from adfm.records import Response, Sample
from adfm.rewards import PRESETS, Preset, RewardSettings, gold_fault, maximum, preset_named, reward
from adfm.rewards.presets import GROUP
from adfm.rewards.truth import flat_settings

TRUE = (Box(10, 10, 30, 30),)
BAD = Sample("a", "a.png", 100, 80, "anomalous", "cap", "scratch", None, TRUE, "test", "0")
OWN = Frame.original(100, 80)
NOTHING = Response("anomalous", (), None, "", True, ())

CODE = """
from adfm.rewards import Preset

def grounding(predicted, true, alpha):
    return 2.0 if list(predicted) == list(true) else 0.0

def best(alpha):
    return {best}

PRESET = Preset("exact", grounding, best)
"""

Module = Callable[..., str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Return what writes a module that Python can import, and installs it where an entry point is given."""
    numbers = itertools.count()
    monkeypatch.syspath_prepend(str(tmp_path))
    preset_named.cache_clear()

    def write(point: str | None = None, code: str = CODE, best: str = "2.0") -> str:
        """Return the module's name. `{}` in the entry point is replaced by it."""
        name = f"adfm_test_preset_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(code.replace("{best}", best))
        if point is not None:
            info = tmp_path / f"{name}-0.1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
            (info / "entry_points.txt").write_text(f"[{GROUP}]\n{point.format(name)}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    yield write
    preset_named.cache_clear()


def test_the_best_of_our_own_presets_is_what_a_perfect_answer_earns() -> None:
    for preset in PRESETS.values():
        for alpha in (0.0, 0.5, 2.0):
            assert preset.value(TRUE, TRUE, alpha) == preset.best(alpha)
            assert preset.value((), TRUE, alpha) < preset.best(alpha)


def test_a_preset_of_an_installed_package_is_used_by_its_name(module: Module) -> None:
    module("exact = {}:PRESET")
    settings = RewardSettings(preset="exact")
    assert reward(NOTHING, BAD, settings).grounding == 0.0
    assert maximum(BAD, settings).grounding == 2.0
    assert gold_fault(BAD, OWN, settings) is None
    assert gold_fault(BAD, Frame.thousand(100, 80), settings) is None
    assert flat_settings({"preset": "exact"}) == settings


def test_a_wrong_best_is_found_by_the_gold_check(module: Module) -> None:
    module("exact = {}:PRESET", best="2.5")
    assert gold_fault(BAD, OWN, RewardSettings(preset="exact")) == (
        "its canonical answer earns a grounding of 2.0000 of 2.5000"
    )


def test_an_object_that_an_installed_package_declares_goes_by_its_path_too(module: Module) -> None:
    name = module("exact = {}:PRESET")
    settings = make_settings(RewardSettings, {"preset": f"{name}:PRESET"}, "recipe.yaml")
    assert maximum(BAD, settings).grounding == 2.0


def test_the_same_object_without_an_entry_point_is_refused_and_not_imported(module: Module) -> None:
    name = module()
    for given in (f"{name}:PRESET", name, f"{name}.py", "./x.py:PRESET"):
        with pytest.raises(ConfigError, match=r"is not known.*presets: paper, set_iou") as caught:
            make_settings(RewardSettings, {"preset": given}, "recipe.yaml")
        assert "\n" not in str(caught.value)
    assert name not in sys.modules
    __import__(name)  # it could have been imported
    assert name in sys.modules


def test_another_object_of_an_installed_module_is_refused_and_not_imported(module: Module) -> None:
    name = module("exact = {}:PRESET")
    for given in (f"{name}:OTHER", f"{name}:grounding", f" {name}:PRESET"):
        with pytest.raises(ConfigError, match="presets: paper, set_iou, exact"):
            preset_named(given)
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("point", "code", "message"),
    [
        ("exact = {}:grounding", CODE, "is not an adfm.rewards.Preset"),
        ("exact = {}:PRESET", "raise SystemError('a\\nb')", "cannot be imported .SystemError: a b."),
        ("exact = {}:PRESET", "", "cannot be imported"),
        ("paper = {}:PRESET", CODE, "adfm has its own 'paper'"),
    ],
)
def test_an_extension_that_is_wrong_is_one_line(point: str, code: str, message: str, module: Module) -> None:
    module(point, code)
    with pytest.raises(ConfigError, match=message) as caught:
        make_settings(RewardSettings, {"preset": "exact"}, "recipe.yaml")
    assert "\n" not in str(caught.value)


def test_our_own_presets_need_no_extensions(module: Module) -> None:
    name = module("paper = {}:PRESET")
    assert preset_named("paper") is PRESETS["paper"]
    assert name not in sys.modules


def failing(predicted: object, true: object, alpha: float) -> float:
    raise ZeroDivisionError("no\nboxes")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (failing, "its function failed .ZeroDivisionError: no boxes."),
        (lambda *_: math.nan, "gave nan"),
        (lambda *_: math.inf, "gave inf"),
        (lambda *_: -1e300, "gave -1e[+]300"),
        (lambda *_: None, "its function failed"),
        (lambda *_: "high", "its function failed"),
    ],
)
def test_a_function_that_gives_no_finite_number_is_refused_in_one_line(
    function: Callable[..., float], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "mine", Preset("mine", function, lambda _: 1.0))
    with pytest.raises(ConfigError, match=f"reward preset 'mine': {message}") as caught:
        reward(NOTHING, BAD, RewardSettings(preset="mine"))
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(PRESETS, "mine", Preset("mine", lambda *_: 1, lambda _: 1.0))
    preset_named.cache_clear()
    assert reward(NOTHING, BAD, RewardSettings(preset="mine")).grounding == 1.0
    preset_named.cache_clear()
