"""The Python API: every name is documented by an example that runs, imports late, and is typed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import adfm
from adfm.cli.main import main
from adfm.data.manifest import read_manifest
from adfm.models.nano import WEIGHTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(not (WEIGHTS / "model.safetensors").is_file(), reason="the bundled weights are absent")
def test_the_examples_of_the_page_run(
    parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(parts_data)
    test = read_manifest(parts_data).only("test")
    shutil.copyfile(test.image_path(test.samples[0]), "part.png")
    assert main(f"eval --data {parts_data} --out eval --threads 1".split()) == 0
    exec(compile("\n".join(EXAMPLES), str(PAGE), "exec"), {"__name__": "page"})
    assert "is not a PNG" in capsys.readouterr().out


@pytest.mark.parametrize("name", adfm.__all__)
def test_a_name_is_there_and_documented(name: str) -> None:
    assert getattr(adfm, name).__doc__
    assert re.search(rf"\b{name}\b", "\n".join(EXAMPLES))
    assert name in dir(adfm)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Inspektor'"):
        _ = adfm.Inspektor


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import adfm; adfm.read; adfm.reward; adfm.read_manifest; adfm.Protocol; adfm.Inspector", False),
        ("import adfm, torch", True),
    ],
)
def test_the_api_loads_no_torch_until_a_model_is_loaded(code: str, loaded: bool) -> None:
    program = f"import sys; {code}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loaded)
