"""The words and the shape of the code: plain words, no reference to what is not here, helpers that earn their name."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "src" / "adfm").rglob("*.py")}
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
}
ODD_WORDS = re.compile(
    r"\b(told|mend(?:s|ed|ing)?|anew|whole or absent|h[eo]ld against|whoever|lies|stands(?! (?:for|out)))\b",
    re.IGNORECASE,
)
ELSEWHERE = re.compile(r"\bdesign(?:\.md| \d| section)", re.IGNORECASE)


def odd_words(texts: Mapping[str, str]) -> list[str]:
    """Words that a native writer would not use here, and references to a document that is not in the repository."""
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in texts.items()
        for pattern in (ODD_WORDS, ELSEWHERE)
        for match in pattern.finditer(text)
    ]


def test_the_prose_uses_plain_words() -> None:
    assert odd_words(SOURCES | PAGES) == []


@pytest.mark.parametrize(
    "text",
    ["what the user is told", "Mend it.", "write it anew", "held against the base", "it lies there", "see design 1.2"],
)
def test_an_odd_word_is_found(text: str) -> None:
    assert len(odd_words({"x.py": text})) == 1


@pytest.mark.parametrize("text", ["a token stands for an image", "a scratch that stands out", "by design, boxes"])
def test_a_plain_word_passes(text: str) -> None:
    assert odd_words({"x.py": text}) == []


def functions(texts: Mapping[str, str]) -> Iterator[tuple[str, ast.FunctionDef]]:
    for name, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                yield name, node


def lengths(texts: Mapping[str, str]) -> list[int]:
    """The lines of every function, decorators left out."""
    return sorted((node.end_lineno or node.lineno) - node.lineno + 1 for _, node in functions(texts))


def test_functions_are_short() -> None:
    found = lengths(SOURCES)
    assert statistics.median(found) <= 12
    assert found[int(0.95 * len(found))] <= 45


def overrides(texts: Mapping[str, str]) -> set[tuple[str, str]]:
    """The methods of classes that extend another: what the other calls has a caller that no module here shows."""
    classes = [
        (name, node) for name in texts for node in ast.walk(ast.parse(texts[name])) if isinstance(node, ast.ClassDef)
    ]
    return {
        (name, method.name)
        for name, node in classes
        if node.bases
        for method in node.body
        if isinstance(method, ast.FunctionDef)
    }


def helpers(texts: Mapping[str, str]) -> tuple[int, list[str]]:
    """How many private helpers there are, and those that their module calls once. One that is handed over is called elsewhere."""
    called_elsewhere = overrides(texts)
    named = [(name, node.name) for name, node in functions(texts) if re.match(r"_[a-z]", node.name)]
    private = [place for place in named if place not in called_elsewhere]
    once = []
    for name, helper in private:
        definitions = len(re.findall(rf"def {helper}\b", texts[name]))
        uses = len(re.findall(rf"(?<!\w){helper}\b", texts[name])) - definitions
        calls = len(re.findall(rf"(?<!\w){helper}\(", texts[name])) - definitions
        if uses <= 1 and calls == uses:
            once.append(f"{name}:{helper}")
    return len(private), once


def test_a_helper_has_a_second_caller_more_often_than_not() -> None:
    private, once = helpers(SOURCES)
    assert len(once) < 0.45 * private, once


def test_a_helper_that_is_called_once_is_found() -> None:
    text = "def _a():\n    return 1\n\n\ndef _b():\n    return _a()\n\n\nc = _b() + _b()\n"
    assert helpers({"x.py": text}) == (2, ["x.py:_a"])
    assert helpers({"x.py": text + "class T(Engine):\n    def _hook(self):\n        pass\n"}) == (2, ["x.py:_a"])
    assert helpers({"x.py": text + "class T:\n    def _hook(self):\n        pass\n"})[0] == 3
    assert helpers({"x.py": "def _a():\n    return 1\n\n\nb = map(_a, [])\n"}) == (1, [])
    assert lengths({"x.py": text}) == [2, 2]


def bound_twice(texts: Mapping[str, str]) -> list[str]:
    """Return the names that a module's own statements assign more than once, as a merge can leave them."""
    found = []
    for file, text in texts.items():
        targets = [target for node in ast.parse(text).body if isinstance(node, ast.Assign) for target in node.targets]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        found += [f"{file}:{name}" for name in sorted(set(names)) if names.count(name) > 1]
    return found


def test_no_constant_is_defined_twice() -> None:
    assert bound_twice(SOURCES) == []
    assert bound_twice({"x.py": "A = 1\nB = 2\nA = 1\n"}) == ["x.py:A"]  # the control
