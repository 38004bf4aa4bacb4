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
    """
    if module.dtype != np.float64:
        raise ValueError(f"module has dtype {module.dtype}: build it with dtype=np.float64")
    rng = np.random.default_rng(rng)
    inputs = [x.copy() if _is_float(x) else x for x in inputs]
    *outputs, cache = module.forward(*inputs)
    weights = [rng.standard_normal(np.shape(output)) for output in outputs]

    def loss():
        outputs = module.forward(*inputs)[:-1]
        return sum(np.vdot(w, output) for w, output in zip(weights, outputs, strict=True))

    module.zero_grad()
    dinputs = module.backward(*weights, cache)
    dinputs = dinputs if isinstance(dinputs, tuple) else (dinputs,)
    # copies: the differences below run forward only, but a caller may look at grad later
    checks = {name: (p.data, p.grad.copy()) for name, p in module.named_parameters()}
    floats = [x for x in inputs if _is_float(x)]
    for number, (x, dx) in enumerate(zip(floats, dinputs, strict=False)):
        checks[f"input {number}"] = (x, dx)
    return {
        name: _relative_error(_differences(loss, array, eps), analytic)
        for name, (array, analytic) in checks.items()
    }


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype == np.float64


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
