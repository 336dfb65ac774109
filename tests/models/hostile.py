"""Model folders that strangers could send: small changes of a good one, and what the refusal must say."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

BIG, NAN = 10**9, float("nan")
WEIGHTS, CONFIG, PROCESSOR, TEMPLATE = (
    "model.safetensors",
    "config.json",
    "processor_config.json",
    "chat_template.jinja",
)
GENERATION, TOKENIZER, TOKENS, ADAPTER = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "adapter_config.json",
)
Change = Callable[[Path], None]


class Hostile(NamedTuple):
    """A change of a good folder, and words of the refusal; None where the model may also answer, in bounded time."""

    name: str
    change: Change
    says: str | None = "."


def change_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the object in a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def put(file: str, place: str, value: Any) -> Change:
    """Set a dotted place of a JSON file."""

    def change(folder: Path) -> None:
        def inside(content: dict[str, Any]) -> None:
            *parents, last = place.split(".")
            for parent in parents:
                content = content.setdefault(parent, {})
            content[last] = value

        change_json(folder / file, inside)

    return change


def text(file: str, content: str) -> Change:
    """Replace a file by a text."""

    def change(folder: Path) -> None:
        (folder / file).write_text(content)

    return change


def weights(change: Callable[[dict[str, Any]], None], file: str = WEIGHTS) -> Change:
    """Change the tensors of a file."""

    def changed(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / file)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / file, {"format": "pt"})

    return changed


def with_one(part: str, make: Callable[[Any], Any], file: str = WEIGHTS) -> Change:
    """Replace the first tensor whose name has a part; None removes it."""

    def change(tensors: dict[str, Any]) -> None:
        name = next(name for name in sorted(tensors) if part in name)
        made = make(tensors.pop(name))
        if made is not None:
            tensors[name] = made

    return weights(change, file)


def filled(value: float) -> Callable[[Any], Any]:
    """Return what puts a value into a tensor's first place."""

    def fill(tensor: Any) -> Any:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return fill


def pipe(name: str) -> Change:
    """A pipe in place of a file: opening it would wait for ever."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def link(name: str, target: str) -> Change:
    """A link in place of a file. `{out}` is a folder beside the model."""

    def change(folder: Path) -> None:
        out = folder.parent / "outside"
        out.mkdir(exist_ok=True)
        if (folder / name).exists():
            (out / name).write_bytes((folder / name).read_bytes())
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target.format(out=out))

    return change


def octets(file: str, content: bytes) -> Change:
    """Replace a file by bytes."""

    def change(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return change


def header(content: bytes, size: int | None = None) -> Change:
    """A weight file of this header, said to be so long."""
    length = struct.pack("<Q", len(content) if size is None else size)
    return octets(WEIGHTS, length + content)


def overlapping(folder: Path) -> None:
    """Two tensors share their bytes."""
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    content = json.dumps({"a": entry, "b": entry}).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(content)) + content + bytes(16))


def sharded(change: Callable[[dict[str, Any]], None]) -> Change:
    """Split the weights in two with an index, and change the index."""

    def split(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / WEIGHTS)
        names = sorted(tensors)
        listed = {}
        for number, half in enumerate((names[::2], names[1::2]), 1):
            file = f"model-{number}-of-2.safetensors"
            save_file({name: tensors[name] for name in half}, folder / file, {"format": "pt"})
            listed |= dict.fromkeys(half, file)
        (folder / WEIGHTS).unlink()
        index = {"metadata": {}, "weight_map": listed}
        change(index)
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return split


def first_shard(name: str) -> Callable[[dict[str, Any]], None]:
    """Return what names another file for the first weight of an index."""

    def change(index: dict[str, Any]) -> None:
        index["weight_map"][min(index["weight_map"])] = name

    return change


def pickled(folder: Path) -> None:
    """The same weights as a pickle alone."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def deep(folder: Path) -> None:
    """Settings that nest deeper than any reader goes."""
    (folder / CONFIG).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)


def tokenizer_part(name: str, part: Any) -> Change:
    """Replace a part of the tokenizer."""
    return put(TOKENIZER, name, part)


def pattern(regex: str) -> dict[str, Any]:
    """A splitting of texts by a pattern."""
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def replacing(regex: str, content: str) -> dict[str, Any]:
    """A normalizer that replaces a pattern."""
    return {"type": "Replace", "pattern": {"Regex": regex}, "content": content}


def _files() -> Iterator[Hostile]:
    for name in (CONFIG, WEIGHTS, TOKENIZER, TEMPLATE, PROCESSOR, GENERATION):
        yield Hostile(f"pipe {name}", pipe(name), "not a regular file|config.json is missing")
    for name in (WEIGHTS, TEMPLATE, TOKENIZER):
        yield Hostile(f"link out {name}", link(name, "{out}/" + name), "is a link out of the folder")
    yield Hostile("link to a device", link(TEMPLATE, "/dev/zero"), "is a link out of the folder")
    yield Hostile("loop of links", link(TEMPLATE, TEMPLATE), "link|regular")
    yield Hostile("huge config", text(CONFIG, '{"model_type": "' + "x" * (1 << 21) + '"}'), "larger than it can be")
    yield Hostile("huge template", text(TEMPLATE, "x" * (1 << 20)), "larger than it can be")
    yield Hostile("other templates", lambda f: (f / "additional_chat_templates").mkdir(), "is not read")
    yield Hostile("pickle alone", pickled, "only safetensors")
    yield Hostile("no weights", lambda f: (f / WEIGHTS).unlink(), "only safetensors")
    yield Hostile("no tokenizer", lambda f: (f / TOKENIZER).unlink())


def _configs() -> Iterator[Hostile]:
    yield Hostile("config no JSON", text(CONFIG, "{"), "not valid JSON")
    yield Hostile("config a list", text(CONFIG, "[]"), "JSON object")
    yield Hostile("config deep", deep, "not valid JSON")
    yield Hostile("config NaN", text(CONFIG, '{"model_type": "qwen2_5_vl", "x": NaN}'), "NaN")
    yield Hostile("config digits", text(CONFIG, '{"x": ' + "9" * 10_000 + "}"), "not valid JSON")
    absurd = {
        "text_config.num_hidden_layers": (10**7, 3000),
        "vision_config.depth": (10**7, 3000),
        "text_config.hidden_size": (10**9, 10**6),
        "text_config.vocab_size": (10**12, 10**9),
        "text_config.intermediate_size": (10**9, 10**7),
        "vision_config.hidden_size": (10**9, 10**6),
        "num_labels": (10**9,),
        "text_config.layer_types": (["full_attention"] * 10**5,),
        "vision_config.fullatt_block_indexes": (list(range(10**5)),),
    }
    for place, values in absurd.items():
        for value in values:
            named = value if isinstance(value, int) else "long"
            yield Hostile(
                f"{place} = {named}", put(CONFIG, place, value), "no model has|there are|needs|larger|be loaded"
            )
    wrong = {
        "text_config.num_attention_heads": 0,
        "text_config.num_key_value_heads": 3,
        "text_config.hidden_act": "no_such_act",
        "text_config.rope_parameters": {"rope_type": "no_such_rope"},
        "text_config.rms_norm_eps": "x",
        "vision_config.patch_size": 7,
        "vision_config.spatial_merge_size": 0,
        "vision_config.window_size": 0,
        "vision_config.num_heads": 5,
        "image_token_id": 10**6,
        "text_config": [],
        "vision_config": "x",
        "model_type": "bert",
        "dtype": "no_such_dtype",
        "attn_implementation": "someone/kernels",
        "auto_map": {"AutoConfig": "evil.Evil"},
        "quantization_config": {"quant_method": "gptq", "bits": 4},
        "transformers_weights": "../other.safetensors",
    }
    for place, value in wrong.items():
        yield Hostile(f"{place} = {value}", put(CONFIG, place, value))
    for place, value in {
        "num_return_sequences": 100_000,
        "min_new_tokens": 10**9,
        "return_dict_in_generate": True,
        "stop_strings": ["a"],
        "cache_implementation": "quantized",
        "bad_words_ids": [[1]],
        "temperature": "hot",
        "eos_token_id": "x",
    }.items():
        yield Hostile(f"generation {place}", put(GENERATION, place, value))


def _weights() -> Iterator[Hostile]:
    yield Hostile("a missing weight", with_one("down_proj", lambda _: None), "1 weights are missing .*down_proj")
    yield Hostile("another shape", with_one("down_proj", lambda t: t[:-1]), "1 weights do not fit .*down_proj")
    yield Hostile("a left-over weight", weights(lambda t: t.update(extra=t[min(t)].clone())), "1 weights are left over")
    yield Hostile("a weight NaN", with_one("down_proj", filled(NAN)), "not finite")
    yield Hostile("a weight infinite", with_one("embed_tokens", filled(float("inf"))), "not finite")
    yield Hostile("a weight of bytes", with_one("down_proj", lambda t: t.byte()), "unquantised")
    yield Hostile("cut weights", lambda f: os.truncate(f / WEIGHTS, 5000), "damaged")
    yield Hostile("empty weights", lambda f: os.truncate(f / WEIGHTS, 0), "damaged")
    yield Hostile("overlapping weights", overlapping, "damaged")
    yield Hostile("a huge header", header(b"{}", 1 << 62), "its header is over")
    yield Hostile("a header no JSON", header(b"{{{{"), "damaged")
    yield Hostile("shard outside", sharded(first_shard("../model.safetensors")), "no safetensors file in this folder")
    yield Hostile("shard absolute", sharded(first_shard("/etc/passwd")), "no safetensors file in this folder")
    yield Hostile("shard missing", sharded(first_shard("model-3.safetensors")), "which is missing")
    yield Hostile("shard a pickle", sharded(first_shard("model.bin")), "no safetensors file in this folder")
    yield Hostile(
        "index of another", sharded(lambda i: i["weight_map"].pop(min(i["weight_map"]))), "differ on 1 weights"
    )
    yield Hostile("index no map", sharded(lambda i: i.pop("weight_map")), "weight_map")


def _texts() -> Iterator[Hostile]:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    for name, template in {
        "endless loops": loop,
        "a recursive macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "doubled text": "{% set n = namespace(x='aaaaaaaa') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "a huge power": "{{ 9 ** (9 ** 9) }}",
        "a huge product": "{{ 'a' * 9999999999 }}",
        "a huge range": "{{ range(10 ** 12) | list }}",
        "padding": "{{ 'a'.center(9999999999) }}",
        "an error": "{{ raise_exception('no') }}",
        "no syntax": "{% for %}",
        "an escape": "{{ ().__class__.__base__.__subclasses__() }}{{ x.y.z }}",
        "a long text": "{{ 'a' * 1000000 }}",
        "no image": "{{ messages[0]['content'][-1]['text'] }}",
    }.items():
        yield Hostile(f"template: {name}", text(TEMPLATE, template))
    yield Hostile("template not UTF-8", octets(TEMPLATE, b"\xff\xfe"), "not UTF-8")
    yield Hostile(
        "template a list", put(TOKENS, "chat_template", [{"name": "x", "template": loop}]), "must be one text"
    )
    for name, regex in {"nested": r"(a+)+$", "spaces": r"(\s*)*\s*x", "poly": r"[\s\S]*[\s\S]*[\s\S]*[\s\S]*x"}.items():
        yield Hostile(f"tokenizer pattern {name}", tokenizer_part("pre_tokenizer", pattern(regex)), None)
    yield Hostile("normalizer grows", tokenizer_part("normalizer", replacing(".", "a" * 10_000)))
    yield Hostile("normalizer slow", tokenizer_part("normalizer", replacing(r"(a|a)*b", "")), None)
    yield Hostile("tokenizer no model", tokenizer_part("model", {"type": "BPE", "vocab": {}, "merges": []}))
    yield Hostile("tokenizer merges", tokenizer_part("model.merges", [["no", "such"]]))
    yield Hostile("tokenizer class", put(TOKENS, "tokenizer_class", "NoSuchTokenizer"), None)
    yield Hostile("tokenizer code", put(TOKENS, "auto_map", {"AutoTokenizer": ["evil.Evil", None]}), "code of a model")


def _images() -> Iterator[Hostile]:
    for place, value in {
        "patch_size": 0,
        "merge_size": 0,
        "temporal_patch_size": 10**9,
        "size": {"shortest_edge": 10**12, "longest_edge": 10**12},
        "size.shortest_edge": 30000,
        "size.longest_edge": -1,
        "image_std": [0, 0, 0],
        "image_mean": [1e300, 0, 0],
        "rescale_factor": 0,
        "do_resize": False,
        "do_center_crop": True,
        "resample": 99,
        "image_processor_type": "NoSuchProcessor",
    }.items():
        yield Hostile(f"images {place} = {value}", put(PROCESSOR, f"image_processor.{place}", value))
    yield Hostile("processor class", put(PROCESSOR, "processor_class", "NoSuchProcessor"))


def adapter(place: str, value: Any, says: str = ".") -> Hostile:
    """A setting of an adapter."""
    return Hostile(f"{place} = {str(value)[:40]}", put(ADAPTER, place, value), says)


def _adapters() -> Iterator[Hostile]:
    file = "adapter_model.safetensors"
    yield Hostile("a missing weight", with_one("lora_A", lambda _: None, file), "1 weights are missing .*lora_A")
    yield Hostile(
        "a layer missing", weights(lambda t: [t.pop(n) for n in sorted(t)[:2]], file), "2 weights are missing"
    )
    yield Hostile("all missing", weights(lambda t: [t.pop(n) for n in sorted(t)[1:]], file), "weights are missing")
    yield Hostile(
        "a left-over weight", weights(lambda t: t.update(extra=t[min(t)].clone()), file), "belong to no layer"
    )
    yield Hostile("another shape", with_one("lora_B", lambda t: t[:-1], file), "another shape .*lora_B")
    yield Hostile("a weight NaN", with_one("lora_B", filled(NAN), file), "not finite")
    yield Hostile("a pickle alone", lambda f: (f / file).rename(f / "adapter_model.bin"), "only safetensors")
    yield Hostile("pipe", pipe(file), "not a regular file")
    yield Hostile("link out", link(file, "{out}/" + file), "link out of the folder")
    yield Hostile("no JSON", text(ADAPTER, "{"), "not valid JSON")
    yield adapter("r", 4, "another shape")
    yield adapter("r", 0, "'r'")
    yield adapter("r", 10**6, "'r'")
    yield adapter("lora_alpha", 1e300, "no model has")
    yield adapter("peft_type", "LOHA", "'peft_type'")
    yield adapter("use_dora", True, "not understood")
    yield adapter("bias", "all", "'bias'")
    yield adapter("modules_to_save", ["lm_head"], "not understood")
    yield adapter("modules_to_save", ["(a+)+$"], "not understood")
    yield adapter("layers_pattern", "(a+)+$", "not understood")
    yield adapter("layers_to_transform", [0], "not understood")
    yield adapter("layer_replication", [[0, 9]], "not understood")
    yield adapter("megatron_config", {"a": 1}, "not understood")
    yield adapter("init_lora_weights", "pissa", "init_lora_weights")
    yield adapter("rank_pattern", {"(a+)+$": 2}, "no name of a module")
    yield adapter("rank_pattern", {"q_proj": 3}, "another shape")
    yield adapter("target_modules", ["v_proj"], "missing")
    yield adapter("target_modules", ["no_such"], "names no layer")
    yield adapter("target_modules", ["(a+)+$"], "no name of a module")
    yield adapter("target_modules", r"(.*.*.*)*.*!", "takes over")
    yield adapter("target_modules", r"((\w|\.)+)+!", "takes over")
    yield adapter("target_modules", "(", "its pattern")
    yield adapter("target_modules", "all-linear", "names no layer")
    yield adapter("target_modules", 7, "'target_modules")
    yield adapter("base_model_name_or_path", "/no/such/base", "no such model folder")
    yield adapter("base_model_name_or_path", "a\0b", "no name of a model")
    yield adapter("base_model_name_or_path", None, "names no base model")
    yield adapter("base_model_name_or_path", "nano", "another base")
    yield adapter("auto_map", {"AutoModel": "evil.Evil"}, "code of a model")
    yield Hostile("its own base", lambda f: put(ADAPTER, "base_model_name_or_path", str(f))(f), "is an adapter too")


ADAPTERS = [*_adapters()]
HOSTILE = [*_files(), *_configs(), *_weights(), *_texts(), *_images()]
