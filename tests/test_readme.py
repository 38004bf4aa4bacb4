"""The README's Python runs as it stands."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_of_the_readme_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("RNNBOOK_DATA", raising=False)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 9
    namespace = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["history"].val_accuracy.iloc[-1] > 0.9
    assert (tmp_path / "classifier.safetensors").exists()
    assert (tmp_path / "film.safetensors").exists()
    assert (tmp_path / "sunspots.safetensors").exists()
    assert "1950-01-01" in printed.getvalue() and "covered" in printed.getvalue()
    assert "[1 0]" in printed.getvalue()
    known = set(namespace["text"].split())
    words = namespace["written"].split()[:-1]
    assert sum(word in known for word in words) > 0.8 * len(words) > 15
    assert "tanh" in " ".join(namespace["report"].diagnosis)
    assert "generated sample" in printed.getvalue()


def test_the_import_example_has_at_most_ten_statements():
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 10


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_links_of_the_readme_lead_to_files(path):
    assert (Path(__file__).parents[1] / path).exists()


def test_the_import_example_trains_the_other_twin_by_its_name():
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    block = block.replace("scratch", "pytorch").replace(", rng=0", "")
    namespace = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["history"].val_accuracy.iloc[-1] > 0.8
