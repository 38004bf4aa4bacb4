"""What a stranger meets first: the lists of packages agree, and the committed files are clean."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(
    path for path in ROOT.glob("book/**/*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])(?:/(?:root|work|home/\w+|Users/\w+|tmp|content)/\w|C:\\\\?Users)"
)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(lines):
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def direct():
    extras = project()["optional-dependencies"]
    return requirements(project()["dependencies"] + extras["book"] + extras["test"])


def constraints():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return requirements(line for line in text.splitlines() if not line.startswith("#"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def outputs(path):
    return [o for cell in cells(path) for o in cell.get("outputs", [])]


def committed():
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    git = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in git.stdout.splitlines() if (ROOT / name).is_file()]


def test_conda_installs_the_packages_of_pyproject_in_the_same_ranges():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    from_pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    names = [entry for entry in listed if isinstance(entry, str)] + from_pip
    conda = requirements(re.sub(r"^pytorch\b", "torch", name) for name in names)
    extra = {"python", "pip", "jupyterlab"}
    assert {name: r.specifier for name, r in conda.items() if name not in extra} == {
        name: r.specifier for name, r in direct().items()
    }
    assert str(conda["python"].specifier) == project()["requires-python"]


def test_constraints_pin_every_direct_dependency_within_its_range():
    pins = constraints()
    for name, requirement in direct().items():
        assert name in pins, f"{name} is not in constraints.txt"
        (pin,) = pins[name].specifier
        assert pin.operator == "==" and pin.version in requirement.specifier


def test_constraints_hold_exact_public_versions_only():
    for name, requirement in constraints().items():
        assert re.fullmatch(r"==[^+,*]+", str(requirement.specifier)), name


def test_the_version_is_the_same_everywhere():
    here = project()["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    init = (ROOT / "rnnbook" / "__init__.py").read_text(encoding="utf-8")
    assert citation["version"] == here
    assert f'__version__ = "{here}"' in init
    assert version("rnnbook") == here
    assert f"## {here}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_committed_file_holds_a_path_of_a_machine():
    suffixes = {".py", ".md", ".ipynb", ".yml", ".toml", ".txt", ".json", ".svg", ".css", ".bib"}
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in committed()
        if path.suffix in suffixes and path.parent.name != "tests"
        for match in [MACHINE_PATH.search(path.read_text(encoding="utf-8"))]
        if match
    ]
    assert found == []


def test_no_committed_file_is_large():
    assert [p.name for p in committed() if p.stat().st_size > 2_000_000] == []


@each_notebook
def test_the_notebook_is_a_page_of_the_book(path):
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    page = path.relative_to(ROOT).with_suffix("").as_posix()
    assert re.search(rf": {re.escape(page)}$", toc, re.MULTILINE)


@each_notebook
def test_the_notebook_was_executed_from_top_to_bottom(path):
    code = [c for c in cells(path) if c["cell_type"] == "code" and "".join(c["source"]).strip()]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))


@each_notebook
def test_the_notebook_shows_no_error_and_no_stderr(path):
    kinds = [(o["output_type"], o.get("name")) for o in outputs(path)]
    assert not [kind for kind in kinds if kind[0] == "error" or kind[1] == "stderr"]


@each_notebook
def test_the_notebook_was_executed_with_its_data(path):
    assert not [o for o in outputs(path) if "cannot be had here" in json.dumps(o)]


@pytest.mark.skipif(sys.platform == "win32", reason="ZeroMQ has no files to talk through there")
def test_kernels_of_the_notebook_tests_are_reached_through_files(tmp_path):
    source = "from ipykernel.kernelapp import IPKernelApp\nprint(IPKernelApp.instance().transport)"
    output = nbformat.v4.new_output("stream", name="stdout", text="ipc\n")
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "transport.ipynb")
    shutil.copy(ROOT / "book" / "conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
