"""Forecasters do what their equations say, and one judge counts their errors as the field does."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from rnnbook import forecasting, metrics, scratch
from rnnbook.data import series

HISTORY = np.array([[[1.0, 10], [2, 8], [4, 9], [7, 6]]])  # (1, 4, 2)


def frame(rows=60, columns=2, seed=0):
    values = np.random.default_rng(seed).standard_normal((rows, columns)).cumsum(axis=0)
    index = pd.date_range("2026-01-01", periods=rows, freq="h", name="time")
    return pd.DataFrame(values, index, [f"c{i}" for i in range(columns)])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (forecasting.LastValue(), [[7, 6]] * 3),
        (forecasting.Drift(), [[9, 14 / 3], [11, 10 / 3], [13, 2]]),
        (forecasting.SeasonalNaive(2), [[4, 9], [7, 6], [4, 9]]),
        (forecasting.SeasonalNaive(4), [[1, 10], [2, 8], [4, 9]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_naive_forecasts_are_their_equations(model, expected):
    assert isinstance(model, forecasting.SupportsForecast)
    np.testing.assert_allclose(model.forecast(HISTORY, 3), [expected])
    np.testing.assert_allclose(
        model.forecast(HISTORY[0], 3), [expected]
    )  # (L, C) is a batch of one
    both = model.forecast(np.concatenate([HISTORY, 2 * HISTORY]), 3)
    np.testing.assert_allclose(both[1], 2 * both[0])


def test_smoothing_continues_a_trend_with_seasons():
    time = np.arange(35.0)
    history = np.stack([3 * (time % 7 == 2) + 5, np.full(35, 4.0)], axis=1)
    forecast = forecasting.ETS(7).forecast(history[:28], 7)
    assert forecast.shape == (1, 7, 2)
    np.testing.assert_allclose(forecast[0], history[28:], atol=0.05)
    line = forecasting.ETS(damped=False).forecast(0.5 * time[:28, None], 3)
    np.testing.assert_allclose(line[0, :, 0], 0.5 * time[28:31], atol=0.01)


@pytest.mark.parametrize("shared", [True, False])
def test_the_linear_map_is_the_ridge_regression_of_scikit_learn(shared):
    train, test = frame(), frame(seed=1)
    model = forecasting.Linear(5, 3, alpha=0.7, shared=shared).fit(train)
    x, y = series.windows(train, 5, 3)
    last = x[:, -1:]
    inputs, targets = x - last, y - last  # (N, L, C), (N, F, C)
    history = series.windows(test, 5, 3)[0]
    for c in range(2):
        columns = [0, 1] if shared else [c]
        ridge = Ridge(alpha=0.7).fit(
            np.concatenate([inputs[:, :, i] for i in columns]),
            np.concatenate([targets[:, :, i] for i in columns]),
        )
        expected = ridge.predict(history[:, :, c] - history[:, -1:, c]) + history[:, -1:, c]
        np.testing.assert_allclose(model.forecast(history, 3)[:, :, c], expected, atol=1e-9)
        np.testing.assert_allclose(model.forecast(history, 2)[:, :, c], expected[:, :2], atol=1e-9)


def test_the_linear_map_finds_a_rule_that_is_linear():
    wave = pd.DataFrame({"a": np.sin(np.arange(90.0)), "b": 3 + np.cos(0.3 * np.arange(90))})
    result = forecasting.backtest(
        forecasting.Linear(8, 4, alpha=1e-9).fit(wave[:50]), wave[50:], 8, 4
    )
    assert result.scores["mse"] < 1e-10


class Doubled:
    """Forecasts twice the last value."""

    def forecast(self, history, horizon):
        return 2 * np.repeat(history[:, -1:], horizon, axis=1)


def test_the_judge_counts_what_a_loop_over_all_windows_counts(monkeypatch):
    monkeypatch.setattr(forecasting, "CHUNK", 7)  # several chunks, the last one smaller
    data, train = frame(), frame(seed=1).to_numpy()
    scale = metrics.seasonal_error(train, 3)
    result = forecasting.backtest(Doubled(), data, 4, 5, seasonal_error=scale)
    values = data.to_numpy()
    errors = np.array([2 * values[t] - values[t + 1 : t + 6] for t in range(3, 55)])  # (N, F, C)
    assert result.windows == len(errors) == 52
    for name, table in {"mse": errors**2, "mae": abs(errors), "mase": abs(errors) / scale}.items():
        np.testing.assert_allclose(result.by_step[name], table.mean(axis=(0, 2)))
        np.testing.assert_allclose(result.by_column[name], table.mean(axis=(0, 1)))
        assert result.scores[name] == pytest.approx(table.mean())
    assert result.by_step.index.tolist() == [1, 2, 3, 4, 5]
    assert result.by_column.index.tolist() == ["c0", "c1"]
    assert "52 windows, mse" in repr(result)


def test_kept_forecasts_stand_beside_the_truth_of_their_time():
    data = frame()
    result = forecasting.backtest(Doubled(), data, 4, 2, stride=10, keep=[3, 0])
    table = result.forecasts
    assert result.windows == 6 and len(table) == 2 * 2 * 2
    assert table["origin"].unique().tolist() == [data.index[33], data.index[3]]
    for row in table.itertuples():
        assert row.time == row.origin + pd.Timedelta(hours=row.step)
        assert row.truth == data.loc[row.time, row.column]
        assert row.forecast == 2 * data.loc[row.origin, row.column]
    assert forecasting.backtest(Doubled(), data, 4, 2).forecasts.empty


class Spread:
    """Two columns with quantiles of their own: the last value, less or more than it."""

    quantiles = (0.2, 0.5, 0.8)

    def forecast(self, history, horizon):
        return np.repeat(history[:, -1:], horizon, axis=1)

    def forecast_quantiles(self, history, horizon):
        return self.forecast(history, horizon)[..., None] + [-0.5, 0.1, 1.0]


def test_the_judge_counts_what_lies_below_each_quantile(monkeypatch):
    monkeypatch.setattr(forecasting, "CHUNK", 7)
    data = frame()
    result = forecasting.backtest(Spread(), data, 4, 5, keep=[2])
    x, y = series.windows(data, 4, 5)
    quantiles = x[:, -1:, :, None] + np.array([-0.5, 0.1, 1.0])  # (N, 1, C, Q)
    below = (y[..., None] <= quantiles).mean(axis=(0, 2))
    np.testing.assert_allclose(result.below, below)
    assert result.below.columns.tolist() == [0.2, 0.5, 0.8]
    np.testing.assert_allclose(result.by_step["mae"], abs(y - quantiles[..., 1]).mean((0, 2)))
    error = y[..., None] - quantiles
    pinball = np.where(error > 0, np.multiply([0.2, 0.5, 0.8], error), [-0.8, -0.5, -0.2] * error)
    np.testing.assert_allclose(result.by_step["pinball"], pinball.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(result.by_column["pinball"], pinball.mean(axis=(0, 1, 3)))
    bands = result.coverage()
    np.testing.assert_allclose(bands["promised"], [0.6])
    np.testing.assert_allclose(bands["covered"], below[:, 2].mean() - below[:, 0].mean())
    kept = result.forecasts.query("column == 'c1'")
    np.testing.assert_allclose(kept[0.8] - kept[0.2], 1.5)
    np.testing.assert_allclose(kept["forecast"], kept[0.5])


def test_a_point_forecast_has_no_coverage():
    with pytest.raises(RuntimeError, match="forecasts no quantiles"):
        forecasting.backtest(Doubled(), frame(), 4, 2).coverage()


def test_errors_of_the_past_make_quantiles_of_any_forecaster():
    data, new = frame(400), frame(30, seed=2)
    model = forecasting.WithErrors(forecasting.SeasonalNaive(3), (0.1, 0.5, 0.75)).fit(data, 4, 5)
    assert isinstance(model, forecasting.SupportsQuantiles)
    x, y = series.windows(data, 4, 5)
    errors = y - forecasting.SeasonalNaive(3).forecast(x, 5)
    history = series.windows(new, 4, 5)[0]
    quantiles = model.forecast_quantiles(history, 2)
    naive = forecasting.SeasonalNaive(3).forecast(history, 2)
    for i, q in enumerate(model.quantiles):
        expected = naive + np.quantile(errors, q, axis=0)[:2]
        np.testing.assert_allclose(quantiles[..., i], expected)
    np.testing.assert_allclose(model.forecast(history, 2), quantiles[..., 1])
    below = forecasting.backtest(model, data, 4, 5).below  # on what it was fitted to
    np.testing.assert_allclose(below, np.broadcast_to([0.1, 0.5, 0.75], (5, 3)), atol=0.01)


def test_a_stride_judges_every_so_many_origins():
    data = frame()
    kept = forecasting.backtest(Doubled(), data, 4, 2, keep=range(0, 55, 10)).forecasts
    every = forecasting.backtest(Doubled(), data, 4, 2, stride=10)
    assert every.scores["mae"] == pytest.approx((kept["forecast"] - kept["truth"]).abs().mean())


class Repeat(scratch.Module):
    """(N, L, C) to (N, 3, C): a network that repeats the last value."""

    def __init__(self):
        super().__init__(np.float32, 0)

    def forward(self, x):
        return np.repeat(x[:, -1:], 3, axis=1), None


def test_a_network_is_judged_as_the_others_are():
    data = frame()
    network = forecasting.backtest(forecasting.Network(Repeat()), data, 4, 2)
    naive = forecasting.backtest(forecasting.LastValue(), data, 4, 2)
    pd.testing.assert_frame_equal(network.by_step, naive.by_step, rtol=1e-5)


class Sum(scratch.Module):
    """(N, L, 1) to (N, 2): a network that returns the sum of its window, and 0."""

    def __init__(self):
        super().__init__(np.float64, 0)

    def forward(self, x):
        total = x.sum(axis=1)  # (N, 1)
        return np.concatenate([total, 0 * total], axis=1), None


def test_a_network_may_read_windows_less_their_last_value_and_return_steps_alone():
    history = HISTORY[:, :, :1]
    plain, less = (forecasting.Network(Sum(), flag) for flag in (False, True))
    np.testing.assert_allclose(plain.forecast(history, 2)[0, :, 0], [1 + 2 + 4 + 7, 0])
    np.testing.assert_allclose(less.forecast(history, 2)[0, :, 0], [-6 - 5 - 3 + 0 + 7, 7])
    np.testing.assert_allclose(
        less.forecast(history + 100, 2), less.forecast(history, 2) + 100
    )  # the level is out of the network's sight


def test_a_recursive_forecast_reads_its_own_forecasts():
    recursive = forecasting.Recursive(forecasting.Network(Sum()))
    np.testing.assert_allclose(
        recursive.forecast(HISTORY[:, :, :1], 3)[0, :, 0], [14, 2 + 4 + 7 + 14, 4 + 7 + 14 + 27]
    )
    drift = forecasting.Recursive(forecasting.Drift())
    assert drift.forecast(HISTORY, 3).shape == (1, 3, 2)
    last = forecasting.Recursive(forecasting.LastValue()).forecast(HISTORY, 3)
    np.testing.assert_allclose(last, forecasting.LastValue().forecast(HISTORY, 3))


def test_the_scale_of_mase_is_the_error_of_the_seasonal_naive_forecast():
    train = np.array([[1.0, 0], [2, 5], [4, 1], [8, 9]])
    np.testing.assert_allclose(metrics.seasonal_error(train), [7 / 3, (5 + 4 + 8) / 3])
    np.testing.assert_allclose(metrics.seasonal_error(train, 2), [4.5, 2.5])
    forecast, truth = np.array([[3.0, 5]]), np.array([[12.0, 0]])
    assert metrics.mase(forecast, truth, [4.5, 2.5]) == 2
    assert metrics.mse(forecast, truth) == 53 and metrics.mae(forecast, truth) == 7
    with pytest.raises(ValueError, match="period=4: expected less than T=4"):
        metrics.seasonal_error(train, 4)


REFUSED = {
    "short history": (
        lambda: forecasting.SeasonalNaive(5).forecast(HISTORY, 1),
        "at least 5 steps",
    ),
    "one step": (lambda: forecasting.Drift().forecast(HISTORY[:, :1], 1), "at least 2 steps"),
    "two seasons": (lambda: forecasting.ETS(8).forecast(HISTORY, 1), "at least 16 steps"),
    "flat history": (
        lambda: forecasting.LastValue().forecast(HISTORY[0, 0], 1),
        "history has shape",
    ),
    "no horizon": (lambda: forecasting.LastValue().forecast(HISTORY, 0), "horizon=0"),
    "no period": (lambda: forecasting.SeasonalNaive(0), "period=0"),
    "one season": (lambda: forecasting.ETS(1), "period=1: expected at least 2"),
    "no ridge": (lambda: forecasting.Linear(4, 2, alpha=0), "alpha=0"),
    "other look-back": (
        lambda: forecasting.Linear(5, 2).fit(frame()).forecast(HISTORY, 2),
        r"history has shape \(1, 4, 2\): expected \(N, 5, C\)",
    ),
    "further": (
        lambda: forecasting.Linear(4, 2).fit(frame()).forecast(HISTORY, 3),
        "horizon=3: expected at most 2",
    ),
    "too short": (lambda: forecasting.backtest(Doubled(), frame(5), 4, 2), "values has 5 rows"),
    "no window": (lambda: forecasting.backtest(Doubled(), frame(9), 4, 2, keep=[4]), "keep=4"),
    "no stride": (lambda: forecasting.backtest(Doubled(), frame(), 4, 2, stride=0), "stride=0"),
    "no error": (
        lambda: forecasting.backtest(Doubled(), frame(), 4, 2, seasonal_error=[1, 0]),
        r"seasonal_error=\[1.0, 0.0\]: expected numbers above 0",
    ),
    "no median": (
        lambda: forecasting.WithErrors(forecasting.LastValue(), (0.1, 0.9)),
        r"quantiles=\(0.1, 0.9\): expected 0.5, the median",
    ),
    "falling": (
        lambda: forecasting.WithErrors(forecasting.LastValue(), (0.5, 0.1)),
        r"quantiles=\(0.5, 0.1\): expected numbers between 0 and 1",
    ),
    "further than fitted": (
        lambda: (
            forecasting.WithErrors(forecasting.LastValue()).fit(frame(), 4, 2).forecast(HISTORY, 3)
        ),
        "horizon=3: expected at most 2",
    ),
    "other shape": (
        lambda: forecasting.backtest(forecasting.Network(Repeat()), frame(), 4, 5),
        r"forecast has shape \(52, 3, 2\): expected \(52, 5, 2\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_forecast_that_is_not_a_number_is_not_averaged_away():
    class Broken:
        def forecast(self, history, horizon):
            return np.full((len(history), horizon, history.shape[2]), np.nan)

    with pytest.raises(ValueError, match="not finite"):
        forecasting.backtest(Broken(), frame(), 4, 2)


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match=r"expected a forecaster.*forecasting\.Network"):
        forecasting.backtest(Repeat(), frame(), 4, 2)
    with pytest.raises(TypeError, match=r"expected a forecaster"):
        forecasting.Recursive(Repeat())
    with pytest.raises(TypeError, match="frame is a ndarray"):
        forecasting.backtest(Doubled(), frame().to_numpy(), 4, 2)
    with pytest.raises(RuntimeError, match="no errors are known yet"):
        forecasting.WithErrors(forecasting.LastValue()).forecast(HISTORY, 2)
    with pytest.raises(TypeError, match="expected a forecaster"):
        forecasting.WithErrors(Repeat())
    with pytest.raises(RuntimeError, match="not fitted yet"):
        forecasting.Linear(4, 2).forecast(HISTORY, 2)


def test_on_the_real_transformer_the_baselines_reach_their_published_errors():
    """Zeng et al. (2023), ETTh1, horizon 96: 1.295 for the last value, 0.375 for DLinear."""
    folder = os.environ.get("RNNBOOK_DATA", "")
    if not (Path(folder) / "ett/ETTh1.csv").is_file():
        pytest.skip(f"RNNBOOK_DATA={folder!r} holds no ett/ETTh1.csv")
    train, _, test = series.split(series.load("ETTh1"), series.ETTH_SIZES, look_back=336)
    scaler = series.Scaler.fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    repeat = forecasting.backtest(forecasting.LastValue(), test, 336, 96)
    assert repeat.windows == 2785 and repeat.scores["mse"] == pytest.approx(1.295, abs=0.002)
    linear = forecasting.backtest(forecasting.Linear(336, 96).fit(train), test, 336, 96)
    assert linear.scores["mse"] == pytest.approx(0.375, abs=0.01)
    assert linear.scores["mae"] == pytest.approx(0.399, abs=0.01)
