"""Show the package's own source on a page, so that the book and the code cannot drift apart."""

import inspect
import textwrap
from pathlib import Path

from IPython.display import Markdown

PACKAGE = Path(__file__).parent


def show(obj, docstring=False):
    """Display the source of a class, method, function or module of this package.

    Parameters
    ----------
    obj : class, method, function or module
        Anything that :func:`inspect.getsource` accepts and that lives in ``rnnbook``.
    docstring : bool
        Keep the docstrings (default: leave them out, for the page explains the code around it).

    Returns
    -------
    IPython.display.Markdown
        A code block headed by the name of its file; Jupyter and Jupyter Book highlight it.

    Raises
    ------
    ValueError
        If ``obj`` has no Python source, or is not part of ``rnnbook``.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> shown = show(scratch.RNNCell.step)  # the last line of a cell shows it
    >>> shown.data.splitlines()[1]
    '# rnnbook/scratch/cells.py'
    """
    try:
        path = Path(inspect.getsourcefile(obj))
        source = textwrap.dedent(inspect.getsource(obj))
    except (TypeError, OSError) as error:
        raise ValueError(f"obj={obj!r}: expected a class, function or module: {error}") from None
    if PACKAGE not in path.parents:
        raise ValueError(f"obj={obj!r} is defined outside rnnbook; show() is for the book's code")
    if not docstring:
        source = _without_docstrings(source)
    where = path.relative_to(PACKAGE.parent).as_posix()
    return Markdown(f"```python\n# {where}\n{source.rstrip()}\n```")


def _without_docstrings(source):
    """Cut each docstring's lines out of the text, so that comments and layout stay."""
    import ast

    lines = source.splitlines()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    cuts = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno
            if last < len(lines) and not lines[last].strip():
                last += 1  # the blank line behind it goes too
            cuts.append((first, last))
    for first, last in sorted(cuts, reverse=True):
        del lines[first:last]
    return "\n".join(lines)
