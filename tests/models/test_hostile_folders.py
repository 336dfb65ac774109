"""Hostile model folders: each is refused in one line that names its folder, without a hang; with the guards off they are not."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile import ADAPTERS, HOSTILE, WEIGHTS, Hostile, filled, link, pipe, put, sharded, text, with_one

from adfm.errors import ModelError
from adfm.models import adapter as adapters
from adfm.models import boundary, card, files, local, processor, trial
from adfm.models import folder as folders
from adfm.models.card import protocol_of
from adfm.models.files import load_weights, revision_of
from adfm.models.local import LocalModel


@contextmanager
def guard(seconds: int = 120) -> Iterator[None]:
    """Fail where something hangs."""

    def fail(*_: Any) -> None:
        raise TimeoutError(f"over {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 1)


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.fixture(scope="module")
def lora(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model, as peft saves it."""
    import torch
    from peft import LoraConfig, get_peft_model

    out = tmp_path_factory.mktemp("lora")
    adapter = get_peft_model(load_weights(str(tiny)), LoraConfig(r=2, target_modules=r".*language_model.*q_proj"))
    torch.manual_seed(0)
    for name, weight in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    adapter.save_pretrained(out)
    return out


def refusal(folder: Path, says: str | None) -> None:
    """Load a folder, which answers where that is allowed, else is refused in one line that names it and says so."""
    with guard():
        try:
            LocalModel.load(str(folder), device="cpu")
        except ModelError as error:
            line = str(error)
        else:
            assert says is None, "it was loaded"
            return
    assert "\n" not in line and len(line) < 500
    assert str(folder) in line or "model type" in line or "nano" in line, line
    assert says is None or re.search(says, line), line


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_a_hostile_folder_is_refused(case: Hostile, copy: Path) -> None:
    case.change(copy)
    refusal(copy, case.says)


@pytest.mark.parametrize("case", ADAPTERS, ids=lambda case: case.name)
def test_a_hostile_adapter_is_refused(case: Hostile, lora: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lora, tmp_path / "adapter"))
    case.change(folder)
    refusal(folder, case.says)


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) > 100 and len(ADAPTERS) > 30
    assert len({case.name for case in HOSTILE}) == len(HOSTILE)


def test_good_folders_answer(tiny_folders: dict[str, Path], lora: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(tiny_folders["qwen3"], tmp_path / "sharded"))
    sharded(lambda _: None)(whole)
    for good in (*tiny_folders.values(), whole, lora):
        LocalModel.load(str(good), device="cpu")
    LocalModel.load("nano", device="cpu")


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"alpha_pattern": {"layers.1.self_attn.q_proj": 3}}])
@pytest.mark.parametrize("targets", [["q_proj", "down_proj"], r".*language_model.*(q_proj|v_proj)"])
def test_an_adapter_is_merged_as_peft_merges_it(
    settings: dict[str, Any], targets: Any, tiny: Path, tmp_path: Path
) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    ranks = {"layers.0.self_attn.q_proj": 3}
    chosen = LoraConfig(r=2, lora_alpha=7, target_modules=targets, rank_pattern=ranks, **settings)
    made = get_peft_model(load_weights(str(tiny)), chosen)
    for name, weight in made.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight)
    made.save_pretrained(tmp_path)
    theirs = PeftModel.from_pretrained(load_weights(str(tiny)), tmp_path).merge_and_unload().state_dict()
    ours = load_weights(str(tmp_path)).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(value.equal(theirs[name]) for name, value in ours.items())


# With a guard off, what it guards against comes through.


def test_without_the_comparison_an_adapter_with_missing_weights_loads(
    lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(lora, tmp_path / "adapter"))
    put("adapter_config.json", "target_modules", ["layers.0.self_attn.q_proj"])(folder)
    refusal(folder, "belong to no layer")
    monkeypatch.setattr(adapters, "require_fit", lambda *_: None)
    LocalModel.load(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("change", "module", "name", "stand_in"),
    [
        (with_one("down_proj", filled(float("nan"))), files, "require_finite", lambda *_: None),
        (link("chat_template.jinja", "{out}/chat_template.jinja"), files, "check_folder", lambda _: None),
        (put("config.json", "auto_map", {"AutoConfig": "x.Y"}), folders, "check_settings", lambda *_: None),
        (put("processor_config.json", "image_processor.image_std", [1e-9] * 3), files, "check_images", lambda *_: None),
        (put("generation_config.json", "min_new_tokens", 9), files, "GENERATION_SETTINGS", {"min_new_tokens"}),
        (sharded(lambda index: index["weight_map"].update(no="model-1-of-2.safetensors")), folders, "shapes", None),
    ],
    ids=["not finite", "link out", "code", "images", "generation", "index"],
)
def test_without_its_guard_a_folder_loads(
    change: Callable[[Path], None], module: Any, name: str, stand_in: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(copy)
    refusal(copy, ".")
    if stand_in is None:
        held = folders.shapes
        stand_in = lambda file: {**held(file), **({"no": (1,)} if "model-1-" in file.name else {})}  # noqa: E731
    if isinstance(stand_in, set):
        stand_in = files.GENERATION_SETTINGS | stand_in
    monkeypatch.setattr(module, name, stand_in)
    if hasattr(card, name):
        monkeypatch.setattr(card, name, stand_in)
    LocalModel.load(str(copy), device="cpu")


def test_without_the_limits_an_endless_template_hangs(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    text("chat_template.jinja", endless)(copy)
    monkeypatch.setattr(files, "try_texts", processor.templates_in)
    with pytest.raises((TimeoutError, ModelError), match="over 2 s"), guard(2):
        LocalModel.load(str(copy), device="cpu")


def test_without_the_boundary_a_fault_of_a_library_is_not_in_one_line(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("config.json", "text_config.num_attention_heads", 0)(copy)
    refusal(copy, "cannot be loaded")
    monkeypatch.setattr(boundary, "is_ours", lambda _: True)
    with pytest.raises(ZeroDivisionError):
        LocalModel.load(str(copy), device="cpu")


def test_a_fault_of_ours_passes_the_boundary(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("ours")

    model = LocalModel.load(str(tiny), device="cpu")
    monkeypatch.setattr(local.VerdictWatch, "__call__", lambda *_: local.sigmoid("x"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        model.rehearse()
    monkeypatch.setattr(local.VerdictWatch, "__call__", broken)
    with pytest.raises(ModelError, match="ours"):
        model.rehearse()


def test_a_device_that_is_not_there(tiny: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ModelError, match="cannot be used on 'cuda'"):
        load_weights(str(tiny), device="cuda")
    with pytest.raises(ModelError, match="no_such"):
        load_weights(str(tiny), dtype="no_such")


# The revision.

FILES = ("config.json", "generation_config.json", "processor_config.json", "chat_template.jinja", WEIGHTS)


@pytest.mark.parametrize(
    "name", [*FILES, "tokenizer.json", "tokenizer_config.json", "adfm.json", "preprocessor_config.json"]
)
def test_every_file_that_changes_answers_changes_the_revision(name: str, copy: Path) -> None:
    before = revision_of(str(copy))
    file = copy / name
    file.write_bytes((file.read_bytes() if file.exists() else b"") + b" ")
    assert revision_of(str(copy)) != before


@pytest.mark.parametrize("name", ["README.md", "calibration.json", "trainer_state.json"])
def test_other_files_and_places_do_not(name: str, copy: Path, tmp_path: Path) -> None:
    before = revision_of(str(copy))
    (copy / name).write_text("x")
    assert revision_of(str(copy)) == before
    assert revision_of(str(copy.rename(tmp_path / "moved"))) == before


def test_the_revision_of_an_adapter_follows_its_base(lora: Path, copy: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lora, tmp_path / "adapter"))
    put("adapter_config.json", "base_model_name_or_path", str(copy))(folder)
    before = revision_of(str(folder))
    text("chat_template.jinja", "x")(copy)
    base_changed = revision_of(str(folder))
    put("adapter_config.json", "lora_alpha", 3)(folder)
    assert len({before, base_changed, revision_of(str(folder))}) == 3


def test_a_hub_id_is_checked_as_a_folder_is(
    tiny: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    repository, commit = tmp_path / "hub" / "models--some--one", "0123456789abcdef0123456789abcdef01234567"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(tiny, repository / "blobs")
    snapshot.mkdir(parents=True)
    for file in (repository / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert LocalModel.load("some/one", device="cpu").revision == commit
    adapter = Path(shutil.copytree(lora, tmp_path / "adapter"))
    put("adapter_config.json", "base_model_name_or_path", "some/one")(adapter)
    for revision in (None, commit):
        put("adapter_config.json", "revision", revision)(adapter)
        LocalModel.load(str(adapter), device="cpu")
    put("adapter_config.json", "revision", "f" * 40)(adapter)
    refusal(adapter, "is an adapter of revision ffff")
    put("config.json", "auto_map", {"AutoConfig": "evil.Evil"})(repository / "blobs")
    with pytest.raises(ModelError, match="code of a model"):
        LocalModel.load("some/one", device="cpu")
    with pytest.raises(ModelError, match="nobody/no-such-model"):
        LocalModel.load("nobody/no-such-model", device="cpu")


@pytest.mark.parametrize("change", [pipe("adfm.json"), link("adfm.json", "{out}/adfm.json")], ids=["pipe", "link"])
def test_a_card_is_checked_before_it_is_read(change: Callable[[Path], None], copy: Path) -> None:
    change(copy)
    with guard(5), pytest.raises(ModelError, match=r"adfm\.json"):
        protocol_of(str(copy))


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    pipe("config.json")(tmp_path)
    with guard(5), pytest.raises(ModelError, match="not a regular file"):
        folders.read_bytes(tmp_path / "config.json", 10)
    with pytest.raises(TimeoutError), guard(1):
        (tmp_path / "config.json").read_bytes()  # the control
