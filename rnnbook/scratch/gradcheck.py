"""Finite differences against backward: the check that needs no second implementation."""

import numpy as np


def gradcheck(module, *inputs, eps=1e-6, rng=0):
    """Compare ``module.backward`` with central differences of ``module.forward``.

    The loss is the sum of all outputs, each entry times a random weight, so that no output goes
    unseen. Every entry of every parameter and of every floating-point input is moved by +-eps.

    Parameters
    ----------
    module : Module
        In float64; in evaluation mode if it drops out.
    *inputs
        Arguments of ``module.forward``. Arrays of float64 are differentiated; the rest (ids,
        lengths, None) is passed on.
    eps : float
        Step of the differences.
    rng : int or numpy.random.Generator
        Draws the weights of the outputs.

    Returns
    -------
    dict of str to float
        For each parameter, by name, and each floating-point input ("input 0", ...): the relative
        error ||numeric - analytic|| / (||numeric|| + ||analytic||). About 1e-9 is right, above
        1e-5 is wrong.

    Raises
    ------
    ValueError
        If the module is not in float64: in float32, rounding would drown the differences.

    Examples
    --------
    >>> from rnnbook.scratch import GRU
    >>> layer = GRU(3, 5, dtype=np.float64, rng=0)
    >>> errors = gradcheck(layer, np.random.default_rng(0).standard_normal((4, 2, 3)))
    >>> sorted(errors)[:3], max(errors.values()) < 1e-6
    (['bias_hh_l0', 'bias_ih_l0', 'input 0'], True)
    """
    if module.dtype != np.float64:
        raise ValueError(f"module has dtype {module.dtype}: build it with dtype=np.float64")
    rng = np.random.default_rng(rng)
    inputs = [_map(x, np.copy) if _floats(x) else x for x in inputs]
    *outputs, cache = module.forward(*inputs)
    weights = [_map(output, lambda a: rng.standard_normal(a.shape)) for output in outputs]

    def loss():
        outputs = module.forward(*inputs)[:-1]
        pairs = zip(_floats(weights), _floats(outputs), strict=True)
        return sum(np.vdot(weight, output) for weight, output in pairs)

    module.zero_grad()
    dinputs = _floats(module.backward(*weights, cache))
    checks = {name: (p.data, p.grad.copy()) for name, p in module.named_parameters()}
    for number, (x, dx) in enumerate(zip(_floats(inputs), dinputs, strict=False)):
        checks[f"input {number}"] = (x, dx)
    return {
        name: _relative_error(_differences(loss, array, eps), analytic)
        for name, (array, analytic) in checks.items()
    }


def _map(value, function):
    """Apply a function to an array, or to each of a tuple of them (the state of an LSTM)."""
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def _floats(value):
    """List the arrays of float64 in nested tuples and lists; what else is there has no gradient."""
    if isinstance(value, tuple | list):
        return [array for part in value for array in _floats(part)]
    return [value] if isinstance(value, np.ndarray) and value.dtype == np.float64 else []


def _differences(loss, array, eps):
    """Central differences of ``loss()`` with respect to each entry of ``array``."""
    numeric = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + eps
        above = loss()
        array[index] = kept - eps
        below = loss()
        array[index] = kept
        numeric[index] = (above - below) / (2 * eps)
    return numeric


def _relative_error(numeric, analytic):
    scale = np.linalg.norm(numeric) + np.linalg.norm(analytic)
    return float(np.linalg.norm(numeric - analytic) / scale) if scale else 0.0
