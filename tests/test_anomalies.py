"""Scores are distances in units of doubt, thresholds need no label, verdicts count what meets."""

import numpy as np
import pandas as pd
import pytest

from rnnbook import anomalies, forecasting
from rnnbook.forecaster import Forecaster

INDEX = pd.date_range("2026-01-01", periods=40, freq="h", name="time")


class Spread:
    """The last value, with a band from 2 below to 4 above; nothing of it is wider further ahead."""

    quantiles = (0.1, 0.5, 0.9)

    def forecast(self, history, horizon):
        return np.repeat(history[:, -1:], horizon, axis=1)

    def forecast_quantiles(self, history, horizon):
        return self.forecast(history, horizon)[..., None] + [-2.0, 0.0, 4.0]


def steps(*pairs):
    """Zeros, but for these ``(row, value)``; and a second column of their tenth."""
    values = pd.Series(0.0, INDEX)
    for row, value in pairs:
        values.iloc[row] = value
    return pd.DataFrame({"a": values, "b": values / 10})


def test_a_score_is_the_distance_from_the_median_in_units_of_that_side_of_the_band():
    scores = anomalies.scores(Spread(), steps((20, 8.0), (30, -8.0)), 5)
    assert len(scores) == 40 - 5 and scores.index[0] == INDEX[5]
    assert scores["a"][INDEX[20]] == 8 / 4 and scores["a"][INDEX[30]] == 8 / 2
    assert scores["a"][INDEX[21]] == 8 / 2  # back at 0, after a last value of 8
    np.testing.assert_allclose(scores["b"], scores["a"] / 10)
    assert scores["a"].sum() == 2 + 4 + 4 + 2


@pytest.mark.parametrize("lead", [1, 3, 7])
def test_a_stamp_is_scored_by_what_was_forecast_lead_steps_before(lead, monkeypatch):
    monkeypatch.setattr(forecasting, "CHUNK", 4)
    scores = anomalies.scores(Spread(), steps((20, 8.0)), 5, lead)["a"]
    assert scores.index[0] == INDEX[5 + lead - 1] and scores.index[-1] == INDEX[-1]
    assert scores[scores > 0].index.tolist() == [INDEX[20], INDEX[20 + lead]]


def test_a_step_that_lasts_is_one_alarm_one_step_ahead_and_a_long_one_further_ahead():
    data = steps(*[(row, 12.0) for row in range(15, 40)])
    for lead in (1, 6):
        scores = anomalies.scores(Spread(), data, 5, lead)["a"]
        found = anomalies.alarms(scores, 1.5)
        assert len(found) == 1
        assert found.start[0] == INDEX[15] and found.end[0] == INDEX[15 + lead - 1]


def test_a_band_without_width_makes_every_distance_infinite():
    class Sure(Spread):
        def forecast_quantiles(self, history, horizon):
            return np.repeat(self.forecast(history, horizon)[..., None], 3, axis=-1)

    scores = anomalies.scores(Sure(), steps((20, 1.0)), 5)["a"]
    assert np.isinf(scores[INDEX[20]]) and scores[INDEX[19]] == 0 and not scores.isna().any()


def test_the_threshold_is_passed_at_the_rate_that_was_asked_for():
    rng = np.random.default_rng(0)
    ordinary, new = (pd.Series(rng.exponential(size=5000)) for _ in range(2))
    for rate in (0.1, 0.01):
        limit = anomalies.threshold(ordinary, rate)
        assert (ordinary > limit).mean() <= rate < (ordinary >= limit).mean() + 1e-9
        assert (new > limit).mean() == pytest.approx(rate, rel=0.5)


def test_stamps_that_are_near_each_other_are_one_alarm():
    scores = pd.Series(0.0, INDEX)
    scores.iloc[[3, 4, 7, 20]] = [2.0, 5.0, 3.0, 4.0]
    one, three = (anomalies.alarms(scores, 1.0, gap) for gap in (1, 3))
    assert one.start.tolist() == [INDEX[3], INDEX[7], INDEX[20]]
    assert one.end.tolist() == [INDEX[4], INDEX[7], INDEX[20]]
    assert three.start.tolist() == [INDEX[3], INDEX[20]]
    assert three.end.tolist() == [INDEX[7], INDEX[20]]
    assert three.peak.tolist() == [INDEX[4], INDEX[20]] and three.score.tolist() == [5.0, 4.0]
    assert anomalies.alarms(scores, 2.0).start.tolist()[0] == INDEX[4]  # at it is not above it
    assert anomalies.alarms(scores, 9.0).empty


def table(*pairs):
    return pd.DataFrame([(INDEX[a], INDEX[b]) for a, b in pairs], columns=["start", "end"])


def test_labels_are_found_and_alarms_are_right_where_they_meet():
    verdict = anomalies.judge(
        table((0, 2), (4, 5), (6, 6), (9, 9), (39, 39)), table((5, 8), (20, 30), (2, 3))
    )
    assert verdict[["labels", "found", "alarms", "right"]].tolist() == [3, 2, 5, 3]
    assert verdict["recall"] == 2 / 3 and verdict["precision"] == 3 / 5


def test_nothing_to_count_is_no_number():
    none = anomalies.alarms(pd.Series(0.0, INDEX), 1.0)
    verdict = anomalies.judge(none, table((1, 2)))
    assert verdict["recall"] == 0 and np.isnan(verdict["precision"])
    assert np.isnan(anomalies.judge(table((1, 2)), none)["recall"])


SERIES = pd.Series(1.0, INDEX)
REFUSED = {
    "no doubt": (
        lambda: anomalies.scores(forecasting.LastValue(), steps(), 5),
        TypeError,
        "expected a forecaster of three quantiles at least",
    ),
    "array": (lambda: anomalies.scores(Spread(), np.ones((9, 1)), 5), TypeError, "is a ndarray"),
    "short": (lambda: anomalies.scores(Spread(), steps(), 38, 3), ValueError, "has 40 rows"),
    "no lead": (lambda: anomalies.scores(Spread(), steps(), 5, 0), ValueError, "lead=0"),
    "frame": (lambda: anomalies.threshold(steps(), 0.1), TypeError, r"\.max\(axis=1\)"),
    "nan": (lambda: anomalies.threshold(SERIES * np.nan, 0.1), ValueError, "holds NaN"),
    "no rate": (lambda: anomalies.threshold(SERIES, 0.0), ValueError, "rate=0.0: expected"),
    "whole rate": (lambda: anomalies.threshold(SERIES, 1), ValueError, "rate=1: expected"),
    "rare": (
        lambda: anomalies.threshold(SERIES, 0.01),
        ValueError,
        "rate=0.01: expected at least 0.025, one of the 40 stamps",
    ),
    "no gap": (lambda: anomalies.alarms(SERIES, 1.0, 0), ValueError, "gap=0"),
    "list": (lambda: anomalies.alarms([1.0], 1.0), TypeError, "scores is a list"),
    "labels": (lambda: anomalies.judge(table(), steps()), TypeError, "labels: expected"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_a_forecaster_refuses_other_columns_and_another_step():
    made = Forecaster(2, 4, "scratch", hidden_size=4, segment_length=1)
    frame = steps((10, 3.0))
    made.fit(frame, epochs=1, progress=False)
    assert list(anomalies.scores(made, frame, 4).columns) == ["a", "b"]
    with pytest.raises(ValueError, match="expected .*in this order, as in fit"):
        anomalies.scores(made, frame[["b", "a"]], 4)
    with pytest.raises(ValueError, match="frame has a step of 0 days 03:00:00"):
        anomalies.scores(made, frame.iloc[::3], 4)
