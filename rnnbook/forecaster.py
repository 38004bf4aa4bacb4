"""A forecaster of the reader's own series, that says how sure it is, kept in one file.

The scale of each column and the step of the stamps travel with the weights, in a file that either
twin loads; no row of the data does. Nothing is pickled. Letters: N windows, L look-back, F horizon,
C columns, Q quantiles.
"""

import hashlib
import json
import math
from dataclasses import KW_ONLY, dataclass
from functools import partial
from reprlib import repr as short

import numpy as np
import pandas as pd

from . import expect, forecasting, training
from .data import series
from .kept import Kept, build, expect_finite, package

LONGEST = 24  # steps of a segment, where the reader does not choose


@dataclass(eq=False, frozen=True)  # a file tells the options that its weights were trained with
class Forecaster(Kept):
    """Learn from a series of numbers over time, and forecast its next steps with their doubts.

    A SegRNN of either twin, which forecasts Q quantiles of each column at each of the F steps.
    Each column is forecast from its own past alone; neither the calendar nor other columns are
    read. Both twins start from the same weights.

    Parameters
    ----------
    horizon, look_back : int
        F and L, in steps: how much is forecast, and how much is read.
    twin : {"pytorch", "scratch"}
        What trains and predicts; only "pytorch" imports torch.
    quantiles : sequence of float, (Q,)
        Levels between 0 and 1, rising; 0.5 must be one of them, and is the point forecast. With
        (0.5,) there is nothing else.
    segment_length : int, optional
        Steps that the network reads and writes at once; divides F and L. Without it, the largest
        number that does, of 24 at most.
    hidden_size : int
        Even.
    dropout : float
    seed : int
        Sets the first weights, order and dropout.

    Attributes
    ----------
    model : scratch or torch module
        The SegRNN. ``None`` before :meth:`fit`, as ``scaler`` and ``step`` are.
    scaler : rnnbook.data.series.Scaler
        Of the training part. ``scaler.columns`` are the names of the C columns.
    step : str
        From one stamp to the next, see :func:`rnnbook.data.series.step`.

    Raises
    ------
    ValueError
        If an argument does not fit.
    ImportError
        If ``twin`` is "pytorch" and torch is not installed.

    Notes
    -----
    Quantiles may cross while the network is trained; they are sorted in every forecast, which can
    only lower their pinball loss (Chernozhukov et al., 2010).

    References
    ----------
    Lin et al. (2023), SegRNN, for the network. Koenker & Bassett (1978), Regression quantiles, for
    the loss. Chernozhukov, Fernandez-Val & Galichon (2010), Quantile and probability curves without
    crossing.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> index = pd.date_range("2026-01-01", periods=400, freq="D", name="day")
    >>> week = 5 + np.sin(2 * np.pi * np.arange(400) / 7)
    >>> frame = pd.DataFrame({"sales": week, "visits": 100 * week}, index)
    >>> forecaster = Forecaster(horizon=7, look_back=28, twin="scratch")
    >>> history = forecaster.fit(frame, epochs=2, progress=False)
    >>> forecast = forecaster.predict(3)  # the three days that follow
    >>> forecast.index.strftime("%Y-%m-%d").tolist(), forecast.columns.tolist()
    (['2027-02-05', '2027-02-06', '2027-02-07'], ['sales', 'visits'])
    >>> forecaster.predict_quantiles(3)["sales"].columns.tolist()
    [0.1, 0.5, 0.9]
    """

    horizon: int
    look_back: int
    twin: str = "pytorch"
    _: KW_ONLY
    quantiles: tuple = (0.1, 0.5, 0.9)
    segment_length: int | None = None
    hidden_size: int = 64
    dropout: float = 0.1
    seed: int = 0

    header = {"format": "rnnbook.Forecaster", "version": 1}
    noun = "forecaster"
    learns_by = "fit(frame)"
    scaler = step = _tail = None

    def __post_init__(self):
        expect.levels("quantiles", self.quantiles, median=True)
        expect.sizes(horizon=self.horizon, look_back=self.look_back)
        expect.index("seed", self.seed, 2**63)
        if self.segment_length is None:
            common = math.gcd(self.horizon, self.look_back)
            length = max(n for n in range(1, min(common, LONGEST) + 1) if common % n == 0)
            vars(self).update(segment_length=length)
        vars(self).update(quantiles=tuple(float(q) for q in self.quantiles))
        expect.sizes(segment_length=self.segment_length, hidden_size=self.hidden_size)
        for name in ("look_back", "horizon"):
            note = "the segment_length: change either"
            expect.multiple(name, getattr(self, name), self.segment_length, note)
        expect.multiple("hidden_size", self.hidden_size, 2, "an even number")
        expect.probability("dropout", self.dropout)
        package(self.twin)

    def fit(
        self,
        frame,
        *,
        valid_fraction=0.2,
        epochs=20,
        lr=0.005,
        batch_size=64,
        patience=None,
        checkpoint=None,
        progress=True,
    ):
        """Train from the start: Adam, pinball loss of the scaled series, gradient norm at most 1.

        Parameters
        ----------
        frame : pandas.DataFrame or Series, (T, C)
            Rows are times, by a DatetimeIndex that is in order and evenly spaced; columns are
            numbers, without a gap. See :func:`rnnbook.data.series.read` and
            :func:`~rnnbook.data.series.fill` for one that is not.
        valid_fraction : float
            The share of the rows, the last ones, that is held out and chooses the best epoch. With
            0 none is, and the weights of the last epoch stay. What comes before is the training
            part: the scale of each column is its, too.
        epochs, batch_size : int
        lr : float
            Learning rate.
        patience, checkpoint, progress
            As in :func:`rnnbook.training.fit`. A checkpoint of another series or other options is
            refused; more ``epochs`` continue it.

        Returns
        -------
        pandas.DataFrame
            One row an epoch, see :func:`rnnbook.training.fit`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or the series cannot be used: what is wrong, where, and
            what to do. The forecaster is as it was before.
        """
        expect.sizes(epochs=epochs, batch_size=batch_size)
        expect.positive("lr", lr)
        expect.probability("valid_fraction", valid_fraction)
        frame = _read(frame)
        step = series.step(frame.index)
        rows = len(frame) - round(valid_fraction * len(frame))
        self._expect_rows(len(frame), rows, valid_fraction)
        scaler = series.Scaler.fit(frame.iloc[:rows])
        scaled = scaler.transform(frame)
        sizes = self.look_back, self.horizon
        train = series.WindowBatches(scaled.iloc[:rows], *sizes, batch_size)
        valid = None
        if rows < len(frame):
            valid = series.WindowBatches(scaled.iloc[rows - self.look_back :], *sizes, 256)
        model = self._build(frame.shape[1])
        twin = package(self.twin)
        history = training.fit(
            model,
            train,
            valid,
            optimizer=twin.Adam(model.parameters(), lr=lr),
            loss=partial(twin.pinball_loss, levels=self.quantiles),
            epochs=epochs,
            patience=patience,
            clip=1.0,
            checkpoint=checkpoint,
            tag=checkpoint and self._tag(frame, rows, lr, batch_size),
            seed=self.seed,
            progress=progress,
        )
        tail = frame.iloc[-self.look_back :]
        vars(self).update(model=model, scaler=scaler, step=step, _tail=tail)
        return history

    def predict(self, horizon=None, frame=None):
        """Forecast the steps after the last row: the medians.

        Parameters
        ----------
        horizon : int, optional
            Steps, F at most; F if None.
        frame : pandas.DataFrame or Series, optional
            L rows at least, of the same columns and step; the last L are read. Without it, what
            :meth:`fit` was given. A file holds no rows: a forecaster that was loaded needs it.

        Returns
        -------
        pandas.DataFrame, (horizon, C)
            The index goes on where that of the series ends; the columns are its own.

        Raises
        ------
        RuntimeError
            Before :meth:`fit`; or after :meth:`load`, without ``frame``.
        ValueError, TypeError
            If the horizon was not trained for, or the frame does not fit.
        """
        return (
            self.predict_quantiles(horizon, frame)
            .xs(0.5, axis=1, level=1)
            .rename_axis(columns=None)
        )

    def predict_quantiles(self, horizon=None, frame=None):
        """Forecast the steps after the last row, with their doubts.

        Parameters and errors are those of :meth:`predict`.

        Returns
        -------
        pandas.DataFrame, (horizon, C Q)
            Columns are pairs: ``forecast[name]`` is a frame with a column for each level, and
            ``forecast[name, 0.9]`` is the series of its upper quantile. A row never falls.
        """
        horizon = self._horizon(horizon)
        if frame is not None:
            frame = self.checked(frame, self.look_back)
        elif self._tail is None:
            raise RuntimeError(
                f"this forecaster was loaded, and its file holds no rows: pass frame=, the last "
                f"{self.look_back} rows at least"
            )
        else:
            frame = self._tail
        quantiles = self.forecast_quantiles(frame.iloc[-self.look_back :].to_numpy(), horizon)
        pairs = pd.MultiIndex.from_product(
            [self.scaler.columns, self.quantiles], names=["column", "quantile"]
        )
        index = series.following(frame.index, horizon, by=self.step)
        return pd.DataFrame(quantiles[0].reshape(horizon, -1), index, pairs)

    def backtest(self, frame, *, stride=1, keep=(), seasonal_error=None):
        """Forecast from every origin of a held-out part, and compare with what came.

        The network is not trained again on the way.

        Parameters
        ----------
        frame : pandas.DataFrame or Series, (T, C)
            Of the same columns and step. Its first L rows are read, not forecast: let it reach back
            by them.
        stride, keep, seasonal_error
            As in :func:`rnnbook.forecasting.backtest`.

        Returns
        -------
        rnnbook.forecasting.Backtest
            Errors are in the units of the columns, and means over them: with several columns, look
            at ``by_column``. ``coverage()`` says what the bands hold.

        Raises
        ------
        RuntimeError
            Before :meth:`fit`.
        ValueError, TypeError
            If an argument or the frame does not fit.
        """
        self._expect_model()
        frame = self.checked(frame, self.look_back + self.horizon)
        given = {"stride": stride, "keep": keep, "seasonal_error": seasonal_error}
        return forecasting.backtest(self, frame, self.look_back, self.horizon, **given)

    def forecast(self, history, horizon):
        """Return the medians of the steps after ``history (N, L, C)``: (N, F, C).

        So :func:`rnnbook.forecasting.backtest` judges it beside other forecasters.
        """
        return self.forecast_quantiles(history, horizon)[..., self.quantiles.index(0.5)]

    def forecast_quantiles(self, history, horizon):
        """Return the quantiles of the steps after ``history (N, L, C)``: (N, F, C, Q), rising."""
        horizon = self._horizon(horizon)
        history = np.asarray(history, float)
        history = history[None] if history.ndim == 2 else history
        expect.shape("history", history, ("N", self.look_back, len(self.scaler.columns)))
        scaled = training.predict(self.model, self.scaler.transform(history))[:, :horizon]
        quantiles = np.sort(scaled, axis=-1).astype(float).swapaxes(2, 3)  # (N, F, Q, C)
        return self.scaler.inverse(quantiles).swapaxes(2, 3)

    def _parts(self):
        return {"scaler": self.scaler.to_dict(), "step": self.step}

    def _restore(self, arrays, content):
        scaler = series.Scaler.from_dict(content.get("scaler"))
        _expect_names(scaler.columns)
        step = content.get("step")
        if not isinstance(step, str):
            raise ValueError(f"its step is {step!r}, expected a str")
        series.following(pd.DatetimeIndex(["2000-01-01"]), 1, by=step)  # or it names none
        self._expect_weights(arrays, len(scaler.columns))
        return self._build(len(scaler.columns)), {"scaler": scaler, "step": step}

    def _expect_weights(self, arrays, channels):
        """Check a file's weights before a model of the size that its header claims is built."""
        hidden, length = self.hidden_size, self.segment_length
        for name, expected in {
            "position": (self.horizon // length, hidden // 2),
            "channel": (channels, hidden // 2),
            "embedding.weight": (hidden, length),
            "rnn.weight_hh_l0": (3 * hidden, hidden),
            "linear.weight": (len(self.quantiles) * length, hidden),
        }.items():
            if (shape := np.shape(arrays.get(name))) != expected:
                raise ValueError(f"{name} has shape {shape}, expected {expected}")
        expect_finite(arrays)

    def _expect_rows(self, total, train, fraction):
        need = self.look_back + self.horizon
        if train < need or (fraction > 0 and total - train < self.horizon):
            raise ValueError(
                f"frame has {total} rows, {train} for training and {total - train} held out "
                f"(valid_fraction={fraction}): expected at least look_back + horizon = {need} for "
                f"training, and the horizon, {self.horizon}, held out if any. Pass more rows, or a "
                f"shorter look_back or horizon"
            )

    def _horizon(self, horizon):
        self._expect_model()
        if horizon is None:
            return self.horizon
        expect.sizes(horizon=horizon)
        if horizon > self.horizon:
            raise ValueError(
                f"horizon={horizon}: expected at most {self.horizon}, as it was trained. Fit a "
                f"Forecaster({horizon}, ...) for more"
            )
        return horizon

    def checked(self, frame, rows=1):
        """Return a later part of the series that was learned from as a frame of float64.

        Parameters
        ----------
        frame : pandas.DataFrame or Series, (T, C)
        rows : int
            So many at least.

        Raises
        ------
        RuntimeError
            Before :meth:`fit`.
        ValueError, TypeError
            If the columns or the step are not those of :meth:`fit`, or the series cannot be used.
        """
        self._expect_model()
        frame = _read(frame)
        if list(frame.columns) != self.scaler.columns:
            raise ValueError(
                f"frame has the columns {short(list(frame.columns))}: expected "
                f"{short(self.scaler.columns)}, in this order, as in fit"
            )
        if len(frame) < rows:
            raise ValueError(f"frame has {len(frame)} rows: expected at least {rows}")
        if not series.goes_by(frame.index, self.step):
            step = series.step(frame.index)
            raise ValueError(f"frame has a step of {step}: expected {self.step}, as in fit")
        return frame

    def _build(self, channels):
        """A model with its first weights, which NumPy draws for both twins."""
        sizes = self.look_back, self.horizon, channels, self.segment_length, self.hidden_size
        options = {"dropout": self.dropout, "outputs": len(self.quantiles)}
        return build(self.twin, "SegRNN", *sizes, seed=self.seed, **options)

    def _tag(self, frame, rows, lr, batch_size):
        """A fingerprint of all that a run depends on, but its number of epochs."""
        settings = [self.twin, self._options(), list(frame.columns), rows, lr, batch_size]
        digest = hashlib.sha256(json.dumps(settings, default=np.generic.item).encode())
        digest.update(np.ascontiguousarray(frame.to_numpy()))
        return digest.hexdigest()


def _read(frame):
    """A reader's series, checked, as a frame of float64 that keeps the name of its index."""
    if isinstance(frame, pd.Series):
        frame = frame.to_frame()
    elif not isinstance(frame, pd.DataFrame):
        kind = type(frame).__name__
        raise TypeError(f"frame is a {kind}: expected a pandas DataFrame or Series")
    _expect_names(frame.columns)
    return series.read(frame).rename_axis(index=frame.index.name)


def _expect_names(columns):
    for name in columns:
        if not isinstance(name, str | int):
            raise ValueError(f"column {name!r}: expected a name that is a str or an int")
