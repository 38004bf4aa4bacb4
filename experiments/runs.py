"""What the long runs share: the command line, and a results file that grows run by run.

A run has a ``name``. The results file is ``{"protocol": [sentences], "runs": {name: result}}``. A
finished run stands in it and is skipped; ``_build/experiments/`` holds the checkpoints of runs that
were interrupted. Run one process of a script at a time: it alone may write its results file.
"""

import argparse
import fnmatch
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

from rnnbook import scratch, training
from rnnbook.data.tasks import Fresh
from rnnbook.files import write_atomically
from rnnbook.interop import read_safetensors

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "_build" / "experiments"

BATCH = 32  # sequences an update, in learn()
VALID_COUNT, VALID_SEED = 500, 12345


def parser(description, gpu=False):
    """Return the command line that every script has; ``gpu``: it can train on one."""
    command = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument(
        "--only", metavar="PATTERN", default="*", help="names of runs, with * ? []"
    )
    command.add_argument("--list", action="store_true", help="list the runs and stop")
    command.add_argument("--sample", action="store_true", help="all of it, very small: a minute")
    command.add_argument("--results", type=Path, help="the file that is written")
    command.add_argument("--cache", type=Path, default=CACHE, help="folder for checkpoints")
    command.set_defaults(device="cpu")
    if gpu:
        command.add_argument("--device", help="cuda: train on a GPU")
    return command


def main(name, command, runs, protocol, prepare, argv=None, report=("seconds",)):
    """Do what the command line asks for; return the number of runs that were trained.

    Parameters
    ----------
    name : str
        Of the script and of its results file.
    command : argparse.ArgumentParser
        From :func:`parser`.
    runs : list
        In the order in which they are trained; each has a ``name``, and perhaps a ``device`` that
        is not the command line's.
    protocol : list of str
    prepare : callable
        ``prepare(args)`` returns ``train(run, checkpoint, done) -> dict``, where ``done`` holds the
        results of all finished runs by name. Called only if there is something to train.
    argv : list of str, optional
    report : tuple of str
        The entries of a result that are printed.
    """
    args = command.parse_args(argv)
    kind = f"{name}-sample" if args.sample else name
    results = ROOT / "book" / "results" / f"{name}.json"
    path = args.results or (CACHE / f"{kind}.json" if args.sample else results)
    checkpoints = {run.name: args.cache / f"{kind}-{run.name}.safetensors" for run in runs}
    chosen = [run for run in runs if fnmatch.fnmatch(run.name, args.only)]
    if not chosen:
        command.error(f"--only {args.only!r} matches no run; --list names them")
    done = read(path)
    if args.list:
        width = max(len(run.name) for run in runs) + 2
        for run in chosen:
            begun = "begun" if checkpoints[run.name].exists() else "waiting"
            print(f"{run.name:{width}}{'done' if run.name in done else begun}")
        return 0
    waiting = [run for run in chosen if run.name not in done]
    if not waiting:
        print(f"All {len(chosen)} runs are in {path}")
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    args.cache.mkdir(parents=True, exist_ok=True)
    if args.device != "cpu":
        expect_float32()
    train = prepare(args)
    for number, run in enumerate(waiting, start=1):
        print(f"{run.name} ({number} of {len(waiting)})", flush=True)
        result = train(run, checkpoints[run.name], read(path))
        result["command"] = f"python experiments/{name}.py --only {run.name}"
        result["machine"] = machine(device_of(run, args))
        results = {"protocol": protocol, "runs": read(path) | {run.name: result}}
        write_atomically(path, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
        checkpoints[run.name].unlink(missing_ok=True)
        print("  " + ", ".join(f"{key} {result.get(key)}" for key in report), flush=True)
    return len(waiting)


def read(path):
    """Return the finished runs of a results file, by name."""
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else {}


def keep_predictions(cache, name, kind, arrays):
    """Keep what a run predicts, by part of the data, for the runs that build on it.

    ``kind`` begins the names of the files, so that a sample's are not taken for real ones.
    """
    arrays = {part: np.asarray(values, np.float32) for part, values in arrays.items()}
    path = cache / f"{kind}-{name}-predictions.safetensors"
    write_atomically(path, safetensors.numpy.save(arrays))


def predictions(cache, names, kind):
    """Return ``{name: {part: array}}`` of finished runs."""
    paths = {name: cache / f"{kind}-{name}-predictions.safetensors" for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        sys.exit(
            f"The predictions of {', '.join(missing)} are not in {cache}: run these first. If the "
            "results file has them, from another machine, remove them from it and run them again."
        )
    return {name: read_safetensors(path)[0] for name, path in paths.items()}


def device_of(run, args):
    """Where a run trains: on the device that it names, if it names one, or the command line's."""
    return getattr(run, "device", None) or args.device


def machine(device="cpu"):
    """What the times depend on."""
    import torch

    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        **({} if device == "cpu" else {"gpu": torch.cuda.get_device_name(device)}),
    }


def expect_float32():
    """Let a GPU compute float32 in float32, not in the shorter format that it prefers."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def schedule(optimizer, rate_after):
    """Let the learning rate of either twin follow the updates, also of a run that was resumed.

    Parameters
    ----------
    optimizer : scratch or torch optimizer
    rate_after : callable
        ``rate_after(done)`` is the rate of the update that follows so many.
    """
    step, ours = optimizer.step, isinstance(optimizer, scratch.optim.Optimizer)

    def scheduled():
        states = optimizer.state if ours else optimizer.state.values()
        done = max((int(state["step"]) for state in states if state), default=0)
        for holder in [vars(optimizer)] if ours else optimizer.param_groups:
            holder["lr"] = rate_after(done)
        step()

    optimizer.step = scheduled


def rise_and_fall(optimizer, rate, updates, warm_up=1):
    """Let the learning rate rise to ``rate`` over some updates, and fall to zero by the last."""

    def rate_after(done):
        return rate * min((done + 1) / warm_up, 1) * max(0.0, 1 - done / updates)

    schedule(optimizer, rate_after)


def train_in_bfloat16(model):
    """Let a torch model compute in bfloat16 while it is trained, where that is faster.

    Weights, outputs and states stay in float32; in evaluation mode nothing changes.
    """
    import torch

    forward, device = model.forward, next(model.parameters()).device.type

    def whole(output):
        return tuple(map(whole, output)) if isinstance(output, tuple) else output.float()

    def mixed(*args):
        with torch.autocast(device, torch.bfloat16, enabled=model.training):
            return whole(forward(*args))

    model.forward = mixed


def learn(
    model, optimizer, make, *, loss, metric, goal, clip, budget, every, seed, checkpoint
):  # fmt: skip
    """Train on fresh samples until the goal is reached or the updates are used up.

    Parameters
    ----------
    model, optimizer
        Of one twin.
    make : callable
        ``make(count, rng) -> (x, target)``.
    loss, metric, goal, clip, checkpoint
        As for :func:`rnnbook.training.fit`. The metric is computed on the validation sample.
    budget, every : int
        Updates at most; and after how many the model is validated.
    seed : int
        Of the training samples. The validation sample is the same for all.

    Returns
    -------
    dict
        What happened, for the results file; all None if the loss became infinite. The model is
        left with its best weights.
    """
    resumed = checkpoint.exists()
    valid = training.ArrayBatches(*make(VALID_COUNT, np.random.default_rng(VALID_SEED)), 100)
    cpu = time.process_time()
    try:
        history = training.fit(
            model, Fresh(make, every, BATCH), valid, optimizer=optimizer, loss=loss, metric=metric,
            goal=goal, clip=clip, seed=seed, epochs=budget // every, checkpoint=checkpoint,
            progress=sys.stdout.isatty(),
        )  # fmt: skip
    except FloatingPointError:
        names = ("updates", "solved_at", "score", "best", "curve", "seconds", "cpu_seconds")
        return dict.fromkeys(names)
    name = "val_loss" if metric == "loss" else f"val_{metric.__name__}"
    scores = history[name].astype(float)
    best = scores.min() if metric == "loss" else scores.max()
    solved = best <= goal if metric == "loss" else best >= goal
    updates = (history.index * every).tolist()
    return {
        "updates": updates[-1],
        "solved_at": updates[-1] if solved else None,
        "score": digits(scores.iloc[-1]),
        "best": digits(best),
        "curve": {
            "updates": updates,
            "loss": digits(history["loss"]),
            "score": digits(scores),
        },
        "seconds": round(history["seconds"].sum(), 1),
        "cpu_seconds": None if resumed else round(time.process_time() - cpu, 1),
    }


def digits(value):
    """Round to four significant digits, a number or a list of them; None for what is not finite."""
    if np.ndim(value):
        return [digits(entry) for entry in value]
    return float(f"{value:.4g}") if np.isfinite(value) else None


def best_rate(tries, done, metric):
    """Choose a learning rate: the first to reach the goal, else the one with the best score.

    Parameters
    ----------
    tries : dict
        The name of the run that tried it, for each rate.
    done : dict
        The finished runs, which must hold all of them.
    metric
        That of :func:`learn`: for the loss, lower is better.
    """
    missing = [name for name in tries.values() if name not in done]
    if missing:
        sys.exit(f"The learning rate is chosen among runs that are missing: {', '.join(missing)}")

    def rank(rate):
        result = done[tries[rate]]
        if result["best"] is None:  # the loss became infinite
            return np.inf, np.inf
        return result["solved_at"] or np.inf, result["best"] * (1 if metric == "loss" else -1)

    return min(tries, key=rank)
