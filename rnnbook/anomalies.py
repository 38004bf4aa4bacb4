"""Stamps at which a series is not what its forecaster expected: scores, threshold, alarms, verdict.

No label is needed to raise an alarm, only to judge it. Letters: T rows, L look-back, C columns.
"""

import numpy as np
import pandas as pd

from . import expect, forecasting
from .data.series import windows
from .forecaster import Forecaster


def scores(model, frame, look_back, lead=1):
    """Score each value by its distance from the forecast median, in units of the forecast's doubt.

    With m the median and l, u the lowest and highest quantile of what was forecast ``lead`` steps
    before: (y - m) / (u - m) where y is above m, and (m - y) / (m - l) where it is below. So 1 is
    the edge of the widest band. Where the band has no width, every distance is infinite.

    Parameters
    ----------
    model : rnnbook.forecasting.SupportsQuantiles
        Such as a :class:`rnnbook.forecaster.Forecaster`; with three quantiles at least.
    frame : pandas.DataFrame, (T, C)
    look_back : int
        L.
    lead : int
        Steps from the last row that is read to the row that is scored. A forecaster one step behind
        gets used to what lasts; the longer the lead, the less it does.

    Returns
    -------
    pandas.DataFrame, (T - L - lead + 1, C)
        With the stamps of the rows that are scored. For one score a stamp, take ``.max(axis=1)``.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or the frame is shorter than one window; or has other columns
        or another step than those that a Forecaster learned from.

    Examples
    --------
    >>> from rnnbook.forecasting import LastValue, WithErrors
    >>> index = pd.date_range("2026-01-01", periods=60, freq="h", name="time")
    >>> frame = pd.DataFrame({"load": np.sin(np.arange(60.0))}, index)
    >>> model = WithErrors(LastValue()).fit(frame[:40], look_back=2, horizon=1)
    >>> frame.iloc[50] = 9.0  # what the series never was
    >>> found = scores(model, frame[40:], look_back=2)
    >>> str(found["load"].idxmax())
    '2026-01-03 02:00:00'
    """
    if not isinstance(model, forecasting.SupportsQuantiles) or len(model.quantiles) < 3:
        raise TypeError(
            f"model={model!r}: expected a forecaster of three quantiles at least, such as "
            f"rnnbook.forecaster.Forecaster"
        )
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame is a {type(frame).__name__}: expected a pandas DataFrame")
    expect.sizes(look_back=look_back, lead=lead)
    if isinstance(model, Forecaster):
        frame = model.checked(frame, look_back + lead)
    x, y = windows(frame, look_back, lead)
    y, middle, parts = y[:, -1], model.quantiles.index(0.5), []  # (N, C)
    for start in range(0, len(x), forecasting.CHUNK):
        history = x[start : start + forecasting.CHUNK]
        quantiles = model.forecast_quantiles(history, lead)[:, -1]  # (n, C, Q)
        error = y[start : start + len(history)] - quantiles[..., middle]
        outer = quantiles[..., -1], quantiles[..., 0]
        width = np.where(error > 0, *outer) - quantiles[..., middle]  # of the sign of the error
        with np.errstate(divide="ignore", invalid="ignore"):
            parts.append(np.where(error == 0, 0, np.abs(error / width)))
    index = frame.index[look_back + lead - 1 :]
    return pd.DataFrame(np.concatenate(parts), index, frame.columns)


def threshold(scores, rate):
    """Choose a threshold without labels: so that it is passed at a share ``rate`` of the stamps.

    Parameters
    ----------
    scores : pandas.Series, (T,)
        Of an ordinary part of the series on which the forecaster was not trained.
    rate : float
        False alarms that you can bear, as a share of stamps, between 0 and 1. One in a week of
        half hours is 1 / 336.

    Returns
    -------
    float
        The first score at or above the quantile of ``1 - rate``: a share of ``rate`` at most lies
        above it.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit; or the part is so short that less than one false alarm is
        expected in it, which it cannot tell.

    Examples
    --------
    >>> ordinary = pd.Series(np.arange(100.0))
    >>> limit = threshold(ordinary, rate=0.05)  # at most five stamps in a hundred lie above
    >>> bool((ordinary > limit).mean() <= 0.05)
    True
    """
    _expect_series("scores", scores)
    if not isinstance(rate, float) or not 0 < rate < 1:
        raise ValueError(f"rate={rate!r}: expected a share between 0 and 1")
    if rate * len(scores) < 1:
        raise ValueError(
            f"rate={rate:g}: expected at least {1 / len(scores):.2g}, one of the {len(scores)} "
            f"stamps of scores. Pass a longer part, or a higher rate"
        )
    return float(np.quantile(scores, 1 - rate, method="higher"))


def alarms(scores, threshold, gap=1):
    """Join the stamps whose score is above a threshold to alarms.

    Parameters
    ----------
    scores : pandas.Series, (T,)
    threshold : float
    gap : int
        Steps: stamps above the threshold that are no further apart are one alarm.

    Returns
    -------
    pandas.DataFrame
        One row an alarm: ``start`` and ``end``, its first and its last stamp; ``peak``, the stamp
        of its highest score; ``score``.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=6, freq="h")
    >>> found = alarms(pd.Series([0.1, 3.0, 4.0, 0.2, 0.1, 5.0], stamps), threshold=1.0)
    >>> found["start"].dt.hour.tolist(), found["end"].dt.hour.tolist(), found["score"].tolist()
    ([1, 5], [2, 5], [4.0, 5.0])
    """
    _expect_series("scores", scores)
    expect.sizes(gap=gap)
    rows = np.flatnonzero(scores.to_numpy() > threshold)
    groups = np.split(rows, np.flatnonzero(np.diff(rows) > gap) + 1) if len(rows) else []
    found = []
    for group in groups:
        peak = scores.iloc[group].idxmax()
        found.append((scores.index[group[0]], scores.index[group[-1]], peak, scores[peak]))
    return pd.DataFrame(found, columns=["start", "end", "peak", "score"])


def judge(alarms, labels):
    """Count the labelled times that were found, and the alarms that were right.

    Parameters
    ----------
    alarms, labels : pandas.DataFrame
        With ``start`` and ``end``: one row an alarm, one a labelled time. They meet if they have a
        stamp in common.

    Returns
    -------
    pandas.Series
        ``labels`` and ``found``; ``alarms`` and ``right``; ``recall``, found / labels, and
        ``precision``, right / alarms. 0 / 0 is NaN.

    Raises
    ------
    TypeError
        If either is no such table.

    Examples
    --------
    >>> days = pd.date_range("2026-01-01", periods=9)
    >>> found = pd.DataFrame({"start": days[[1, 5]], "end": days[[2, 5]]})
    >>> labels = pd.DataFrame({"start": days[[2]], "end": days[[3]]})
    >>> verdict = judge(found, labels)
    >>> float(verdict["recall"]), float(verdict["precision"])
    (1.0, 0.5)
    """
    for name, table in ("alarms", alarms), ("labels", labels):
        if not isinstance(table, pd.DataFrame) or not {"start", "end"} <= set(table.columns):
            raise TypeError(f"{name}: expected a pandas DataFrame with columns start and end")
    starts, ends = (alarms[name].to_numpy()[:, None] for name in ("start", "end"))
    meet = (starts <= labels["end"].to_numpy()) & (ends >= labels["start"].to_numpy())
    found, right = int(meet.any(axis=0).sum()), int(meet.any(axis=1).sum())
    return pd.Series(
        {
            "labels": len(labels),
            "found": found,
            "alarms": len(alarms),
            "right": right,
            "recall": found / len(labels) if len(labels) else np.nan,
            "precision": right / len(alarms) if len(alarms) else np.nan,
        }
    )


def _expect_series(name, values):
    if not isinstance(values, pd.Series):
        raise TypeError(
            f"{name} is a {type(values).__name__}: expected a pandas Series, one score a stamp, "
            f"such as scores(...).max(axis=1)"
        )
    if values.isna().any() or values.empty:
        raise ValueError(f"{name} is empty or holds NaN: expected a score at every stamp")
