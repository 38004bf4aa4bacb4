"""Nonlinearities, each beside its derivative.

A derivative is written in terms of the *output*: backward then needs no second evaluation, and a
recurrent layer no second array, for its outputs are kept anyway.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def tanh(a, out=None):
    """tanh(a), elementwise."""
    return np.tanh(a, out=out)


def tanh_slope(h):
    """Derivative of tanh where its output is h: 1 - h^2, at most 1."""
    slope = h * h
    return np.subtract(1, slope, out=slope)


def sigmoid(a, out=None):
    """1 / (1 + exp(-a)), elementwise, as a shifted tanh, which cannot overflow."""
    out = np.multiply(a, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


def sigmoid_slope(h):
    """Derivative of the sigmoid where its output is h: h (1 - h), at most 1/4."""
    return h - h * h


def relu(a, out=None):
    """max(a, 0), elementwise."""
    return np.maximum(a, 0, out=out)


def relu_slope(h):
    """Derivative of relu where its output is h: 1 where h > 0, else 0 (at 0 too, as in torch)."""
    return (h > 0).astype(h.dtype)


def identity(a, out=None):
    """a itself: a linear recurrence."""
    if out is None:
        return a
    out[...] = a
    return out


def identity_slope(h):
    """Derivative of the identity: 1."""
    return np.ones_like(h)


class Nonlinearity(NamedTuple):
    """A function of the preactivation, and its derivative as a function of the output."""

    f: Callable
    slope: Callable


NONLINEARITIES = {
    "tanh": Nonlinearity(tanh, tanh_slope),
    "relu": Nonlinearity(relu, relu_slope),
    "sigmoid": Nonlinearity(sigmoid, sigmoid_slope),
    "identity": Nonlinearity(identity, identity_slope),
}


def log_softmax(logits):
    """log of softmax over the last axis; the maximum is taken out first, so exp cannot overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logits):
    """exp(logits) / sum(exp(logits)) over the last axis: probabilities that add up to 1."""
    return np.exp(log_softmax(logits))
