"""The examiner: holds a cell or a layer that a reader wrote against ours, and says what is wrong.

Both compute with the same random weights, inputs and states, in float64; outputs, final states and
every gradient are compared. A wrong answer is then compared with those that the usual mistakes
would give, so that a diagnosis is a proof, not a guess. Only a torch module needs torch.
"""

import sys
import textwrap
import types
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from . import mistakes
from .exam import Exam, Form, Trouble, implementation

TOLERANCE = 1e-9
FLOAT32 = 1e-5


def check(mine, like, *, backward=None, names=None, seed=0, **options):
    """Hold an implementation of one's own against the book's.

    ``mine`` takes and returns what torch's cell or layer of that kind does. A cell maps
    ``x (N, D)`` and a state to the next state; a layer maps ``x (T, N, D)`` and a state to
    ``y (T, N, H)`` and the final state. A state is ``h``, for an LSTM the pair ``(h, c)``; each is
    ``(N, H)`` for a cell and ``(1, N, H)`` for a layer. Weights have torch's names, shapes and gate
    order: ``weight_ih (G*H, D)``, ``weight_hh (G*H, H)``, ``bias_ih (G*H,)``, ``bias_hh (G*H,)``,
    for a layer with the ending ``_l0``; gates ``i f g o`` (LSTM), ``r z n`` (GRU).

    Parameters
    ----------
    mine : function, class, torch.nn.Module or rnnbook.scratch.Module
        - A **function** in NumPy, ``mine(x, state, weights)``, with ``weights`` a dict of arrays. A
          cell returns ``state``, a layer ``(y, state)``. With ``backward=`` it returns a cache,
          too: ``(state, cache)`` or ``(y, state, cache)``.
        - A **class** in NumPy, created as ``mine(weights)``. Its ``forward(x, state)`` returns
          ``(state, cache)`` or ``(y, state, cache)``. Its ``backward``, if it has one, takes
          ``(dstate, cache)`` for a cell and ``(dy, dstate, cache)`` for a layer, returns
          ``(dx, dstate0)``, and adds the gradients of the weights to ``self.grads``, a dict with
          the names of ``weights`` that starts from zeros.
        - A **torch module**: an instance. Parameters are found by name, gradients by autograd. A
          copy is examined; yours stays as it is.
        - A **scratch module**: an instance in float64, with the book's forward and backward.
    like : str
        "rnn_cell", "lstm_cell", "gru_cell", or for layers "rnn", "lstm", "gru".
    backward : function, optional
        To a function ``mine``: ``backward(dstate, cache, weights)`` for a cell,
        ``backward(dy, dstate, cache, weights)`` for a layer. It returns ``(dx, dstate0, grads)``,
        with ``grads`` a dict as ``weights``.
    names : dict of str to str, optional
        Where a module's parameters have names of their own: ``{yours: ours}``. A module with a
        single bias calls it ``bias_ih``; ours then has zeros for ``bias_hh``.
    seed : int
        Draws weights, inputs, states and the gradients that come in.
    **options
        Of the book's class: ``bias``, ``nonlinearity`` (RNN), ``reset_after`` (GRU).

    Returns
    -------
    Report
        Shows itself as a table with a diagnosis; ``report.ok`` says whether all that was compared
        is right, and ``report.unchecked`` what was not. Wrong numbers, wrong shapes and exceptions
        in ``mine`` are reported there, not raised.

    Raises
    ------
    ValueError, TypeError
        If the question is wrong: an unknown ``like`` or option, a ``mine`` of another kind, or a
        module whose parameters are not those of the book's class.

    Examples
    --------
    >>> import numpy as np
    >>> def my_cell(x, h, w):
    ...     a = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    ...     return np.tanh(a)
    >>> check(my_cell, like="rnn_cell").ok
    True
    """
    form = Form(like, options)
    candidate = implementation(form, mine, backward, names)
    exam = Exam(form, candidate.D, candidate.H, candidate.absent, seed)
    report = Report(exam.title)
    try:
        _examine(candidate, exam, report)
    except Trouble as trouble:
        report.diagnosis.append(str(trouble))
    report.diagnosis = exam.complaints + report.diagnosis
    return report


@dataclass(repr=False)
class Report:
    """What :func:`check` found; shows itself as a table with the diagnosis.

    Attributes
    ----------
    title : str
    errors : dict of str to float
        Relative error ||mine - ours|| / (||mine|| + ||ours||) of each output and gradient; NaN
        where there was nothing to compare.
    verdicts : dict of str to str
        "right", "wrong", "wrong shape" or "not checked" for each of them.
    diagnosis : list of str
        What is wrong, in words; empty if nothing is.

    Examples
    --------
    >>> import numpy as np
    >>> report = check(lambda x, h, w: np.tanh(x @ w["weight_ih"].T), like="rnn_cell")
    >>> report.ok, report.verdicts["h'"]
    (False, 'wrong')
    """

    title: str
    errors: dict = field(default_factory=dict)
    verdicts: dict = field(default_factory=dict)
    diagnosis: list = field(default_factory=list)

    @property
    def ok(self):
        """Nothing that was compared is wrong, and the outputs were compared."""
        return not self.diagnosis and "right" in self.verdicts.values()

    @property
    def unchecked(self):
        """List what was not compared: the gradients, where there is no backward."""
        return [name for name, verdict in self.verdicts.items() if verdict == "not checked"]

    def __repr__(self):
        width = max(map(len, self.errors), default=0)
        lines = [self.title, ""]
        for name, error in self.errors.items():
            number = "" if np.isnan(error) else "< 1e-9" if error < TOLERANCE else f"{error:.1e}"
            lines.append(f"{name:{width}}  {number:>8}  {self.verdicts[name]}")
        lines += [""] if self.errors else []
        if self.ok:
            lines.append("What was checked is right." if self.unchecked else "All of it is right.")
        for number, text in enumerate(self.diagnosis, 1):
            lines += textwrap.wrap(f"{number}. {text}", 76, subsequent_indent="   ")
        return "\n".join(lines)

    def enter(self, label, mine, ours):
        """Compare two arrays; None in place of mine: its shape was wrong."""
        if mine is None:
            self.errors[label], self.verdicts[label] = np.nan, "wrong shape"
            return
        self.errors[label] = relative_error(mine, ours)
        self.verdicts[label] = "right" if self.errors[label] < TOLERANCE else "wrong"

    def skip(self, label):
        """Note that there was nothing to compare."""
        self.errors[label], self.verdicts[label] = np.nan, "not checked"


def relative_error(a, b):
    """||a - b|| / (||a|| + ||b||); infinite if a is not finite."""
    if not np.isfinite(a).all():
        return np.inf
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / scale) if scale else 0.0


def same(a, b):
    """Equal but for rounding."""
    return a.shape == b.shape and relative_error(a, b) < TOLERANCE


def _examine(candidate, exam, report):
    form = exam.form
    outputs, gradients = _ours(exam)
    labels = {key: form.label(key) for key in (*outputs, *gradients)}
    for key in (*outputs, *gradients):
        report.skip(labels[key])
    mine, differentiate = candidate.run(exam)
    for key, array in outputs.items():
        report.enter(labels[key], mine[key], array)
    wrong = [key for key in outputs if report.verdicts[labels[key]] != "right"]
    if wrong:
        if not exam.complaints:
            report.diagnosis += _diagnose_outputs(candidate, exam, mine, outputs)
        if differentiate:
            report.diagnosis.append("Repair the outputs first; the gradients are checked then.")
        return
    if differentiate is None:
        return
    mine = differentiate(exam)
    for key in gradients:
        if key in mine:
            report.enter(labels[key], mine[key], gradients[key])
    report.diagnosis += _diagnose_gradients(exam, mine, gradients)
    if candidate.adds and not exam.complaints:
        _examine_again(exam, mine, differentiate(exam), report)


def _ours(exam):
    """Our outputs and gradients, from the book's own class."""
    form, options = exam.form, exam.form.given
    ours = form.cls(exam.D, exam.H, **options, dtype=np.float64, rng=0)
    ours.load_state_dict(exam.hand("weights")[0])
    *outputs, cache = ours.forward(*exam.hand("x", "state"))
    outputs = exam.read_outputs(outputs)
    dx, dstate = ours.backward(*exam.hand(*form.cotangents), cache)
    grads = {name: parameter.grad for name, parameter in ours.named_parameters()}
    gradients = exam.read_gradients(dx, dstate, grads)
    order = ["dx", *(f"d{part}" for part in form.parts), *exam.weights]
    return outputs, {key: gradients[key] for key in order if key in gradients}


def _examine_again(exam, first, second, report):
    """A second backward must add to the gradients of the weights, and return the same others."""
    label = "second backward"
    weights = [key for key in exam.weights if key in first]
    target = {key: first[key] * (2 if key in weights else 1) for key in first}
    wrong = [key for key in first if not same(second[key], target[key])]
    report.errors[label] = max(relative_error(second[key], target[key]) for key in first)
    report.verdicts[label] = "wrong" if wrong else "right"
    replaced = [key for key in wrong if key in weights and same(second[key], first[key])]
    other = [key for key in wrong if key not in replaced]
    if replaced:
        report.diagnosis.append(
            f"A second backward overwrites the gradient of {_list(exam, replaced)}. Add to it with "
            "+=: a weight that is used twice gets the sum."
        )
    if other:
        report.diagnosis.append(
            f"A second forward and backward gives other numbers for {_list(exam, other)}: "
            "something is kept between calls. Hand it through the cache."
        )


def _list(exam, keys):
    return ", ".join(exam.form.label(key) for key in keys)


# From wrong numbers to words


def _only_rounding(mine, ours):
    errors = [relative_error(mine[key], ours[key]) for key in ours if key in mine]
    return max(errors) < FLOAT32


ROUNDING = (
    "The numbers are right to about seven digits: something inside computes in float32. Keep the "
    "dtype of x, which is float64 here."
)


def _planted(exam, mistake):
    form, zeros = exam.form, np.zeros(len(mistakes.GATES[exam.form.kind]) * exam.H)
    weights = {"bias_ih": zeros, "bias_hh": zeros} | exam.weights
    for change in mistake.changes:
        weights = change(weights)
    return form.kind, form.options, weights, exam.x, exam.state


def _outputs_with(exam, mistake):
    return mistakes.forward(*_planted(exam, mistake), mistake.switches)[0]


def _gradients_with(exam, mistake):
    arguments = _planted(exam, mistake)
    return mistakes.backward(*arguments, exam.dy, exam.dstate, mistake.switches)


def _explaining(exam, table, plant, mine, ours):
    """The mistake, or the pair of them, that gives exactly these numbers; None if there is none."""
    pairs = (mistakes.both(a, b) for a, b in combinations(table, 2))
    for candidates in (table, pairs):
        for mistake in candidates:
            planted = plant(exam, mistake)
            if all(same(mine[key], planted[key]) for key in ours):
                return mistake
    return None


def _diagnose_outputs(candidate, exam, mine, ours):
    if not all(np.isfinite(array).all() for array in mine.values()):
        return ["The outputs hold NaN or infinity."]
    if _only_rounding(mine, ours):
        return [ROUNDING]
    table = mistakes.in_forward(exam.form.kind, exam.form.options)
    found = _explaining(exam, table, _outputs_with, mine, ours)
    return list(found.says) if found else _hints(candidate, exam, mine, ours)


def _hints(candidate, exam, mine, ours):
    """Where the outputs differ, and what must be zero for them to be right."""
    right = [key for key in ours if same(mine[key], ours[key])]
    hints = ["This is none of the mistakes that are known here, nor two of them."]
    if "y" in ours and "y" not in right:
        bad = [t for t in range(exam.T) if not same(mine["y"][t], ours["y"][t])]
        hints[0] += f" y differs first at t={bad[0]}."
        if bad[0]:
            hints[0] += " The first step is right: look at what one step hands to the next."
    if right:
        hints[0] += f" {_list(exam, right)} {'is' if len(right) == 1 else 'are'} right."
    without = {
        "initial state": ["state"],
        "biases": ["bias_ih", "bias_hh"],
        "weight_hh": ["weight_hh"],
        "input x": ["x"],
    }
    for label, parts in without.items():
        easy = Exam(exam.form, exam.D, exam.H, exam.absent)
        for part in parts:
            if part == "state":
                easy.state = [0 * array for array in easy.state]
            elif part == "x":
                easy.x *= 0
            elif part in easy.weights:
                easy.weights[part] *= 0
        try:
            answers, _ = candidate.run(easy)
        except Trouble:
            continue
        if all(same(answers[key], array) for key, array in _ours(easy)[0].items()):
            hints.append(f"With zeros for the {label} all is right: look at how you use it.")
    return hints


def _diagnose_gradients(exam, mine, ours):
    ours = {key: array for key, array in ours.items() if mine.get(key) is not None}
    wrong = [key for key in ours if not same(mine[key], ours[key])]
    if not wrong:
        return []
    if not all(np.isfinite(mine[key]).all() for key in ours):
        return ["The gradients hold NaN or infinity."]
    if _only_rounding(mine, ours):
        return [ROUNDING]
    table = mistakes.in_backward(exam.form.kind)
    found = _explaining(exam, table, _gradients_with, mine, ours)
    if found:
        return list(found.says)
    return _one_by_one(exam, table, mine, ours, wrong)


def _one_by_one(exam, table, mine, ours, wrong):
    """Explain as many wrong gradients as possible by one mistake, then the rest by another."""
    planted = [(m.says[0], _gradients_with(exam, m)) for m in table]
    explained = [
        (says, {key for key in wrong if same(mine[key], numbers[key])}) for says, numbers in planted
    ]
    for key in wrong:
        says = _alone(exam, key, mine[key], ours)
        if says:
            explained.append((says, {key}))
    merged = {}
    for says, keys in explained:
        merged[says] = merged.get(says, set()) | keys
    diagnosis, left = [], set(wrong)
    while left:
        says = max(merged, key=lambda text: len(merged[text] & left))
        keys = merged[says] & left
        if not keys:
            break
        diagnosis.append(f"{_list(exam, [k for k in wrong if k in keys])}: {says}")
        left -= keys
    return diagnosis + [_where(exam, key, mine[key], ours[key]) for key in wrong if key in left]


def _alone(exam, key, mine, ours):
    """What one gradient, seen by itself, may be; None if nothing fits."""
    if not mine.any():
        return "It is zero everywhere. Is it ever computed, or is something detached?"
    truth = ours[key]
    for other, array in ours.items():
        if other != key and same(mine, array):
            return f"These are the numbers of {exam.form.label(other)}."
    if key == "dx" and same(mine, truth[::-1]):
        return "Right, but in reversed order of time. Put the steps back in order."
    if key == "weight_hh" and same(mine, mistakes.transposed(truth)):
        return "It is transposed. With h @ W_hh.T forward, it is da.T @ h."
    ratio = float(np.vdot(mine, truth) / np.vdot(truth, truth))
    if same(mine, ratio * truth):
        return f"It is {_ratio(exam, ratio)} times the right one."
    gates = mistakes.GATES[exam.form.kind]
    if key in exam.weights:
        for order, places in mistakes.orders(gates):
            if same(mine, mistakes.reorder(truth, places)):
                return f"Its blocks of rows are {' '.join(order)}; ours are {' '.join(gates)}."
    return None


def _ratio(exam, ratio):
    known = {"1/N": 1 / exam.N, "1/T": 1 / exam.T, "1/(T N)": 1 / exam.T / exam.N, "-1": -1, "2": 2}
    for text, value in known.items():
        if np.isclose(ratio, value) and value != 1:
            mean = " (a mean where a sum belongs)" if text.startswith("1/") else ""
            return text + mean
    return f"{ratio:.4g}"


def _where(exam, key, mine, ours):
    """Which steps or gates of a gradient differ."""
    if key == "dx" and exam.form.layer:
        bad = [t for t in range(exam.T) if not same(mine[t], ours[t])]
        text = f"it differs at t={', '.join(map(str, bad))}"
        if exam.T - 1 not in bad:
            text += "; the last step is right: look at what step t hands to step t-1"
    elif key in exam.weights:
        gates = mistakes.GATES[exam.form.kind]
        blocks = zip(np.split(mine, len(gates)), np.split(ours, len(gates)), strict=True)
        bad = [gate for gate, (a, b) in zip(gates, blocks, strict=True) if not same(a, b)]
        text = f"it differs in the rows of {', '.join(bad)}"
        if len(bad) < len(gates):
            text += f"; those of {', '.join(g for g in gates if g not in bad)} are right"
    else:
        text = "it differs"
    return f"{exam.form.label(key)}: {text}. This is none of the mistakes that are known here."


class _CallableModule(types.ModuleType):
    """``rnnbook.check`` is this module and, called, the function: both spellings work."""

    def __call__(self, *args, **kwargs):
        return check(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
