"""`adfm.json` beside the weights: written and read back, absent, inherited by an adapter, and refused where it is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from adfm import __version__
from adfm.errors import ModelError
from adfm.models.card import CARD, MAX_BYTES, ModelCard, TrainedOn, protocol_of, read_card, write_card
from adfm.models.local import LocalModel
from adfm.models.nano import WEIGHTS
from adfm.reasoning import DEFAULT, Protocol
from adfm.training.nano import PROTOCOL as NANO

PROTOCOL = Protocol(stages="locate_answer", name_category=False, shots=2, max_new_tokens=99)


def model_folder(folder: Path) -> Path:
    """A folder that looks like a model: no card is read from anything else."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    return folder


def adapter_folder(folder: Path, base: Path) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    return folder


def test_a_card_survives_the_file(tmp_path: Path) -> None:
    trained_on = TrainedOn(manifest_sha256=None, recipe_sha256="b" * 64, seed=3, start="nano")
    card = ModelCard(protocol=PROTOCOL, trained_on=trained_on)
    write_card(model_folder(tmp_path), card)
    assert read_card(str(tmp_path)) == card
    content = json.loads((tmp_path / CARD).read_text())
    assert content["schema"] == "adfm.model/1" and content["adfm"] == __version__
    assert content["protocol"] == PROTOCOL.model_dump() and content["trained_on"] == trained_on.model_dump()


def test_a_model_without_a_card_has_the_default_protocol(tmp_path: Path, tiny: Path) -> None:
    assert read_card(str(model_folder(tmp_path))) is None
    assert protocol_of(str(tmp_path)) == DEFAULT == LocalModel.load(str(tiny)).protocol


def test_a_loaded_model_has_the_protocol_of_its_card(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "carded"))
    write_card(folder, ModelCard(protocol=PROTOCOL))
    assert LocalModel.load(str(folder)).protocol == PROTOCOL != DEFAULT


def test_the_bundled_model_has_a_card() -> None:
    card = read_card("nano")
    assert card is not None and card.trained_on is None
    assert card.protocol == NANO == DEFAULT.model_copy(update={"max_new_tokens": 256})  # as a build writes it
    assert (WEIGHTS / CARD).is_file()


def test_an_adapter_takes_the_card_of_its_base_where_it_has_none(tmp_path: Path) -> None:
    base = model_folder(tmp_path / "base")
    adapter = adapter_folder(tmp_path / "adapter", base)
    assert protocol_of(str(adapter)) == DEFAULT
    write_card(base, ModelCard(protocol=PROTOCOL))
    assert protocol_of(str(adapter)) == PROTOCOL
    write_card(adapter, ModelCard(protocol=Protocol(shots=1)))
    assert protocol_of(str(adapter)) == Protocol(shots=1)


def test_a_hub_model_that_cannot_be_reached_has_the_default_protocol() -> None:
    assert protocol_of("nobody/no-such-model") == DEFAULT


def changed(**fields: Any) -> str:
    return json.dumps(ModelCard(protocol=PROTOCOL).model_dump(mode="json", by_alias=True) | fields)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Invalid JSON"),
        ("[]", "the file"),
        ("{}", "Field required"),
        (changed(schema="adfm.model/2"), "schema"),
        (changed(code="import os"), "code"),
        (changed(adfm="x" * 2000), "adfm"),
        (changed(protocol={"stages": "none"}), "stages"),
        (changed(protocol={"max_new_tokens": 0}), "max_new_tokens"),
        (changed(protocol={"max_new_tokens": 10**9}), "max_new_tokens"),
        (changed(protocol={"shots": 400}), "shots"),
        (changed(protocol={"stage": "full"}), "stage"),
        (changed(trained_on={"seed": 1}), "trained_on"),
        (json.dumps({"protocol": {}, "pad": "x" * MAX_BYTES}), "larger than a model's card can be"),
    ],
)
def test_a_damaged_card_is_refused_in_one_line(content: str, reason: str, tmp_path: Path) -> None:
    card = model_folder(tmp_path) / CARD
    card.write_text(changed())
    assert protocol_of(str(tmp_path)) == PROTOCOL  # the control: unchanged it is read
    card.write_text(content)
    with pytest.raises(ModelError) as refused:
        read_card(str(tmp_path))
    assert str(card) in str(refused.value) and reason in str(refused.value) and "\n" not in str(refused.value)


def test_a_card_of_no_text_is_refused(tmp_path: Path) -> None:
    (model_folder(tmp_path) / CARD).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=CARD):
        read_card(str(tmp_path))


def test_a_folder_in_the_place_of_the_card_is_refused(tmp_path: Path) -> None:
    (model_folder(tmp_path) / CARD).mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(str(tmp_path))
