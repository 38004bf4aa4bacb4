"""The API pages hold every public name, and what they say of it is complete and runs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import rnnbook

PAGES = sorted((Path(__file__).parents[1] / "book" / "api").glob("*.md"))
DIRECTIVE = re.compile(r"^\.\. (\w+):: ([\w.]+)\n((?:   :.*\n)*)", re.MULTILINE)


def documented():
    """What the API pages show: {qualified name: (object, are its methods shown)}."""
    found = {}
    for page in PAGES:
        module = "rnnbook"
        for kind, name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if kind in ("automodule", "currentmodule"):
                module = name
            if kind == "automodule" and ":members:" in options:
                left_out = re.findall(r":exclude-members: (.*)", options)
                for member, value in vars(importlib.import_module(module)).items():
                    ours = getattr(value, "__module__", None) == module and callable(value)
                    if ours and not member.startswith("_") and member not in left_out:
                        found[f"{module}.{member}"] = value, inspect.isclass(value)
            if kind in ("autofunction", "autoclass"):
                path = name if name.startswith("rnnbook.") else f"{module}.{name}"
                value = getattr(
                    importlib.import_module(path.rpartition(".")[0]), name.split(".")[-1]
                )
                found[path] = value, ":members:" in options
    return found


DOCUMENTED = documented()
each_name = pytest.mark.parametrize("name", DOCUMENTED)
MODULES = [m.name for m in pkgutil.walk_packages(rnnbook.__path__, "rnnbook.")]


def source_tree(function):
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def raises(function):
    """Does the function itself raise, or check an argument by rnnbook.expect?"""
    for node in ast.walk(source_tree(function)):
        if isinstance(node, ast.Raise):
            return True
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and getattr(called.value, "id", None) == "expect":
            return True
    return False


def arguments(value):
    """The arguments of a function, or of a class that the reader makes: no protocol, no error."""
    if getattr(value, "_is_protocol", False) or not inspect.isfunction(
        value.__init__ if inspect.isclass(value) else value
    ):
        return []
    return list(inspect.signature(value).parameters)


def test_every_public_name_is_on_a_page_of_the_reference():
    missing = []
    for package in ("rnnbook.scratch", "rnnbook.pytorch"):
        module = importlib.import_module(package)
        ours = [n for n in module.__all__ if getattr(module, n).__module__.startswith("rnnbook")]
        missing += [f"{package}.{name}" for name in ours if f"{package}.{name}" not in DOCUMENTED]
    for name in rnnbook._SUBMODULES:
        if not any(path.startswith(f"rnnbook.{name}.") for path in DOCUMENTED):
            missing.append(f"rnnbook.{name}")
    assert missing == []


@each_name
def test_the_docstring_names_every_argument(name):
    value, _ = DOCUMENTED[name]
    text = inspect.getdoc(value) or ""
    assert text.splitlines()[0].endswith((".", "?", ":", ")")), "begin with a sentence"
    assert [a for a in arguments(value) if not re.search(rf"\b{a}\b", text)] == []


@each_name
def test_the_docstring_says_what_is_raised(name):
    value, _ = DOCUMENTED[name]
    checks = value.__init__ if inspect.isclass(value) else value
    if not inspect.isfunction(checks) or not checks.__module__.startswith("rnnbook"):
        return
    if "__dataclass_fields__" in vars(value):
        checks = getattr(value, "__post_init__", None)
    if checks and raises(checks):
        assert re.search(
            r"^Raises\n------$|errors are those of|As in ", inspect.getdoc(value), re.M
        )


@each_name
def test_the_docstring_has_an_example(name):
    value, _ = DOCUMENTED[name]
    if not getattr(value, "_is_protocol", False):
        assert ">>> " in inspect.getdoc(value)


@each_name
def test_every_method_that_is_shown_has_a_docstring(name):
    value, with_methods = DOCUMENTED[name]
    if not (inspect.isclass(value) and with_methods):
        return
    for method, function in vars(value).items():
        function = getattr(function, "__func__", function)
        if inspect.isfunction(function) and not method.startswith("_"):
            assert inspect.getdoc(getattr(value, method)), f"{name}.{method}"


def test_the_names_that_the_site_links_to_outside_exist():
    wrong = []
    for inventory in sorted(PAGES[0].parents[1].glob("_ext/*.inv")):
        for line in inventory.read_text(encoding="utf-8").splitlines()[3:]:
            module, _, name = line.split()[0].rpartition(".")
            if not hasattr(importlib.import_module(module), name):
                wrong.append(line)
    assert wrong == []


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run_and_give_what_they_say(module):
    result = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.ELLIPSIS, report=False
    )
    assert result.failed == 0
