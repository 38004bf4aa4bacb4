"""A forecaster of the reader's own series: learns, forecasts with its doubts, travels in a file."""

import doctest
import json
import struct

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch

from rnnbook import forecaster, forecasting, scratch, training
from rnnbook.data import series
from rnnbook.forecaster import Forecaster
from rnnbook.interop import get_weights, save_weights

TWINS = pytest.mark.parametrize("twin", ["scratch", "pytorch"])
SMALL = {"horizon": 4, "look_back": 12, "hidden_size": 8, "dropout": 0.0}


def frame(rows=120, seed=0, columns=("sales", "visits"), start="2026-01-01", freq="h"):
    """Noisy waves of period 6 in units that differ; what comes is known but for the noise."""
    rng, time = np.random.default_rng(seed), np.arange(rows)
    index = pd.date_range(start, periods=rows, freq=freq, name="when")
    values = {
        name: 10.0**k * (5 + np.sin(2 * np.pi * (time + k) / 6) + 0.2 * rng.standard_normal(rows))
        for k, name in enumerate(columns)
    }
    return pd.DataFrame(values, index)


def trained(twin="scratch", data=None, *, epochs=2, fit=None, **options):
    made = Forecaster(twin=twin, **SMALL | options)
    made.fit(frame() if data is None else data, epochs=epochs, progress=False, **(fit or {}))
    return made


@pytest.fixture(scope="module")
def sales(tmp_path_factory):
    """A trained forecaster of two columns, and its file."""
    made = trained("pytorch")
    path = tmp_path_factory.mktemp("forecaster") / "sales.safetensors"
    made.save(path)
    return made, path


def test_the_example_of_the_docstring_prints_what_it_says():
    result = doctest.testmod(forecaster)
    assert result.attempted > 5 and result.failed == 0


# Learning


@TWINS
def test_it_learns_waves_and_says_how_noisy_they_are(twin):
    made = trained(twin, frame(900), epochs=12, fit={"lr": 0.02, "batch_size": 32})
    result = made.backtest(frame(400, seed=1))
    naive = forecasting.backtest(forecasting.LastValue(), frame(400, seed=1), 12, 4)
    assert (result.by_column["mae"] < 0.35 * naive.by_column["mae"]).all()
    assert result.coverage()["promised"].tolist() == [0.8]
    assert result.coverage()["covered"][0] == pytest.approx(0.8, abs=0.1)
    noise = (result.by_column["mae"] / [0.2, 2]).tolist()  # of a normal deviate: 0.8 of its size
    assert all(0.75 < size < 1 for size in noise)


def test_both_twins_start_from_the_same_weights_and_run_the_same_history():
    histories = [
        Forecaster(twin=twin, **SMALL).fit(frame(), epochs=3, progress=False)
        for twin in ("scratch", "pytorch")
    ]
    ours, theirs = (history.drop(columns="seconds") for history in histories)
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4)


@TWINS
def test_everything_follows_from_the_seed(twin):
    first, again, other = (trained(twin, dropout=0.3, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.predict(), again.predict())
    assert not np.allclose(first.predict(), other.predict(), rtol=1e-4)


def test_the_scale_is_that_of_the_training_part_only():
    data = frame()
    later = data.copy()
    later.iloc[96:] += 1000.0
    for given in (data, later):
        made = trained(data=given)
        np.testing.assert_allclose(made.scaler.mean, data.iloc[:96].mean())
        np.testing.assert_allclose(made.scaler.scale, data.iloc[:96].std(ddof=0))
    whole = trained(data=data, fit={"valid_fraction": 0})
    np.testing.assert_allclose(whole.scaler.mean, data.mean())


def test_training_is_that_of_the_docstring(monkeypatch):
    seen = {}

    def fit(model, train, valid, **options):
        seen.update(options, train=train, valid=valid)

    monkeypatch.setattr(training, "fit", fit)
    made = Forecaster(twin="scratch", **SMALL, seed=5)
    made.fit(frame(), lr=0.5, batch_size=7, patience=2, epochs=3, progress=False)
    assert (seen["clip"], seen["seed"], seen["patience"], seen["epochs"]) == (1.0, 5, 2, 3)
    assert type(seen["optimizer"]).__name__ == "Adam" and seen["optimizer"].lr == 0.5
    assert seen["train"].batch_size == 7 and not seen["progress"]
    assert len(seen["train"]) == 96 - 12 - 4 + 1
    assert len(seen["valid"]) == 24 - 4 + 1  # from its first row on: it reaches back
    y, q = np.random.default_rng(0).standard_normal((2, 5, 4, 2, 3))
    loss, _ = seen["loss"](q, y[..., 0])
    assert loss == scratch.pinball_loss(q, y[..., 0], (0.1, 0.5, 0.9))[0]


@TWINS
@pytest.mark.parametrize("epochs", [1, 4])
def test_an_interrupted_run_resumes_and_ends_the_same(twin, epochs, tmp_path):
    def run(epochs, checkpoint):
        return trained(twin, epochs=epochs, fit={"checkpoint": checkpoint}, dropout=0.3)

    run(epochs, tmp_path / "cut")
    resumed, whole = run(4, tmp_path / "cut"), run(4, tmp_path / "whole")
    for name, array in get_weights(whole.model).items():
        np.testing.assert_array_equal(get_weights(resumed.model)[name], array)


def test_a_checkpoint_of_another_series_or_other_options_is_refused(tmp_path):
    def run(data=None, **options):
        fit = {"checkpoint": tmp_path / "run"} | options.pop("fit", {})
        return trained(data=data, epochs=1, fit=fit, **options)

    run()
    for other in (
        {"data": frame(seed=1)},
        {"data": frame(columns=("sales", "clicks"))},
        {"quantiles": (0.2, 0.5, 0.8)},
        {"segment_length": 2},
        {"dropout": 0.1},
        {"twin": "pytorch"},
        {"fit": {"lr": 0.01}},
        {"fit": {"batch_size": 31}},
        {"fit": {"valid_fraction": 0.1}},
    ):
        with pytest.raises(ValueError, match="is of another run"):
            run(**other)
    run()


def test_failing_to_fit_again_changes_nothing():
    made = trained()
    before = made.predict()
    for bad in (frame(19), frame().iloc[::-1]):
        with pytest.raises(ValueError, match="expected"):
            made.fit(bad, progress=False)
    pd.testing.assert_frame_equal(made.predict(), before)
    made.fit(frame(columns=("other",)), epochs=1, progress=False)
    assert made.predict().columns.tolist() == ["other"]


def test_options_cannot_change_behind_the_weights():
    with pytest.raises(AttributeError, match="horizon"):
        trained().horizon = 7


# Forecasting


@pytest.mark.parametrize("freq", ["h", "15min", "D", "W-SUN", "MS", "ME", "YS"])
def test_forecasts_continue_the_index_and_keep_the_names(freq):
    data, made = frame(start="1800-03-31", freq=freq), trained(data=frame(freq=freq), epochs=1)
    for forecast in (made.predict(3, data), made.predict_quantiles(3, data)):
        expected = pd.date_range(data.index[-1], periods=4, freq=freq)[1:]
        assert forecast.index.tolist() == expected.tolist()
        assert forecast.index.name == "when"
    assert made.predict(3, data).columns.tolist() == ["sales", "visits"]
    assert made.predict(3, data).columns.name is None


def test_a_series_with_a_time_zone_and_without_a_name_is_forecast():
    data = pd.Series(frame()["sales"].to_numpy(), frame().index.tz_localize("Asia/Tokyo"))
    forecast = trained(data=data).predict(2)
    assert forecast.columns.tolist() == [0] and str(forecast.index.tz) == "Asia/Tokyo"
    assert forecast.index[0] - data.index[-1] == pd.Timedelta("1h")


@TWINS
def test_the_median_is_the_point_and_quantiles_never_fall(twin):
    made = trained(twin, quantiles=(0.05, 0.3, 0.5, 0.95), epochs=1)
    quantiles = made.predict_quantiles()
    assert quantiles.shape == (4, 8)
    for name in ("sales", "visits"):
        assert (np.diff(quantiles[name], axis=1) >= 0).all()
        pd.testing.assert_series_equal(
            made.predict()[name], quantiles[name, 0.5], check_names=False
        )
    raw = training.predict(made.model, series.windows(made.scaler.transform(frame()), 12, 4)[0])
    assert (np.diff(raw, axis=-1) < 0).any()  # the network's own do cross


def test_sorting_quantiles_never_raises_their_loss():
    made, levels = trained(epochs=1), (0.1, 0.5, 0.9)
    x, y = series.windows(made.scaler.transform(frame()), 12, 4)
    raw = training.predict(made.model, x)
    before = scratch.pinball_loss(raw, y, levels)[0]
    assert scratch.pinball_loss(np.sort(raw, axis=-1), y, levels)[0] < before


def test_a_forecaster_of_the_median_alone_is_a_point_forecaster():
    made = trained(quantiles=(0.5,))
    assert made.predict().shape == (4, 2) and made.predict_quantiles().shape == (4, 2)
    assert made.backtest(frame()).coverage().empty


def test_a_shorter_horizon_is_the_beginning_of_the_longer_one():
    made = trained()
    pd.testing.assert_frame_equal(made.predict(2), made.predict(4).iloc[:2])
    pd.testing.assert_frame_equal(made.predict(), made.predict(4))


def test_the_last_rows_of_a_newer_frame_are_read_and_no_others():
    made, newer = trained(), frame(200, seed=3)
    pd.testing.assert_frame_equal(made.predict(frame=newer), made.predict(frame=newer.iloc[-12:]))
    moved = newer.copy()
    moved.iloc[:-12] += 7.0
    pd.testing.assert_frame_equal(made.predict(frame=moved), made.predict(frame=newer))
    pd.testing.assert_frame_equal(made.predict(), made.predict(frame=frame()))
    assert not np.allclose(made.predict(frame=newer), made.predict(), rtol=1e-3)


def test_a_level_that_moves_is_followed():
    made = trained()
    forecast = made.predict(frame=frame() + [10.0, -500.0])
    np.testing.assert_allclose(forecast, made.predict() + [10.0, -500.0], rtol=1e-4)


def test_the_back_test_is_that_of_the_judge_in_the_units_of_the_columns():
    made, data = trained(), frame(seed=4)
    result = made.backtest(data, stride=3, keep=[1])
    x, y = series.windows(data, 12, 4)
    forecast = made.forecast(x[::3], 4)
    np.testing.assert_allclose(result.by_column["mae"], np.abs(forecast - y[::3]).mean(axis=(0, 1)))
    kept = result.forecasts.query("column == 'sales'")
    expected = made.predict_quantiles(frame=data.iloc[:15])["sales"]
    np.testing.assert_allclose(kept[[0.1, 0.5, 0.9]], expected)
    assert kept["time"].tolist() == expected.index.tolist()


def test_a_constant_column_is_forecast_as_what_it_is():
    data = frame().assign(flat=3.0)
    flat = trained(data=data, epochs=8).predict()["flat"]
    np.testing.assert_allclose(flat, 3.0, atol=0.3)


@pytest.mark.parametrize(
    ("horizon", "look_back", "length"), [(4, 12, 4), (48, 336, 24), (7, 30, 1), (50, 100, 10)]
)
def test_segments_are_the_longest_that_fit(horizon, look_back, length):
    assert Forecaster(horizon, look_back, "scratch").segment_length == length


# Bad arguments: each is refused before any work

HOURS = frame().index
BAD = {
    "short": (frame(15), ValueError, r"frame has 15 rows, 12 for training and 3 held out.*= 16"),
    "short valid": (frame(19), ValueError, "frame has 19 rows, 15 for training"),
    "no row": (frame(0), ValueError, "source has 0 rows"),
    "one row": (frame(1), ValueError, "index has 1 stamps"),
    "nan": (frame().mask(frame()["sales"] > 5.5), ValueError, "values are missing in .* runs"),
    "infinite": (frame().replace(frame().iloc[3, 0], np.inf), ValueError, "holds inf in row 3"),
    "text": (frame().assign(shop="Oslo"), ValueError, "column 'shop' holds 'Oslo' in row 0"),
    "no stamps": (frame().reset_index(drop=True), ValueError, r"holds numbers \(\[0, 1, 2\]\)"),
    "irregular": (frame().drop(HOURS[5]), ValueError, "row 5 is of .* 02:00:00 after"),
    "unsorted": (frame().iloc[::-1], ValueError, "earlier than the row before"),
    "twice": (frame().set_axis(HOURS.repeat(2)[:120]), ValueError, "like the row before"),
    "same name": (frame(columns=("a", "b")).set_axis(["a", "a"], axis=1), ValueError, "2 times"),
    "pairs": (frame().set_axis([("a", 1), ("a", 2)], axis=1), ValueError, "a str or an int"),
    "array": (frame().to_numpy(), TypeError, "frame is a ndarray: expected a pandas DataFrame"),
    "path": ("sales.csv", TypeError, "frame is a str: expected a pandas DataFrame or Series"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_learned_from_is_refused(case, monkeypatch):
    def work(*_, **__):
        raise AssertionError("work was done")

    monkeypatch.setattr(training, "fit", work)
    data, error, message = BAD[case]
    made = Forecaster(twin="scratch", **SMALL)
    with pytest.raises(error, match=message):
        made.fit(data)
    assert made.model is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"lr": 0}, "lr=0"),
        ({"valid_fraction": 1.0}, "valid_fraction=1.0"),
        ({"valid_fraction": 0.01}, "119 for training and 1 held out"),
        ({"valid_fraction": 0.9}, "12 for training and 108 held out"),
    ],
)
def test_what_cannot_be_learned_with_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Forecaster(twin="scratch", **SMALL).fit(frame(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"twin": "keras"}, "twin='keras': expected one of"),
        ({"horizon": 0}, "horizon=0: expected"),
        ({"look_back": 2.5}, "look_back=2.5: expected"),
        ({"quantiles": ()}, r"quantiles=\(\): expected numbers between 0 and 1"),
        ({"quantiles": 0.5}, "quantiles=0.5: expected numbers"),
        ({"quantiles": "0.5"}, "quantiles='0.5': expected numbers"),
        ({"quantiles": (0.9, 0.5, 0.1)}, r"quantiles=\(0.9, 0.5, 0.1\): expected"),
        ({"quantiles": (0, 0.5)}, r"quantiles=\(0, 0.5\): expected"),
        ({"quantiles": (0.5, np.nan)}, "expected numbers between 0 and 1"),
        ({"quantiles": (0.1, 0.9)}, "expected 0.5, the median"),
        ({"segment_length": 0}, "segment_length=0: expected"),
        ({"segment_length": 3}, "horizon=4: expected a multiple of 3, the segment_length"),
        ({"segment_length": 8}, "look_back=12: expected a multiple of 8, the segment_length"),
        ({"hidden_size": 7}, "hidden_size=7: expected a multiple of 2"),
        ({"dropout": 1.0}, "dropout=1.0: expected"),
        ({"seed": -1}, "seed=-1: expected"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Forecaster(**{"twin": "scratch"} | SMALL | options)


@pytest.mark.parametrize("method", ["predict", "predict_quantiles", "backtest", "save", "forecast"])
def test_nothing_comes_before_learning(method, tmp_path):
    arguments = {"backtest": [frame()], "save": [tmp_path / "file"], "forecast": [np.ones(3), 1]}
    with pytest.raises(RuntimeError, match=r"has not learned yet: call fit\(frame\)"):
        getattr(Forecaster(twin="scratch", **SMALL), method)(*arguments.get(method, []))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("horizon", "data", "error", "message"),
    [
        (5, None, ValueError, r"horizon=5: expected at most 4, .*Fit a Forecaster\(5, \.\.\.\)"),
        (0, None, ValueError, "horizon=0: expected"),
        (2.0, None, ValueError, "horizon=2.0: expected"),
        (2, frame(11), ValueError, "frame has 11 rows: expected at least 12"),
        (2, frame()[["sales"]], ValueError, r"columns \['sales'\]: expected \['sales', 'visits'\]"),
        (2, frame()[["visits", "sales"]], ValueError, "in this order, as in fit"),
        (2, frame(freq="D"), ValueError, "a step of 1 days 00:00:00: expected 0 days 01:00:00"),
        (2, frame().mask(frame() > 5.5), ValueError, "are missing"),
        (2, frame().to_numpy(), TypeError, "frame is a ndarray"),
    ],
)
def test_what_cannot_be_forecast_is_refused(sales, horizon, data, error, message):
    for method in (sales[0].predict, sales[0].predict_quantiles):
        with pytest.raises(error, match=message):
            method(horizon, data)


def test_what_cannot_be_judged_is_refused(sales):
    for data, message in (
        (frame(15), "frame has 15 rows: expected at least 16"),
        (frame()[["sales"]], "frame has the columns"),
        (frame(freq="D"), "frame has a step of"),
    ):
        with pytest.raises(ValueError, match=message):
            sales[0].backtest(data)
    with pytest.raises(ValueError, match=r"history has shape \(1, 11, 2\): expected \(N, 12, 2\)"):
        sales[0].forecast(frame(11).to_numpy(), 2)


# The file


@pytest.mark.parametrize("writer", ["scratch", "pytorch"])
@pytest.mark.parametrize("reader", ["scratch", "pytorch"])
def test_a_file_of_either_twin_forecasts_the_same_in_either(writer, reader, tmp_path):
    one = trained(writer, quantiles=(0.1, 0.4, 0.5, 0.9), dropout=0.2)
    one.save(tmp_path / "sales.safetensors")
    other = Forecaster.load(tmp_path / "sales.safetensors", twin=reader)
    assert other.twin == reader and other.step == one.step
    data = frame(seed=2)
    pd.testing.assert_frame_equal(
        other.predict_quantiles(3, data), one.predict_quantiles(3, data), rtol=1e-5
    )
    assert type(other.model).__module__ == f"rnnbook.{reader}.segrnn"


def test_options_travel_with_the_file(tmp_path):
    options = {
        "horizon": 6, "look_back": np.int64(18), "quantiles": [0.25, 0.5], "segment_length": 2,
        "hidden_size": 6, "dropout": np.float32(0.25), "seed": 9,
    }  # fmt: skip
    one = trained(**options)
    one.save(tmp_path / "file")
    other = Forecaster.load(tmp_path / "file", twin="scratch")
    assert {name: getattr(other, name) for name in options} == options | {"quantiles": (0.25, 0.5)}
    other.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


def test_no_row_of_the_series_travels_with_the_file(sales):
    loaded = Forecaster.load(sales[1], twin="scratch")
    with pytest.raises(RuntimeError, match="its file holds no rows: pass frame=, the last 12 rows"):
        loaded.predict()
    assert loaded.predict(frame=frame()).shape == (4, 2)
    weights, metadata = safetensors.numpy.load(sales[1].read_bytes()), read(sales[1])[0]
    assert weights.keys() == get_weights(sales[0].model).keys()
    content = json.loads(metadata["__metadata__"]["rnnbook"])
    assert sorted(content) == ["format", "options", "scaler", "step", "version"]
    assert content["format"] == "rnnbook.Forecaster" and content["version"] == 1
    assert sorted(content["scaler"]) == ["columns", "mean", "scale"]


def test_names_of_any_script_and_numbers_travel_with_the_file(tmp_path):
    trained(data=frame(columns=("销售额", 7))).save(tmp_path / "file")
    assert Forecaster.load(tmp_path / "file", twin="scratch").scaler.columns == ["销售额", 7]


def test_a_loaded_forecaster_can_learn_anew(sales):
    loaded = Forecaster.load(sales[1], twin="scratch")
    loaded.fit(frame(columns=("other",)), epochs=1, progress=False)
    assert loaded.predict().columns.tolist() == ["other"]


def test_a_failed_save_keeps_the_old_file(sales, tmp_path, monkeypatch):
    path = tmp_path / "sales.safetensors"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        sales[0].save(path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def read(path):
    """The header of a safetensors file, and the bytes behind it."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def rewrite(sales, tmp_path, change):
    """A copy of the file whose described content ``change`` has changed in place."""
    header, body = read(sales[1])
    content = json.loads(header["__metadata__"]["rnnbook"])
    content = change(content) or content
    header["__metadata__"]["rnnbook"] = json.dumps(content)
    data = json.dumps(header).encode()
    path = tmp_path / "changed.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data + body)
    return path


def change(*keys, to):
    def changed(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return changed


def drop(*keys):
    def changed(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return changed


FORGED = [
    (lambda content: ["a list"], "its header describes no forecaster"),
    (change("format", to="rnnbook.TextClassifier"), "its format is 'rnnbook.TextClassifier'"),
    (change("version", to=2), "its version is 2, expected 1"),
    (drop("options"), "mapping"),
    (drop("options", "dropout"), "its options are .*, expected .*dropout"),
    (change("options", "colour", to="red"), "colour"),
    (change("options", "twin", to="scratch"), "twin"),
    (change("options", "quantiles", to=[0.1, 0.5]), "linear.weight has shape .*, expected"),
    (change("options", "quantiles", to=[0.1, 0.9, 0.5]), "quantiles=.*: expected"),
    (change("options", "horizon", to=8), r"position has shape \(1, 4\), expected \(2, 4\)"),
    (change("options", "horizon", to=4 * 10**9), "position has shape .*, expected"),
    (change("options", "hidden_size", to=10**9), "position has shape .*, expected"),
    (change("options", "segment_length", to=2), "position has shape .*, expected"),
    (change("options", "segment_length", to=None), "its options are .*None"),
    (change("options", "dropout", to="0.5"), "dropout='0.5': expected"),
    (drop("scaler"), "NoneType"),
    (drop("scaler", "mean"), "mean"),
    (change("scaler", "scale", to=[1.0, 0.0]), "scale=.*: expected finite numbers"),
    (change("scaler", "columns", to=["sales"]), "expected"),
    (change("scaler", "columns", to=["sales", ["visits"]]), "a str or an int"),
    (change("scaler", to={"columns": ["a"], "mean": [0], "scale": [1]}), "channel has shape"),
    (drop("step"), "its step is None, expected a str"),
    (change("step", to="a while"), "step 'a while': expected"),
    (change("step", to="some months"), "step 'some months': expected"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_a_file_whose_parts_do_not_fit_is_refused(sales, tmp_path, change, message):
    path = rewrite(sales, tmp_path, change)
    with pytest.raises(ValueError, match=f"(?s)not a whole file of Forecaster.save: .*{message}"):
        Forecaster.load(path, twin="scratch")


def test_the_forger_leaves_a_good_file_good(sales, tmp_path):
    path = rewrite(sales, tmp_path, lambda content: None)
    assert Forecaster.load(path, twin="scratch").predict(1, frame()).shape == (1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("position"), r"position has shape \(\), expected"),
        (lambda w: w.pop("linear.bias"), "missing linear.bias"),
        (lambda w: w.update(extra=np.ones(3, np.float32)), "unexpected extra"),
        (lambda w: w.update({"linear.bias": w["linear.bias"] * np.nan}), "linear.bias .* finite"),
        (lambda w: w.update({"linear.bias": w["linear.bias"].astype(float)}), "float64: expected"),
    ],
)
def test_weights_that_do_not_fit_are_refused(sales, tmp_path, change, message):
    weights, metadata = get_weights(sales[0].model), read(sales[1])[0]["__metadata__"]
    change(weights)
    path = tmp_path / "file"
    weights = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    path.write_bytes(safetensors.numpy.save(weights, metadata))
    with pytest.raises(ValueError, match=message):
        Forecaster.load(path, twin="scratch")


def test_foreign_and_cut_files_are_refused(sales, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        Forecaster.load(path, twin="scratch")
    save_weights(sales[0].model, path)
    with pytest.raises(ValueError, match="not a whole file of Forecaster.save: its header"):
        Forecaster.load(path, twin="scratch")
    save_weights(sales[0].model, path, {"rnnbook": "{not json"})
    with pytest.raises(ValueError, match="not a whole file of Forecaster.save"):
        Forecaster.load(path, twin="scratch")
    whole = sales[1].read_bytes()
    for content in (b"", b"something else entirely", whole[:100], whole[:-1], whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            Forecaster.load(path, twin="scratch")
    with pytest.raises(ValueError, match="^twin='jax': expected one of"):
        Forecaster.load(sales[1], twin="jax")


def test_the_torch_twin_is_float32_whatever_torchs_default(sales):
    torch.set_default_dtype(torch.float64)
    try:
        loaded = Forecaster.load(sales[1], twin="pytorch")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_forecasting_sees_few_windows_at_a_time(sales, monkeypatch):
    seen = []
    predict = training.predict

    def watched(model, data):
        seen.append(len(data))
        return predict(model, data)

    monkeypatch.setattr(forecaster.training, "predict", watched)
    sales[0].backtest(frame(700))
    assert sum(seen) == 700 - 12 - 4 + 1 and max(seen) <= 256


@pytest.mark.parametrize(
    ("index", "following"),
    [
        (pd.date_range("2026-01-01", periods=40, freq="31D"), ["2029-05-25", "2029-06-25"]),
        (
            pd.DatetimeIndex([f"{2016 + k // 4}-{3 + k % 4 * 3:02}-30" for k in range(40)]),
            ["2026-03-30", "2026-06-30"],
        ),
    ],
    ids=["31 days", "the 30th of each third month"],
)
def test_a_few_last_stamps_go_on_as_the_whole_series_does(index, following):
    data = frame(40).set_index(index)
    made = trained(data=data, horizon=2, look_back=2)
    for forecast in (made.predict(), made.predict(frame=data.iloc[-2:])):
        assert forecast.index.strftime("%Y-%m-%d").tolist() == following
    made.predict(frame=data.iloc[:2])  # 1 January and 1 February: of this step, too


def test_one_row_is_enough_to_read():
    made = trained(data=frame(40), horizon=1, look_back=1)
    assert made.predict().index[0] == pd.Timestamp("2026-01-02 16:00")
