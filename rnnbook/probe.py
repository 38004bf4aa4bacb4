"""The microscope: what happens inside a recurrent network, step by step.

It looks at three kinds of model in the same way: layers and cells of :mod:`rnnbook.scratch`, those
of ``torch.nn`` (so of :mod:`rnnbook.pytorch`), and a torch module of your own that maps
``(x (T, N, D), state)`` to ``(y, state)``, with None for a state of zeros. A cell of your own,
which reads one step, is handed over as ``Step(cell)``. No model is opened: it is run one step at a
time with its state carried, and gradients are carried back through its own backward pass. It runs
in evaluation mode, and is left as it was, gradients included.

Letters: T time, N batch, D input size, H hidden size, F size of the whole state of one sequence (H,
twice as much for an LSTM, times the number of layers).
"""

import contextlib
import sys
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from . import expect, scratch
from .interop import get_weights, is_torch
from .twins import left_as_it_was

SCRATCH_LAYERS = (scratch.RNN, scratch.LSTM, scratch.GRU)
SCRATCH_CELLS = (scratch.RNNCell, scratch.LSTMCell, scratch.GRUCell)


class Step(NamedTuple):
    """A cell of your own: it reads one step, ``cell(x (N, D), state)``.

    A torch cell returns the next state (an array, or a tuple of them), or ``(y, state)``. Where it
    returns two arrays, hand the initial ``state`` over too: it tells (h, c) from (y, state). A
    NumPy cell keeps the contract of :class:`rnnbook.scratch.Module`.

    Parameters
    ----------
    cell : torch.nn.Module or rnnbook.scratch.Module

    Examples
    --------
    >>> import torch
    >>> cell = torch.nn.GRUCell(3, 5)
    >>> states(Step(cell), torch.ones(7, 2, 3))["h"].shape  # T=7, N=2
    (7, 2, 5)
    """

    cell: object


def states(model, x, state=None, layer=-1):
    """Return the state after each step.

    Parameters
    ----------
    model
        A layer or cell, as at the head of this module; not bidirectional.
    x : ndarray or Tensor, (T, N, D), or (N, T, D) if the model is ``batch_first``
        Sequences of one length, in the dtype of the model. A torch module of your own may read
        anything of shape (T, N, ...), such as tokens.
    state : as the model takes it, optional
        The initial state; zeros if None.
    layer : int
        Which layer of several; the last if -1.

    Returns
    -------
    dict of str to ndarray, (T, N, H)
        "h", and for an LSTM "c". Of more than two arrays: "state 0", "state 1" ...

    Raises
    ------
    ValueError, TypeError
        If the model is bidirectional or none of these kinds, or an argument does not fit it.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> x = np.ones((7, 2, 3), np.float32)  # T=7, N=2, D=3
    >>> {name: s.shape for name, s in states(scratch.LSTM(3, 5), x).items()}
    {'h': (7, 2, 5), 'c': (7, 2, 5)}
    """
    with _opened(model, x, state) as (step, x, start):
        visited, _ = _run(step, x, start)
    _check_layer(layer, start)
    return {name: _of_layer(part, layer)[1:] for name, part in _over_time(visited).items()}


def gradient_flow(model, x, state=None, dstate=None, rng=0):
    """Return the norm of dL/ds_t for every step t, where only the last state enters the loss L.

    s_t is the state that step t hands to step t+1, so dL/ds_t is all that the weights can learn
    from step t and before: dL/ds_T is given, and dL/ds_{t-1} = J_t^T dL/ds_t with the Jacobian
    J_t = ds_t / ds_{t-1}. For a loss on the outputs of all steps, each of which is the last of
    some sequence, hand over a shorter ``x``.

    Parameters
    ----------
    model, x, state
        See :func:`states`.
    dstate : in the form of the state, optional
        dL/ds_T. If None, L is the product of the last h with a random vector of length 1, another
        for each sequence: then the norms say what share of the gradient is left.
    rng : int or numpy.random.Generator
        Draws this vector.

    Returns
    -------
    dict of str to ndarray, (T+1, N), float64
        "h", and for an LSTM "c": at t = 0 (the initial state), 1, ..., T, the norm of this part of
        dL/ds_t for each sequence (over all layers, if there are several). The gradient is rescaled
        on its way, so it does not underflow in float32.

    Raises
    ------
    ValueError, TypeError
        As :func:`states`.

    References
    ----------
    Hochreiter (1991), Untersuchungen zu dynamischen neuronalen Netzen; Bengio, Simard & Frasconi
    (1994), Learning long-term dependencies with gradient descent is difficult.

    Examples
    --------
    In a linear recurrence with W_hh = 0.5 I the gradient halves at each step:

    >>> from rnnbook import init, scratch
    >>> layer = init.identity(scratch.RNN(3, 5, nonlinearity="identity", dtype=np.float64), 0.5)
    >>> gradient_flow(layer, np.ones((3, 1, 3)))["h"][:, 0].round(3).tolist()
    [0.125, 0.25, 0.5, 1.0]
    """
    with _opened(model, x, state) as (step, x, start):
        if dstate is None:
            gradient = _random_direction(start, np.random.default_rng(rng))
        else:
            gradient = _like_state("dstate", dstate, start)
        _, pullbacks = _run(step, x, start)
        norms, size = [_norms(gradient)], np.ones(x.shape[1])
        for pullback in reversed(pullbacks):  # dL/ds_t is size * gradient, and gradient is short
            length = np.linalg.norm(_norms(gradient), axis=0)  # (N,)
            length[length == 0] = 1.0
            gradient = pullback([(g / length[:, None]).astype(g.dtype) for g in gradient])
            size *= length
            norms.append(size * _norms(gradient))
    flow = np.stack(norms[::-1], axis=1)  # (parts, T+1, N)
    return dict(zip(_names(start), flow, strict=True))


def gates(model, x, state=None, layer=-1):
    """Return the activity of every gate at every step.

    Recomputed with torch's equations (see :class:`rnnbook.scratch.LSTMCell` and
    :class:`rnnbook.scratch.GRUCell`) from the weights, the inputs and the states that the model
    went through, and held against the next state.

    Parameters
    ----------
    model, x, state, layer
        See :func:`states`. The weights must have torch's names, ``weight_ih_l0``, ``weight_hh_l0``
        and so on (``weight_ih`` ... in a cell), whatever stands before them, and torch's order of
        gates; and ``x`` must be what this layer reads.

    Returns
    -------
    dict of str to ndarray, (T, N, H)
        LSTM: "i", "f", "g", "o", "c", "h". GRU: "r", "z", "n", "h", for either place of the reset.
        RNN: "h".

    Raises
    ------
    ValueError
        As :func:`states`; if these weights are not there; or if the gates, recomputed, do not give
        the model's own states.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> activity = gates(scratch.GRU(3, 5, rng=0), np.ones((7, 2, 3), np.float32))
    >>> list(activity), activity["z"].shape
    (['r', 'z', 'n', 'h'], (7, 2, 5))
    """
    module = model.cell if isinstance(model, Step) else model
    with _opened(model, x, state) as (step, x, start):
        _check_layer(layer, start)
        number = layer % _layers(start)
        weights = _torch_weights(get_weights(module), number, start[0].shape[-1])
        visited, _ = _run(step, x, start)
    over_time = _over_time(visited)
    if number:
        x = _of_layer(next(iter(over_time.values())), number - 1)[1:]
    own = {name: _of_layer(part, number) for name, part in over_time.items()}  # (T+1, N, H)
    expect.shape("x", x, ("T", "N", weights["weight_ih"].shape[1]))
    a_x = x @ weights["weight_ih"].T + weights["bias_ih"]  # (T, N, G*H)
    count = len(weights["weight_hh"]) // weights["weight_hh"].shape[1]
    if count == 1:
        return {"h": own["h"][1:]}
    if count == 4 and set(own) == {"h", "c"}:
        found = [_lstm_gates(a_x, own["h"][:-1], own["c"][:-1], weights)]
    elif count == 3 and set(own) == {"h"}:
        found = [_gru_gates(a_x, own["h"][:-1], weights, after) for after in (True, False)]
    else:
        raise ValueError(
            f"model={type(module).__name__}: weight_hh has {count} blocks of rows and the state "
            f"has the parts {', '.join(own)}: expected 1 and h (RNN), 3 and h (GRU), or 4 and h, c "
            f"(LSTM)"
        )
    misses = [np.abs(activity["h"] - own["h"][1:]).max() for activity in found]
    if not min(misses) <= np.sqrt(np.finfo(a_x.dtype).eps):
        raise ValueError(
            f"model={type(module).__name__}: gates recomputed with torch's equations miss its own "
            f"h by up to {min(misses):.2g}. Expected torch's equations and order of gates, and in "
            f"x what the layer itself reads"
        )
    return found[int(np.argmin(misses))]


class Saturation(NamedTuple):
    """Shares of the entries of each unit near the lower and the upper limit; each (H,).

    Examples
    --------
    >>> Saturation(left=np.array([0.0]), right=np.array([1.0])).right.tolist()
    [1.0]
    """

    left: np.ndarray
    right: np.ndarray


def saturation(activity, limits=(0.0, 1.0), margin=0.1):
    """Return how often each unit of a gate is shut, and how often it is wide open.

    Parameters
    ----------
    activity : ndarray, (T, N, H)
        One of :func:`gates`.
    limits : (float, float)
        (0, 1) for a sigmoid (i, f, o, r, z), (-1, 1) for a tanh (g, n, and the h of an RNN).
    margin : float
        Saturated is what lies closer to a limit than this.

    Returns
    -------
    Saturation
        ``left (H,)`` and ``right (H,)``: the share of all steps and sequences at which the unit is
        near its lower and its upper limit. They add up to 1 at most.

    Raises
    ------
    ValueError
        If the activity goes beyond its limits, or the margin is not from 0 to half their distance.

    References
    ----------
    Karpathy, Johnson & Li (2015), Visualizing and understanding recurrent networks.

    Examples
    --------
    >>> activity = np.array([0.02, 0.5, 0.97, 0.99]).reshape(4, 1, 1)  # T=4, one unit
    >>> shut, wide_open = saturation(activity)
    >>> shut.tolist(), wide_open.tolist()
    ([0.25], [0.5])
    """
    activity = _array(activity)
    expect.shape("activity", activity, ("T", "N", "H"))
    low, high = limits
    if not 0 < margin <= (high - low) / 2:
        raise ValueError(
            f"margin={margin!r}: expected more than 0 and at most half of the way from {low} to "
            f"{high}"
        )
    if not (activity.min() >= low and activity.max() <= high):
        raise ValueError(
            f"activity goes from {activity.min():.3g} to {activity.max():.3g}: expected "
            f"limits={limits} to hold all of it. Those of a tanh are (-1, 1); a c has none"
        )
    return Saturation(
        (activity < low + margin).mean(axis=(0, 1)), (activity > high - margin).mean(axis=(0, 1))
    )


def jacobian(model, x, state=None):
    """Return the Jacobian of every step: how the next state answers to the state before.

    J_t = ds_t / ds_{t-1}, exact, by one backward pass for each step over a batch of unit vectors.
    Its singular values are ``np.linalg.svd(J, compute_uv=False)``, (T, N, F); those of products of
    them come from :func:`product_singular_values`.

    Parameters
    ----------
    model, x, state
        See :func:`states`. This takes time and memory for T * N matrices (F, F): a few sequences
        are enough.

    Returns
    -------
    ndarray, (T, N, F, F)
        ``[t, n, i, j]`` is the derivative of entry i of the state after step t+1 with respect to
        entry j of the state before it, for sequence n. Entries stand in the order of the state: h,
        and for an LSTM then c; within each, layer by layer.

    Raises
    ------
    ValueError, TypeError
        As :func:`states`.

    Examples
    --------
    >>> from rnnbook import init, scratch
    >>> layer = init.identity(scratch.RNN(3, 5, nonlinearity="identity", dtype=np.float64), 0.5)
    >>> J = jacobian(layer, np.ones((7, 2, 3)))
    >>> J.shape, np.allclose(J, 0.5 * np.eye(5))
    ((7, 2, 5, 5), True)
    """
    with _opened(model, x, state) as (step, x, start):
        size, batch = sum(part.size for part in start) // x.shape[1], x.shape[1]
        units = np.tile(np.eye(size, dtype=start[0].dtype), (batch, 1))  # (N*F, F)
        jacobians = np.empty((len(x), batch, size, size), start[0].dtype)
        parts = start
        for t, x_t in enumerate(x):
            rows = [np.repeat(part, size, axis=-2) for part in parts]  # each sequence F times
            new, pullback = step(np.repeat(x_t, size, axis=0), rows)
            gradient = pullback(_unflatten(units, rows))
            jacobians[t] = _flatten(gradient).reshape(batch, size, size)
            parts = [part[..., ::size, :] for part in new]
    return jacobians


def product_singular_values(jacobians):
    """Return the logarithms of the singular values of J_T, J_T J_{T-1}, ..., J_T ... J_1.

    The product of k Jacobians is ds_T / ds_{T-k}: what a gradient is multiplied with on its way
    over k steps. The product is divided by its norm after each factor and the logarithm of the norm
    kept, so nothing underflows or overflows, however long it is.

    Parameters
    ----------
    jacobians : ndarray, (T, N, F, F)
        From :func:`jacobian`.

    Returns
    -------
    ndarray, (T, N, F), float64
        ``[k-1]``: natural logarithms for the product of the last k factors, largest first. The
        singular values that rounding hides, smaller than the largest by a factor F times the
        precision, are NaN; those of a product that is zero are -inf.

    Raises
    ------
    ValueError
        If the shape is another.

    Examples
    --------
    >>> factors = np.broadcast_to(0.5 * np.eye(3), (10, 1, 3, 3))
    >>> logs = product_singular_values(factors)
    >>> np.allclose(np.exp(logs[-1]), 0.5**10)
    True
    """
    jacobians = _array(jacobians)
    expect.shape("jacobians", jacobians, ("T", "N", "F", np.shape(jacobians)[-1]))
    time, batch, size, _ = jacobians.shape
    precision = size * np.finfo(jacobians.dtype).eps
    logs = np.empty((time, batch, size))
    product, log_norm = np.eye(size), np.zeros((batch, 1))
    for k, factor in enumerate(jacobians[::-1]):
        product = product @ factor.astype(np.float64)  # (N, F, F)
        norm = np.linalg.norm(product, axis=(1, 2))[:, None]
        product = product / np.where(norm > 0, norm, 1.0)[:, :, None]
        values = np.linalg.svd(product, compute_uv=False)  # (N, F)
        hidden = (values <= precision * values[:, :1]) & (norm > 0)
        with np.errstate(divide="ignore"):
            log_norm = log_norm + np.log(norm)
            logs[k] = log_norm + np.log(np.where(norm > 0, values, 1.0))
        logs[k][hidden] = np.nan
    return logs


def memory(h, x, lags, ridge=1e-4):
    """Return how well a linear read-out of the state tells the input of k steps before.

    For each lag k, x_{t-k} is predicted from h_t by ridge regression. It is fitted on the first
    half of the sequences and scored on the other half, at the steps t that have every lag behind
    them, so that all lags are judged on the same states. Draw it with
    :func:`rnnbook.plots.curves`.

    Parameters
    ----------
    h : ndarray or Tensor, (T, N, H)
        What is read: one of :func:`states` or :func:`gates`, or the output of a layer.
    x : ndarray or Tensor, (T, N, D)
        What should be remembered: the inputs, or anything else that goes with the steps. Best
        random and independent from step to step: of predictable inputs nothing need be kept.
    lags : sequence of int
        Each from 0 (the input of the same step) to T-1.
    ridge : float
        Penalty for each example, on states that are scaled to unit variance. It acts as noise of
        this variance would, 1 % of each unit by default: what only a finer reading would tell
        does not count.

    Returns
    -------
    ndarray, (lags,)
        R^2 on the held-out sequences: 1 is perfect, 0 is no better than the mean, and below 0 is
        worse. With several inputs (D > 1), the share of their variance taken together.

    Raises
    ------
    ValueError
        If shapes do not fit, there are fewer than two sequences, or a lag is outside 0 to T-1.

    References
    ----------
    Jaeger (2002), Short term memory in echo state networks.

    Examples
    --------
    A state that is the input of two steps before remembers that, and nothing else:

    >>> x = np.random.default_rng(0).standard_normal((50, 40, 1))  # T, N, D
    >>> h = np.concatenate([np.zeros((2, 40, 1)), x[:-2]])
    >>> memory(h, x, lags=[1, 2, 3]).round(1).tolist()
    [-0.0, 1.0, -0.0]
    """
    h, x, lags = _array(h), _array(x), list(lags)
    expect.shape("h", h, ("T", "N", "H"))
    expect.shape("x", x, (*h.shape[:2], "D"))
    expect.positive("ridge", ridge)
    time, batch, _ = h.shape
    if batch < 2:
        raise ValueError(f"h has N={batch} sequences: expected two at least, to hold some out")
    if not lags:
        raise ValueError("lags is empty: expected at least one lag")
    for lag in lags:
        expect.index("lag", lag, time)
    first, half = max(lags), batch // 2
    past = np.stack([x[first - lag : time - lag] for lag in lags], axis=2)  # (steps, N, lags, D)

    def examples(where):
        read = h[first:, where].astype(np.float64)
        told = past[:, where].astype(np.float64)
        return read.reshape(-1, h.shape[2]), told.reshape(-1, len(lags) * x.shape[2])

    read, told = examples(slice(half))
    model = make_pipeline(StandardScaler(), Ridge(alpha=ridge * len(read))).fit(read, told)
    read, told = examples(slice(half, None))
    guessed, shape = model.predict(read).reshape(told.shape), (-1, len(lags), x.shape[2])
    told, guessed = told.reshape(shape), guessed.reshape(shape)
    scores = [
        r2_score(told[:, k], guessed[:, k], multioutput="variance_weighted")
        for k in range(len(lags))
    ]
    return np.array(scores)


# One step of any model: step(x_t (N, D), parts) -> (parts of the next state, pullback), where
# pullback(dL/dnext) is dL/dparts. Parts are lists of arrays, (N, H), or (S, N, H) with S layers.


@contextlib.contextmanager
def _opened(model, x, state):
    """Check the arguments; yield ``(step, x (T, N, ...), parts of the initial state)``."""
    kind = _kind(model)
    x = _array(x)
    letters = ("N", "T") if kind.batch_first else ("T", "N")
    rest = ("...",) * max(x.ndim - 2, 0) if kind.is_own else ("D",)
    expect.shape("x", x, (*letters, *rest))
    x = x.swapaxes(0, 1) if kind.batch_first else x
    if 0 in x.shape:
        raise ValueError(f"x has shape {x.shape}: expected at least one step and one sequence")
    tokens = kind.is_own and not np.issubdtype(x.dtype, np.floating)
    if kind.dtype is not None and not tokens:
        expect.dtype("x", x, kind.dtype)
    with left_as_it_was(kind.module):
        make = _torch_step if is_torch(kind.module) else _scratch_step
        step = make(kind.module, kind.is_cell, int(kind.batch_first))
        yield step, x, _initial_state(step, x[0], state, kind.is_own)


class _Kind(NamedTuple):
    """What is known of a model before it runs."""

    module: object
    is_cell: bool
    is_own: bool  # a torch module that is not torch's
    batch_first: bool
    dtype: np.dtype | None  # None: a module without parameters reads any


def _kind(model):
    """Tell what a model is, or refuse it."""
    module = model.cell if isinstance(model, Step) else model
    is_own, cells, layers, dtype = False, (), (), None
    if isinstance(module, scratch.Module):
        cells, layers, dtype = SCRATCH_CELLS, SCRATCH_LAYERS, module.dtype
    elif is_torch(module):
        import torch

        cells, layers = (torch.nn.RNNCellBase,), (torch.nn.RNNBase,)
        is_own = not isinstance(module, cells + layers)
        kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
        dtype = np.dtype(str(kinds[0]).removeprefix("torch.")) if kinds else None
    is_module = isinstance(module, scratch.Module) or is_torch(module)
    is_cell = is_module and (isinstance(model, Step) or isinstance(module, cells))
    is_layer = isinstance(module, layers)
    if not (is_cell or is_layer or is_own or isinstance(module, scratch.Unrolled)):
        raise TypeError(
            f"model is {type(module).__name__}: expected a recurrent layer or cell of "
            f"rnnbook.scratch or torch.nn, a torch module of your own that maps (x (T, N, D), "
            f"state) to (y, state), or Step(cell). Of a whole model, hand over its recurrent layer"
        )
    if is_layer and module.bidirectional:
        raise ValueError(
            "model is bidirectional: expected one direction, for the other reads the future and "
            "has no state to carry. Probe a layer with bidirectional=False"
        )
    return _Kind(module, is_cell, is_own, is_layer and module.batch_first, dtype)


def _scratch_step(module, is_cell, axis):
    """The step of a scratch module; ``axis`` is that of time in what a layer reads."""

    def step(x_t, parts):
        state = None if parts is None else parts[0] if len(parts) == 1 else tuple(parts)
        x_t = x_t if is_cell else np.expand_dims(x_t, axis)
        *outputs, cache = module.forward(x_t, state)  # (state,) or (y, state)

        def pullback(dnext):
            dnext = dnext[0] if len(dnext) == 1 else tuple(dnext)
            dy = [np.zeros_like(y) for y in outputs[:-1]]
            return _parts(module.backward(*dy, dnext, cache)[1])

        return _parts(outputs[-1]), pullback

    return step


def _torch_step(module, is_cell, axis):
    """The step of a torch module; ``axis`` is that of time in what a layer reads."""
    import torch

    weights = next(module.parameters(), torch.zeros(()))

    def tensor(array, requires_grad=False):
        return torch.tensor(array, device=weights.device, requires_grad=requires_grad)

    def step(x_t, parts):
        leaves = None if parts is None else [tensor(part, requires_grad=True) for part in parts]
        state = leaves if leaves is None else leaves[0] if len(leaves) == 1 else tuple(leaves)
        # cuDNN has no backward in evaluation mode
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            output = module(tensor(x_t if is_cell else np.expand_dims(x_t, axis)), state)
        new = _parts(_next_state(module, output, leaves, is_cell))

        def pullback(dnext):
            pairs = [(n, tensor(d)) for n, d in zip(new, dnext, strict=True) if n.requires_grad]
            if not pairs:
                return [np.zeros_like(part) for part in parts]
            ends, cotangents = zip(*pairs, strict=True)
            with torch.backends.cudnn.flags(enabled=False):
                grads = torch.autograd.grad(ends, leaves, cotangents, materialize_grads=True)
            return [grad.cpu().numpy() for grad in grads]

        return [part.detach().cpu().numpy() for part in new], pullback

    return step


def _next_state(module, output, leaves, is_cell):
    """Find the next state in what a torch module returned."""
    import torch

    name = type(module).__name__
    if is_cell and (isinstance(output, torch.Tensor) or isinstance(module, torch.nn.LSTMCell)):
        return output
    if not isinstance(output, tuple | list) or len(output) < 2:
        raise ValueError(
            f"model={name} returned a {type(output).__name__}: expected (y, state). Hand over a "
            f"cell that reads one step as Step(model)"
        )
    if is_cell and all(isinstance(part, torch.Tensor) for part in output):
        if leaves is None and len(output) == 2:
            raise ValueError(
                f"model={name} returned two tensors, which are (h, c) or (y, state): expected "
                f"state=, the initial state, to tell"
            )
        if leaves is None or len(leaves) == len(output):
            return output
    if len(output) != 2:
        raise ValueError(f"model={name} returned {len(output)} values: expected (y, state)")
    return output[1]


def _initial_state(step, x_0, state, is_own):
    """The parts of a state as the caller gives it, checked; for None, zeros in the model's form."""
    if state is None:
        without, _ = step(x_0, None)
        parts = [np.zeros_like(part) for part in without]
        _check_parts("state", parts, len(x_0))
        with_zeros, _ = step(x_0, parts)
        pairs = zip(without, with_zeros, strict=True)
        if not all(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True) for a, b in pairs):
            raise ValueError(
                "state=None: the model does not start from zeros. Hand its initial state over"
            )
        return parts
    parts = [_array(part) for part in _parts(state)]
    _check_parts("state", parts, len(x_0))
    form, _ = step(x_0, parts if is_own else None)
    return _like_state("state", parts, form)


def _check_parts(name, parts, batch):
    for part in parts:
        if part.ndim not in (2, 3) or part.shape[-2] != batch:
            raise ValueError(
                f"{name} has an array of shape {part.shape}: expected ({batch}, H) or "
                f"(layers, {batch}, H)"
            )


def _like_state(name, given, parts):
    """The parts of ``given``, which must have the number, shapes and dtypes of ``parts``."""
    given = [_array(part) for part in _parts(given)]
    if len(given) != len(parts):
        raise ValueError(f"{name} holds {len(given)} arrays: expected {len(parts)}")
    for one, part in zip(given, parts, strict=True):
        expect.shape(name, one, part.shape)
        expect.dtype(name, one, part.dtype)
    return given


def _run(step, x, parts):
    """Run over all steps: the parts before and after each (T+1), and the pullbacks (T)."""
    visited, pullbacks = [parts], []
    for x_t in x:
        parts, pullback = step(x_t, parts)
        visited.append(parts)
        pullbacks.append(pullback)
    return visited, pullbacks


def _parts(state):
    return list(state) if isinstance(state, tuple | list) else [state]


def _names(parts):
    known = {1: ["h"], 2: ["h", "c"]}
    return known.get(len(parts), [f"state {number}" for number in range(len(parts))])


def _over_time(visited):
    """``{name: (T+1, N, H) or (T+1, S, N, H)}``."""
    return {
        name: np.stack(part)
        for name, part in zip(_names(visited[0]), zip(*visited, strict=True), strict=True)
    }


def _layers(parts):
    return len(parts[0]) if parts[0].ndim == 3 else 1


def _check_layer(layer, parts):
    count = _layers(parts)
    if layer not in range(-count, count):
        raise ValueError(f"layer={layer!r}: expected an integer from {-count} to {count - 1}")


def _of_layer(part, layer):
    """``(T+1, N, H)`` of one layer."""
    return part[:, layer] if part.ndim == 4 else part


def _norms(parts):
    """The norm of each part for each sequence, (parts, N), in float64."""
    squares = [np.square(part, dtype=np.float64) for part in parts]
    return np.sqrt([s.reshape(-1, *s.shape[-2:]).sum(axis=(0, 2)) for s in squares])


def _random_direction(parts, rng):
    """A random vector of length 1 for each sequence in the last layer's h, zeros elsewhere."""
    direction = [np.zeros_like(part) for part in parts]
    last = direction[0][-1] if direction[0].ndim == 3 else direction[0]  # (N, H)
    drawn = rng.standard_normal(last.shape)
    last[...] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return direction


def _flatten(parts):
    """Parts (N, H) or (S, N, H) to one vector for each sequence, (N, F)."""
    return np.concatenate(
        [np.moveaxis(part, -2, 0).reshape(part.shape[-2], -1) for part in parts], axis=1
    )


def _unflatten(vectors, parts):
    """The inverse of :func:`_flatten`, in the shapes of ``parts``."""
    ends = np.cumsum([part.size // part.shape[-2] for part in parts])[:-1]
    shapes = [(part.shape[-2], *part.shape[:-2], part.shape[-1]) for part in parts]
    pieces = np.split(vectors, ends, axis=1)
    return [
        np.ascontiguousarray(np.moveaxis(piece.reshape(shape), 0, -2))
        for piece, shape in zip(pieces, shapes, strict=True)
    ]


def _array(value):
    """An ndarray from an array or a tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value)


def _torch_weights(weights, layer, size):
    """The four arrays of one layer or of a cell, by torch's names; zeros for absent biases."""
    found = {}
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        names = [n for n in weights if n.rsplit(".")[-1] in (f"{kind}_l{layer}", kind)]
        if len(names) > 1 or (not names and kind.startswith("weight")):
            raise ValueError(
                f"model has {' and '.join(names) or 'no'} {kind}_l{layer} or {kind} among its "
                f"weights {', '.join(weights)}: expected one, with torch's names and order of "
                f"gates. For the states alone, use probe.states"
            )
        if names:
            found[kind] = weights[names[0]]
    rows, columns = found["weight_hh"].shape
    if columns != size or rows not in (size, 3 * size, 4 * size):
        raise ValueError(
            f"weight_hh has shape ({rows}, {columns}) beside a state of H={size}: expected "
            f"(G*H, H) with G = 1 (RNN), 3 (GRU) or 4 (LSTM)"
        )
    zeros = np.zeros(rows, found["weight_hh"].dtype)
    return {"bias_ih": zeros, "bias_hh": zeros, **found}


def _sigmoid(a):
    return 0.5 + 0.5 * np.tanh(0.5 * a)


def _lstm_gates(a_x, h, c, weights):
    """Activity of an LSTM from its projected inputs and the states before each step."""
    a = a_x + h @ weights["weight_hh"].T + weights["bias_hh"]
    i, f, g, o = np.split(a, 4, axis=2)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    c = f * c + i * g
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": o * np.tanh(c)}


def _gru_gates(a_x, h, weights, reset_after):
    """Activity of a GRU from its projected inputs and the states before each step."""
    size = h.shape[2]
    a_h = h @ weights["weight_hh"].T + weights["bias_hh"]
    r, z = np.split(_sigmoid((a_x + a_h)[:, :, : 2 * size]), 2, axis=2)
    if reset_after:
        a_hn = r * a_h[:, :, 2 * size :]
    else:
        a_hn = (r * h) @ weights["weight_hh"][2 * size :].T + weights["bias_hh"][2 * size :]
    n = np.tanh(a_x[:, :, 2 * size :] + a_hn)
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}
