"""Every exercise has a solution, and the index of solutions lists all of them.

The index is written by `python tests/test_exercises.py`.
"""

import json
import re
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "book" / "appendix" / "solutions.md"
EXERCISE = re.compile(r"^```\{exercise(?:-start)?\} *(.*)\n:label: (\S+)", re.MULTILINE)
SOLUTION = re.compile(r"^```\{solution(?:-start)?\} *(\S+)", re.MULTILINE)
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
                lines.append(f"- {{ref}}`{f'{name} <{label}>' if name else label}`")
            lines.append("")
    return "\n".join(lines)


def test_every_exercise_has_one_solution():
    for _, path, text in pages():
        labels = Counter(label for _, label in EXERCISE.findall(text))
        assert labels == Counter(SOLUTION.findall(text)), path.name


def test_the_index_lists_every_exercise():
    hint = "run: python tests/test_exercises.py"
    assert INDEX.read_text(encoding="utf-8") == index(), hint


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
