"""Long forecasts of a transformer's loads and temperature: SegRNN on ETTh1.

    python experiments/ett.py --device cuda               all runs, one after the other
    python experiments/ett.py --list                      what is done, begun, waiting
    python experiments/ett.py --only '*-cpu-*'            those that are meant for a CPU
    python experiments/ett.py --sample                    all of it, very small, on waves

Finished runs stand in the results file and are skipped. A run that was interrupted goes on from
its last checkpoint. Run one such process at a time: they share the results file.
"""

import sys
import time
from typing import NamedTuple

import numpy as np
import pandas as pd
import runs
from torch.nn.functional import l1_loss

from rnnbook import forecasting, pytorch, scratch, training
from rnnbook.data import series
from rnnbook.interop import copy_weights
from rnnbook.metrics import mae, mse


class Settings(NamedTuple):
    """What a run is trained with."""

    look_back: int = 720
    segment_length: int = 48
    hidden_size: int = 512
    dropout: float = 0.5
    batch_size: int = 256
    learning_rate: float = 0.001
    epochs: int = 30
    patience: int = 10
    bfloat16: bool = False


HORIZONS = (96, 192, 336, 720)
LINEAR = 336  # steps that the linear map reads
SEEDS = (0, 1, 2)
FULL = Settings()  # the same for every horizon
CPU = FULL._replace(bfloat16=True, epochs=10, patience=3)
SAMPLE = Settings(look_back=360, segment_length=24, hidden_size=8, batch_size=32, epochs=2)
SAMPLE_SIZES = (800, 400, 400)  # rows; in the sample, horizons are halved
KEPT, DECAY = 4, 0.8  # epochs at the first learning rate; then, of the one before, at each epoch

PROTOCOL = [
    "Data: ETTh1 (Zhou et al., 2021), 7 columns, hourly. The first 20 months of 30 days, cut as in "
    "the literature into 12 for training, 4 for validation, 4 for the test "
    "(rnnbook.data.series.split, ETTH_SIZES); the rest is not used. Validation and test windows "
    "may read what lies before their part, and forecast only what lies in it.",
    "Each column is brought to mean 0 and variance 1 with the numbers of the training part. All "
    "errors are in these units, means over all windows of a part, all steps and all columns. "
    "No window is left out, but in test_mse_whole_batches.",
    f"Model: SegRNN (Lin et al., 2023), in PyTorch: look-back {FULL.look_back}, segments of "
    f"{FULL.segment_length}, hidden size {FULL.hidden_size}, dropout {FULL.dropout}, channel "
    "embeddings. One model for each horizon and seed; for each seed it starts from the weights "
    "that the twin from scratch draws.",
    "Training: mean absolute error (another version of the authors' code has the squared error as "
    f"its default), Adam, {FULL.batch_size} windows an update, learning rate {FULL.learning_rate} "
    f"for {KEPT} epochs, then {DECAY} times that of the epoch before; at most {FULL.epochs} "
    "epochs. All of these are those of one version of the authors' code and of its script for "
    "ETTh1 (lss-1138/SegRNN, commit f5970fa). None was chosen on this data: after the runs, six "
    "changes were tried with seed 11, on the validation part alone (rate 0.0003 and 0.0001; with "
    "0.0003, dropout 0.7 or 256 units; a rate that falls to zero over 4 or over 8 epochs). The "
    "best of them, the last, was better by 0.0002 in the mean over the horizons, and left out. A "
    "moving average of the weights, tried at 336 hours, gained as little.",
    "The epoch with the lowest mean absolute error on the validation part is kept, and training "
    f"stops after {FULL.patience} epochs without a lower one: the authors' rule, too.",
    "test_mse_whole_batches: without the last windows of the test part, those that fill no batch "
    f"of {FULL.batch_size}. The code that the paper of 2023 was measured with left them out; its "
    "authors say so in the notes of June 2024 to it. The runs that were finished before this was "
    "added do not have it.",
    f"Seeds {', '.join(map(str, SEEDS))} set the initial weights, the order of the windows and "
    "dropout.",
    "last_value: the errors on the same test windows of a forecast that repeats the last value.",
    "The runs are trained on a GPU, in float32. Those named cpu repeat them on a CPU, with matrix "
    "products in bfloat16 while training (torch.autocast; weights and updates in float32), at most "
    f"{CPU.epochs} epochs, stopped after {CPU.patience} without a lower error, to save time: on "
    "the GPU no best epoch was later than the ninth.",
    "mean: the forecasts of the three seeds on the CPU, averaged. Nothing is trained or chosen. "
    f"mean-linear: that mean and the linear map that reads {LINEAR} hours "
    "(rnnbook.forecasting.Linear), averaged with equal weights.",
    "The runs on the CPU, test_mse_whole_batches and the means were added after those on the GPU "
    "had been scored. 96-cpu-seed0 had been run before, on two threads and with patience "
    f"{FULL.patience}: 0.353, too.",
    "Seconds: wall-clock time of training and validation; cpu_seconds: processor time, null where "
    "a run was interrupted.",
]
TEST_POLICY = "scored once, after training, with what the validation part had chosen"


class Run(NamedTuple):
    """One training: a horizon, a seed, and what it is meant for."""

    horizon: int
    seed: int
    settings: Settings = FULL

    @property
    def name(self):
        return f"{self.horizon}-{'cpu-' * self.settings.bfloat16}seed{self.seed}"

    @property
    def device(self):
        return "cpu" if self.settings.bfloat16 else None  # where the command line says

    def train(self, parts, settings, horizon, checkpoint, device):
        """Train, choose, test; return what goes into the results file."""
        train, valid, test = (
            series.WindowBatches(part, settings.look_back, horizon, settings.batch_size)
            for part in parts
        )
        channels = train.x.shape[2]
        model, optimizer = build(settings, horizon, channels, self.seed, device)
        decay(optimizer, settings.learning_rate, updates=-(-len(train) // settings.batch_size))
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, train, valid, optimizer=optimizer, loss=l1_loss, epochs=settings.epochs,
            patience=settings.patience, seed=self.seed, checkpoint=checkpoint,
            progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        forecasts = {"val": training.predict(model, valid), "test": training.predict(model, test)}
        if self.settings.bfloat16:
            kind = checkpoint.stem.removesuffix(f"-{self.name}")
            runs.keep_predictions(checkpoint.parent, self.name, kind, forecasts)
        return {
            "model": "SegRNN",
            "twin": "pytorch",
            "horizon": horizon,
            "seed": self.seed,
            **settings._asdict(),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "windows": {"train": len(train), "valid": len(valid), "test": len(test)},
            "history": {
                "loss": history["loss"].round(6).tolist(),
                "val_mae": history["val_loss"].round(6).tolist(),
            },
            "best_epoch": int(history["val_loss"].idxmin()),
            **errors(forecasts, valid, test),
            "last_value": pair("test", test.x[:, -1:], test.y),
            "test_policy": TEST_POLICY,
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


class Mean(NamedTuple):
    """The mean of the forecasts of all seeds, as they were kept; perhaps with the linear map's."""

    horizon: int
    linear: bool = False
    settings: Settings = CPU
    device: str = "cpu"

    @property
    def name(self):
        return f"{self.horizon}-cpu-mean" + ("-linear" if self.linear else "")

    def train(self, parts, settings, horizon, checkpoint, device):
        """Average what the members forecast; nothing is trained."""
        _, valid, test = (
            series.WindowBatches(part, settings.look_back, horizon, settings.batch_size)
            for part in parts
        )
        members = [Run(self.horizon, seed, CPU).name for seed in SEEDS]
        kind = checkpoint.stem.removesuffix(f"-{self.name}")
        given = list(runs.predictions(checkpoint.parent, members, kind).values())
        forecasts = {part: np.mean([one[part] for one in given], axis=0) for part in given[0]}
        if self.linear:
            line = forecasting.Linear(min(LINEAR, settings.look_back), horizon).fit(parts[0])
            for part, windows in ("val", valid), ("test", test):
                own = line.forecast(windows.x[:, -line.look_back :], horizon)
                forecasts[part] = (forecasts[part] + own) / 2
            members.append(f"linear map, look-back {line.look_back}")
        return {
            "model": "mean",
            "horizon": horizon,
            "members": members,
            **errors(forecasts, valid, test),
            "test_policy": TEST_POLICY,
        }


RUNS = [Run(h, seed, chosen) for chosen in (FULL, CPU) for h in HORIZONS for seed in SEEDS]
RUNS += [Mean(horizon, linear) for linear in (False, True) for horizon in HORIZONS]


def build(settings, horizon, channels, seed, device="cpu"):
    """Return ``(model, optimizer)``, from the weights that the twin from scratch draws."""
    sizes = (settings.look_back, horizon, channels, settings.segment_length, settings.hidden_size)
    model = pytorch.SegRNN(*sizes, dropout=settings.dropout)
    copy_weights(scratch.SegRNN(*sizes, rng=seed), model)
    model.to(device)
    if settings.bfloat16:
        runs.train_in_bfloat16(model)
    return model, pytorch.Adam(model.parameters(), lr=settings.learning_rate)


def decay(optimizer, rate, updates):
    """Let the learning rate fall from epoch to epoch.

    ``updates`` is the number of them in an epoch.
    """
    runs.schedule(optimizer, lambda done: rate * DECAY ** max(0, done // updates + 1 - KEPT))


def errors(forecasts, valid, test):
    """Return all errors of the two parts, by name."""
    whole = len(test) // test.batch_size * test.batch_size
    return {
        **pair("val", forecasts["val"], valid.y),
        **pair("test", forecasts["test"], test.y),
        "test_mse_whole_batches": round(float(mse(forecasts["test"][:whole], test.y[:whole])), 6),
    }


def pair(part, forecast, truth):
    """Return the squared and the absolute error, by name."""
    return {
        f"{part}_mse": round(float(mse(forecast, truth)), 6),
        f"{part}_mae": round(float(mae(forecast, truth)), 6),
    }


def generated(rows):
    """Seven noisy waves with the period of a day, for the sample."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2000-01-01", periods=rows, freq="h", name="time")
    day = np.sin(2 * np.pi * (np.arange(rows)[:, None] / 24 + rng.random(7)))
    noise = 0.3 * rng.standard_normal((rows, 7))
    return pd.DataFrame(day + noise, stamps, [f"wave{number}" for number in range(7)])


def scaled_parts(frame, sizes, look_back):
    """Cut a series into its three parts, scaled by what the first one knows."""
    scaler = series.Scaler.fit(frame.iloc[: sizes[0]])
    return series.split(scaler.transform(frame), sizes, look_back)


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""

    def prepare(args):
        sizes = SAMPLE_SIZES if args.sample else series.ETTH_SIZES
        look_back = (SAMPLE if args.sample else FULL).look_back
        frame = generated(sum(sizes)) if args.sample else series.load("ETTh1")
        parts = scaled_parts(frame, sizes, look_back)
        source = "generated sample, not real data" if args.sample else "ETTh1"

        def train(run, checkpoint, done):
            horizon = run.horizon // 2 if args.sample else run.horizon
            settings = SAMPLE if args.sample else run.settings
            device = runs.device_of(run, args)
            return run.train(parts, settings, horizon, checkpoint, device) | {"data": source}

        return train

    return runs.main("ett", runs.parser(__doc__, gpu=True), RUNS, PROTOCOL, prepare, argv,
                     report=("test_mse", "test_mae", "best_epoch", "seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
