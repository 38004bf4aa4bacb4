"""Series: what is read is checked, windows are views, splits follow time, scaling can be undone."""

import json
import os
import threading
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rnnbook import scratch, training
from rnnbook.data import fetch, series


def frame(rows=6, columns=("a", "b"), freq="h", start="2026-01-01"):
    values = np.arange(float(rows * len(columns))).reshape(rows, len(columns))
    index = pd.date_range(start, periods=rows, freq=freq, name="time").as_unit("ns")
    return pd.DataFrame(values, index, list(columns))


def csv(tmp_path, text):
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    return path


# --- reading and checking -------------------------------------------------------------------------


def test_a_csv_and_a_frame_hold_the_same_series(tmp_path):
    path = csv(tmp_path, "when,a,b\n2026-01-01 00:00,0,1\n2026-01-01 01:00,2,3\n")
    for read in (series.read(path), series.read(str(path), time="when"), series.read(frame(2))):
        np.testing.assert_array_equal(read, [[0, 1], [2, 3]])
        assert read.index.tolist() == frame(2).index.tolist() and read.index.name == "time"
        assert list(read.columns) == ["a", "b"] and set(read.dtypes) == {np.dtype(float)}


def test_columns_are_kept_in_the_order_asked_for_and_the_frame_is_left_alone():
    given = frame().reset_index()
    before = given.copy()
    read = series.read(given, time="time", columns=["b", "a"])
    assert list(read.columns) == ["b", "a"] and read["b"].tolist() == frame()["b"].tolist()
    pd.testing.assert_frame_equal(given, before)


def test_numbers_written_as_text_are_numbers():
    given = frame(3).astype({"a": str})
    pd.testing.assert_frame_equal(series.read(given), series.read(frame(3)))


@pytest.mark.parametrize(
    "freq", ["h", "30min", "D", "W", "MS", "QS", "YS", pd.offsets.MonthEnd()], ids=str
)
def test_steps_may_follow_the_clock_or_the_calendar(freq):
    assert len(series.read(frame(30, freq=freq))) == 30


def moved(rows):
    given = frame(len(rows))
    return given.set_axis(given.index[rows])


FAULTS = {
    "unsorted": (lambda: moved([0, 2, 1, 3]), "row 2 is of 2026-01-01 01:00.*earlier.*sort_index"),
    "duplicate": (lambda: moved([0, 1, 1, 2]), "row 2 is of 2026-01-01 01:00.*like the row before"),
    "irregular": (
        lambda: frame(9).drop(frame(9).index[4]),
        r"row 4 is of .* 05:00:00, 0 days 02:00:00 after .* of 0 days 01:00:00 \(1 are not\)",
    ),
    "almost monthly": (
        lambda: frame(3).set_axis(pd.to_datetime(["2026-01-01", "2026-02-01", "2026-03-02"])),
        "row 1 is of 2026-02-01.*expected even steps",
    ),
    "no time": (lambda: frame().reset_index(drop=True), "the time holds numbers.*time="),
    "bad stamp": (
        lambda: frame(3).set_axis(["2026-01-01", "2026-01-02", "soon"]),
        "the time of row 2 is 'soon': expected a stamp",
    ),
    "text": (
        lambda: frame(4).astype(object).assign(b=[1, 2, "n/a?", 4]),
        r"column 'b' holds 'n/a\?' in row 2 \(2026-01-01 02:00:00\), and 1 such",
    ),
    "infinite": (lambda: frame(3).replace(3, np.inf), "column 'b' holds inf in row 1"),
    "times as values": (lambda: frame().reset_index().set_axis(frame().index), "holds times"),
    "missing": (lambda: frame().replace(2, np.nan), "1 values are missing in 1 runs.*column 'a'"),
    "empty": (lambda: frame(0), "source has 0 rows.*expected a row"),
    "no column": (lambda: frame(3, ()), "the columns .*expected a row and a column"),
    "twice": (lambda: frame(3, ("a", "a")), "column 'a' is there 2 times"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_its_place_and_a_remedy(fault):
    make, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        series.read(make())


def test_other_things_than_a_series_are_refused(tmp_path):
    with pytest.raises(TypeError, match="source is a list"):
        series.read([1, 2])
    with pytest.raises(TypeError, match="columns='a'.*in a list"):
        series.read(frame(), columns="a")
    with pytest.raises(ValueError, match="column 'c' is there 0 times.*'a', 'b'"):
        series.read(frame(), columns=["c"])
    with pytest.raises(FileNotFoundError, match=r"own\.csv"):
        series.read(tmp_path / "own.csv")
    with pytest.raises(ValueError, match="not a CSV file"):
        series.read(csv(tmp_path, ""))


# --- missing values -------------------------------------------------------------------------------


def holes():
    """Two inside ``a``, one at each end of ``b``."""
    given = frame(6)
    given.iloc[2:4, 0] = given.iloc[0, 1] = given.iloc[5, 1] = np.nan
    return given


def test_gaps_are_listed_run_by_run():
    given = holes()
    found = series.gaps(given)
    assert found["column"].tolist() == ["a", "b", "b"] and found.length.tolist() == [2, 1, 1]
    assert found["first"].tolist() == given.index[[2, 0, 5]].tolist()
    assert found["last"].tolist() == given.index[[3, 0, 5]].tolist()


def test_missing_values_are_counted_and_the_longest_run_is_named():
    with pytest.raises(ValueError, match="4 values are missing in 3 runs, the longest of 2 steps"):
        series.fill(holes())


def test_interpolation_is_a_line_and_ffill_does_not_look_ahead():
    a = holes()[["a"]]
    assert series.fill(a, "interpolate", 2)["a"].tolist() == [0, 2, 4, 6, 8, 10]
    assert series.fill(a, "ffill", 2)["a"].tolist() == [0, 2, 2, 2, 8, 10]
    assert series.read(a, missing="ffill", limit=2)["a"].tolist() == [0, 2, 2, 2, 8, 10]


def test_a_run_beyond_the_limit_is_refused_whole():
    with pytest.raises(ValueError, match="limit=1, but 2 values are missing in 1 runs"):
        series.fill(holes()[["a"]], "interpolate", 1)
    with pytest.raises(ValueError, match="limit=None: expected an integer"):
        series.fill(holes(), "ffill")


def test_the_ends_of_a_series_are_not_invented():
    with pytest.raises(ValueError, match="2 values are missing .*at an end"):
        series.fill(holes(), "interpolate", 3)
    with pytest.raises(ValueError, match="1 values are missing .*at an end"):
        series.fill(holes(), "ffill", 3)


# --- splits and scales ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "freq", "name"),
    [
        ("2024-02-28 13:00", "30min", "0 days 00:30:00"),
        ("2023-12-31", "D", "1 days 00:00:00"),
        ("2023-11-30", "ME", "1 month ends"),  # ends of months: 29 February, 31 March
        ("2023-11-01", "MS", "1 months"),
        ("2023-11-15", "YS", "12 months"),
        ("2023-03-31", "QE", "3 month ends"),
    ],
)
def test_an_index_is_continued_as_pandas_would(first, freq, name):
    whole = pd.date_range(first, periods=14, freq=freq, name="when", tz="UTC")
    assert series.step(whole) == name
    following = series.following(whole[:6], 8)
    assert following.tolist() == whole[6:].tolist() and following.name == "when"


def test_days_of_the_month_go_on_by_the_calendar():
    index = pd.DatetimeIndex(["2024-01-15", "2024-03-15"])
    assert series.following(index, 2).astype(str).tolist() == ["2024-05-15", "2024-07-15"]


def test_an_index_without_a_step_is_not_continued():
    for call in (series.step, lambda index: series.following(index, 3)):
        with pytest.raises(ValueError, match="index has 1 stamps: expected two"):
            call(pd.DatetimeIndex(["2024-01-15"]))
    with pytest.raises(ValueError, match="count=0"):
        series.following(pd.DatetimeIndex(["2024-01-15", "2024-01-16"]), 0)


def test_parts_follow_each_other_and_later_ones_reach_back():
    parts = series.split(frame(10), (5, 2, 2), look_back=3)
    rows = [part["a"].div(2).astype(int).tolist() for part in parts]
    assert rows == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [4, 5, 6, 7, 8]]


def test_shares_and_numbers_cut_at_the_same_rows():
    for shares, counts in (((0.7, 0.1, 0.2), (7, 1, 2)), ((0.5, 0.3), (5, 3))):
        for a, b in zip(*(series.split(frame(10), s) for s in (shares, counts)), strict=True):
            pd.testing.assert_frame_equal(a, b)


def test_every_row_of_a_later_part_is_forecast_and_no_other():
    part = series.split(frame(20), (10, 10), look_back=4)[1]
    _, y = series.windows(part, 4, 3)
    assert len(y) == 10 - 3 + 1
    np.testing.assert_array_equal(np.unique(y[:, :, 0]), frame(20)["a"][10:])


@pytest.mark.parametrize(
    ("sizes", "look_back", "message"),
    [
        ((8, 3), 0, "expected a part at least.*at most 10"),
        ((0.7, 0.4), 0, "add up to 1.1"),
        ((0.01, 0.5), 0, "no part without a row"),
        ((5, 0), 0, r"sizes\[1\]=0: expected an integer"),
        ((5, 0.5), 0, r"sizes\[1\]=0.5: expected an integer"),
        ((), 0, "a part at least"),
        ((3, 3), 4, "look_back=4: expected at most 3"),
        ((3, 3), -1, "look_back=-1: expected an integer"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, look_back, message):
    with pytest.raises(ValueError, match=message):
        series.split(frame(10), sizes, look_back)


def test_a_scaler_knows_the_training_part_only_and_can_be_undone():
    train, test = series.split(frame(10), (6, 4))
    scaler = series.Scaler.fit(train)
    scaled = scaler.transform(train)
    np.testing.assert_allclose(scaled.mean(), 0, atol=1e-15)
    np.testing.assert_allclose(scaled.std(ddof=0), 1)
    assert scaler.transform(test).to_numpy().min() > 1
    pd.testing.assert_frame_equal(scaler.inverse(scaler.transform(test)), test)
    forecasts = np.ones((5, 3, 2))
    np.testing.assert_allclose(scaler.inverse(forecasts)[0, 0], train.mean() + train.std(ddof=0))


def test_a_constant_column_becomes_zero():
    given = frame(7).assign(b=0.1)  # of which the computed deviation is not exactly 0
    scaler = series.Scaler.fit(given)
    assert scaler.scale[1] == 1 and set(scaler.transform(given)["b"]) == {0.0}
    pd.testing.assert_frame_equal(scaler.inverse(scaler.transform(given)), given)


def test_a_scaler_survives_json():
    scaler = series.Scaler.fit(frame())
    again = series.Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    pd.testing.assert_frame_equal(again.transform(frame()), scaler.transform(frame()))
    assert again.columns == ["a", "b"]


def test_a_scaler_refuses_other_columns():
    scaler = series.Scaler.fit(frame())
    for values in (frame()[["b", "a"]], np.ones((4, 3))):
        with pytest.raises(ValueError, match="values has .*expected"):
            scaler.transform(values)
    with pytest.raises(ValueError, match=r"scale=\[0.0\].*above 0"):
        series.Scaler(["a"], [0], [0])


def test_the_calendar_is_round():
    stamps = pd.date_range("2026-01-05", periods=24 * 8, freq="h")  # a Monday
    features = series.calendar(stamps)
    assert list(features) == [
        f"{p}_{f}" for p in ("hour", "weekday", "month") for f in ("sin", "cos")
    ]
    for part in ("hour", "weekday", "month"):
        np.testing.assert_allclose(features[f"{part}_sin"] ** 2 + features[f"{part}_cos"] ** 2, 1)
    hours = features[["hour_sin", "hour_cos"]].to_numpy()
    steps = np.linalg.norm(np.diff(hours, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])  # 23 to 0 is a step like any other
    np.testing.assert_allclose(features.iloc[6, :4], [1, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(features.iloc[0], features.iloc[24 * 7])
    months = series.calendar(pd.date_range("2026-01-01", periods=13, freq="MS"), ["month"])
    steps = np.linalg.norm(np.diff(months, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])  # and so is December to January
    with pytest.raises(ValueError, match="parts='day'"):
        series.calendar(stamps, ["day"])
    with pytest.raises(TypeError, match="index is a RangeIndex"):
        series.calendar(pd.RangeIndex(3))


# --- windows --------------------------------------------------------------------------------------


def test_windows_hold_what_is_read_and_what_follows():
    given = frame(9)
    x, y = series.windows(given, 4, 2)
    assert x.shape == (4, 4, 2) and y.shape == (4, 2, 2)
    for n in range(4):
        np.testing.assert_array_equal(x[n], given[n : n + 4])
        np.testing.assert_array_equal(y[n], given[n + 4 : n + 6])


def test_windows_share_the_memory_of_the_series_and_cannot_be_written():
    values = np.random.default_rng(0).standard_normal((20_000, 7))
    x, y = series.windows(values, 720, 720)
    assert x.nbytes > 600 * values.nbytes
    assert np.shares_memory(x, values) and np.shares_memory(y, values)
    for view in (x, y):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0, 0] = 1


def test_batches_of_windows_copy_one_batch_at_a_time():
    import tracemalloc

    batches = series.WindowBatches(np.zeros((20_000, 7)), 720, 96, batch_size=16)
    tracemalloc.start()
    try:
        for _, (_, _) in zip(range(20), batches.batches(np.random.default_rng(0)), strict=False):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 16 * (720 + 96) * 7 * 8  # bytes


def test_batches_drop_nothing_and_shuffle_by_the_generator_alone():
    batches = series.WindowBatches(frame(15), 4, 2, batch_size=4)
    assert len(batches) == 10 and isinstance(batches, training.Batches)
    assert [len(y) for _, y in batches.batches()] == [4, 4, 2]
    firsts = {}
    for seed in (None, 0, 0, 1):
        rng = None if seed is None else np.random.default_rng(seed)
        pairs = [(x[:, -1, 0], y[:, 0, 0]) for (x,), y in batches.batches(rng)]
        last, following = map(np.concatenate, zip(*pairs, strict=True))
        np.testing.assert_array_equal(last + 2, following)
        assert firsts.setdefault(seed, following.tolist()) == following.tolist()
    assert sorted(firsts[0]) == sorted(firsts[1]) == firsts[None]
    assert firsts[0] != firsts[None] and firsts[0] != firsts[1]


def test_columns_that_are_only_read_are_not_forecast():
    given = frame(12).join(series.calendar(frame(12).index, ["hour"]))
    (x,), y = next(series.WindowBatches(given, 4, 2, targets=["b"]).batches())
    assert x.shape == (7, 4, 4) and y.shape == (7, 2, 1)
    np.testing.assert_array_equal(y[0, :, 0], given["b"][4:6])
    with pytest.raises(ValueError, match="targets='c'"):
        series.WindowBatches(given, 4, 2, targets=["c"])
    with pytest.raises(TypeError, match="targets='b'"):
        series.WindowBatches(given, 4, 2, targets="b")


class Line(scratch.Module):
    """(N, L, 1) to (N, F, 1), by one linear map."""

    def __init__(self, look_back, horizon):
        super().__init__(np.float32, 0)
        self.linear = scratch.Linear(look_back, horizon, rng=0)

    def forward(self, x):
        y, cache = self.linear.forward(x[:, :, 0])
        return y[:, :, None], cache

    def backward(self, dy, cache):
        return self.linear.backward(dy[:, :, 0], cache)


def test_the_training_loop_learns_from_windows():
    wave = np.sin(np.arange(200) * 2 * np.pi / 12)[:, None]
    model = Line(12, 3)
    history = training.fit(
        model,
        series.WindowBatches(wave, 12, 3),
        optimizer=scratch.Adam(model.parameters(), lr=0.03),
        loss="mse_loss",
        epochs=8,
        progress=False,
    )
    assert history.loss.iloc[-1] < 0.01 * history.loss.iloc[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((5, 2)), "values has 5 rows: expected at least look_back . horizon = 4 . 2"),
        (np.ones(9), r"values has shape \(9,\)"),
        (np.ones((0, 2)), r"values has shape \(0, 2\)"),
        (np.array([[1.0]] * 7 + [[np.nan]]), "values holds nan in row 7, column 0.*fill"),
    ],
)
def test_windows_refuse_what_they_cannot_be_cut_from(values, message):
    with pytest.raises(ValueError, match=message):
        series.windows(values, 4, 2)


def test_windows_refuse_sizes_and_kinds_that_do_not_fit():
    with pytest.raises(ValueError, match="horizon=0: expected an integer"):
        series.windows(frame(), 2, 0)
    with pytest.raises(TypeError, match="values has dtype int64"):
        series.windows(np.ones((9, 1), np.int64), 2, 1)


# --- the book's series ----------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(fetch, "cache_folder", lambda: folder)
    monkeypatch.delenv("RNNBOOK_DATA", raising=False)
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    return folder


def ett_bytes(rows=17_420):
    index = pd.date_range("2016-07-01", periods=rows, freq="h", name="date")
    columns = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    numbers = np.arange(rows)[:, None] % 24 + np.arange(7)
    return pd.DataFrame(numbers, index, columns).to_csv().encode()


class Handler(BaseHTTPRequestHandler):
    content = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def official(cache, monkeypatch):
    """ETTh1 as a server on this machine publishes it."""
    monkeypatch.setattr(Handler, "content", ett_bytes())
    monkeypatch.delenv("RNNBOOK_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url, digest = f"http://127.0.0.1:{running.server_port}/", sha256(ett_bytes()).hexdigest()
        here = replace(series.FILES["ETTh1"], url=url, sha256=digest)
        monkeypatch.setitem(series.FILES, "ETTh1", here)
        yield
        running.shutdown()


def test_a_series_is_downloaded_once_and_then_read_from_the_cache(official, cache, monkeypatch):
    first = series.load("ETTh1")
    assert first.shape == (17_420, 7) and first.index[-1] == pd.Timestamp("2018-06-26 19:00")
    assert (cache / "ett/ETTh1.csv").read_bytes() == ett_bytes()
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    pd.testing.assert_frame_equal(series.load("ETTh1"), first)


def test_a_download_with_another_checksum_is_not_kept(official, cache, monkeypatch):
    monkeypatch.setattr(Handler, "content", ett_bytes()[::-1])
    with pytest.raises(fetch.DataUnavailableError, match="ETTh1.*Nothing was kept"):
        series.load("ETTh1")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_the_data_folder_and_an_own_copy_are_found(cache, tmp_path, monkeypatch):
    path = tmp_path / "ett" / "ETTh2.csv"
    path.parent.mkdir()
    path.write_bytes(ett_bytes())
    assert len(series.load("ETTh2", path)) == 17_420
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    assert len(series.load("ETTh2")) == 17_420


def test_a_copy_that_is_cut_or_another_file_is_refused(cache, tmp_path):
    for content, message in ((ett_bytes(99), "99 rows"), (b"a,b\n1,2\n", "the time holds numbers")):
        path = tmp_path / "own.csv"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"not a usable copy of ETTh1.*{message}.*again from"):
            series.load("ETTh1", path)


def test_what_is_nowhere_says_where_to_get_it(cache):
    with pytest.raises(fetch.DataUnavailableError, match=r"nyc_taxi\.csv.*numenta/NAB/ea702d7"):
        series.load("nyc_taxi")
    with pytest.raises(ValueError, match="name='ETTh3': expected one of 'ETTh1'"):
        series.load("ETTh3")


def test_where_the_transformer_cannot_be_had_a_sample_says_that_it_stands_in(cache, capsys):
    frame, real = series.load_or_sample()
    assert not real and "a generated series in its form stands in" in capsys.readouterr().out
    pd.testing.assert_frame_equal(series.read(frame), series.sample(), check_freq=False)
    assert list(frame.columns) == series._CONTENT["ETTh1"][1]
    assert len(frame) == series._CONTENT["ETTh1"][0] and not series.gaps(frame).size
    assert not frame.equals(series.sample(seed=1))
    day = frame.diff(24).abs().mean() < frame.diff(12).abs().mean()
    assert day.all(), "each column repeats its day"


def test_a_copy_of_the_transformer_that_is_at_hand_is_loaded(cache, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_bytes(ett_bytes())
    frame, real = series.load_or_sample(path)
    assert real and len(frame) == 17_420 and not capsys.readouterr().out
    path.write_text("no series")
    with pytest.raises(ValueError, match="not a usable copy"):
        series.load_or_sample(path)


def test_statsmodels_brings_two_series(cache):
    co2, sunspots = series.load("co2"), series.load("sunspots")
    assert co2.shape == (2284, 1) and co2["co2"].isna().sum() == 59
    assert co2.index[0] == pd.Timestamp("1958-03-29") and co2.index.name == "time"
    whole = series.read(co2, missing="interpolate", limit=int(series.gaps(co2).length.max()))
    assert not whole.isna().any(axis=None) and whole["co2"].between(310, 380).all()
    assert sunspots.shape == (309, 1) and sunspots.loc["1957", "sunspots"].item() == 190.2
    pd.testing.assert_frame_equal(series.read(sunspots), sunspots)
    with pytest.raises(ValueError, match="comes with statsmodels"):
        series.load("co2", "co2.csv")


def test_labels_of_another_file_are_refused(cache, tmp_path):
    path = tmp_path / "windows.json"
    for content in ("{}", "not json", '{"realKnownCause/nyc_taxi.csv": [[1, 2, 3]]}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="not a usable copy of the labels"):
            series.anomalies(path)


def real(name):
    folder = os.environ.get("RNNBOOK_DATA", "")
    if not (Path(folder) / name).is_file():
        pytest.skip(f"RNNBOOK_DATA={folder!r} holds no {name}")


@pytest.mark.parametrize("name", ["ETTh1", "ETTh2"])
def test_the_real_transformers_are_the_published_ones(name):
    real(series.FILES[name].name)
    path = Path(os.environ["RNNBOOK_DATA"]) / series.FILES[name].name
    assert sha256(path.read_bytes()).hexdigest() == series.FILES[name].sha256
    assert path.stat().st_size == series.FILES[name].size
    table = series.load(name)
    assert table.index[-1] == pd.Timestamp("2018-06-26 19:00")
    parts = series.split(table, series.ETTH_SIZES, 336)
    assert [len(series.windows(part, 336, 96)[0]) for part in parts] == [8209, 2785, 2785]


def test_the_real_taxis_have_five_unusual_times():
    real(series.ANOMALIES.name)
    taxi, unusual = series.load("nyc_taxi"), series.anomalies()
    assert len(unusual) == 5 and (unusual.start < unusual.end).all()
    assert unusual.start.isin(taxi.index).all() and unusual.end.isin(taxi.index).all()
