"""Time series: loaded or read, checked, split by time, scaled, and cut into windows without copies.

A series is a pandas DataFrame: rows are times, evenly spaced, and columns are numbers. Letters:
T rows, C columns, L look-back, F horizon, N windows.
"""

import json
import warnings
from pathlib import Path
from reprlib import repr as short

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from rnnbook import expect
from rnnbook.data import fetch

_ETT = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/"
_NAB = "https://raw.githubusercontent.com/numenta/NAB/ea702d75cc2258d9d7dd35ca8e5e2539d71f3140/"

FILES = {
    "ETTh1": fetch.DataFile(
        name="ett/ETTh1.csv",
        url=_ETT + "ETTh1.csv",
        sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        size=2_589_657,
        title="ETTh1 of the Electricity Transformer Temperature data",
    ),
    "ETTh2": fetch.DataFile(
        name="ett/ETTh2.csv",
        url=_ETT + "ETTh2.csv",
        sha256="a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
        size=2_417_960,
        title="ETTh2 of the Electricity Transformer Temperature data",
    ),
    "nyc_taxi": fetch.DataFile(
        name="nab/realKnownCause/nyc_taxi.csv",
        url=_NAB + "data/realKnownCause/nyc_taxi.csv",
        sha256="d8fa6f7f0734bf5c8be12c52a94e20a82664c397d9dec4449156bd453d32856d",
        size=265_771,
        title="the taxi series of the Numenta Anomaly Benchmark",
    ),
}
ANOMALIES = fetch.DataFile(
    name="nab/labels/combined_windows.json",
    url=_NAB + "labels/combined_windows.json",
    sha256="1e1fbc4601321aad8d0f8b3784c8134299379f68f6c1f7777565f8ffd57ab6b1",
    size=15_359,
    title="the labels of the Numenta Anomaly Benchmark",
)
EMBEDDED = ("co2", "sunspots")  # in statsmodels
ETTH_SIZES = (12 * 30 * 24, 4 * 30 * 24, 4 * 30 * 24)  # the literature's "12, 4 and 4 months"

_TRANSFORMER = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
_CONTENT = {  # what a copy must hold: its rows and columns
    "ETTh1": (17_420, _TRANSFORMER),
    "ETTh2": (17_420, _TRANSFORMER),
    "nyc_taxi": (10_320, ["value"]),
}


def load(name, path=None):
    """Load a series that the book uses, as it was published.

    ======== ====== ======= ==================================================================
    name     rows   step    what it is
    ======== ====== ======= ==================================================================
    ETTh1    17,420 hour    loads and oil temperature (OT) of a power transformer, 7 columns
    ETTh2    17,420 hour    the same of another one
    nyc_taxi 10,320 30 min  taxi passengers in New York, 2014-07 to 2015-01
    co2      2,284  week    CO2 in the air of Mauna Loa, ppm; 59 weeks are missing, see :func:`fill`
    sunspots 309    year    mean number of sunspots, 1700 to 2008
    ======== ====== ======= ==================================================================

    Parameters
    ----------
    name : str
        The last two come with statsmodels; the others are looked for as
        :func:`rnnbook.data.fetch.locate` says.
    path : str or Path, optional
        Your own copy of the file.

    Returns
    -------
    pandas.DataFrame
        float64, with a DatetimeIndex named "time".

    Raises
    ------
    FileNotFoundError
        ``path`` does not exist.
    rnnbook.data.fetch.DataUnavailableError
        The file is not on this machine and cannot be downloaded.
    ValueError
        ``name`` is none of the five, or the file is damaged or another one.

    References
    ----------
    Zhou et al. (2021), Informer: Beyond efficient transformer for long sequence time-series
    forecasting (ETT). Ahmad et al. (2017), Unsupervised real-time anomaly detection for streaming
    data (nyc_taxi).

    Examples
    --------
    >>> frame = load("sunspots")
    >>> str(frame.index[0]), frame["sunspots"].head(3).tolist()
    ('1700-01-01 00:00:00', [5.0, 11.0, 16.0])
    """
    expect.one_of("name", name, (*FILES, *EMBEDDED))
    if name in EMBEDDED:
        if path is not None:
            raise ValueError(f"path={str(path)!r}: {name!r} comes with statsmodels. Leave path out")
        return _embedded(name)
    file = FILES[name]
    source = fetch.locate(file, path)
    rows, columns = _CONTENT[name]
    try:
        frame = read(source)
        if len(frame) != rows or list(frame.columns) != columns:
            raise ValueError(
                f"it holds {len(frame):,} rows of {short(list(frame.columns))}: expected {rows:,} "
                f"rows of {columns}"
            )
    except ValueError as error:
        raise ValueError(
            f"{source} is not a usable copy of {file.title}: {error}. Get it again from {file.url}"
        ) from error
    return frame


def _embedded(name):
    if name == "co2":
        from statsmodels.datasets import co2

        frame = co2.load_pandas().data
        return frame.set_axis(pd.DatetimeIndex(frame.index, name="time"))
    from statsmodels.datasets import sunspots

    table = sunspots.load_pandas().data
    years = pd.to_datetime(table["YEAR"].astype(int).astype(str), format="%Y")
    return pd.DataFrame({"sunspots": table["SUNACTIVITY"].to_numpy(float)}, _index(years))


def sample(rows=17_420, seed=0):
    """A generated series in the form of ETTh1: the same stamps and columns, none of its values.

    Each column has a day, a week and a year of its own, a level that wanders, and noise that is
    forgotten within hours. It stands in where the real data cannot be had. Scores on it say
    nothing about real transformers.

    Parameters
    ----------
    rows : int
        T, hours.
    seed : int

    Returns
    -------
    pandas.DataFrame, (T, 7)

    Raises
    ------
    ValueError
        ``rows`` is not positive.

    Examples
    --------
    >>> frame = sample(48)
    >>> frame.shape, frame.columns[-1], str(frame.index[0])
    ((48, 7), 'OT', '2016-07-01 00:00:00')
    """
    expect.sizes(rows=rows)
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2016-07-01", periods=rows, freq="h", name="time")
    columns, hours = len(_TRANSFORMER), np.arange(rows)[:, None]
    values = 10 + 0.02 * rng.standard_normal((rows, columns)).cumsum(axis=0)  # the level
    for period, size in (24, 2.0), (24 * 7, 0.5), (24 * 365.25, 3.0):
        size = size * rng.uniform(0.5, 1.5, columns)
        values += size * np.sin(2 * np.pi * (hours / period + rng.random(columns)))
    shocks, noise = rng.standard_normal((rows, columns)), np.zeros(columns)
    for row in range(rows):
        noise = 0.9 * noise + 0.4 * shocks[row]
        values[row] += noise
    return pd.DataFrame(values, stamps, _TRANSFORMER)


def load_or_sample(path=None):
    """ETTh1, or a generated series in its form where it cannot be had.

    Prints one line where it hands out the sample, and nothing otherwise.

    Parameters
    ----------
    path : str or Path, optional
        As for :func:`load`.

    Returns
    -------
    frame : pandas.DataFrame
    real : bool
        False for the sample.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load`: a copy that is there but unusable is never replaced silently.

    Examples
    --------
    >>> frame, real = load_or_sample()  # doctest: +SKIP
    >>> frame.shape, real  # doctest: +SKIP
    ((17420, 7), True)
    """
    try:
        return load("ETTh1", path), True
    except fetch.DataUnavailableError:
        print(
            "ETTh1 cannot be had here, so a generated series in its form stands in: the numbers "
            "below are not about a real transformer."
        )
        return sample(), False


def anomalies(path=None):
    """Return the five labelled windows of ``load("nyc_taxi")``: when traffic was unusual.

    Parameters
    ----------
    path : str or Path, optional
        Your own copy of ``combined_windows.json``; without it, it is looked for as
        :func:`rnnbook.data.fetch.locate` says.

    Returns
    -------
    pandas.DataFrame
        Columns ``start`` and ``end``: the first and the last stamp of each window.

    Raises
    ------
    FileNotFoundError
        ``path`` does not exist.
    rnnbook.data.fetch.DataUnavailableError
        The file is not on this machine and cannot be downloaded.
    ValueError
        The file is damaged or another one.

    Examples
    --------
    >>> anomalies()  # doctest: +SKIP
    """
    source = fetch.locate(ANOMALIES, path)
    try:
        windows = json.loads(Path(source).read_text("utf-8"))["realKnownCause/nyc_taxi.csv"]
        return pd.DataFrame(windows, columns=["start", "end"]).apply(pd.to_datetime)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{source} is not a usable copy of {ANOMALIES.title}: {error}. Get it again from "
            f"{ANOMALIES.url}"
        ) from error


def read(source, time=None, columns=None, missing="error", limit=None):
    """Read and check a series of your own.

    Nothing is repaired silently. Stamps must be in order, all different and evenly spaced, by a
    fixed step or by the calendar (months, years); values must be finite numbers, or missing.

    Parameters
    ----------
    source : str, Path or pandas.DataFrame
        A CSV file with a header, or a frame.
    time : str, optional
        The column of stamps; ISO 8601 (``2016-07-01 13:00``) is read as it is meant. Without it, a
        frame's index or a file's first column.
    columns : list of str, optional
        What to keep, in this order; all columns if None.
    missing, limit
        What to do about missing values, see :func:`fill`.

    Returns
    -------
    pandas.DataFrame
        float64, with a DatetimeIndex named "time". A frame that was handed in is left alone.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError, TypeError
        What is wrong, where, and what to do.

    Examples
    --------
    >>> frame = pd.DataFrame({"day": ["2024-01-01", "2024-01-02", "2024-01-04"], "sold": [3, 5, 4]})
    >>> read(frame, time="day")
    Traceback (most recent call last):
        ...
    ValueError: row 2 is of 2024-01-04 00:00:00, 2 days 00:00:00 after the row before...
    """
    expect.one_of("missing", missing, ("error", "interpolate", "ffill"))
    if isinstance(source, pd.DataFrame):
        table = source
    elif isinstance(source, str | Path):
        table = _csv(Path(source).expanduser())
        time = table.columns[0] if time is None else time
    else:
        kind = type(source).__name__
        raise TypeError(f"source is a {kind}: expected a pandas DataFrame, or the path of a CSV")
    table = _choose(table, time, columns)
    numbers = [_numbers(name, table.iloc[:, i]) for i, name in enumerate(table.columns)]
    frame = pd.DataFrame(np.stack(numbers, axis=1), table.index, table.columns)
    return fill(frame, missing, limit)


def _csv(path):
    if not path.is_file():
        raise FileNotFoundError(f"source={str(path)!r}: expected a CSV file, there is none")
    try:
        return pd.read_csv(path, low_memory=False)
    except ValueError as error:  # pandas' parser, and text that is not UTF-8
        raise ValueError(
            f"source={str(path)!r} is not a CSV file with a header: {error}"
        ) from error


def _choose(table, time, columns):
    """The wanted columns, with the stamps as index."""
    names = list(table.columns)
    if isinstance(columns, str):
        raise TypeError(f"columns={columns!r}: expected a list of str. Put one name in a list")
    wanted = [name for name in names if name != time] if columns is None else list(columns)
    for name in [*wanted, *([] if time is None else [time])]:
        if names.count(name) != 1:
            raise ValueError(
                f"column {name!r} is there {names.count(name)} times: expected it once, among "
                f"{short(names)}"
            )
    if not wanted or table.empty:
        raise ValueError(
            f"source has {len(table)} rows and the columns {short(wanted)}: expected a row and a "
            f"column at least, besides the time"
        )
    return table[wanted].set_axis(_index(table.index if time is None else table[time]))


def _index(stamps):
    """Stamps as a DatetimeIndex: in order, all different, evenly spaced."""
    stamps = pd.Series(list(stamps), dtype=stamps.dtype)
    if pd.api.types.is_numeric_dtype(stamps.dtype):
        raise ValueError(
            f"the time holds numbers ({short(stamps.tolist()[:3])}): expected stamps such as "
            f"'2016-07-01 13:00'. Name their column with time=, or make them with "
            f"pandas.to_datetime"
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Could not infer format")
            index = pd.DatetimeIndex(pd.to_datetime(stamps, errors="coerce"), name="time")
    except (ValueError, TypeError) as error:
        raise ValueError(f"the stamps cannot be read: {error}") from error
    if index.hasnans:
        row = int(index.isna().argmax())
        raise ValueError(
            f"the time of row {row} is {stamps[row]!r}: expected a stamp, in the format of the "
            f"first row. Correct it, or leave the row out"
        )
    _expect_order(index)
    return index


def _expect_order(index):
    steps = (index[1:] - index[:-1]).to_numpy()
    zero = np.timedelta64(0)
    for wrong, fault, remedy in (
        (steps < zero, "earlier than the row before", "Sort them: frame.sort_index()"),
        (
            steps == zero,
            "like the row before",
            "Make one row of each: frame.groupby('time').mean()",
        ),
    ):
        if wrong.any():
            row = int(wrong.argmax()) + 1
            raise ValueError(
                f"row {row} is of {index[row]}, {fault} ({wrong.sum()} such rows): expected stamps "
                f"in order, all different. {remedy}"
            )
    _expect_even(index, steps)


def _expect_even(index, steps):
    """One step everywhere, or one that the calendar knows: months and years differ in length."""
    if len(set(steps)) < 2 or _is_monthly(index):
        return
    usual = pd.Series(steps).mode()[0]
    uneven = steps != usual
    row = int(uneven.argmax()) + 1
    raise ValueError(
        f"row {row} is of {index[row]}, {pd.Timedelta(steps[row - 1])} after the row before: "
        f"expected even steps, here of {usual} ({uneven.sum()} are not). Bring them to a grid, as "
        f"with frame.resample('1h').mean(), and fill what is then missing"
    )


def _is_monthly(index):
    """Always as many months (3, 12) later, on the same day or on the last one, at one time."""
    months = np.diff(index.year * 12 + index.month)
    days = len(set(index.day)) == 1 or index.is_month_end.all()
    return len(set(months)) == 1 and days and len(set(index.time)) == 1


def step(index):
    """Name the step of an index: ``"0 days 00:30:00"``, ``"3 months"`` or ``"3 month ends"``.

    Parameters
    ----------
    index : pandas.DatetimeIndex, (T,)
        Evenly spaced, as :func:`read` returns it; T is at least 2.

    Raises
    ------
    ValueError
        If there are fewer than two stamps.

    Examples
    --------
    >>> step(load("co2").index)
    '7 days 00:00:00'
    """
    if len(index) < 2:
        raise ValueError(f"index has {len(index)} stamps: expected two at least, to see their step")
    if _is_monthly(index):
        return f"{_months(index)} {'month ends' if index.is_month_end.all() else 'months'}"
    return str(index[-1] - index[-2])


def following(index, count, by=None):
    """Continue an index: the stamps of the next ``count`` steps.

    Parameters
    ----------
    index : pandas.DatetimeIndex, (T,)
        Evenly spaced, as :func:`read` returns it. Months, quarters and years go on by the calendar:
        after 31 January and 28 February comes 31 March.
    count : int
    by : str, optional
        The step, as :func:`step` names it. Without it, that of ``index``, where T is at least 2;
        but a few stamps do not tell 31 days from a month.

    Returns
    -------
    pandas.DatetimeIndex, (count,)
        With the name of ``index``.

    Raises
    ------
    ValueError
        If an argument does not fit, or ``by`` names no step.

    Examples
    --------
    >>> following(pd.date_range("2024-01-31", periods=2, freq="ME"), 2).strftime("%d %B").tolist()
    ['31 March', '30 April']
    """
    expect.sizes(count=count)
    offset = _offset(step(index) if by is None else by)
    stamps = [index[-1] + number * offset for number in range(1, count + 1)]
    return pd.DatetimeIndex(stamps, name=index.name)


def goes_by(index, name):
    """Tell whether an index goes by the step of this name; of one stamp, every step is true.

    Parameters
    ----------
    index : pandas.DatetimeIndex, (T,)
        Evenly spaced, as :func:`read` returns it.
    name : str
        As :func:`step` names it.

    Raises
    ------
    ValueError
        If ``name`` names no step.

    Examples
    --------
    >>> new_year = pd.DatetimeIndex(["2026-01-01", "2026-02-01"])
    >>> goes_by(new_year, "1 months"), goes_by(new_year, "31 days"), goes_by(new_year, "7 days")
    (True, True, False)
    """
    offset = _offset(name)
    if len(index) < 2:
        return True
    return index[0] + offset == index[1] and index[0] + (len(index) - 1) * offset == index[-1]


def _offset(name):
    """What a step of this name adds to a stamp; a ValueError if it names none."""
    count, _, unit = name.partition(" ")
    try:
        if unit == "months":
            return pd.DateOffset(months=int(count))
        if unit == "month ends":
            return pd.offsets.MonthEnd(int(count))
        return pd.Timedelta(name)
    except ValueError as error:
        raise ValueError(
            f"step {name!r}: expected '0 days 00:30:00', '3 months' or '3 month ends'"
        ) from error


def _months(index):
    last, before = index[-1], index[-2]
    return 12 * (last.year - before.year) + last.month - before.month


def _numbers(name, column):
    """A column as float64; NaN where the value is missing."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise ValueError(
            f"column {name!r} holds times: expected numbers. Name it with time=, or leave it out "
            f"with columns="
        )
    values = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
    for wrong in (np.isnan(values) & column.notna().to_numpy(), np.isinf(values)):
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"column {name!r} holds {column.tolist()[row]!r} in row {row} "
                f"({column.index[row]}), and {wrong.sum()} such values: expected finite numbers. "
                f"Correct them, make them missing (NaN), or leave the column out with columns="
            )
    return values


def gaps(frame):
    """List the runs of missing values.

    Parameters
    ----------
    frame : pandas.DataFrame, (T, C)

    Returns
    -------
    pandas.DataFrame
        One row for each run of each column: ``column``, ``first`` and ``last`` (their labels in the
        index) and ``length`` (steps).

    Examples
    --------
    >>> runs = gaps(load("co2"))  # 59 missing weeks
    >>> len(runs), int(runs["length"].max()), int(runs["length"].sum())
    (22, 18, 59)
    """
    runs = []
    for name in frame.columns:
        missing = np.concatenate([[0], frame[name].isna(), [0]]).astype(int)
        edges = np.diff(missing)
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            runs.append((name, frame.index[start], frame.index[stop - 1], stop - start))
    return pd.DataFrame(runs, columns=["column", "first", "last", "length"])


def fill(frame, missing="error", limit=None):
    """Fill missing values, or refuse them.

    Parameters
    ----------
    frame : pandas.DataFrame, (T, C)
    missing : {"error", "interpolate", "ffill"}
        "interpolate": on a straight line between the values before and after, which looks ahead.
        "ffill": by the last value before.
    limit : int
        The longest run that may be filled, in steps. What to fill is always said, so this has no
        default, unless ``missing`` is "error".

    Returns
    -------
    pandas.DataFrame
        Without a missing value.

    Raises
    ------
    ValueError
        A value is missing, and may not be filled: how many, the longest run, and where it is.

    Examples
    --------
    >>> frame = pd.DataFrame({"sold": [3.0, np.nan, 5.0]})
    >>> fill(frame, "interpolate", limit=1)["sold"].tolist()
    [3.0, 4.0, 5.0]
    """
    expect.one_of("missing", missing, ("error", "interpolate", "ffill"))
    if missing != "error":
        expect.sizes(limit=limit)
    runs = gaps(frame)
    if runs.empty:
        return frame
    if missing == "error":
        raise ValueError(
            f"{_report(runs)}: expected none. Pass missing='interpolate' or 'ffill', and limit=, "
            f"the longest run to fill, to rnnbook.data.series.read or fill"
        )
    if not (long := runs[runs.length > limit]).empty:
        raise ValueError(
            f"limit={limit}, but {_report(long)}. Pass a larger limit, or leave these rows out"
        )
    inside = frame.interpolate("linear", limit_area="inside")  # the ends stay missing
    filled = frame.ffill() if missing == "ffill" else inside
    if not (ends := gaps(filled)).empty:
        raise ValueError(
            f"{_report(ends)}, at an end of the series, where {missing!r} has nothing to go by. "
            f"Leave these rows out"
        )
    return filled


def _report(runs):
    longest = runs.loc[runs.length.idxmax()]
    return (
        f"{runs.length.sum()} values are missing in {len(runs)} runs, the longest of "
        f"{longest.length} steps, {longest['first']} to {longest['last']} in column "
        f"{longest['column']!r}"
    )


def split(frame, sizes, look_back=0):
    """Cut a series into parts, one after the other in time.

    Parts after the first reach back ``look_back`` rows into the part before, so that their first
    window forecasts their own first row: these rows are read, never forecast. So the literature
    does; with ``ETTH_SIZES`` these are its parts of ETTh1 and ETTh2.

    Parameters
    ----------
    frame : pandas.DataFrame, (T, C)
    sizes : sequence of float or of int
        Shares of the rows, each below 1, together at most 1; or numbers of rows, together at most
        T. What is left at the end is left out.
    look_back : int
        L, or 0.

    Returns
    -------
    list of pandas.DataFrame
        One for each size.

    Raises
    ------
    ValueError
        If a size does not fit, or ``look_back`` reaches beyond the first row.

    References
    ----------
    Zhou et al. (2021), Informer, for the sizes; Zeng et al. (2023), Are transformers effective for
    time series forecasting?

    Examples
    --------
    >>> train, test = split(load("sunspots"), (0.8, 0.2), look_back=10)
    >>> len(train), len(test)  # the ten years before the test part are read, not forecast
    (247, 72)
    """
    expect.index("look_back", look_back, len(frame))
    stops = _stops(sizes, len(frame))
    starts = [0, *stops[:-1]]
    if len(starts) > 1 and look_back > starts[1]:
        raise ValueError(
            f"look_back={look_back}: expected at most {starts[1]}, the rows of the first part"
        )
    reach = [0] + [look_back] * (len(stops) - 1)
    return [frame.iloc[a - r : b] for a, b, r in zip(starts, stops, reach, strict=True)]


def _stops(sizes, rows):
    """Where each part ends."""
    sizes = list(sizes)
    if sizes and all(isinstance(size, float) and 0 < size < 1 for size in sizes):
        total = sum(sizes)
        if total > 1 + 1e-9:
            raise ValueError(f"sizes={sizes} add up to {total:g}: expected at most 1")
        stops = [round(rows * share) for share in np.cumsum(sizes)]
    else:
        for i, size in enumerate(sizes):
            expect.sizes(**{f"sizes[{i}]": size})
        stops = [int(stop) for stop in np.cumsum(sizes)]
    if not stops or stops[-1] > rows or 0 in np.diff([0, *stops]):
        raise ValueError(
            f"sizes={sizes} of {rows} rows end at rows {stops}: expected a part at least, no part "
            f"without a row, and at most {rows} rows together"
        )
    return stops


class Scaler:
    """Bring each column to mean 0 and variance 1: (x - mean) / scale.

    Parameters
    ----------
    columns : list of str
        The C names.
    mean, scale : sequence of float, (C,)
        In the unit of each column; ``scale`` above 0.

    Raises
    ------
    ValueError
        If they differ in length, or a number does not fit.

    Examples
    --------
    >>> frame = pd.DataFrame({"sold": [1.0, 3.0]})
    >>> scaler = Scaler.fit(frame)
    >>> scaler.transform(frame)["sold"].tolist(), scaler.inverse(np.array([[2.0]])).tolist()
    ([-1.0, 1.0], [[4.0]])
    """

    def __init__(self, columns, mean, scale):
        self.columns = list(columns)
        self.mean, self.scale = np.array(mean, float), np.array(scale, float)
        for name, values in ("mean", self.mean), ("scale", self.scale):
            expect.shape(name, values, (len(self.columns),))
            if not np.isfinite(values).all() or (name == "scale" and (values <= 0).any()):
                raise ValueError(
                    f"{name}={values.tolist()}: expected finite numbers, scale above 0"
                )

    @classmethod
    def fit(cls, frame):
        """Return the scaler of a training part: its means and standard deviations.

        A constant column has scale 1, so that it becomes 0.

        Parameters
        ----------
        frame : pandas.DataFrame, (T, C)
            The training part only: what lies after it is not known yet.

        Raises
        ------
        ValueError
            There is no row, or a value is not finite.
        """
        values = to_array(frame)
        constant = values.min(axis=0) == values.max(axis=0)
        mean = np.where(constant, values[0], values.mean(axis=0))
        return cls(frame.columns, mean, np.where(constant, 1, values.std(axis=0)))

    def transform(self, values):
        """Return ``values`` scaled.

        Parameters
        ----------
        values : pandas.DataFrame, (T, C), or ndarray, (..., C)
            A frame has the columns of the scaler, in their order.

        Returns
        -------
        The same kind as ``values``.

        Raises
        ------
        ValueError
            If the columns are others.
        """
        self._expect_columns(values)
        return (values - self.mean) / self.scale

    def inverse(self, values):
        """Return scaled ``values``, such as forecasts (N, F, C), in their own units again.

        Parameters and errors are those of :meth:`transform`.
        """
        self._expect_columns(values)
        return values * self.scale + self.mean

    def to_dict(self):
        """Return lists that JSON can hold: ``columns``, ``mean``, ``scale``."""
        return {
            "columns": self.columns,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_dict(cls, content):
        """Return the scaler that :meth:`to_dict` described."""
        return cls(content["columns"], content["mean"], content["scale"])

    def _expect_columns(self, values):
        if isinstance(values, pd.DataFrame):
            if list(values.columns) != self.columns:
                raise ValueError(
                    f"values has the columns {short(list(values.columns))}: expected {self.columns}"
                )
        elif np.shape(values)[-1:] != (len(self.columns),):
            raise ValueError(
                f"values has shape {np.shape(values)}: expected (..., {len(self.columns)}), the "
                f"columns {self.columns}"
            )

    def __repr__(self):
        return f"Scaler({short(self.columns)})"


def calendar(index, parts=("hour", "weekday", "month")):
    """Turn stamps into points on circles, so that hour 23 stands beside hour 0.

    Each part becomes sin(2 pi p) and cos(2 pi p), where p is the share of the day, the week (from
    Monday) or the year (in whole months) that has passed.

    Parameters
    ----------
    index : pandas.DatetimeIndex, (T,)
    parts : sequence of {"hour", "weekday", "month"}

    Returns
    -------
    pandas.DataFrame, (T, 2 len(parts))
        Columns ``hour_sin``, ``hour_cos`` ...

    Raises
    ------
    TypeError
        ``index`` is no DatetimeIndex.
    ValueError
        A part is none of the three.

    Examples
    --------
    >>> stamps = pd.date_range("2024-01-01 23:00", periods=2, freq="h")
    >>> calendar(stamps, ["hour"]).round(2).to_numpy().tolist()  # an hour apart, so close together
    [[-0.26, 0.97], [0.0, 1.0]]
    """
    if not isinstance(index, pd.DatetimeIndex):
        kind = type(index).__name__
        raise TypeError(f"index is a {kind}: expected a pandas DatetimeIndex, as frame.index is")
    shares = {
        "hour": (index.hour + index.minute / 60) / 24,
        "weekday": index.day_of_week / 7,
        "month": (index.month - 1) / 12,
    }
    features = {}
    for part in parts:
        expect.one_of("parts", part, tuple(shares))
        angle = 2 * np.pi * shares[part].to_numpy()
        features |= {f"{part}_sin": np.sin(angle), f"{part}_cos": np.cos(angle)}
    return pd.DataFrame(features, index)


def to_array(values, name="values"):
    """Return a series as an array, once each value is known to be finite.

    Parameters
    ----------
    values : pandas.DataFrame or ndarray, (T, C)
    name : str
        What messages call it.

    Returns
    -------
    ndarray of float, (T, C)
        Contiguous: ``values`` itself where it is that already.

    Raises
    ------
    ValueError
        There is no row or no column, or a value is missing or infinite: at which place.
    TypeError
        It holds no floating-point numbers.

    Examples
    --------
    >>> to_array(pd.DataFrame({"sold": [1.0, 2.0]})).shape
    (2, 1)
    """
    array = values.to_numpy() if isinstance(values, pd.DataFrame) else np.asarray(values)
    expect.shape(name, array, ("T", "C"))
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: expected a row and a column at least")
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"{name} has dtype {array.dtype}: expected floating-point numbers")
    wrong = ~np.isfinite(array)
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), array.shape)
        raise ValueError(
            f"{name} holds {array[row, column]} in row {row}, column {column}, and {wrong.sum()} "
            f"such values: expected finite numbers. See rnnbook.data.series.fill"
        )
    return np.ascontiguousarray(array)


def windows(values, look_back, horizon):
    """Show a series as all its windows: what is read, and what follows. Nothing is copied.

    Window n reads rows n to n + L - 1, and the F rows after these are to be forecast.

    Parameters
    ----------
    values : pandas.DataFrame or ndarray, (T, C)
        A frame is brought into one contiguous array first, if it is not one.
    look_back, horizon : int
        L and F.

    Returns
    -------
    x : ndarray, (N, L, C)
    y : ndarray, (N, F, C)
        Read-only views of one array of T rows; N = T - L - F + 1. Take some windows, not all:
        ``x[rows]`` copies these, and ``x.copy()`` would need L times the memory of the series.

    Raises
    ------
    ValueError
        There is a row too few for one window, or a value is missing or infinite.
    TypeError
        If it holds no floating-point numbers.

    Examples
    --------
    >>> x, y = windows(np.arange(6.0)[:, None], look_back=3, horizon=2)
    >>> x[:, :, 0].tolist(), y[:, :, 0].tolist()
    ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
    """
    expect.sizes(look_back=look_back, horizon=horizon)
    array = to_array(values)
    if len(array) < look_back + horizon:
        raise ValueError(
            f"values has {len(array)} rows: expected at least look_back + horizon = {look_back} + "
            f"{horizon}, one window. Pass more rows, or shorter windows"
        )
    whole = sliding_window_view(array, look_back + horizon, axis=0).swapaxes(1, 2)  # (N, L+F, C)
    return whole[:, :look_back], whole[:, look_back:]


class WindowBatches:
    """All windows of a series in batches, for :func:`rnnbook.training.fit`.

    Only the windows of one batch exist at a time.

    Parameters
    ----------
    values : pandas.DataFrame or ndarray, (T, C)
    look_back, horizon : int
        L and F.
    batch_size : int
    targets : list of str, optional
        The columns of a frame that are forecast; all columns if None. The others, such as those
        of :func:`calendar`, are only read.

    Attributes
    ----------
    x, y : ndarray, (N, L, C) and (N, F, C)
        Read-only views, see :func:`windows`. With K targets, ``y`` is (N, F, K).

    Raises
    ------
    ValueError, TypeError
        As in :func:`windows`; or a target is not a column.

    Examples
    --------
    >>> data = WindowBatches(sample(100), look_back=24, horizon=6, targets=["OT"])
    >>> len(data), data.x.shape, data.y.shape
    (71, (71, 24, 7), (71, 6, 1))
    """

    def __init__(self, values, look_back, horizon, batch_size=32, targets=None):
        expect.sizes(batch_size=batch_size)
        self.x, self.y = windows(values, look_back, horizon)
        if targets is not None:
            if isinstance(targets, str) or not isinstance(values, pd.DataFrame):
                raise TypeError(f"targets={targets!r}: expected a list of columns of a DataFrame")
            for target in targets:
                expect.one_of("targets", target, tuple(values.columns))
            self.y = windows(values[list(targets)], look_back, horizon)[1]
        self.batch_size = batch_size

    def __len__(self):
        return len(self.x)

    def batches(self, rng=None):
        """Yield ``((x,), y)``; shuffled by ``rng``, in order without one. The last may be smaller.

        Copies of (up to) ``batch_size`` windows.
        """
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        for start in range(0, len(self), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield (self.x[rows],), self.y[rows]
