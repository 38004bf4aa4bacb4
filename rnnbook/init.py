"""Initial values that help a recurrent network remember, for models of either twin.

Each function changes a model in place and returns it. It finds what it changes by name, in any
:class:`rnnbook.scratch.Module` and :class:`torch.nn.Module`: a parameter called ``weight_hh...``
with H columns holds G square blocks (H, H), one for each gate, and ``bias_ih...`` and
``bias_hh...`` with the same ending are its biases. G tells the kind of cell: 1 is a simple RNN,
3 a GRU, 4 an LSTM with its gates in the order i f g o. The same ``rng`` gives both twins the same
numbers.
"""

import math
import numbers

import numpy as np

from . import expect
from .interop import get_weights, set_weights

GATES = {1: "a simple RNN", 3: "a GRU", 4: "an LSTM"}


def orthogonal(model, gain=1.0, rng=None):
    """Make each gate's recurrent matrix a random orthogonal one: W_hh = gain Q with Q^T Q = I.

    Q keeps the length of every vector, so a linear recurrence neither shrinks nor grows what it
    carries, forward or backward. Q is uniform among all orthogonal matrices.

    Parameters
    ----------
    model : scratch or torch module
    gain : float
        Above 0: every singular value of W_hh.
    rng : None, int or numpy.random.Generator

    Returns
    -------
    model

    Raises
    ------
    ValueError
        If ``gain`` is not above 0, or the model has no recurrent weight (H, H), (3H, H) or (4H, H).
        The model is unchanged.

    References
    ----------
    Saxe, McClelland & Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks. The uniform Q: Mezzadri (2007), How to generate random matrices
    from the classical compact groups.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> W = orthogonal(scratch.RNN(3, 5, dtype=np.float64), rng=0).cells[0].weight_hh.data
    >>> np.allclose(W @ W.T, np.eye(5))
    True
    """
    expect.positive("gain", gain)
    rng = np.random.default_rng(rng)
    weights = get_weights(model)
    for name, gates in recurrent_weights(weights).items():
        for block in np.split(weights[name], gates):  # (H, H), a view
            q, r = np.linalg.qr(rng.standard_normal(block.shape))
            block[...] = gain * q * np.sign(np.diag(r))  # the signs make Q uniform
    set_weights(model, weights)
    return model


def identity(model, scale=1.0):
    """Make every recurrent matrix W_hh = scale I, and the biases 0: an IRNN, if f is relu.

    At the start the state is copied from step to step and the input is added to it.

    Parameters
    ----------
    model : scratch or torch module
        Of simple RNN layers or cells; meant for ``nonlinearity="relu"``.
    scale : float
        Above 0. Below 1, the memory fades by this factor at each step.

    Returns
    -------
    model

    Raises
    ------
    ValueError
        If ``scale`` is not above 0, a layer has gates, or the model has no recurrent weight. The
        model is unchanged.

    References
    ----------
    Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear
    units.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = identity(scratch.RNN(3, 5, nonlinearity="relu"))
    >>> np.array_equal(model.cells[0].weight_hh.data, np.eye(5))
    True
    """
    expect.positive("scale", scale)
    weights = get_weights(model)
    for name, gates in recurrent_weights(weights).items():
        if gates != 1:
            raise ValueError(
                f"{name} has shape {weights[name].shape}, that of {GATES[gates]}: expected (H, H), "
                "for identity initialises layers without gates. Use orthogonal or forget_bias"
            )
        weights[name][...] = scale * np.eye(len(weights[name]))
        for bias in biases(weights, name):
            weights[bias][...] = 0
    set_weights(model, weights)
    return model


def forget_bias(model, value=1.0):
    """Set the bias of every LSTM's forget gate: b_ih[f] = value and b_hh[f] = 0.

    The gate sees the sum of the two. With ``value`` above 0 it starts open: without input,
    f = sigmoid(value), which is 0.73 for 1, and the cell forgets the share 1 - f at each step.

    Parameters
    ----------
    model : scratch or torch module
        What is not an LSTM in it stays as it is.
    value : float

    Returns
    -------
    model

    Raises
    ------
    ValueError
        If ``value`` is not a finite number, or the model has no LSTM, or one without biases. The
        model is unchanged.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), Learning to forget; Jozefowicz, Zaremba & Sutskever (2015),
    An empirical exploration of recurrent network architectures.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = forget_bias(scratch.LSTM(3, 5), 2.0)
    >>> model.cells[0].bias_ih.data[5:10].tolist()  # the rows of f, in the order i f g o
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"value={value!r}: expected a finite number")
    weights = get_weights(model)
    lstms = [name for name, gates in recurrent_weights(weights).items() if gates == 4]
    if not lstms:
        raise ValueError(
            f"model={model!r} has no LSTM (no weight_hh of shape (4H, H)): expected one"
        )
    for name in lstms:
        found = biases(weights, name)
        if not found:
            raise ValueError(f"{name} has no bias beside it: build the LSTM with bias=True")
        for bias, sought in zip(found, (value, 0), strict=False):
            np.split(weights[bias], 4)[1][...] = sought  # i f g o
    set_weights(model, weights)
    return model


def recurrent_weights(weights):
    """Return ``{name: G}`` for each recurrent weight (G*H, H) among ``{name: array}``."""
    found = {}
    for name, array in weights.items():
        if not name.rpartition(".")[2].startswith("weight_hh"):
            continue
        gates = len(array) // array.shape[-1]
        if gates not in GATES or array.shape != (gates * array.shape[-1], array.shape[-1]):
            raise ValueError(
                f"{name} has shape {array.shape}: expected (H, H), (3H, H) or (4H, H), "
                "the recurrent weight of an RNN, a GRU or an LSTM"
            )
        found[name] = gates
    if not found:
        raise ValueError(
            "the model has no recurrent weight: expected a parameter whose name starts with "
            f"weight_hh, but there are {', '.join(weights) or 'none'}"
        )
    return found


def biases(weights, name):
    """List the names of the biases that stand beside the recurrent weight ``name``."""
    path, dot, own = name.rpartition(".")
    beside = [path + dot + own.replace("weight_hh", b, 1) for b in ("bias_ih", "bias_hh")]
    return [bias for bias in beside if bias in weights]
