"""Words coloured by their scores, for notebooks, pages and terminals."""

import html
import textwrap
from dataclasses import dataclass

import numpy as np

from . import expect

LEVELS = 5  # of each colour: few, so that another processor's rounding moves no word
BLUE, ORANGE = "0,114,178", "213,94,0"  # those of rnnbook.plots


def highlight(tokens, scores, title=None):
    """Return the words coloured by their scores: orange above 0, blue with dashes below.

    The colour is as strong as the score is beside the largest of all, in five levels. It lies
    behind the text, which keeps the colour of the page, light or dark; and the thicker the line
    under a word, the stronger its score. A terminal shows the levels as numbers.

    Parameters
    ----------
    tokens : sequence of str, (T,)
        Words. Whatever they hold is shown as text, never read as HTML or mathematics.
    scores : array of float, (T,)
        Such as :func:`~rnnbook.attribution.integrated_gradients` returns.
    title : str, optional

    Returns
    -------
    Highlight
        A notebook shows it when it is a cell's last value.

    Raises
    ------
    ValueError, TypeError
        If there is no token, a token is no string, or the scores are not as many finite numbers.

    Examples
    --------
    >>> highlight(["a", "bad", "film"], [0.0, -0.8, 0.1])  # in a terminal
    a bad(-5) film(+1)
    (+) raises or (-) lowers the margin; the strongest score (5) is 0.8. Lower it most: bad.
    """
    if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
        raise TypeError(
            f"tokens={textwrap.shorten(repr(tokens), 60)}: expected a list of words. Of ids, hand "
            f"over [vocab.tokens[i] for i in ids]"
        )
    if len(tokens) == 0:
        raise ValueError("tokens is empty: expected at least one word")
    scores = np.asarray(scores)
    expect.shape("scores", scores, (len(tokens),))
    if not np.isfinite(scores).all():
        raise ValueError("scores contains NaN or infinity: expected finite numbers")
    largest = float(np.abs(scores).max())
    levels = np.rint(LEVELS * scores / (largest or 1.0)).astype(int)
    words = tuple(_printable(token) for token in tokens)
    return Highlight(words, tuple(levels.tolist()), largest, title and _printable(title))


@dataclass(frozen=True, repr=False)
class Highlight:
    """Words, and the level of each from -5 to 5, which is ``largest``. See :func:`highlight`."""

    words: tuple
    levels: tuple
    largest: float
    title: str | None = None

    def _repr_html_(self):
        coloured = " ".join(_span(*pair) for pair in self._pairs())
        title = f"<div><strong>{html.escape(self.title)}</strong></div>" if self.title else ""
        legend = f"{_span('raises', LEVELS)} or {_span('lowers', -LEVELS)} the margin"
        # The classes keep MathJax from reading $ in the words. The styles are among those that
        # JupyterLab lets through even in a notebook that it does not trust.
        return (
            '<div class="tex2jax_ignore mathjax_ignore" role="group" aria-label="Words and scores" '
            'style="line-height:1.9;max-width:46rem;overflow-wrap:break-word">'
            f"{title}<div>{coloured}</div>"
            f'<div style="font-size:0.85em">{legend}{html.escape(self._summary())}</div></div>'
        )

    def __repr__(self):
        marked = " ".join(f"{word}({level:+d})" if level else word for word, level in self._pairs())
        legend = f"(+) raises or (-) lowers the margin{self._summary()}"
        lines = [*([self.title] if self.title else []), marked, legend]
        return "\n".join(textwrap.fill(line, 88, break_on_hyphens=False) for line in lines)

    def _pairs(self):
        return zip(self.words, self.levels, strict=True)

    def _summary(self):
        """The end of the legend: the scale, and what decided, for those who do not see colours."""
        text = f"; the strongest score ({LEVELS}) is {self.largest:.2g}."
        for name, sign in (("Raise", 1), ("Lower", -1)):
            strong = [(-sign * n, word) for word, n in self._pairs() if sign * n > LEVELS // 2]
            strong.sort(key=lambda pair: pair[0])  # of one level, in the order of the text
            words = list(dict.fromkeys(word for _, word in strong))[:LEVELS]
            text += f" {name} it most: {', '.join(words)}." if words else ""
        return text


def _span(word, level):
    """A word in HTML, coloured by its level from -5 to 5."""
    word = html.escape(word)
    if not level:
        return word
    color, line = (ORANGE, "solid") if level > 0 else (BLUE, "dashed")
    look = f"background-color:rgba({color},{0.09 * abs(level):.2f})"
    look += f";border-bottom:{1 + abs(level) // 2}px {line};border-radius:2px;padding:0 2px"
    return f'<span title="{level:+d} of {LEVELS}" style="{look}">{word}</span>'


def _printable(text):
    """``text`` with escapes for what moves a terminal's cursor or turns the direction of text."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
