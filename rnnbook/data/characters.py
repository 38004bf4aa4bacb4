"""Text as characters, of any script: a reader's own file, and the vocabulary of its characters."""

from pathlib import Path
from reprlib import repr as short

import numpy as np

from rnnbook import expect
from rnnbook.data.text import Tokens

NAMED = 10  # characters that a message lists at most


def read_text(path):
    """Read a text file as it is, but for line ends (all become one newline) and a byte order mark.

    Parameters
    ----------
    path : str or Path
        A file in UTF-8.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not UTF-8, is empty, or repeats one character: there is nothing to predict.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "my.txt"
    >>> _ = path.write_bytes(b"To be," + bytes([13, 10]) + b"or not")  # a line end of Windows
    >>> len(read_text(path))  # has become one character
    13
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"path={str(path)!r} is not UTF-8 text ({error.reason} at byte {error.start}): save it "
            f"as UTF-8, or decode it yourself and pass the text on"
        ) from error
    _expect_variety(f"path={str(path)!r}", text)
    return text


def split(text, fraction=0.1):
    """Hold out the end of a text for validation.

    The end, not a random part: neighbouring characters are of one piece, and a model that has read
    both sides of a gap is asked too little.

    Parameters
    ----------
    text : str
        M characters.
    fraction : float
        Share to hold out, between 0 and 1.

    Returns
    -------
    rest, held_out : str
        The first ``int((1 - fraction) * M)`` characters, and the others.

    Raises
    ------
    ValueError
        ``fraction`` is not between 0 and 1, or leaves a part with fewer than two characters, of
        which none could be predicted.

    Examples
    --------
    >>> split("To be or not to be", fraction=0.3)
    ('To be or not', ' to be')
    """
    expect.positive("fraction", fraction)
    expect.probability("fraction", fraction)
    cut = int((1 - fraction) * len(text))
    if min(cut, len(text) - cut) < 2:
        raise ValueError(
            f"fraction={fraction} of {len(text)} characters leaves {cut} and {len(text) - cut}: "
            f"expected at least 2 on each side. Pass a longer text, or another fraction"
        )
    return text[:cut], text[cut:]


class CharVocab(Tokens):
    """The characters that a model knows, each with its id: its place in the list.

    A character is a Unicode code point, Chinese ones and line breaks included. There is no padding
    and no stand-in for the unknown: every id is a character.

    Parameters
    ----------
    tokens : list of str
        Characters, all different, at least one.

    Attributes
    ----------
    tokens : list of str
        ``tokens[i]`` is the character of id ``i``.

    Raises
    ------
    ValueError
        The list is empty, an entry is no single character, or a character comes twice.

    Examples
    --------
    >>> vocab = CharVocab.build("to be")
    >>> vocab.tokens, vocab.encode("bot").tolist()
    ([' ', 'b', 'e', 'o', 't'], [1, 3, 4])
    >>> vocab.decode([4, 3])
    'to'
    """

    format, noun = "rnnbook.CharVocab", "character"

    def __init__(self, tokens):
        tokens = list(tokens)
        if not tokens:
            raise ValueError("tokens is empty: expected at least one character")
        for i, token in enumerate(tokens):
            if not isinstance(token, str) or len(token) != 1:
                raise ValueError(f"tokens[{i}]={short(token)}: expected a single character")
        super().__init__(tokens)

    @classmethod
    def build(cls, text):
        """Take all characters of ``text``, in the order of their code points.

        Parameters
        ----------
        text : str
            All that will be encoded, held-out parts included: a character that is in no text that
            was built from can be neither read nor written.

        Returns
        -------
        CharVocab

        Raises
        ------
        ValueError
            ``text`` has fewer than two different characters.
        TypeError
            ``text`` is not a str.
        """
        _expect_str("text", text)
        _expect_variety("text", text)
        return cls(sorted(set(text)))

    def encode(self, text, name="text"):
        """Turn a text into the ids of its characters.

        Parameters
        ----------
        text : str
            May be empty.
        name : str
            What messages call it.

        Returns
        -------
        array of int64, shape (T,)

        Raises
        ------
        ValueError
            The text has characters that are not in the vocabulary: which.
        TypeError
            ``text`` is not a str.
        """
        _expect_str(name, text)
        unknown = [c for c in dict.fromkeys(text) if c not in self._ids]
        if unknown:
            more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
            raise ValueError(
                f"{name} has {', '.join(map(repr, unknown[:NAMED]))}{more}: expected only the "
                f"{len(self)} characters of the vocabulary. Leave them out, or build the "
                f"vocabulary from a text that has them"
            )
        return np.array([self._ids[c] for c in text], dtype=np.int64)

    def decode(self, ids):
        """Turn ids back into a text.

        Parameters
        ----------
        ids : array of int, shape (T,)

        Returns
        -------
        str

        Raises
        ------
        ValueError
            An id is negative or not below ``len(vocab)``.
        TypeError
            ``ids`` holds no integers.
        """
        ids = np.asarray(ids)
        if ids.size == 0:
            return ""
        expect.ids("ids", ids, len(self))
        return "".join(self.tokens[i] for i in ids.tolist())


def _expect_str(name, text):
    if not isinstance(text, str):
        raise TypeError(f"{name}={short(text)}: expected a str")


def _expect_variety(name, text):
    if not text:
        raise ValueError(f"{name} is empty: expected a text")
    if text == text[0] * len(text):
        raise ValueError(
            f"{name} has one character only, {text[0]!r}: expected at least two different ones, "
            f"for there is nothing to predict"
        )
