"""Draw the picture of docs/shared-prefix.md: which token sees which, eight answers alone and eight answers in one pass.

python docs/make_shared_prefix.py
"""

from __future__ import annotations

from pathlib import Path

PICTURE, TEXT, ANSWER, LAST = "#4c78a8", "#9ecae9", "#f58518", "#54a24b"
COUNT = 3  # answers shown
LENGTHS = {"picture": 6, "text": 4, "answer": 4}
CELL = 9


def main() -> None:
    """Write docs/images/shared-prefix.svg."""
    one = LENGTHS["picture"] + LENGTHS["text"] + LENGTHS["answer"]
    prompt = LENGTHS["picture"] + LENGTHS["text"]
    packed = prompt - 1 + COUNT * LENGTHS["answer"]
    width, top = 40 + COUNT * (one + 2) * CELL + packed * CELL + 90, 64
    parts = [
        _text(20, 24, "Stock: one row per answer", bold=True),
        _text(20, 42, f"{COUNT} x ({prompt} + {LENGTHS['answer']}) = {COUNT * (prompt + LENGTHS['answer'])} tokens"),
    ]
    for answer in range(COUNT):
        parts += _triangle(20 + answer * (one + 2) * CELL, top, one, prompt)
    left = 20 + COUNT * (one + 2) * CELL + 40
    tokens = f"{prompt} - 1 + {COUNT} x {LENGTHS['answer']} = {packed} tokens"
    parts += [_text(left, 24, "One pass: one row per group", bold=True), _text(left, 42, tokens)]
    parts += _packed(left, top, prompt, packed)
    bottom = top + packed * CELL + 26
    legend = [(PICTURE, "picture"), (TEXT, "prompt text"), (LAST, "last prompt token, repeated"), (ANSWER, "answer")]
    for number, (colour, name) in enumerate(legend):
        parts += [_cell(20 + number * 190, bottom - 9, colour), _text(34 + number * 190, bottom, name)]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 14}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
    (Path(__file__).parent / "images" / "shared-prefix.svg").write_text(svg)


def _triangle(left: float, top: float, size: int, prompt: int) -> list[str]:
    """A causal row: queries downwards, keys to the right."""
    return [
        _cell(left + key * CELL, top + query * CELL, _colour(key, prompt, key - prompt))
        for query in range(size - 1)
        for key in range(query + 1)
    ]


def _packed(left: float, top: float, prompt: int, size: int) -> list[str]:
    """The block mask: every token sees the prompt before it and its own segment up to itself."""
    shared, length = prompt - 1, LENGTHS["answer"]
    cells = []
    for query in range(size):
        for key in range(query + 1):
            own = query >= shared and key >= shared and (query - shared) // length == (key - shared) // length
            if key < shared or own:
                place = (key - shared) % length - 1 if key >= shared else key - shared - 1
                cells.append(_cell(left + key * CELL, top + query * CELL, _colour(key, shared, place)))
    return cells


def _colour(key: int, prompt: int, place: int) -> str:
    if key < LENGTHS["picture"]:
        return PICTURE
    if key < prompt and place < 0 and not (place == -1 and prompt == LENGTHS["picture"] + LENGTHS["text"]):
        return TEXT
    return LAST if place == -1 else ANSWER


def _cell(x: float, y: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="13"{weight} fill="#222">{text}</text>'


if __name__ == "__main__":
    main()
