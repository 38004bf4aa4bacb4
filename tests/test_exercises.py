"""Every exercise has a solution; the index lists all of them, and a handout has none.

The index is written by `python tests/test_exercises.py`.
"""

import ast
import builtins
import json
import re
import runpy
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "book" / "appendix" / "solutions.md"
EXERCISE = re.compile(r"^```\{exercise-start\} (.+)\n:label: (\S+)", re.MULTILINE)
SOLUTION = re.compile(r"^```\{solution-start\} (\S+)", re.MULTILINE)
HANDOUTS = runpy.run_path(str(ROOT / "book" / "handouts.py"))
HEAD = (
    "# Solutions\n\n"
    "Every exercise of the book has a solution: it is folded away below the exercise, and its code "
    "was run. Try first. Here are all of them, in the order of the pages.\n"
)


def pages():
    """Yield (part of the book, path, text of the notebook's Markdown) in the order of _toc.yml."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            path = ROOT / f"{chapter['file']}.ipynb"
            if path.is_file():
                cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
                texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
                yield part["caption"], path, "\n".join(texts)


def index():
    lines, current = [HEAD], None
    for part, path, text in pages():
        exercises = EXERCISE.findall(text)
        if exercises and part != current:
            lines.append(f"## {part}\n")
            current = part
        if exercises:
            title = re.search(r"^# (.+)", text, re.MULTILINE)[1]
            link = path.relative_to(ROOT / "book").as_posix()
            lines.append(f"**[{title}](../{link}#exercises)**\n")
            for name, label in exercises:
                lines.append(f"- {{ref}}`{name} <{label}>`")
            lines.append("")
    return "\n".join(lines)


def test_every_exercise_has_one_solution():
    for _, path, text in pages():
        labels = Counter(label for _, label in EXERCISE.findall(text))
        assert labels == Counter(SOLUTION.findall(text)), path.name


def test_the_index_lists_every_exercise():
    hint = "run: python tests/test_exercises.py"
    assert INDEX.read_text(encoding="utf-8") == index(), hint


def missing(notebook):
    """The names that a notebook's code reads before any of its cells has set them."""
    known, unknown = set(dir(builtins)) | {"__file__", "display"}, set()
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        lines = "".join(cell["source"]).splitlines()
        tree = ast.parse("\n".join(line.replace("%pip", "None #") for line in lines))
        read = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read.add(node.id)
            elif isinstance(node, ast.Name):
                known.add(node.id)
            elif isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.alias):
                known.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
        unknown |= read - known
    return unknown


def code_of(page):
    """The code in solutions, and all other code."""
    found, solving = {True: set(), False: set()}, False
    for cell in page["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            found[solving].add(text)
        elif "{solution-" in text:
            solving = text.rindex("{solution-") == text.rfind("{solution-start")
    return found[True], found[False]


STUDENTS = [path for _, path, _ in pages() if path.stem != "teaching"]


@pytest.mark.parametrize("path", STUDENTS, ids=lambda path: path.stem)
def test_a_handout_is_the_page_without_its_solutions(path):
    page = json.loads(path.read_text(encoding="utf-8"))
    made = HANDOUTS["handout"](page, path.parent.name)
    nbformat.validate(nbformat.from_dict(made))
    text = "\n".join("".join(c["source"]) for c in page["cells"] if c["cell_type"] == "markdown")
    sources = ["".join(cell["source"]) for cell in made["cells"]]
    exercises = EXERCISE.findall(text)
    assert not re.search(r"\{(solution|exercise)|\{[a-z:]+\}`", "\n".join(sources))
    assert [name for name, _ in exercises] == re.findall(
        r"^### Exercise: (.+)", "\n".join(sources), re.MULTILINE
    )
    assert sum(source in HANDOUTS["ANSWERS"].values() for source in sources) == len(exercises)
    assert "## Further reading" in "\n".join(sources) or "## Further reading" not in text
    in_solutions, others = code_of(page)
    assert set(sources) & in_solutions == set() and others <= set(sources)
    assert missing(made) <= missing(page), "the page needs something of a solution"
    assert not any(cell.get("outputs") for cell in made["cells"])


def test_what_the_handouts_link_to_and_read_is_beside_them(tmp_path):
    HANDOUTS["main"](tmp_path / "handouts")
    pages = list((tmp_path / "handouts").rglob("*.ipynb"))
    assert len(pages) > 25 and "teaching" not in {path.stem for path in pages}
    for path in pages:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            text, code = "".join(cell["source"]), cell["cell_type"] == "code"
            for name in re.findall(r'results_file\("([^"]+)"\)', text):
                assert (tmp_path / "handouts" / "results" / name).is_file()
            for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", "" if code else text):
                found = target.startswith("http") or (path.parent / target).is_file()
                assert found, (path.name, target)


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
