"""Labels of examples: their classes, numbered, and a part of each class held out."""

import numbers
from reprlib import repr as short

import numpy as np

from rnnbook import expect


class Classes:
    """The classes that a model knows, each with its number: its place among the sorted labels.

    Parameters
    ----------
    labels : list of str, of int or of bool
        Of the training examples, all of one kind. Whole floats count as int.

    Attributes
    ----------
    labels : list of str, of int or of bool
        K labels, sorted, all different.

    Raises
    ------
    ValueError
        There are fewer than two classes; or a label is missing, is no whole number or of another
        kind than the first.
    TypeError
        ``labels`` is not a list.

    Examples
    --------
    >>> classes = Classes(["sport", "politics", "sport"])
    >>> classes.labels, classes.encode(["sport"]).tolist(), classes.decode([0]).tolist()
    (['politics', 'sport'], [1], ['politics'])
    """

    def __init__(self, labels):
        self.labels = sorted(set(_plain("labels", labels)))
        if len(self.labels) < 2:
            raise ValueError(f"labels holds the classes {self.labels}: expected at least two")
        self._numbers = {label: number for number, label in enumerate(self.labels)}

    def encode(self, labels, name="labels"):
        """Turn labels into the numbers of their classes.

        Parameters
        ----------
        labels : list, (N,)
        name : str
            What messages call them.

        Returns
        -------
        array of int64, shape (N,)
            0 to K-1.

        Raises
        ------
        ValueError, TypeError
            As above, or a label is not one of the classes.
        """
        plain = _plain(name, labels)
        for i, label in enumerate(plain):
            if label not in self._numbers:
                raise ValueError(
                    f"{name}[{i}]={label!r}: expected one of the classes {short(self.labels)}"
                )
        return np.array([self._numbers[label] for label in plain], dtype=np.int64)

    def decode(self, numbers):
        """Turn an array of numbers, 0 to K-1, into one of labels: str, int64 or bool."""
        return np.array(self.labels)[numbers]

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        return f"Classes({short(self.labels)})"


def hold_out(labels, fraction=0.1, seed=0):
    """Hold out the same share of each class, and at least one example of each.

    Parameters
    ----------
    labels : array of str, int or bool, shape (N,)
    fraction : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    rest, held : arrays of int64
        Indices, sorted, together 0 to N-1. Each class is in both.

    Raises
    ------
    ValueError
        A class has one example only, or ``fraction`` is not between 0 and 1.

    Examples
    --------
    >>> rest, held = hold_out(["a"] * 8 + ["b"] * 2, fraction=0.25)
    >>> len(rest), len(held), bool((held >= 8).any())  # one of the rare class, too
    (7, 3, True)
    """
    expect.positive("fraction", fraction)
    expect.probability("fraction", fraction)
    labels, rng, held = np.asarray(labels), np.random.default_rng(seed), []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise ValueError(
                f"labels holds {label.item()!r} once: expected two examples of each class, one of "
                f"them to hold out. Hold out examples of your own choice, or none"
            )
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        held.append(rng.choice(rows, count, replace=False))
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held), held


def _plain(name, labels):
    """Return labels as a list of str, of int or of bool."""
    expect.listed(name, labels, "labels")
    plain = [_label(f"{name}[{i}]", label) for i, label in enumerate(labels)]
    for i, label in enumerate(plain):
        if type(label) is not type(plain[0]):
            raise ValueError(
                f"{name}[{i}]={label!r} and {name}[0]={plain[0]!r}: expected labels of one kind"
            )
    return plain


def _label(name, label):
    if isinstance(label, str):
        return str(label)
    if isinstance(label, bool | np.bool_):
        return bool(label)
    if isinstance(label, numbers.Real) and -(2**63) <= label < 2**63 and label == int(label):
        return int(label)
    raise ValueError(f"{name}={short(label)}: expected a str or a whole number, and none missing")
