"""Forecasts of time series: what a network has to beat, and one judge for all of them.

Whatever can ``forecast(history, horizon)`` is a forecaster. Letters: N windows, L look-back,
F horizon, C columns.
"""

import warnings
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from . import expect, metrics, training
from .data.series import windows

CHUNK = 256  # windows that exist as copies at once


@runtime_checkable
class SupportsForecast(Protocol):
    """What :func:`backtest` judges."""

    def forecast(self, history, horizon):
        """Return the F steps after ``history (N, L, C)``, or ``(L, C)`` for N = 1: (N, F, C)."""


@runtime_checkable
class SupportsQuantiles(SupportsForecast, Protocol):
    """A forecaster that says how sure it is; its ``forecast`` is the median.

    Attributes
    ----------
    quantiles : tuple of float, (Q,)
        Levels between 0 and 1, rising, 0.5 among them.
    """

    quantiles: tuple

    def forecast_quantiles(self, history, horizon):
        """Return the Q quantiles of each of the F steps after ``history``: (N, F, C, Q)."""


class LastValue:
    """Forecast that nothing changes: y_(t+h) = y_t.

    Examples
    --------
    >>> history = [[1.0], [2.0], [4.0]]  # (L, C)
    >>> LastValue().forecast(history, 2)[0, :, 0].tolist()
    [4.0, 4.0]
    """

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`."""
        history = _history(history, horizon)
        return np.repeat(history[:, -1:], horizon, axis=1)


class Drift:
    """Forecast on the line through the first and the last value of the look-back.

    y_(t+h) = y_t + h (y_t - y_(t-L+1)) / (L - 1)

    Examples
    --------
    >>> history = [[1.0], [2.0], [4.0]]  # (L, C)
    >>> Drift().forecast(history, 2)[0, :, 0].tolist()  # 1.5 a step
    [5.5, 7.0]
    """

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; L is at least 2."""
        history = _history(history, horizon, least=2)
        slope = (history[:, -1:] - history[:, :1]) / (history.shape[1] - 1)  # (N, 1, C)
        return history[:, -1:] + np.arange(1, horizon + 1)[:, None] * slope


class SeasonalNaive:
    """Forecast what was at the same time of the last period.

    y_(t+h) = y_(t+h-kp), with the smallest k that leads into the look-back.

    Parameters
    ----------
    period : int
        p, in steps: 24 for a day of hours.

    Raises
    ------
    ValueError
        If ``period`` is not at least 1.

    Examples
    --------
    >>> history = [[1.0], [2.0], [4.0]]  # (L, C)
    >>> SeasonalNaive(period=2).forecast(history, 3)[0, :, 0].tolist()
    [2.0, 4.0, 2.0]
    """

    def __init__(self, period):
        expect.sizes(period=period)
        self.period = period

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; L is at least ``period``."""
        history = _history(history, horizon, least=self.period)
        return history[:, np.arange(horizon) % self.period - self.period]


class ETS:
    """Exponential smoothing with a damped trend and additive seasons, fitted to each window anew.

    A level, a slope and the p seasonal values follow the series, each at a rate of its own; the
    rates are those with the least squares of one-step errors in the look-back. One fit takes about
    a second, and there is one for each window and column: pass ``stride`` to :func:`backtest`.

    Parameters
    ----------
    period : int, optional
        p, in steps, of at least 2; no seasons if None.
    damped : bool
        False: the slope goes on unchanged.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Holt (1957); Winters (1960); Gardner & McKenzie (1985), Forecasting trends in time series, for
    the damping. statsmodels does the work.

    Examples
    --------
    >>> history = np.arange(20.0)[:, None]  # a line
    >>> ETS(damped=False).forecast(history, 3)[0, :, 0].round(3).tolist()
    [20.0, 21.0, 22.0]
    """

    def __init__(self, period=None, damped=True):
        if period is not None:
            expect.sizes(period=period)
            if period < 2:
                raise ValueError(f"period={period}: expected at least 2, or None for no seasons")
        expect.one_of("damped", damped, (True, False))
        self.period, self.damped = period, damped

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; L is at least 10, and at least two periods."""
        history = _history(history, horizon, least=max(10, 2 * (self.period or 0)))
        forecast = np.empty((len(history), horizon, history.shape[2]))
        for window, column in np.ndindex(len(history), history.shape[2]):
            forecast[window, :, column] = self._one(history[window, :, column], horizon)
        return forecast

    def _one(self, values, horizon):
        if values.min() == values.max():  # no rate fits better than another one
            return values[-1]
        from statsmodels.tools.sm_exceptions import ConvergenceWarning
        from statsmodels.tsa.holtwinters import ExponentialSmoothing

        model = ExponentialSmoothing(
            np.asarray(values, float),
            trend="add",
            damped_trend=self.damped,
            seasonal="add" if self.period else None,
            seasonal_periods=self.period,
            initialization_method="heuristic",
        )
        with warnings.catch_warnings():  # where the search stops early, its best rates still serve
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit().forecast(horizon)


class Linear:
    """Forecast by one linear map from the look-back to the horizon, fitted in closed form.

    With v the last value of a window x: y = v + W (x - v) + b. W and b are those with the least
    sum of squared errors over all windows, plus alpha times the sum of squares of W.

    One map for all columns, as in the literature's DLinear and NLinear, which are such maps, found
    by gradient descent.

    Parameters
    ----------
    look_back, horizon : int
        L, and F at most.
    alpha : float
        Ridge penalty, above 0. Tiny beside the number of windows, it only keeps W unique.
    shared : bool
        False: each column has a map of its own.

    Attributes
    ----------
    weight : ndarray, (F, L), or (C, F, L) where not shared
        W; ``None`` before :meth:`fit`, as ``bias`` is.
    bias : ndarray, (F,), or (C, F)

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Zeng et al. (2023), Are transformers effective for time series forecasting? (DLinear, NLinear).

    Examples
    --------
    >>> wave = np.sin(np.arange(60) / 3)[:, None]
    >>> linear = Linear(look_back=12, horizon=2, alpha=1e-6).fit(wave[:50])
    >>> bool(np.allclose(linear.forecast(wave[36:48], 2)[0], wave[48:50], atol=1e-3))
    True
    """

    weight = bias = None

    def __init__(self, look_back, horizon, alpha=1.0, shared=True):
        expect.sizes(look_back=look_back, horizon=horizon)
        expect.positive("alpha", alpha)
        expect.one_of("shared", shared, (True, False))
        self.look_back, self.horizon = look_back, horizon
        self.alpha, self.shared = alpha, shared

    def fit(self, values):
        """Fit W and b to all windows of a training part.

        Parameters
        ----------
        values : pandas.DataFrame or ndarray, (T, C)
            Scaled: a shared map weighs all columns alike.

        Returns
        -------
        Linear
            This one.

        Raises
        ------
        ValueError, TypeError
            As in :func:`rnnbook.data.series.windows`.
        """
        x, y = windows(values, self.look_back, self.horizon)
        size, columns = self.look_back + 1, x.shape[2]
        square, product = np.zeros((columns, size, size)), np.zeros((columns, size, self.horizon))
        for start in range(0, len(x), CHUNK):
            inputs, last = self._inputs(x[start : start + CHUNK])  # (C, n, L+1), (C, n, 1)
            targets = y[start : start + CHUNK].transpose(2, 0, 1) - last  # (C, n, F)
            square += inputs.swapaxes(1, 2) @ inputs
            product += inputs.swapaxes(1, 2) @ targets
        if self.shared:
            square, product = square.sum(axis=0), product.sum(axis=0)
        penalty = self.alpha * np.eye(size)
        penalty[-1, -1] = 0  # the bias is free
        solution = np.linalg.solve(square + penalty, product)  # (L+1, F), (C, L+1, F)
        self.weight = solution[..., :-1, :].swapaxes(-1, -2)
        self.bias = solution[..., -1, :]
        return self

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; L is ``look_back``, F at most ``horizon``, C as fitted."""
        if self.weight is None:
            raise RuntimeError("this map is not fitted yet: call fit(values) on the training part")
        history = _history(history, horizon)
        columns = "C" if self.shared else len(self.weight)
        expect.shape("history", history, ("N", self.look_back, columns))
        if horizon > self.horizon:
            raise ValueError(
                f"horizon={horizon}: expected at most {self.horizon}, as it was fitted"
            )
        inputs, last = self._inputs(history)
        weight, bias = self.weight[..., :horizon, :], self.bias[..., :horizon]
        change = inputs[..., :-1] @ weight.swapaxes(-1, -2) + bias[..., None, :]  # (C, N, F)
        return (change + last).transpose(1, 2, 0)

    def _inputs(self, x):
        """Windows ``(N, L, C)`` less their last value, and a one for the bias: ``(C, N, L+1)``."""
        columns = x.transpose(2, 0, 1)
        last = columns[:, :, -1:]
        return np.concatenate([columns - last, np.ones_like(last)], axis=2), last


class WithErrors:
    """The quantiles of any forecaster: its forecast, and the quantiles of its errors so far.

    A network's quantiles have to beat these. They are the same at every time: this forecaster does
    not know when it should be unsure.

    Parameters
    ----------
    model : SupportsForecast
    quantiles : sequence of float, (Q,)
        Rising, between 0 and 1, 0.5 among them.

    Attributes
    ----------
    errors : ndarray, (F, C, Q)
        What is added to the forecast; ``None`` before :meth:`fit`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    >>> walk = np.random.default_rng(0).standard_normal((500, 1)).cumsum(axis=0)
    >>> model = WithErrors(LastValue()).fit(walk, look_back=1, horizon=4)
    >>> bands = model.forecast_quantiles(walk[-1:], 4)[0, :, 0]  # (F, Q)
    >>> bool(bands[3, 2] - bands[3, 0] > bands[0, 2] - bands[0, 0])  # wider, further ahead
    True
    """

    errors = None

    def __init__(self, model, quantiles=(0.1, 0.5, 0.9)):
        _expect_forecaster(model)
        expect.levels("quantiles", quantiles, median=True)
        self.model, self.quantiles = model, tuple(quantiles)

    def fit(self, values, look_back, horizon):
        """Find the quantiles of the errors at each step and column, over all windows of a part.

        Of a part that the model was not fitted to: its errors there are smaller than those to come.

        Parameters
        ----------
        values : pandas.DataFrame or ndarray, (T, C)
        look_back, horizon : int
            L and F.

        Returns
        -------
        WithErrors
            This one.
        """
        x, y = windows(values, look_back, horizon)
        chunks = range(0, len(x), CHUNK)
        forecast = [self.model.forecast(x[i : i + CHUNK], horizon) for i in chunks]
        errors = y - np.concatenate(forecast)  # (N, F, C)
        self.errors = np.moveaxis(np.quantile(errors, self.quantiles, axis=0), 0, -1)
        return self

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; F is at most that of :meth:`fit`."""
        return self.forecast_quantiles(history, horizon)[..., self.quantiles.index(0.5)]

    def forecast_quantiles(self, history, horizon):
        """See :class:`SupportsQuantiles`; F is at most that of :meth:`fit`."""
        if self.errors is None:
            raise RuntimeError("no errors are known yet: call fit(values, look_back, horizon)")
        if horizon > len(self.errors):
            raise ValueError(f"horizon={horizon}: expected at most {len(self.errors)}, as in fit")
        return self.model.forecast(history, horizon)[..., None] + self.errors[:horizon]


class Network:
    """A trained network of either twin, as a forecaster.

    Parameters
    ----------
    model : scratch.Module or torch.nn.Module
        Turns (N, L, C) into (N, F, C), or into more steps, of which the first F are taken. Where
        C is 1, it may return (N, F), as a SequencePredictor does.
    less_last : bool
        True: the model was trained on windows less their last value. It is subtracted from what
        the model reads, and added to what it returns.

    Raises
    ------
    ValueError
        If ``less_last`` is neither True nor False.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> network = scratch.SegRNN(look_back=8, horizon=4, channels=1, segment_length=4,
    ...                          hidden_size=6, rng=0)
    >>> Network(network).forecast(np.zeros((3, 8, 1), np.float32), 2).shape  # (N, F, C)
    (3, 2, 1)
    """

    def __init__(self, model, less_last=False):
        expect.one_of("less_last", less_last, (True, False))
        self.model, self.less_last = model, less_last

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; L is what the model was trained on."""
        history = _history(history, horizon)
        last = history[:, -1:] if self.less_last else np.zeros_like(history[:, -1:])
        forecast = training.predict(self.model, history - last)
        if forecast.ndim == 2:
            forecast = forecast[:, :, None]
        return forecast[:, :horizon] + last


class Recursive:
    """Forecast one step, take it for what came, and forecast the next one from it.

    Parameters
    ----------
    model : SupportsForecast
        Asked for one step at a time; its window moves on, over its own forecasts.

    Raises
    ------
    TypeError
        If ``model`` is not a forecaster.

    Examples
    --------
    >>> history = [[1.0], [2.0], [4.0]]  # (L, C)
    >>> Recursive(Drift()).forecast(history, 2)[0, :, 0].tolist()  # 4 + 1.5, then 5.5 + 1.75
    [5.5, 7.25]
    """

    def __init__(self, model):
        _expect_forecaster(model)
        self.model = model

    def forecast(self, history, horizon):
        """See :class:`SupportsForecast`; L is what ``model`` reads."""
        window = _history(history, horizon)
        steps = []
        for _ in range(horizon):
            steps.append(self.model.forecast(window, 1))  # (N, 1, C)
            window = np.concatenate([window[:, 1:], steps[-1]], axis=1)
        return np.concatenate(steps, axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """What :func:`backtest` found.

    Attributes
    ----------
    by_step : pandas.DataFrame
        One row for each step ahead, 1 to F: ``mse``, ``mae`` and, if asked for, ``mase``, each
        the mean over windows and columns; ``pinball`` too, if the model forecasts quantiles.
    by_column : pandas.DataFrame
        The same, one row for each column: the mean over windows and steps.
    forecasts : pandas.DataFrame
        Of the origins that were to be kept: ``origin`` (the label of the last row that was read),
        ``step``, ``time`` (the label of the row that is forecast), ``column``, ``truth``,
        ``forecast``; and each quantile, under its level.
    windows : int
        N.
    below : pandas.DataFrame, (F, Q)
        If the model forecasts quantiles: at each step, the share of the truth at or below each of
        them. A calibrated forecast has q in the column of level q.

    Examples
    --------
    >>> frame = pd.DataFrame({"line": np.arange(10.0)})
    >>> result = backtest(LastValue(), frame, look_back=2, horizon=2)
    >>> result, result.by_step["mae"].tolist()
    (Backtest(7 windows, mse 2.5, mae 1.5), [1.0, 2.0])
    """

    by_step: pd.DataFrame
    by_column: pd.DataFrame
    forecasts: pd.DataFrame
    windows: int
    below: pd.DataFrame | None = None

    @property
    def scores(self):
        """The mean over everything, a Series: what ``by_step`` holds."""
        return self.by_step.mean()

    def coverage(self):
        """Return how much of the truth lies in each band between two quantiles, q and 1 - q.

        Returns
        -------
        pandas.DataFrame
            One row a band: ``promised``, 1 - 2q, and ``covered``.

        Raises
        ------
        RuntimeError
            If the model forecasts no quantiles.
        """
        if self.below is None:
            raise RuntimeError("this model forecasts no quantiles: there is no band that covers")
        shares, rows = self.below.mean(), []
        for low in (q for q in shares.index if q < 0.5):
            high = [q for q in shares.index if abs(1 - low - q) < 1e-9]
            rows += [(round(q - low, 9), shares[q] - shares[low]) for q in high]
        return pd.DataFrame(rows, columns=["promised", "covered"])

    def __repr__(self):
        scores = ", ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
        return f"Backtest({self.windows:,} windows, {scores})"


def backtest(model, frame, look_back, horizon, *, stride=1, keep=(), seasonal_error=None):
    """Forecast from every origin of a held-out part, and compare with what came.

    The model is not fitted again on the way. Errors are in the units of ``frame``: pass it scaled,
    as the literature does, and they compare with its tables.

    Parameters
    ----------
    model : SupportsForecast
        Or what :class:`Network` makes of a trained network. A model that is a
        :class:`SupportsQuantiles` is judged by these, too.
    frame : pandas.DataFrame, (T, C)
        The held-out part, its first window reaching back: see :func:`rnnbook.data.series.split`.
    look_back, horizon : int
        L and F.
    stride : int
        Steps from one origin to the next: 1 for all windows, more for slow models.
    keep : sequence of int
        Numbers of the windows, from 0, whose forecasts are returned: to be drawn.
    seasonal_error : sequence of float, (C,), optional
        Of the training part, from :func:`rnnbook.metrics.seasonal_error`; with it there is MASE.

    Returns
    -------
    Backtest

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, the part is shorter than a window, or a forecast has another
        shape than (N, F, C) or is not finite.

    Examples
    --------
    >>> frame = pd.DataFrame({"line": np.arange(10.0)})
    >>> float(backtest(Drift(), frame, look_back=2, horizon=2).scores["mse"])
    0.0
    """
    expect.sizes(stride=stride)
    _expect_forecaster(model)
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame is a {type(frame).__name__}: expected a pandas DataFrame")
    x, y = (part[::stride] for part in windows(frame, look_back, horizon))
    for number in keep:
        expect.index("keep", number, len(x))
    scale = _scale(seasonal_error, frame.shape[1])
    levels = list(model.quantiles) if isinstance(model, SupportsQuantiles) else []
    errors, below, kept = _judge(model, x, y, keep, levels)
    if scale is not None:
        errors["mase"] = errors["mae"] / scale
    steps = pd.RangeIndex(1, horizon + 1, name="step")
    by_step = pd.DataFrame({name: e.mean(axis=1) for name, e in errors.items()}, steps)
    names = pd.Index(frame.columns, name="column")
    by_column = pd.DataFrame({name: e.mean(axis=0) for name, e in errors.items()}, names)
    tables = [_kept(frame, n * stride + look_back, kept[n], levels) for n in keep]
    none = np.empty((0, frame.shape[1], len(levels) + 1))
    tables = tables or [_kept(frame, look_back, none, levels)]
    below = pd.DataFrame(below, steps, levels) if levels else None
    return Backtest(by_step, by_column, pd.concat(tables, ignore_index=True), len(x), below)


def _judge(model, x, y, keep, levels):
    """Mean errors, ``{name: (F, C)}``; shares below each quantile, (F, Q); and some forecasts.

    The last are ``{n: (F, C, 1+Q)}``: the point, and the quantiles behind it.
    """
    names = ["mse", "mae", "pinball"] if levels else ["mse", "mae"]
    errors = {name: np.zeros(y.shape[1:]) for name in names}
    below, kept = np.zeros((y.shape[1], len(levels))), {}
    for start in range(0, len(x), CHUNK):
        truth = y[start : start + CHUNK]
        share = len(truth) / len(x)
        forecast, quantiles = _ask(model, x[start : start + CHUNK], truth.shape, levels)
        errors["mse"] += share * metrics.mse(forecast, truth, axis=0)
        errors["mae"] += share * metrics.mae(forecast, truth, axis=0)
        if levels:
            errors["pinball"] += share * metrics.pinball(quantiles, truth, levels, axis=0)
            below += share * metrics.share_below(quantiles, truth, axis=(0, 2))
        both = np.concatenate([forecast[..., None], quantiles], axis=-1)
        kept |= {n: both[n - start] for n in keep if start <= n < start + len(truth)}
    return errors, below, kept


def _ask(model, x, shape, levels):
    """The forecast (N, F, C), and the quantiles (N, F, C, Q), of which there may be none."""
    if not levels:
        forecast = np.asarray(model.forecast(x, shape[1]))
        _expect_forecast(forecast, shape)
        return forecast, np.empty((*shape, 0))
    quantiles = np.asarray(model.forecast_quantiles(x, shape[1]))
    _expect_forecast(quantiles, (*shape, len(levels)))
    return quantiles[..., levels.index(0.5)], quantiles


def _scale(seasonal_error, columns):
    if seasonal_error is None:
        return None
    scale = np.asarray(seasonal_error, float)
    expect.shape("seasonal_error", scale, (columns,))
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(
            f"seasonal_error={scale.tolist()}: expected numbers above 0. A column that repeats "
            f"itself exactly has no MASE: leave it out"
        )
    return scale


def _expect_forecaster(model):
    if not isinstance(model, SupportsForecast):
        raise TypeError(
            f"model={model!r}: expected a forecaster, with forecast(history, horizon). Wrap a "
            f"trained network: forecasting.Network(model)"
        )


def _expect_forecast(forecast, shape):
    if forecast.shape != shape:
        raise ValueError(f"the model's forecast has shape {forecast.shape}: expected {shape}")
    if not np.isfinite(forecast).all():
        raise ValueError("the model's forecast is not finite: look at its weights and its scale")


def _kept(frame, start, forecast, levels):
    """One window's forecast (F, C, 1+Q) from row ``start`` as a long table."""
    rows, columns = len(forecast), list(frame.columns)
    part = frame.iloc[start : start + rows]
    return pd.DataFrame(
        {
            "origin": np.repeat(frame.index[start - 1 : start], rows * len(columns)),
            "step": np.repeat(np.arange(1, rows + 1), len(columns)),
            "time": np.repeat(part.index, len(columns)),
            "column": columns * rows,
            "truth": part.to_numpy().ravel(),
            "forecast": forecast[..., 0].ravel(),
            **{q: forecast[..., i].ravel() for i, q in enumerate(levels, start=1)},
        }
    )


def _history(history, horizon, least=1):
    """Check a history; return it as a batch, (N, L, C)."""
    expect.sizes(horizon=horizon)
    history = np.asarray(history)
    if history.ndim == 2:
        history = history[None]
    expect.shape("history", history, ("N", "L", "C"))
    if history.shape[1] < least:
        raise ValueError(
            f"history has shape {history.shape}: expected a look-back of at least {least} steps"
        )
    return history
