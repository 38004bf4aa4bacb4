"""Nothing that is loaded may run code: no pickle, no unsafe YAML, no unpacking of archives."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for folder in ("rnnbook", "experiments", "benchmarks", "book", "tests")
    for kind in ("py", "ipynb")
    for path in sorted((ROOT / folder).rglob(f"*.{kind}"))
    if ".ipynb_checkpoints" not in path.parts and path.name != Path(__file__).name
]
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {  # the last name of what is called, or the last two
    "torch.load", "torch.save", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
    "read_pickle", "to_pickle", "extractall", "unpack_archive", "broadcast_object_list",
    "all_gather_object", "gather_object", "scatter_object_list",
}  # fmt: skip
BARE = {"eval", "exec"}  # of Python; model.eval() is another thing
ALLOWED = {"test_package.py": {"exec"}, "test_readme.py": {"exec"}}  # they run what is printed


def code_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    lines = [line for cell in cells for line in ("".join(cell["source"]) + "\n").split("\n")]
    return "\n".join(re.sub(r"^( *)[%!].*", r"\1pass", line) for line in lines)


def unsafe(code):
    """Names of what loads, or writes, objects that run code; and of what unpacks archives."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.add(node.module)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            ends = {name.rsplit(".", 1)[-1], ".".join(name.split(".")[-2:])}
            found |= (ends & CALLS) | ({name} & BARE)
            found |= {k.arg for k in node.keywords if k.arg == "allow_pickle" and is_true(k.value)}
    return found


def is_true(value):
    return not (isinstance(value, ast.Constant) and value.value is False)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_unsafe_is_loaded(path):
    assert unsafe(code_of(path)) <= ALLOWED.get(path.name, set())


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pickle", {"pickle"}),
        ("from joblib.memory import x", {"joblib.memory"}),
        ("import torch\ntorch.load(path)", {"torch.load"}),
        ("np.load(path, allow_pickle=True)", {"allow_pickle"}),
        ("np.load(path, allow_pickle=False)", set()),
        ("np.load(path)", set()),
        ("yaml.load(text)", {"yaml.load"}),
        ("yaml.safe_load(text)", set()),
        ("tarfile.open(path).extractall(folder)", {"extractall"}),
        ("eval(text); model.eval()", {"eval"}),
    ],
)
def test_the_search_finds_what_it_should(code, found):
    assert unsafe(code) == found
