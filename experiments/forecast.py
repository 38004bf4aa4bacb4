"""Why the articles' forecaster fails, and what each repair brings: CO2 and the oil of ETTh1.

    OMP_NUM_THREADS=1 python experiments/forecast.py    all runs, one after the other
    python experiments/forecast.py --list               what is done, begun, waiting
    python experiments/forecast.py --only 'co2-*'       some runs
    python experiments/forecast.py --sample             all of it, very small: a minute

Finished runs stand in the results file and are skipped. A run that was interrupted goes on from
its last checkpoint. Run one such process at a time: they share the results file.
"""

import sys
import time
from typing import NamedTuple

import numpy as np
import runs

from rnnbook import forecasting, pytorch, scratch, training
from rnnbook.data import series
from rnnbook.interop import copy_weights

HIDDEN, BATCH, RATE = 50, 32, 0.001  # the articles' size and batch; both libraries' default rate
EPOCHS = 100  # the articles'
AT_MOST, PATIENCE = 40, 10  # epochs, where the validation part chooses
SEEDS = (0, 1, 2)
MOVES = (-3, -2, -1, 0, 1, 2, 3)  # standard deviations of the training part


class Task(NamedTuple):
    """A series with one column, and how it is forecast."""

    name: str
    column: str
    sizes: tuple  # of the training, validation and test part
    look_back: int
    horizon: int
    segment_length: int
    period: int
    reach: int  # what exponential smoothing reads, in steps
    every: int  # steps from one training window to the next
    stride: int  # and from one test window to the next


class Variant(NamedTuple):
    """What is changed; the defaults are the articles' model."""

    direct: bool = False  # the network forecasts all steps at once, not one
    less_last: bool = False  # windows less their last value
    chosen: bool = False  # the best epoch on the validation part, not the last one
    leaky: bool = False  # scaled by the whole series
    segments: bool = False  # SegRNN


TASKS = {
    "co2": Task("co2", "co2", (0.7, 0.1, 0.2), 52, 52, 13, 52, 260, 1, 4),
    "oil": Task("oil", "OT", series.ETTH_SIZES, 48, 96, 12, 24, 336, 5, 25),
}
VARIANTS = {
    "articles": Variant(),
    "leaky": Variant(leaky=True),
    "chosen": Variant(chosen=True),
    "less-last": Variant(chosen=True, less_last=True),
    "direct": Variant(chosen=True, direct=True),
    "direct-less-last": Variant(chosen=True, direct=True, less_last=True),
    "segments": Variant(chosen=True, direct=True, segments=True),
}

PROTOCOL = [
    "co2: weekly, from statsmodels, gaps filled on straight lines; 70 % of the weeks for training, "
    "10 % for validation, 20 % for the test, in this order. oil: column OT of ETTh1, hourly, the "
    "literature's 12, 4 and 4 months (rnnbook.data.series.ETTH_SIZES). Validation and test windows "
    "may read what lies before their part, and forecast only what lies in it.",
    "Scaling: mean 0 and variance 1 by the training part; in the runs named leaky, by all rows. "
    "All errors are in the units of the training part's scale, means over the test windows, which "
    f"begin every {TASKS['co2'].stride} weeks or every {TASKS['oil'].stride} hours. Training and "
    f"validation windows begin every week or every {TASKS['oil'].every} hours.",
    f"Look-back and horizon: {TASKS['co2'].look_back} and {TASKS['co2'].horizon} weeks, "
    f"{TASKS['oil'].look_back} and {TASKS['oil'].horizon} hours. The articles name none.",
    f"articles: two LSTM layers of {HIDDEN} and a linear read-out of one step, mean squared error, "
    f"Adam with rate {RATE}, batches of {BATCH}, {EPOCHS} epochs, no validation; further steps are "
    "forecast from its own forecasts. For each seed it starts from the weights that the twin from "
    "scratch draws, as PyTorch draws them (Keras starts otherwise).",
    "leaky: the same, scaled by all rows. chosen: the epoch with the lowest loss on the validation "
    f"part is kept, of at most {AT_MOST}; training stops after {PATIENCE} epochs without a lower "
    "one. All others are chosen in this way, too.",
    "less-last: windows less their last value, which is added to the forecast. direct: the network "
    "forecasts all steps at once. segments: SegRNN (Lin et al., 2023), of which both hold, with "
    f"segments of {TASKS['co2'].segment_length} weeks or {TASKS['oil'].segment_length} hours, "
    f"hidden size {HIDDEN}, without dropout.",
    "last-value, last-period (a year, a day), linear: rnnbook.forecasting.LastValue, SeasonalNaive "
    "and Linear, with the look-back of the networks. "
    f"ets: exponential smoothing (rnnbook.forecasting.ETS) with the period "
    f"{TASKS['co2'].period} or {TASKS['oil'].period}, fitted to the last {TASKS['co2'].reach} "
    f"weeks or {TASKS['oil'].reach} hours before each forecast.",
    "moved: the squared error of one step on every tenth training window, when so many standard "
    "deviations are added to what is read and to what is to be forecast; null for what is no "
    "network.",
    f"Seeds {', '.join(map(str, SEEDS))} set the initial weights and the order of the windows. "
    "Seconds: wall-clock time of training and validation; cpu_seconds: processor time, null where "
    "a run was interrupted.",
]


class Run(NamedTuple):
    """One training: a series, a variant, a seed."""

    task: str
    variant: str
    seed: int

    @property
    def name(self):
        return f"{self.task}-{self.variant}-seed{self.seed}"

    def train(self, task, parts, checkpoint, epochs):
        """Train for so many epochs at most; return the forecaster, and what is known of it."""
        variant = VARIANTS[self.variant]
        model, optimizer = build(task, variant, self.seed)
        train, valid = (batches(part, task, variant) for part in parts[:2])
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, train, valid if variant.chosen else None, optimizer=optimizer,
            loss="mse_loss", epochs=epochs or (AT_MOST if variant.chosen else EPOCHS),
            patience=PATIENCE if variant.chosen else None, seed=self.seed,
            checkpoint=checkpoint, progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        # SegRNN subtracts the last value by itself
        network = forecasting.Network(model, variant.less_last)
        forecaster = network if variant.direct else forecasting.Recursive(network)
        losses = {name: runs.digits(history[name]) for name in history if name != "seconds"}
        return {
            "series": self.task,
            "variant": self.variant,
            "seed": self.seed,
            **variant._asdict(),
            "look_back": task.look_back,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "history": losses,
            "best_epoch": int(history["val_loss"].idxmin()) if variant.chosen else len(history),
            "forecaster": forecaster,
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


class Baseline(NamedTuple):
    """A forecaster that is no network."""

    task: str
    kind: str

    @property
    def name(self):
        return f"{self.task}-{self.kind}"

    def train(self, task, parts, checkpoint, epochs):
        """As :class:`Run`."""
        look_back = task.reach if self.kind == "ets" else task.look_back
        forecaster = {
            "last-value": lambda: forecasting.LastValue(),
            "last-period": lambda: forecasting.SeasonalNaive(task.period),
            "linear": lambda: forecasting.Linear(look_back, task.horizon).fit(parts[0]),
            "ets": lambda: forecasting.ETS(task.period),
        }[self.kind]()
        return {
            "series": self.task,
            "variant": self.kind,
            "seed": None,
            "look_back": look_back,
            "forecaster": forecaster,
        }


BASELINES = ("last-value", "last-period", "linear", "ets")
RUNS = [
    *(Baseline(task, kind) for task in TASKS for kind in BASELINES),
    *(
        Run(task, variant, seed)
        for seed in SEEDS
        for task in TASKS
        for variant in VARIANTS
        if (task, variant) != ("oil", "leaky")  # a quarter of an hour each
    ),
]


class Rescaled:
    """A forecaster that was trained in another scale, judged in that of the training part."""

    def __init__(self, model, own, other):
        self.model, self.own, self.other = model, own, other

    def forecast(self, history, horizon):
        seen = self.other.transform(self.own.inverse(history))
        forecast = self.model.forecast(seen, horizon)
        return self.own.transform(self.other.inverse(forecast))


def build(task, variant, seed):
    """Return ``(model, optimizer)``, from the weights that the twin from scratch draws."""
    if variant.segments:
        kind, sizes = "SegRNN", (task.look_back, task.horizon, 1, task.segment_length, HIDDEN)
        options = {"dropout": 0.0, "channel_embedding": False}
    else:
        kind, sizes = "SequencePredictor", (1, HIDDEN, task.horizon if variant.direct else 1)
        options = {"cell": "lstm", "num_layers": 2}
    model = getattr(pytorch, kind)(*sizes, **options)
    copy_weights(getattr(scratch, kind)(*sizes, **options, rng=seed), model)
    return model, pytorch.Adam(model.parameters(), lr=RATE)


def batches(part, task, variant):
    """All windows of a part: what is read, and what is to be forecast."""
    horizon = task.horizon if variant.direct else 1
    x, y = series.windows(part, task.look_back, horizon)
    x, y = x[:: task.every], y[:: task.every]
    if variant.segments:
        return training.ArrayBatches(x, y, BATCH)
    last = x[:, -1:] if variant.less_last else 0
    return training.ArrayBatches(x - last, (y - last)[:, :, 0], BATCH)


def judge(forecaster, parts, task, look_back, network):
    """Return the errors of a forecaster for the results file."""
    test = parts[2]
    result = forecasting.backtest(forecaster, test, look_back, task.horizon, stride=task.stride)
    return {
        "windows": result.windows,
        **{name: runs.digits(result.scores[name]) for name in ("mse", "mae")},
        "by_step": {name: runs.digits(result.by_step[name]) for name in ("mse", "mae")},
        "moved": moved(forecaster, parts[0], look_back) if network else None,
    }


def moved(forecaster, train, look_back):
    """Errors of one step when the level of training windows is moved, by how far."""
    x, y = (part[::10] for part in series.windows(train, look_back, 1))
    errors = {}
    for move in MOVES:
        forecast = forecaster.forecast(x + move, 1)
        errors[str(move)] = runs.digits(np.square(forecast - y - move).mean())
    return errors


def load(task, sample):
    """Return the series of a task as a frame with one column."""
    if task.name == "co2":
        frame = series.fill(series.load("co2"), "interpolate", limit=18)
        return frame.iloc[-500:] if sample else frame
    frame = series.sample(1000) if sample else series.load("ETTh1")
    return frame[[task.column]]


def shrink(task):
    """The same task, very small."""
    sizes = (0.7, 0.1, 0.2)
    return task._replace(sizes=sizes, look_back=12, horizon=6, segment_length=3, stride=40,
                         period=12, reach=36)  # fmt: skip


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""

    def prepare(args):
        def train(run, checkpoint, done):
            task = shrink(TASKS[run.task]) if args.sample else TASKS[run.task]
            frame = load(task, args.sample)
            variant = VARIANTS.get(getattr(run, "variant", None), Variant())
            own = series.Scaler.fit(series.split(frame, task.sizes)[0])
            scaler = series.Scaler.fit(frame) if variant.leaky else own
            parts = series.split(scaler.transform(frame), task.sizes, task.look_back)
            result = run.train(task, parts, checkpoint, epochs=2 if args.sample else None)
            forecaster, look_back = result.pop("forecaster"), result["look_back"]
            if variant.leaky:
                forecaster = Rescaled(forecaster, own, scaler)
            parts = series.split(own.transform(frame), task.sizes, look_back)
            return result | judge(forecaster, parts, task, look_back, network=isinstance(run, Run))

        return train

    return runs.main("forecast", runs.parser(__doc__), RUNS, PROTOCOL, prepare, argv,
                     report=("mse", "best_epoch", "seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
