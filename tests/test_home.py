"""The home page shows code; the preface runs it."""

import re
from pathlib import Path

import nbformat

BOOK = Path(__file__).parent.parent / "book"


def test_the_preface_runs_the_code_that_the_home_page_shows():
    cells = {c.source for c in nbformat.read(BOOK / "preface.ipynb", as_version=4).cells}
    blocks = re.findall(r"```python\n(.*?)\n```", (BOOK / "index.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 3
    assert [block for block in blocks if block not in cells] == []
