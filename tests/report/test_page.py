"""The page is self-contained, shows what it was given, and no text that it shows can become markup."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from adfm.errors import DataError
from adfm.geometry import Box
from adfm.predictions import Prediction
from adfm.records import Region, Reward
from adfm.report import Difference, ReportInputs, RunResult, page, render, write_report

Make = Callable[..., ReportInputs]

BREAKS = ("", '"', "'", "-->", "</title>", "</style>", "</summary></details>", "]]>", "\x00", "{{ 7*7 }}")
CODES = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe src=//evil.example></iframe>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<style>@import 'http://evil.example';</style>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example/>",
    "<form action=http://evil.example><input name=q></form>",
    " onmouseover=alert(1) x=",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<b>bold</b>",
    "<!-- comment",
    "<image href=http://evil.example/x.png />",
    "<use href=http://evil.example/x.svg#a />",
    "<object data=http://evil.example></object>",
    "<plaintext>",
    "<x style=background:url(http://evil.example)>",
    "\u202e<script>\ud800",
)
PAYLOADS = [f"{before}{code}" for before, code in product(BREAKS, CODES)]


class Outline(HTMLParser):
    """The tags of a page with the names of their attributes, and every address that it could load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.comments = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))
        names = ("src", "href", "data", "action", "srcset", "xlink:href")
        self.addresses += [value or "" for name, value in attrs if name in names]

    def handle_comment(self, data: str) -> None:
        self.comments += 1


def hostile_inputs(text: str) -> ReportInputs:
    """A report in which every text field is `text`."""
    shown: dict[str, Any] = {
        "id": text,
        "label": "anomalous",
        "category": text,
        "defect": text,
        "image": "absent.png",
        "width": 100,
        "height": 80,
        "boxes": (Box(10, 10, 30, 30),),
        "verdict": "anomalous",
        "score": 0.9,
        "regions": (Region(Box(10, 10, 30, 30), text), Region(Box(50, 10, 70, 30), text)),
        "located": (Region(Box(40, 40, 60, 60), text),),
        "examination": text,
        "response": text,
        "frame": text,
        "strict": False,
        "problems": (text,),
        "reward": Reward(0.0, 1.0, 0.2, 1.2),
    }
    right = Prediction(**shown)
    wrong = replace(right, verdict="normal", score=0.1, regions=())
    cell = {"value": 0.5, "low": 0.4, "high": 0.6}
    metrics = {
        "n": 1,
        "metrics": {"accuracy": cell, "mean_iou": cell},
        "problems": {text: 3},
        "rewards": {"total": 1.0},
        "categories": {text: {}, "other": {}},
        "macro": {"accuracy": cell},
    }
    return ReportInputs(
        title=text,
        runs=(RunResult(text, metrics, (wrong,)), RunResult(text + " ", metrics, (right,))),
        differences=(Difference(text + " ", text, {"accuracy": (0.1, 0.2, 0.3), "mean_iou": (-0.1, 0.0, 0.1)}),),
        journals={text: ({"step": 1, "reward/total": 1.0, "located/normal_0": 2}, {"step": 2, "reward/total": 1.5})},
        settings={text: text, "nested": {text: [text, {text: text}]}},
        provenance={text: text},
        images_root=Path("absent"),
    )


def faults(text: str) -> list[str]:
    """Every way in which a payload changed the page; compared with the same page around a harmless word."""
    plain, hostile = Outline(render(hostile_inputs("word"))), render(hostile_inputs(text))
    found = Outline(hostile)
    marks = [] if "<" not in text or text not in hostile else ["stands unescaped"]
    changed = [] if found.tags == plain.tags and found.comments == plain.comments else ["changed the markup"]
    away = [address for address in found.addresses if not address.startswith(("#", "data:image/"))]
    return marks + changed + away


def test_there_are_two_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) == 200


def test_no_text_becomes_markup() -> None:
    assert {payload: faults(payload) for payload in PAYLOADS if faults(payload)} == {}


def test_the_check_sees_an_unescaped_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with escaping off, the check above finds the payloads."""
    careless: Environment = page.environment().overlay(autoescape=False)
    monkeypatch.setattr(page, "environment", lambda: careless)
    hurt = [payload for payload in PAYLOADS if faults(payload)]
    assert len(hurt) >= 180
    assert "stands unescaped" in faults(CODES[0]) and "changed the markup" in faults(CODES[1])
    assert "http://evil.example/x.css" in faults(CODES[5])


def test_every_text_field_reaches_the_page() -> None:
    """The payloads above were really put in: a marker in each field is found, escaped or not."""
    shown = render(hostile_inputs("MARKER"))
    assert shown.count("MARKER") >= 30


def test_templates_do_not_run_what_they_are_given() -> None:
    assert "{{ 7*7 }}" in render(hostile_inputs("{{ 7*7 }}"))


def test_nothing_is_loaded_from_elsewhere(make_inputs: Make) -> None:
    text = render(make_inputs())
    outline = Outline(text)
    assert not re.search(r"https?://", text)
    assert "//" not in re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert outline.addresses and all(a.startswith(("#", "data:image/")) for a in outline.addresses)
    assert not re.search(r"\bsrc\s*=|url\(|@import", text)
    assert {tag for tag, _ in outline.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    assert not [name for _, names in outline.tags for name in names if name.startswith("on")]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert f'content="{policy}"' in text


def test_links_within_the_page_lead_somewhere(make_inputs: Make) -> None:
    text = render(make_inputs())
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert {link.removeprefix("#") for link in Outline(text).addresses if link.startswith("#")} <= targets


def test_same_inputs_same_bytes(make_inputs: Make, tmp_path: Path) -> None:
    inputs = make_inputs(20)
    write_report(tmp_path / "a.html", inputs)
    page.environment.cache_clear()
    write_report(tmp_path / "b.html", inputs)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    write_report(tmp_path / "c.html", replace(inputs, title="other"))
    assert (tmp_path / "c.html").read_bytes() != (tmp_path / "a.html").read_bytes()


def test_a_large_report_stays_small(make_inputs: Make, tmp_path: Path) -> None:
    inputs = make_inputs(60, (0.5, 0.6, 0.7), steps=3000)
    chatty = [replace(p, response="word " * 10_000, examination="word " * 10_000) for p in inputs.runs[1].predictions]
    runs = (inputs.runs[0], replace(inputs.runs[1], predictions=tuple(chatty)), inputs.runs[2])
    write_report(tmp_path / "r.html", replace(inputs, runs=runs))
    assert (tmp_path / "r.html").stat().st_size < 5_000_000


def test_images_are_embedded_once_and_their_absence_is_said(make_inputs: Make) -> None:
    inputs = make_inputs(20)
    text = render(inputs)
    assert text.count("data:image/") == text.count("<symbol ") > 0
    assert text.count("<use ") == 2 * text.count("<symbol ")  # one embedded image serves both runs
    without = render(replace(inputs, images_root=None))
    assert "data:image/" not in without and "image not found" in without


def outside(inputs: ReportInputs, way: str) -> ReportInputs:
    """The same inputs, every image named so that it is outside the root: a real image, which a page could show."""
    root = inputs.images_root
    assert root is not None
    other = root.parent / f"{root.name}-outside"
    other.mkdir()
    source = next(root.glob("*.png"))
    (other / "secret.png").write_bytes(source.read_bytes())
    (root / "link.png").symlink_to(other / "secret.png")
    (root / "folder").symlink_to(other)
    names = {"absolute": str(other / "secret.png"), "up": f"../{other.name}/secret.png", "link": "link.png"}
    name = names.get(way, "folder/secret.png")
    runs = [replace(run, predictions=tuple(replace(p, image=name) for p in run.predictions)) for run in inputs.runs]
    return replace(inputs, runs=tuple(runs))


@pytest.mark.parametrize("way", ["absolute", "up", "link", "folder"])
def test_an_image_outside_the_root_is_not_shown(way: str, make_inputs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = outside(make_inputs(8), way)
    with pytest.raises(DataError, match="outside"):
        render(inputs)
    monkeypatch.setattr(Path, "is_relative_to", lambda *_: True)  # the control: the image is one
    assert "data:image/" in render(inputs)


@pytest.mark.parametrize("name", ["no\0name", "x" * 5000, "loop.png", "pipe.png", "/dev/zero/.."])
def test_a_name_without_an_image_is_said_or_refused(name: str, make_inputs: Make) -> None:
    inputs = make_inputs(8)
    root = inputs.images_root
    assert root is not None
    (root / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "pipe.png")
    runs = [replace(run, predictions=tuple(replace(p, image=name) for p in run.predictions)) for run in inputs.runs]
    try:
        assert "data:image/" not in render(replace(inputs, runs=tuple(runs)))
    except DataError as error:
        assert "outside" in str(error)


def test_print_keeps_the_colours_that_carry_meaning() -> None:
    style = (page.TEMPLATES / "style.css").read_text()
    assert style.count("{") == style.count("}")
    printed = style[style.index("@media print") :]
    assert re.search(r"\.chip, \.box, \.bar svg, \.key, \.share \{ print-color-adjust: exact;", printed)
    assert "min-width" not in printed and ".flips" not in printed


def test_figures_are_those_of_the_metrics(make_inputs: Make) -> None:
    inputs = make_inputs(40)
    text = render(inputs)
    for run in inputs.runs:
        accuracy = run.metrics["metrics"]["balanced_accuracy"]
        assert f"{100 * accuracy['value']:.1f}\u202f%" in text
        assert f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"runs": (), "differences": ()},
        {"journals": {}},
        {"journals": {"bare": ({"step": 1}, {"loss": 2.0}, {"step": "x", "loss": float("nan")})}},
        {"differences": ()},
        {"settings": {}, "provenance": {}},
    ],
)
def test_absent_inputs_leave_their_section_out(make_inputs: Make, changes: dict[str, Any]) -> None:
    inputs = replace(make_inputs(8), **changes)
    text = render(inputs)
    assert ('id="metrics"' in text) == bool(inputs.runs)
    assert ('id="training"' in text) == ("reward/total" in str(inputs.journals))
    assert ('id="origin"' in text) == bool(inputs.settings)
    assert 'id="definitions"' in text


def test_one_run_alone_and_metrics_without_predictions(make_inputs: Make) -> None:
    inputs = make_inputs(10, (0.8,))
    text = render(replace(inputs, runs=(replace(inputs.runs[0], predictions=()),)))
    assert 'id="parts"' not in text and 'id="errors"' not in text and 'id="metrics"' in text
