"""Break `rnnbook/scratch` in many small ways, one at a time, and count which the tests notice.

    python tests/mutants.py 200      a sample of 200, seed 0; an hour on two cores
    python tests/mutants.py 0        all of them

A mutant is one change of one expression: another operator, another comparison, a number one larger,
a negation left out. It is *killed* if a test fails, an import fails, or the tests hang. What
survives is printed: either no test looks there, or the change changes nothing.
"""

import ast
import importlib.abc
import importlib.util
import multiprocessing.pool
import os
import random
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "rnnbook" / "scratch").glob("*.py"))
TESTS = (
    "twins", "language", "segrnn", "truncated", "errors", "training", "properties", "init",
    "interop", "generate", "reference", "check", "probe", "attribution", "classify",
    "forecaster", "reproducible", "package",
)  # fmt: skip
SECONDS = 600  # after which the tests count as hanging

BINARY = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
}  # fmt: skip
COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def change(node):
    """Return a function that changes such a node, or None."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in BINARY:
        return lambda n: setattr(n, "op", BINARY[type(n.op)]())
    if isinstance(node, ast.Compare):
        return lambda n: n.ops.__setitem__(0, COMPARE[type(n.ops[0])]())
    if isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        return lambda n: setattr(n, "op", other())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return lambda n: setattr(n, "op", ast.UAdd())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return lambda n: setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return lambda n: setattr(n, "value", not n.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return lambda n: setattr(n, "value", n.value + 1)
    return None


def candidates(tree):
    """The nodes that can be changed, in a fixed order.

    Left alone: annotations; ``strict=`` of zip, which says what is so in any case; and the -1 of a
    reshape, for which NumPy takes any negative number.
    """
    left_alone = [getattr(node, "annotation", None) for node in ast.walk(tree)]
    left_alone += [getattr(node, "returns", None) for node in ast.walk(tree)]
    left_alone += [n for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "strict"]
    left_alone += [
        argument.operand
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "reshape"
        for argument in node.args
        if isinstance(argument, ast.UnaryOp)
    ]
    skipped = {id(child) for part in filter(None, left_alone) for child in ast.walk(part)}
    return [n for n in ast.walk(tree) if id(n) not in skipped and change(n)]


def mutants():
    """Return (file, number of the node) of every mutant."""
    return [
        (path, i)
        for path in SOURCES
        for i in range(len(candidates(ast.parse(path.read_text(encoding="utf-8")))))
    ]


def mutated(path, number):
    """Return the changed tree of a file, and what was changed: (tree, line, before, after)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node = candidates(tree)[number]
    before, line = ast.unparse(node), node.lineno
    change(node)(node)
    return ast.fix_missing_locations(tree), line, before, ast.unparse(node)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module of the package from a changed tree."""

    def __init__(self, path, tree):
        self.path, self.code = path, compile(tree, str(path), "exec")
        name = "" if path.stem == "__init__" else f".{path.stem}"
        self.name = f"rnnbook.scratch{name}"

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(
            name, self.path, loader=self,
            submodule_search_locations=[str(self.path.parent)] if "__init__" in self.path.name
            else None,
        )  # fmt: skip

    def get_code(self, name):
        return self.code

    def get_filename(self, name):
        return str(self.path)

    def get_data(self, path):
        return Path(path).read_bytes()


def run_tests(path, number):
    """In a process of its own: exit with 0 if no test fails."""
    os.setpgrp()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    if number is not None:
        sys.meta_path.insert(0, Finder(path, mutated(path, number)[0]))
    import pytest

    files = [str(ROOT / "tests" / f"test_{name}.py") for name in order(path)]
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files])))


def order(path):
    """The tests named like the file first."""
    return sorted(TESTS, key=lambda name: name != path.stem)


def survives(mutant):
    """Whether all tests pass with this mutant."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=mutant)
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        os.killpg(process.pid, 9)
    return process.exitcode == 0


def main(count):
    chosen = mutants()
    print(f"{len(chosen)} mutants", flush=True)
    if count:
        chosen = random.Random(0).sample(chosen, count)
    import pandas  # noqa: F401 - loaded once, for all
    import torch

    torch.set_num_threads(1)
    if not survives((SOURCES[0], None)):
        sys.exit("The tests fail without any mutant.")
    alive = 0
    with multiprocessing.pool.ThreadPool(2) as pool:
        for done, (mutant, survived) in enumerate(
            zip(chosen, pool.imap(survives, chosen), strict=True), start=1
        ):
            alive += survived
            if survived:
                path, number = mutant
                _, line, before, after = mutated(path, number)
                print(f"{path.name}:{line}  {before}  ->  {after}", flush=True)
            if done % 10 == 0:
                print(f"{done}: {1 - alive / done:.1%} killed", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
