"""What pages show that they did not compute: the package's own source, and recorded results.

So the book, the code and the long runs cannot drift apart.
"""

import inspect
import textwrap
from pathlib import Path

from IPython.display import Markdown

PACKAGE = Path(__file__).parent
RESULTS = "https://raw.githubusercontent.com/rnnbook/rnnbook/main/book/results/"


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


def results_file(name):
    """Return the path of a recorded result, in a copy of the repository or fetched from it.

    Looked for in the book's folder as seen from a page, then from the top of the repository. Where
    there is neither, as on Colab, the file is downloaded once, from the newest version of the book.

    Parameters
    ----------
    name : str
        Of a file in ``book/results``, such as "ragged.json".

    Returns
    -------
    pathlib.Path

    Raises
    ------
    requests.RequestException
        If it has to be downloaded and cannot be.

    Examples
    --------
    >>> runs = json.loads(results_file("text.json").read_text())["runs"]  # doctest: +SKIP
    """
    for folder in (Path("../results"), Path("book/results")):
        if (folder / name).exists():
            return folder / name
    import pooch

    return Path(pooch.retrieve(RESULTS + name, known_hash=None))


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
