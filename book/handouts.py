"""Notebooks for a class: the pages of the book without outputs and without solutions.

    python book/handouts.py     into _build/handouts/, with their figures and result files

The folder is written anew each time: copy the handouts before you edit them. In place of each
solution stands an empty cell. What only the website's builder understands, citations and
references, becomes plain Markdown.
"""

import json
import posixpath
import re
import shutil
from pathlib import Path

BOOK = Path(__file__).parent
FOLDER = BOOK.parent / "_build" / "handouts"
SITE = "https://rnnbook.github.io/rnnbook/book/"
TEACHERS = "appendix/teaching.ipynb"

SOLUTION = re.compile(r"^```\{solution-(start|end)\}.*?^```\n?", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^```\{exercise-start\} (.+)\n:label: (.+)\n```\n", re.MULTILINE)
EXERCISE_END = re.compile(r"^```\{exercise-end\}\n```\n?", re.MULTILINE)
PAGE = re.compile(r"\]\(([\w./-]+)\.md(#[\w.-]+)?\)")
ANSWERS = {"code": "# Your answer", "markdown": "**Your answer**"}


def handout(notebook, folder=""):
    """Copy a notebook, as read from JSON, whose page lies in this folder of the book."""
    texts = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
    titles = {label: title for title, label in EXERCISE.findall("\n".join(texts))}
    cells, solving = [], False
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            if solving:  # so the answer is code, too
                cells[-1] = new("code", ANSWERS["code"])
            else:
                cells.append(new("code", "".join(cell["source"])))
            continue
        first, *rest = SOLUTION.split("".join(cell["source"]))
        for mark, text in [(None, first), *zip(rest[::2], rest[1::2], strict=True)]:
            solving = solving if mark is None else mark == "start"
            if mark == "start":
                cells.append(new("markdown", ANSWERS["markdown"]))
            elif not solving and text.strip():
                cells.append(new("markdown", plain(text, titles, folder)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return notebook | {"cells": cells}


def new(kind, text):
    cell = {"cell_type": kind, "source": text.splitlines(keepends=True), "metadata": {}}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def plain(text, titles, folder):
    """Markdown that Jupyter shows without an extension; ``titles`` of exercises, by label."""

    def cited(match):
        keys = (f"[{key.strip()}]({SITE}bibliography.html)" for key in match[2].split(","))
        listed = ", ".join(keys)
        return f"({listed})" if match[1] == "p" else listed

    def named(match):
        return f"*{match[1] or titles[match[2]]}*"

    def online(match):
        page = posixpath.normpath(posixpath.join(folder, match[1]))
        return f"]({SITE}{page}.html{match[2] or ''})"

    text = EXERCISE.sub(r"### Exercise: \1\n\n", text)
    text = EXERCISE_END.sub("", text)
    text = re.sub(r"\{cite:([tp])\}`([^`]+)`", cited, text)
    text = re.sub(r"\{eq\}`([^`]+)`", r"(\1)", text)  # as it stands behind the formula
    text = re.sub(r"\{ref\}`(?:([^`<]+) <)?([^`>]+)>?`", named, text)
    text = re.sub(r"\{func\}`([^`]+)`", r"`\1`", text)
    return PAGE.sub(online, text).strip("\n")


def main(folder=FOLDER):
    if folder.exists():
        shutil.rmtree(folder)
    for kept in ("figures", "results"):
        shutil.copytree(BOOK / kept, folder / kept)
    pages = [path.relative_to(BOOK) for path in sorted(BOOK.rglob("*.ipynb"))]
    pages = [page for page in pages if page.as_posix() != TEACHERS and page.parts[0][0] != "."]
    for page in pages:
        notebook = json.loads((BOOK / page).read_text(encoding="utf-8"))
        made = json.dumps(handout(notebook, page.parent.as_posix()), indent=1, ensure_ascii=False)
        (folder / page).parent.mkdir(exist_ok=True)
        (folder / page).write_text(made + "\n", encoding="utf-8")
    print(f"{len(pages)} notebooks without solutions are in {folder}")


if __name__ == "__main__":
    main()
