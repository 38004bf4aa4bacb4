"""Tiny Shakespeare: 40,000 lines of plays, the usual small text for models of characters.

A. Karpathy: *char-rnn*, 2015, https://github.com/karpathy/char-rnn. The text itself is in the
public domain.
"""

from pathlib import Path

import rnnbook
from rnnbook.data import fetch
from rnnbook.data.characters import read_text, split

FILE = fetch.DataFile(
    name="tinyshakespeare/input.txt",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    size=1_115_394,
    title="Tiny Shakespeare",
)
_CHARACTERS, _DIFFERENT = 1_115_394, 65


def load(path=None):
    """Read the text and cut it: the first 90 % to train on, the last 10 % held out.

    Parameters
    ----------
    path : str or Path, optional
        A copy of the file. Without it, the file is looked for as
        :func:`rnnbook.data.fetch.locate` says.

    Returns
    -------
    train, held_out : str
        1,003,854 and 111,540 characters, 65 different ones in all.

    Raises
    ------
    FileNotFoundError
        ``path`` does not exist.
    rnnbook.data.fetch.DataUnavailableError
        The data is not on this machine and cannot be downloaded.
    ValueError
        The file is damaged or some other text. A text of your own is read by
        :func:`rnnbook.data.characters.read_text`.

    Examples
    --------
    >>> train, held_out = load()  # doctest: +SKIP
    >>> len(train), train[:14]  # doctest: +SKIP
    (1003854, 'First Citizen:')
    """
    source = fetch.locate(FILE, path)
    try:
        text = read_text(source)
        found = len(text), len(set(text))
        if found != (_CHARACTERS, _DIFFERENT):
            raise ValueError(
                f"it has {found[0]:,} characters, {found[1]} different ones: expected "
                f"{_CHARACTERS:,} and {_DIFFERENT}"
            )
    except ValueError as error:
        raise ValueError(
            f"{source} is not a usable copy of {FILE.title}: {error}. Get it again from "
            f"{FILE.url}, or read a text of your own with rnnbook.data.characters.read_text"
        ) from error
    return split(text)


def load_or_sample(path=None):
    """The plays, or where they cannot be had, another text: the source of this package.

    Prints one line where it hands out the source, and nothing otherwise.

    Parameters
    ----------
    path : str or Path, optional
        As for :func:`load`.

    Returns
    -------
    train, held_out : str

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load`: a copy that is there but unusable is never replaced silently.

    Examples
    --------
    >>> train, held_out = load_or_sample()  # doctest: +SKIP
    """
    try:
        return load(path)
    except fetch.DataUnavailableError:
        text = own_source()
        print(
            f"{FILE.title} cannot be had here, so the source of this package stands in, "
            f"{len(text):,} characters: the numbers below are not about Shakespeare."
        )
        return split(text)


def own_source():
    """Return the source of this package as one text, which is always there.

    Examples
    --------
    >>> "def own_source" in own_source()
    True
    """
    folder = Path(rnnbook.__file__).parent
    return "\n\n".join(read_text(file) for file in sorted(folder.rglob("*.py")))
