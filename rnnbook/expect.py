"""Checks of arguments, one wording for both twins: the argument, its value, what was expected.

Every function returns nothing and raises ``ValueError`` (or ``TypeError`` for a wrong kind of
array) before any work is done. They read only ``shape``, ``dtype`` and values, so NumPy arrays
and torch tensors both pass through them.
"""

import itertools
import math
import numbers
from collections.abc import Collection, Iterable, Mapping, Set
from reprlib import repr as short


def sizes(**named):
    """Each named value is an integer of at least 1."""
    for name, value in named.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={value!r}: expected an integer of at least 1")


def multiple(name, value, unit, note):
    """``value`` is a multiple of ``unit``; ``note`` says what that is, and what else would do."""
    if value % unit:
        raise ValueError(f"{name}={value!r}: expected a multiple of {unit}, {note}")


def tied(embed_size, hidden_size):
    """An embedding and a read-out can be one table: both are (V, H)."""
    if embed_size != hidden_size:
        raise ValueError(
            f"embed_size={embed_size!r}, hidden_size={hidden_size} and tied=True: expected equal "
            f"sizes, for one table (V, H) is both. Pass embed_size={hidden_size}, or tied=False"
        )


def index(name, value, size):
    """``value`` is an integer with 0 <= value < size."""
    if not isinstance(value, numbers.Integral) or not 0 <= value < size:
        raise ValueError(f"{name}={value!r}: expected an integer from 0 to {size - 1}")


def probability(name, value):
    """``value`` is a number p with 0 <= p < 1."""
    if not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise ValueError(f"{name}={value!r}: expected a probability p with 0 <= p < 1")


def share(name, value):
    """``value`` is a number with 0 < value <= 1."""
    if not isinstance(value, numbers.Real) or not 0 < value <= 1:
        raise ValueError(f"{name}={value!r}: expected a number above 0 and at most 1")


def non_negative(name, value):
    """``value`` is a finite number of at least 0."""
    if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
        raise ValueError(f"{name}={value!r}: expected a finite number of at least 0")


def positive(name, value):
    """``value`` is a finite number above 0."""
    if not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"{name}={value!r}: expected a finite number above 0")


def one_of(name, value, choices):
    """``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")


def shape(name, array, expected):
    """``array.shape`` matches ``expected``, whose entries are sizes or letters for any size."""
    given = tuple(getattr(array, "shape", ()))
    fits = len(given) == len(expected) and all(
        isinstance(e, str) or e == g for e, g in zip(expected, given, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"{name} has shape {given}: expected ({wanted})")


def steps(name, array, count):
    """``array`` has at least one of its ``count`` time steps."""
    if count == 0:
        raise ValueError(
            f"{name} has T=0 steps (shape {tuple(array.shape)}): expected at least one"
        )


def listed(name, value, what):
    """``value`` holds things in a row, as a list, an array (N,) or a Series do; no set, no dict."""
    row = isinstance(value, Collection) and not isinstance(value, str | Set | Mapping)
    if not row or getattr(value, "ndim", 1) != 1:
        raise TypeError(f"{name}={short(value)}: expected a list of {what}")


def filled(name, array):
    """``array`` has at least one row, so that there is something to take the mean of."""
    if 0 in array.shape:
        raise ValueError(f"{name} has shape {tuple(array.shape)}: expected at least one row")


def dtype(name, array, expected):
    """``array.dtype`` is exactly ``expected``: precision is never changed silently."""
    if array.dtype != expected:
        short = str(expected).removeprefix("torch.")
        raise TypeError(
            f"{name} has dtype {array.dtype}: expected {short}, the dtype of the parameters. "
            f"Convert {name}, or build the layer with another dtype="
        )


def integers(name, array):
    """``array`` holds integers (ids, class numbers, lengths), in NumPy of either byte order."""
    if getattr(array.dtype, "kind", None) not in ("i", "u") and "int" not in str(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}: expected integers")


def ids(name, array, size):
    """Every entry of ``array`` is an integer with 0 <= id < size."""
    integers(name, array)
    if 0 in array.shape:
        return
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= size:
        bad = low if low < 0 else high
        raise ValueError(f"{name} contains {bad}: expected integers from 0 to {size - 1}")


def classes(logits, target):
    """``target (N,)`` names one class, 0 to K-1, for each row of ``logits (N, K)``."""
    shape("logits", logits, ("N", "K"))
    shape("target", target, (len(logits),))
    integers("target", target)
    count = logits.shape[1]
    wrong = target[(target < 0) | (target >= count)]
    if len(wrong):
        raise ValueError(
            f"target contains {int(wrong[0])}: expected integers from 0 to {count - 1}. Number "
            f"the classes from 0, or build the model with a logit for each of them"
        )


def probabilities(name, array):
    """Every entry of ``array`` is from 0 to 1."""
    wrong = array[~((array >= 0) & (array <= 1))]
    if len(wrong):
        raise ValueError(f"{name} contains {float(wrong[0]):g}: expected probabilities, 0 to 1")


def levels(name, value, median=False):
    """``value`` holds rising numbers q with 0 < q < 1; 0.5 is one of them if ``median``."""
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    good = bool(values) and all(isinstance(q, numbers.Real) and 0 < q < 1 for q in values)
    if not good or any(a >= b for a, b in itertools.pairwise(values)):
        raise ValueError(
            f"{name}={value!r}: expected numbers between 0 and 1, each larger than the one before, "
            f"such as (0.1, 0.5, 0.9)"
        )
    if median and 0.5 not in values:
        raise ValueError(f"{name}={value!r}: expected 0.5, the median, to be one of them")


def lengths(value, time, batch):
    """``value (N,)`` holds integers with 1 <= length <= T, one for each sequence."""
    integers("lengths", value)
    shape("lengths", value, (batch,))
    if batch == 0:
        return
    low, high = int(value.min()), int(value.max())
    if low < 1 or high > time:
        bad = low if low < 1 else high
        raise ValueError(f"lengths contains {bad}: expected integers from 1 to T={time}")


def state(parts, count, size, kind):
    """A state is ``count`` arrays of this shape and dtype: one, or the h and c of an LSTM."""
    if len(parts) != count:
        raise ValueError(f"state holds {len(parts)} arrays: expected {count}")
    for number, part in enumerate(parts):
        name = "state" if count == 1 else f"state[{number}]"
        shape(name, part, size)
        dtype(name, part, kind)


def state_dict(own, given):
    """The shapes ``{name: shape}`` that are given are those of the model: none more, none less."""
    faults = [f"missing {name}" for name in own if name not in given]
    faults += [f"unexpected {name}" for name in given if name not in own]
    faults += [
        f"{name} has shape {tuple(given[name])}, expected {tuple(own[name])}"
        for name in own
        if name in given and tuple(given[name]) != tuple(own[name])
    ]
    if faults:
        raise ValueError("state_dict does not fit the model: " + "; ".join(faults))
