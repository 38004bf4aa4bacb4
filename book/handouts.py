"""Notebooks for a class: the pages of the book without the solutions of their exercises.

    python book/handouts.py     into _build/handouts/, with the figures and pages they link to

In place of each solution stands an empty cell.
"""

import json
import re
import shutil
from pathlib import Path

BOOK = Path(__file__).parent
FOLDER = BOOK.parent / "_build" / "handouts"
SOLUTION = re.compile(r"^```\{solution-(start|end)\}.*?^```\n?", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^```\{exercise-start\} (.+)\n:label: .+\n```\n", re.MULTILINE)
END = "```{exercise-end}\n```"
ANSWER = "# Your answer"


def handout(notebook):
    """Copy a notebook, as read from JSON, with an empty cell in place of each solution."""
    cells, solving = [], False
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            cells += [] if solving else [dict(cell)]
            continue
        first, *rest = SOLUTION.split("".join(cell["source"]))
        for mark, text in [(None, first), *zip(rest[::2], rest[1::2], strict=True)]:
            solving = solving if mark is None else mark == "start"
            if mark == "start":
                cells.append({"cell_type": "code", "source": [ANSWER], "metadata": {},
                              "execution_count": None, "outputs": []})  # fmt: skip
            elif not solving and text.strip():
                cells.append(cell | {"source": plain(text).splitlines(keepends=True)})
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return notebook | {"cells": cells}


def plain(text):
    """An exercise as a heading and a paragraph, which Jupyter shows without an extension."""
    return EXERCISE.sub(r"### Exercise: \1\n\n", text).replace(END, "").strip("\n")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    unwanted = shutil.ignore_patterns("_*", "*.py", "results", "solutions.md", ".*")
    shutil.copytree(BOOK, FOLDER, ignore=unwanted)
    pages = sorted(FOLDER.rglob("*.ipynb"))
    for path in pages:
        notebook = handout(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"{len(pages)} notebooks without solutions are in {FOLDER}")


if __name__ == "__main__":
    main()
