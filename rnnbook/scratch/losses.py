"""Losses: each returns the mean loss and its gradient with respect to the predictions."""

import numpy as np

from rnnbook import expect

from .functional import log_softmax, sigmoid


def cross_entropy(logits, target):
    """Mean of -log softmax(logits)[target].

    Parameters
    ----------
    logits : ndarray, (N, K)
        Scores before softmax.
    target : ndarray of int, (N,)
        Classes, 0 to K-1.

    Returns
    -------
    loss : float
        In nats.
    dlogits : ndarray, (N, K)

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit, there is no row, or a class is outside 0 to K-1.

    Examples
    --------
    Two classes and no opinion cost log 2; the gradient is p minus the one-hot target:

    >>> loss, dlogits = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> round(loss, 4), dlogits.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    target = np.asarray(target)
    expect.classes(logits, target)
    expect.filled("logits", logits)
    rows = np.arange(len(logits))
    log_p = log_softmax(logits)
    dlogits = np.exp(log_p)
    dlogits[rows, target] -= 1
    return float(-log_p[rows, target].mean()), dlogits / len(logits)


def binary_cross_entropy_with_logits(logits, target):
    """Mean of -(t log p + (1 - t) log(1 - p)) with p = sigmoid(logits).

    Parameters
    ----------
    logits : ndarray, any shape
        Scores before the sigmoid.
    target : ndarray, same shape
        Probabilities of the positive class, mostly 0 and 1.

    Returns
    -------
    loss : float
        In nats.
    dlogits : ndarray, same shape

    Raises
    ------
    ValueError
        If the shapes differ, there is no row, or a target is outside 0 to 1.

    Examples
    --------
    >>> loss, dlogits = binary_cross_entropy_with_logits(np.zeros(1), np.ones(1))
    >>> round(loss, 4), dlogits.tolist()  # log 2, and p - t
    (0.6931, [-0.5])
    """
    target = np.asarray(target, dtype=logits.dtype)
    expect.shape("target", target, logits.shape)
    expect.filled("logits", logits)
    expect.probabilities("target", target)
    # max(z, 0) - z t + log(1 + exp(-|z|)): no exp of a large number
    losses = np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))
    return float(losses.mean()), (sigmoid(logits) - target) / logits.size


def mse_loss(prediction, target):
    """Mean of (prediction - target)^2 over all entries.

    Parameters
    ----------
    prediction, target : ndarray, same shape

    Returns
    -------
    loss : float
        In the square of the target's unit.
    dprediction : ndarray, same shape

    Raises
    ------
    ValueError
        If the shapes differ, or there is no row.

    Examples
    --------
    >>> loss, gradient = mse_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    >>> float(loss), gradient.tolist()
    (2.0, [0.0, 2.0])
    """
    target = np.asarray(target, dtype=prediction.dtype)
    expect.shape("target", target, prediction.shape)
    expect.filled("prediction", prediction)
    error = prediction - target
    return float(np.square(error).mean()), error * (2 / error.size)


def pinball_loss(prediction, target, levels):
    """Mean of max(q e, (q - 1) e) over all entries and levels q, with e = target - prediction.

    It is least where a share q of the targets lies below the prediction for q. At q = 0.5 it is
    half the absolute error.

    Parameters
    ----------
    prediction : ndarray, (..., Q)
        A number for each level.
    target : ndarray, (...)
    levels : sequence of float, (Q,)
        Each between 0 and 1.

    Returns
    -------
    loss : float
        In the target's unit.
    dprediction : ndarray, (..., Q)

    Raises
    ------
    ValueError
        If the shapes do not fit each other, there is no row, or a level is not between 0 and 1.

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles.

    Examples
    --------
    At level 0.9 it is nine times as bad to be too low as to be too high:

    >>> low, _ = pinball_loss(np.array([[0.0]]), np.array([1.0]), [0.9])
    >>> high, _ = pinball_loss(np.array([[2.0]]), np.array([1.0]), [0.9])
    >>> round(float(low), 3), round(float(high), 3)
    (0.9, 0.1)
    """
    target = np.asarray(target, dtype=prediction.dtype)
    expect.levels("levels", levels)
    expect.shape("prediction", prediction, (*target.shape, len(levels)))
    expect.filled("prediction", prediction)
    levels = np.asarray(levels, dtype=prediction.dtype)
    error = target[..., None] - prediction
    slope = np.where(error >= 0, levels, levels - 1)  # of the loss over the error
    return float((slope * error).mean()), -slope / error.size
