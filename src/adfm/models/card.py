"""`adfm.json` beside a model's weights: the protocol that the model was trained for, and what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from adfm import __version__
from adfm.config import Settings, read_json_settings
from adfm.errors import ModelError
from adfm.models.files import base_of, resolve
from adfm.models.folder import check_folder
from adfm.reasoning import DEFAULT, Protocol
from adfm.storage import write_json

CARD = "adfm.json"
MAX_BYTES = 1 << 16
Name = Annotated[str, Field(max_length=1000)]


class TrainedOn(Settings):
    """What a training saw: hashes of the manifest's samples and of the resolved recipe, the seed and the start model.

    `white` is the value that was white in images of more than 8 bits.
    """

    manifest_sha256: Name | None
    recipe_sha256: Name
    seed: int
    start: Name
    white: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class ModelCard(Settings):
    """The content of `adfm.json`. The file may come from a stranger, so every name and length is checked."""

    model_config = ConfigDict(populate_by_name=True)

    schema_name: Literal["adfm.model/1"] = Field("adfm.model/1", alias="schema")
    adfm: Name = __version__
    protocol: Protocol
    trained_on: TrainedOn | None = None


def write_card(folder: Path, card: ModelCard) -> None:
    """Write a model's card atomically."""
    write_json(folder / CARD, card.model_dump(mode="json", by_alias=True))


def read_card(model: str) -> ModelCard | None:
    """Return the card of a model folder, hub id or `nano`, or of the base model of an adapter. None where it has none.

    Raises:
        ModelError: the model cannot be found, its folder holds what it must not, or its card is not valid.
    """
    folder = resolve(model)
    for place in dict.fromkeys((folder, base_of(folder))):
        if Path(place).is_dir():
            check_folder(Path(place))
        file = Path(place) / CARD if Path(place).is_dir() else _hub_file(place)
        if file is None or not file.exists():
            continue
        fix = "remove the file to use the default protocol"
        return read_json_settings(ModelCard, file, MAX_BYTES, ModelError, what="a model's card", fix=fix)
    return None


def protocol_of(model: str) -> Protocol:
    """Return the protocol that a model was trained for. A model without one has the default."""
    card = read_card(model)
    return card.protocol if card else DEFAULT


def white_of(model: str) -> float | None:
    """Return the value that was white in the images of more than 8 bits that a model was trained on, None if unknown."""
    card = read_card(model)
    return card.trained_on.white if card and card.trained_on else None


def _hub_file(model: str) -> Path | None:
    """Return the card in the local copy of a hub model, downloading it where a hub can be reached."""
    from transformers.utils import cached_file

    errors = ("missing_entries", "connection_errors", "gated_repo")
    options: dict[str, Any] = {f"_raise_exceptions_for_{name}": False for name in errors}
    try:
        found = cached_file(model, CARD, **options)
    except (OSError, ValueError):  # no such repository: loading the model says so in its own words
        return None
    return Path(found) if found else None
