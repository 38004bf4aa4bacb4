"""What a number on a page is computed by."""

import math

import numpy as np

from . import expect


def predicted_classes(logits):
    """Return the most probable class of each row of ``logits (N, K)``: (N,).

    Of one logit a row, ``(N,)`` or ``(N, 1)``, the class is 1 where it is above 0, else 0.

    Examples
    --------
    >>> predicted_classes([[0.1, 2.0], [3.0, 1.0]]).tolist()
    [1, 0]
    """
    logits = np.asarray(logits)
    if logits.ndim > 1 and logits.shape[-1] > 1:
        return logits.argmax(axis=-1)
    return (logits > 0).astype(int).reshape(logits.shape[: max(logits.ndim - 1, 1)])


def accuracy(logits, target):
    """Return the share of ``target (N,)`` that ``logits (N, K)`` or ``(N,)`` predict.

    With logits (N, 1), the target may be (N, 1) as well.

    Raises
    ------
    ValueError
        If the target has another shape.

    Examples
    --------
    >>> accuracy([[0.1, 2.0], [3.0, 1.0]], [1, 1])
    0.5
    """
    logits, target = np.asarray(logits), np.asarray(target)
    predicted = predicted_classes(logits)
    if target.shape == logits.shape != predicted.shape:  # one logit a row
        target = target.reshape(predicted.shape)
    expect.shape("target", target, predicted.shape)
    return float((predicted == target).mean())


def perplexity(nats):
    """Return exp(nats), of a mean cross entropy: as unsure as a choice among so many equals.

    Examples
    --------
    >>> round(perplexity(math.log(8)), 6)
    8.0
    """
    return math.exp(nats)


def bits(nats):
    """Return nats / log 2: a mean cross entropy in bits, for each token that it is the mean of.

    Examples
    --------
    >>> bits(math.log(8))  # three yes-or-no questions
    3.0
    """
    return nats / math.log(2)


def mse(forecast, truth, axis=None):
    """Return the mean of (forecast - truth)^2, over all entries or along ``axis``.

    Examples
    --------
    >>> float(mse(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    2.0
    """
    return np.square(forecast - truth).mean(axis=axis)


def mae(forecast, truth, axis=None):
    """Return the mean of abs(forecast - truth), over all entries or along ``axis``.

    Examples
    --------
    >>> float(mae(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    1.0
    """
    return np.abs(forecast - truth).mean(axis=axis)


def seasonal_error(train, period=1):
    """Return the mean of abs(y_t - y_(t-p)) for each column of a training part, for :func:`mase`.

    Parameters
    ----------
    train : ndarray or DataFrame, (T, C)
    period : int
        p, in steps, below T; 1 is the error of "nothing changes".

    Returns
    -------
    ndarray, (C,)

    Raises
    ------
    ValueError
        If ``period`` is not from 1 to T - 1.

    References
    ----------
    Hyndman & Koehler (2006), Another look at measures of forecast accuracy.

    Examples
    --------
    >>> seasonal_error(np.array([[1.0], [5.0], [2.0], [6.0]]), period=2).tolist()
    [1.0]
    """
    train = np.asarray(train, float)
    expect.shape("train", train, ("T", "C"))
    expect.sizes(period=period)
    if period >= len(train):
        raise ValueError(f"period={period}: expected less than T={len(train)}, the rows of train")
    return np.abs(train[period:] - train[:-period]).mean(axis=0)


def mase(forecast, truth, scale):
    """Return the mean absolute scaled error: 1 is as good as the seasonal naive forecast in train.

    Parameters
    ----------
    forecast, truth : ndarray, (..., C)
    scale : ndarray, (C,)
        From :func:`seasonal_error`, above 0.

    Examples
    --------
    >>> mase(np.array([[4.0]]), np.array([[2.0]]), scale=np.array([1.0]))  # twice as bad
    2.0
    """
    return float((np.abs(forecast - truth) / scale).mean())


def pinball(forecast, truth, levels, axis=None):
    """Return the mean over ``levels`` of max(q e, (q - 1) e), with e = truth - forecast.

    Parameters
    ----------
    forecast : ndarray, (..., Q)
        Quantiles, one for each level.
    truth : ndarray, (...)
    levels : sequence of float, (Q,)
    axis : int or tuple of int, optional
        Of ``truth``: what the mean is over, besides the levels; all entries if None.

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles.

    Examples
    --------
    >>> forecast = np.array([[1.0, 3.0]])  # 10 % and 90 % of one step
    >>> round(float(pinball(forecast, np.array([2.0]), [0.1, 0.9])), 3)
    0.1
    """
    levels = np.asarray(levels, float)
    error = np.asarray(truth)[..., None] - forecast
    return np.maximum(levels * error, (levels - 1) * error).mean(axis=-1).mean(axis=axis)


def share_below(forecast, truth, axis=None):
    """Return the share of ``truth (...)`` at or below each quantile of ``forecast (..., Q)``.

    Where the forecast is calibrated, it is near q for the quantile of level q. A band between two
    quantiles covers the difference of their shares.

    Parameters
    ----------
    forecast, truth, axis
        As in :func:`pinball`; the Q levels stay apart.

    Returns
    -------
    ndarray, (..., Q)

    Examples
    --------
    >>> share_below(np.array([[1.0, 3.0], [1.0, 3.0]]), np.array([0.0, 2.0])).tolist()
    [0.5, 1.0]
    """
    truth = np.asarray(truth)
    axis = tuple(range(truth.ndim)) if axis is None else axis
    return (truth[..., None] <= forecast).mean(axis=axis)
