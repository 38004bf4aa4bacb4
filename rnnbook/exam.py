"""What :mod:`rnnbook.check` asks, and whom: random questions, and four kinds of implementations.

Letters: T time, N batch, D input size, H hidden size, G gates.
"""

import copy
import inspect
import traceback

import numpy as np

from . import expect, scratch
from .interop import is_torch
from .mistakes import GATES

LIKE = {
    "rnn_cell": "RNNCell",
    "lstm_cell": "LSTMCell",
    "gru_cell": "GRUCell",
    "rnn": "RNN",
    "lstm": "LSTM",
    "gru": "GRU",
}


class Trouble(Exception):
    """The reader's code cannot be examined further; the message says why."""


class Form:
    """How a cell or a layer of this kind hands over its arrays.

    Inside the examiner, a weight has the name it has in a cell, a state is a list of (N, H), and a
    cell is one step of a layer, without y.
    """

    def __init__(self, like, options):
        expect.one_of("like", like, LIKE)
        self.kind, self.layer = like.removesuffix("_cell"), not like.endswith("_cell")
        self.cls = getattr(scratch, LIKE[like])
        known = {"rnn": ("bias", "nonlinearity"), "gru": ("bias", "reset_after")}
        for name in options:
            expect.one_of("option", name, known.get(self.kind, ("bias",)))
        self.given = options
        self.options = {"bias": True, "nonlinearity": "tanh", "reset_after": True} | options
        self.parts = "hc" if self.kind == "lstm" else "h"
        self.ending = "_l0" if self.layer else ""
        self.cotangents = ("dy", "dstate") if self.layer else ("dstate",)

    def shapes(self, D, H):
        """{name: shape} of the weights, by the names of a cell."""
        rows = len(GATES[self.kind]) * H
        shapes = {"weight_ih": (rows, D), "weight_hh": (rows, H)}
        return shapes | ({"bias_ih": (rows,), "bias_hh": (rows,)} if self.options["bias"] else {})

    def label(self, key):
        """What a quantity is called in the table."""
        if key == "y":
            return "y"
        if key in ("h", "c"):
            return f"{key}_n" if self.layer else f"{key}'"
        if key in ("dh", "dc"):
            return f"dL/{key}_0" if self.layer else f"dL/{key}"
        return "dL/dx" if key == "dx" else f"dL/d{key}{self.ending}"


class Exam:
    """The questions: sizes that all differ, random weights, inputs, states and cotangents."""

    def __init__(self, form, D, H, absent=(), seed=0):
        self.form, self.D, self.H, self.absent = form, D, H, absent
        self.T, self.N = [n for n in (6, 4, 7, 9) if n not in (D, H)][:2]
        self.T = self.T if form.layer else 1
        rng = np.random.default_rng(seed)
        self.weights = {
            name: rng.standard_normal(shape) * (0.5 if "bias" in name else 1.2 * H**-0.5)
            for name, shape in form.shapes(D, H).items()
        }
        for name in absent:
            self.weights[name] *= 0
        self.x = rng.standard_normal((self.T, self.N, D))
        self.dy = rng.standard_normal((self.T, self.N, H)) * form.layer
        self.state = [0.7 * rng.standard_normal((self.N, H)) for _ in form.parts]
        self.dstate = [rng.standard_normal((self.N, H)) for _ in form.parts]
        self.complaints = []

    @property
    def title(self):
        """What is compared, in one line."""
        options = "".join(f", {name}={value!r}" for name, value in self.form.given.items())
        time = f"T={self.T}, " if self.form.layer else ""
        name = f"{self.form.cls.__name__}({self.D}, {self.H}{options})"
        zeros = "".join(f", {key}{self.form.ending} = 0" for key in self.absent)
        return f"Held against {name} with {time}N={self.N}{zeros}, in float64"

    def hand(self, *names):
        """Copies of "x", "state", "dy", "dstate", "weights", in the form that the reader takes."""
        return [self._hand(name) for name in names]

    def _hand(self, name):
        value = getattr(self, name)
        if name == "weights":
            return {key + self.form.ending: array.copy() for key, array in value.items()}
        if name in ("x", "dy"):
            return value.copy() if self.form.layer else value[0].copy()
        parts = tuple(part[None].copy() if self.form.layer else part.copy() for part in value)
        return parts if len(parts) == 2 else parts[0]

    def read_outputs(self, outputs):
        """From (y, state) or (state,) to {"y", "h", "c"}; a wrong shape: None and a complaint."""
        *y, state = outputs
        read = {"y": self._read("y", y[0], (self.T, self.N, self.H))} if y else {}
        return read | self._read_state("", "the returned state", state)

    def read_gradients(self, dx, dstate, gradients):
        """To {"dx", "dh", "dc", "weight_ih", ...}; None and a complaint for a wrong shape."""
        dx = self._read("dx", dx, self.hand("x")[0].shape)
        read = {"dx": dx if dx is None or self.form.layer else dx[None]}
        read |= self._read_state("d", "dstate0", dstate)
        for name in [name for name in self.weights if name not in self.absent]:
            full = name + self.form.ending
            if not isinstance(gradients, dict) or full not in gradients:
                raise Trouble(f"The gradients are {describe(gradients)}: {full} is missing.")
            read[name] = self._read(f"the gradient of {full}", gradients[full],
                                    self.weights[name].shape)  # fmt: skip
        return read

    def _read_state(self, prefix, label, state):
        if len(self.form.parts) == 1:
            state = (state,)
        elif not isinstance(state, tuple | list) or len(state) != 2:
            raise Trouble(f"{label} is {describe(state)}: expected a pair of arrays (h, c).")
        shape = (1, self.N, self.H) if self.form.layer else (self.N, self.H)
        read = {}
        for part, array in zip(self.form.parts, state, strict=True):
            array = self._read(f"{part} of {label}", array, shape)
            read[prefix + part] = array if array is None else array.reshape(self.N, self.H)
        return read

    def _read(self, label, array, shape):
        try:
            given = np.array(array, dtype=None if array is None else np.float64)
        except (TypeError, ValueError):
            given = np.array(None)
        if given.dtype == object:
            raise Trouble(f"{label} is {describe(array)}: expected an array {shape}.")
        if given.shape == shape:
            return given
        hint = shape_hint(given.shape, shape)
        self.complaints.append(f"{label} has shape {given.shape}: expected {shape}. {hint}".strip())
        return None


def shape_hint(given, shape):
    """What may have happened to an array that has the wrong shape; "" if nothing comes to mind."""
    if len(shape) == 3 and given == (shape[1], shape[0], shape[2]):
        return "Time and batch are exchanged: time comes first here, as with batch_first=False."
    if given == shape[1:] and shape[0] == 1:
        return "A layer's state has a leading axis of 1, its one layer: return h[None]."
    if given == shape[1:] and len(shape) == 3:
        return "Is that the last step alone? Return all steps."
    if len(given) > len(shape) and 1 in given and sorted(given) == sorted((1, *shape)):
        return "The state of a layer comes with a leading axis of 1, its one layer: take state[0]."
    if len(given) > len(shape) and given[len(given) - len(shape) :] == shape:
        return "Sum over the axes that are too many: the batch, the steps."
    return "It is transposed." if given == shape[::-1] else ""


def describe(value):
    """A value as a sentence can hold it: shapes, no numbers."""
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(describe, value))})"
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value)) or 'nothing'}"
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"array {tuple(shape)}"


def call(exam, label, function, named):
    """Call the reader's code; tell an exception with its line, and arguments changed in place."""
    before = {name: _numbers(value) for name, value in named.items() if name != "cache"}
    try:
        result = function(*named.values())
    except (Exception, SystemExit) as error:
        given = ", ".join(name if name in ("cache", "weights") else f"{name} {describe(value)}"
                          for name, value in named.items())  # fmt: skip
        raise Trouble(
            f"{label}({given}) raised {type(error).__name__}: {error}{_where(error)}"
        ) from error
    for name, arrays in before.items():
        if not all(map(np.array_equal, arrays, _numbers(named[name]))):
            note = f"{label} changes its argument {name} in place. Work on a copy."
            exam.complaints += [note] if note not in exam.complaints else []
    return result


def flat(value):
    """List the arrays in a tuple or dict of arrays, or the one array."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple | list) else [value]


def _numbers(value):
    return [np.array(_arrays(array)) for array in flat(value)]


def _where(error):
    """The last line of the reader's own code that the exception passed."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    if not own:
        return ""
    return f" (in {own[-1].name}, line {own[-1].lineno}: {own[-1].line})"


# Four kinds of implementations. ``run(exam)`` returns the outputs and a function that goes forward
# and backward and returns the gradients (None without a backward); ``adds`` says whether a second
# backward adds to the first; ``absent`` names a bias that the implementation does without.


class Function:
    """``mine(x, state, weights)`` and perhaps ``backward(dy, dstate, cache, weights)``."""

    adds = False

    def __init__(self, form, mine, backward):
        self.form, self.mine, self.backward = form, mine, backward
        self.name = getattr(mine, "__name__", "mine")
        self.D, self.H, self.absent = 3, 5, ()

    def run(self, exam):
        outputs, _ = self._forward(exam, exam.hand("weights")[0])
        return exam.read_outputs(outputs), self._gradients if self.backward else None

    def _forward(self, exam, weights):
        x, state = exam.hand("x", "state")
        arguments = {"x": x, "state": state, "weights": weights}
        result = call(exam, self.name, self.mine, arguments)
        return split(self.form, self.name, result, cached=self.backward is not None)

    def _gradients(self, exam):
        weights = exam.hand("weights")[0]
        _, cache = self._forward(exam, weights)
        cotangents = zip(self.form.cotangents, exam.hand(*self.form.cotangents), strict=True)
        arguments = {**dict(cotangents), "cache": cache, "weights": weights}
        name = getattr(self.backward, "__name__", "backward")
        result = call(exam, name, self.backward, arguments)
        return exam.read_gradients(*parts_of(name, result, "(dx, dstate0, grads)", 3))


class Class:
    """``mine(weights)`` with ``forward(x, state)`` and perhaps ``backward`` and ``grads``."""

    adds = True

    def __init__(self, form, mine):
        self.form, self.mine, self.name = form, mine, mine.__name__
        self.D, self.H, self.absent = 3, 5, ()

    def build(self, exam):
        arguments = {"weights": exam.hand("weights")[0]}
        return call(exam, self.name, self.mine, arguments)

    def grads(self, instance):
        grads = getattr(instance, "grads", None)
        if not isinstance(grads, dict):
            raise Trouble(f"{self.name} has no dict grads: keep the gradients there, by name.")
        return grads

    def run(self, exam):
        instance = self.build(exam)
        outputs, _ = self._forward(exam, instance)

        def gradients(exam):
            _, cache = self._forward(exam, instance)
            cotangents = zip(self.form.cotangents, exam.hand(*self.form.cotangents), strict=True)
            name = f"{self.name}.backward"
            result = call(exam, name, instance.backward, {**dict(cotangents), "cache": cache})
            dx, dstate = parts_of(name, result, "(dx, dstate0)", 2)
            return exam.read_gradients(dx, dstate, self.grads(instance))

        return exam.read_outputs(outputs), gradients if hasattr(instance, "backward") else None

    def _forward(self, exam, instance):
        if not hasattr(instance, "forward"):
            raise Trouble(f"{self.name} has no method forward(x, state).")
        x, state = exam.hand("x", "state")
        name = f"{self.name}.forward"
        result = call(exam, name, instance.forward, {"x": x, "state": state})
        return split(self.form, name, result, cached=True)


class Scratch(Class):
    """An instance of :class:`rnnbook.scratch.Module`."""

    def __init__(self, form, mine, names):
        if mine.dtype != np.float64:
            raise ValueError(f"mine has dtype {mine.dtype}: build it with dtype=np.float64")
        self.form, self.mine, self.name = form, mine, type(mine).__name__
        shapes = {name: parameter.data.shape for name, parameter in mine.named_parameters()}
        self.names, self.D, self.H, self.absent = match(form, shapes, names)

    def build(self, exam):
        instance = copy.deepcopy(self.mine).eval()
        instance.load_state_dict({own: exam.weights[key] for own, key in self.names.items()})
        instance.zero_grad()
        return instance

    def grads(self, instance):
        parameters = dict(instance.named_parameters())
        return {key + self.form.ending: parameters[own].grad for own, key in self.names.items()}


class Torch:
    """An instance of ``torch.nn.Module``; gradients by autograd."""

    adds = False

    def __init__(self, form, mine, names):
        self.form, self.mine, self.name = form, mine, type(mine).__name__
        shapes = {name: tuple(tensor.shape) for name, tensor in mine.named_parameters()}
        self.names, self.D, self.H, self.absent = match(form, shapes, names)

    def run(self, exam):
        import torch

        module = copy.deepcopy(self.mine).to("cpu", torch.float64).eval().requires_grad_()
        own = dict(module.named_parameters())
        with torch.no_grad():
            for name, key in self.names.items():
                own[name].copy_(torch.tensor(exam.weights[key]))
        x, state = (_tensors(value) for value in exam.hand("x", "state"))
        result = call(exam, self.name, module, {"x": x, "state": state})
        outputs, _ = split(self.form, self.name, result, cached=False)

        def gradients(exam):
            leaves = [x, *flat(state), *(own[name] for name in self.names)]
            dx, *found = _autograd(exam, outputs, leaves)
            count = len(self.form.parts)
            dstate = found[0] if count == 1 else tuple(found[:count])
            names = [key + self.form.ending for key in self.names.values()]
            return exam.read_gradients(dx, dstate, dict(zip(names, found[count:], strict=True)))

        return exam.read_outputs([_arrays(output) for output in outputs]), gradients


def _autograd(exam, outputs, leaves):
    """The gradients of the leaves, as arrays; zeros where none arrives."""
    import torch

    tensors = [tensor for output in outputs for tensor in flat(output)]
    if not all(map(torch.is_tensor, tensors)):
        raise Trouble("The outputs are not tensors of torch, so autograd does not know them.")
    weights = [array for value in exam.hand(*exam.form.cotangents) for array in flat(value)]
    loss = sum((a * torch.tensor(w)).sum() for a, w in zip(tensors, weights, strict=True))
    if not loss.requires_grad:
        raise Trouble(
            "The outputs carry no gradient. Were they computed under torch.no_grad(), detached, or "
            "made by torch.tensor(...)?"
        )
    try:
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    except (Exception, SystemExit) as error:  # such as a tensor that was changed in place
        raise Trouble(f"Autograd cannot go back through this: {error}") from error
    return [
        np.zeros(leaf.shape) if gradient is None else gradient.numpy()
        for leaf, gradient in zip(leaves, found, strict=True)
    ]


def _tensors(value):
    import torch

    if isinstance(value, tuple):
        return tuple(map(_tensors, value))
    return torch.tensor(value, requires_grad=True)


def _arrays(value):
    if isinstance(value, tuple | list):
        return tuple(map(_arrays, value))
    return value.detach().numpy() if hasattr(value, "detach") else value


def implementation(form, mine, backward, names):
    """Say what kind of thing ``mine`` is."""
    if backward is not None and not inspect.isroutine(mine):
        raise ValueError("backward= goes with a function; a class or module brings its own")
    if isinstance(mine, scratch.Module):
        return Scratch(form, mine, names)
    if is_torch(mine):
        return Torch(form, mine, names)
    if names is not None:
        raise ValueError("names= goes with a module that has parameters of its own")
    if inspect.isclass(mine):
        if any(base.__module__.startswith(("torch", "rnnbook")) for base in mine.__mro__):
            raise TypeError(f"mine={mine!r} is a class: hand in an instance, {mine.__name__}(3, 5)")
        return Class(form, mine)
    if inspect.isroutine(mine):
        return Function(form, mine, backward)
    raise TypeError(
        f"mine={mine!r}: expected a function, a class with forward and backward (not an instance "
        "of it), a torch module or a scratch module"
    )


def match(form, shapes, names):
    """From a module's {name: shape} to ({its name: ours}, D, H, [a bias that it has not])."""
    wanted = form.shapes(0, 0)
    full = {key + form.ending: key for key in wanted}
    renamed = {own: (names or {}).get(own, own) for own in shapes}
    found = {own: full[theirs] for own, theirs in renamed.items() if theirs in full}
    absent = [key for key in wanted if key not in found.values()]
    both_needed = form.kind == "gru" and form.options["reset_after"]
    faults = [f"no {key + form.ending}" for key in absent if key != "bias_hh" or both_needed]
    faults += [f"{own} is none of ours" for own in shapes if own not in found]
    faults += [f"names has {own}, which mine has not" for own in names or {} if own not in shapes]
    if not faults:
        sizes = {key: shapes[own] for own, key in found.items()}
        D, H = sizes["weight_ih"][-1], sizes["weight_hh"][-1]
        own = form.shapes(D, H)
        faults = [
            f"{name} has shape {shapes[name]}, expected {own[key]}"
            for name, key in found.items()
            if shapes[name] != own[key]
        ]
    if faults:
        own = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(
            f"mine does not have the parameters of {form.cls.__name__}: {'; '.join(faults)}. It "
            f"has {own or 'none'}; expected {', '.join(full)}. If yours have other names, tell "
            "them: names={'yours': 'ours'}"
        )
    return found, D, H, absent


def split(form, name, result, cached):
    """Part what a forward returned into ([y,] state) and the cache, if there is one."""
    form_text = "y, state" if form.layer else "(h, c)" if form.kind == "lstm" else "h"
    if form.layer:
        if cached or (isinstance(result, tuple) and len(result) == 3):
            result = parts_of(name, result, "(y, state, cache)", 3)
            return result[:2], result[2]
        return parts_of(name, result, "(y, state)", 2), None
    pair = isinstance(result, tuple | list) and len(result) == 2
    bare = pair and form.kind == "lstm" and not isinstance(result[0], tuple | list)
    if cached or (pair and not bare):
        if bare:
            raise Trouble(f"{name} returned {describe(result)}: expected ((h, c), cache).")
        state, cache = parts_of(name, result, f"({form_text}, cache)", 2)
        return (state,), cache
    return (result,), None


def parts_of(name, result, form, count):
    """The parts of a returned tuple."""
    if not isinstance(result, tuple | list) or len(result) != count:
        raise Trouble(f"{name} returned {describe(result)}: expected {form}.")
    return result
