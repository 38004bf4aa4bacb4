"""Remedies against forgetting, each put to the same two tasks of long memory.

    OMP_NUM_THREADS=1 python experiments/remedies.py   all runs, one after the other
    python experiments/remedies.py --list              what is done, begun, waiting
    python experiments/remedies.py --only 'recall-*'   some runs
    python experiments/remedies.py --sample            all of it, very small: a minute

Finished runs stand in the results file and are skipped. A run that was interrupted goes on from
its last checkpoint. Run one such process at a time: they share the results file.
"""

from typing import NamedTuple

import numpy as np
import runs

from rnnbook import init, scratch
from rnnbook.data import tasks
from rnnbook.interop import get_weights
from rnnbook.metrics import accuracy

TIME = 100
HIDDEN = 32
SEEDS = (0, 1, 2)
CHOICE_SEED = 100
BUDGET, EVERY = 3000, 100  # updates; and after how many each is validated
SYMBOLS = 4  # of the recall task
POINTS = 20  # of the curve of sensitivity


class Task(NamedTuple):
    """A generator of samples, and when it counts as solved."""

    make: callable  # (count, time, rng) -> (x, target)
    input_size: int
    output_size: int
    loss: str
    metric: object
    goal: float
    baseline: float  # the metric of a model that remembers nothing


def make_recall(count, time, rng):
    return tasks.recall(count, time, SYMBOLS, rng)


TASKS = {
    "recall": Task(make_recall, SYMBOLS, SYMBOLS, "cross_entropy", accuracy, 0.99, 1 / SYMBOLS),
    "adding": Task(tasks.adding, 2, 1, "mse_loss", "loss", 0.01, tasks.ADDING_BASELINE),
}
OPTIMIZERS = {  # class, largest gradient norm, learning rates
    "sgd": (scratch.SGD, None, (0.01, 0.03, 0.1)),
    "sgdclip": (scratch.SGD, 1.0, (0.01, 0.03, 0.1)),
    "adam": (scratch.Adam, None, (0.001, 0.003, 0.01)),
    "adamclip": (scratch.Adam, 1.0, (0.001, 0.003, 0.01)),
}
MODELS = ("plain", "orthogonal", "identity", "layernorm", "gru", "lstm", "lstm-forget1")
PAIRS = [  # a remedy alone is one change of ("plain", "sgd")
    *((model, "sgd") for model in MODELS),
    ("plain", "sgdclip"),
    ("plain", "adam"),
    *((model, "adamclip") for model in MODELS),
    ("lstm-forget5", "adamclip"),
]

PROTOCOL = [
    f"Tasks (rnnbook.data.tasks), both with T = {TIME}: recall, the first of {SYMBOLS} symbols "
    f"after noise, counts as solved where {TASKS['recall'].goal:.0%} of the answers are right; "
    f"adding, at a mean squared error of {TASKS['adding'].goal}.",
    "The base is a plain tanh RNN with PyTorch's initial weights, trained by gradient descent "
    "(sgd) without clipping. Each remedy alone is one change of it: sgdclip: gradient norm at most "
    "1; adam: Adam; orthogonal: orthogonal recurrent matrix; identity: relu, recurrent matrix the "
    "identity, biases 0 (IRNN); layernorm: preactivations normalised in each step; gru, lstm: "
    "that cell; lstm-forget1: with forget-gate bias 1. In adamclip each comes with Adam and "
    "clipping at 1; lstm-forget5, with a forget-gate bias of about log(T), was added last, after "
    "the others had shown that a fresh LSTM forgets the first symbol.",
    f"One layer, hidden size {HIDDEN}, from scratch, float32; {runs.BATCH} fresh sequences an "
    f"update, at most {BUDGET} updates. Every {EVERY} updates the model is scored on "
    f"{runs.VALID_COUNT} sequences drawn once, the same for all; it stops when the task is solved.",
    "Learning rate: for each model and optimiser the best of "
    f"{', '.join(map(str, OPTIMIZERS['sgd'][2]))} (sgd) or "
    f"{', '.join(map(str, OPTIMIZERS['adam'][2]))} (adam), with a seed of its own "
    f"({CHOICE_SEED}): first to solve, else best score. Runs named rate are the tries.",
    f"Seeds {', '.join(map(str, SEEDS))} set the initial weights and the training samples.",
    "score: after the last update; best: the best on the way; both on the validation sequences, "
    "which choose nothing but when to stop. All are null where the loss became infinite.",
    "sensitivity: mean over 100 sequences of the norm of the derivative of the sum of the "
    "predicted numbers with respect to the input of a step, before training and with the best "
    "weights.",
    "Seconds: wall-clock time of training and validation; cpu_seconds: processor time, null where "
    "a run was interrupted.",
]


class Run(NamedTuple):
    """One training; without a rate of its own, with the rate that was chosen for its kind."""

    task: str
    model: str
    optimizer: str
    seed: int
    rate: float | None = None

    @property
    def name(self):
        what = f"seed{self.seed}" if self.rate is None else f"rate{self.rate}"
        return f"{self.task}-{self.optimizer}-{self.model}-{what}"

    def train(self, args, checkpoint, done):
        """Train; return what goes into the results file."""
        task = TASKS[self.task]
        rate = self.rate
        if rate is None:
            tries = {run.rate: run.name for run in tries_of(*self[:3])}
            rate = runs.best_rate(tries, done, task.metric)
        time = TIME // 10 if args.sample else TIME
        optimizer, clip, _ = OPTIMIZERS[self.optimizer]
        model = build(self.model, task, self.seed)
        start = sensitivity(model, task, time)
        result = runs.learn(
            model, optimizer(model.parameters(), lr=rate),
            lambda count, rng: task.make(count, time, rng), loss=task.loss, metric=task.metric,
            goal=task.goal, clip=clip, budget=4 if args.sample else BUDGET,
            every=2 if args.sample else EVERY, seed=self.seed, checkpoint=checkpoint,
        )  # fmt: skip
        end = None if result["best"] is None else sensitivity(model, task, time)
        return {"task": self.task, "model": self.model, "optimizer": self.optimizer, "length": time,
                "seed": self.seed, "rate": rate,
                "rate_is": "chosen" if self.rate is None else "tried", "twin": "scratch",
                "parameters": sum(array.size for array in get_weights(model).values()),
                "baseline": task.baseline, "goal": task.goal, **result,
                "sensitivity": {"steps": steps(time), "start": start, "end": end}}  # fmt: skip


def tries_of(task, model, optimizer):
    """List the runs that choose the learning rate of a model with an optimiser."""
    rates = OPTIMIZERS[optimizer][2]
    return [Run(task, model, optimizer, CHOICE_SEED, rate) for rate in rates]


RUNS = [
    *(run for task in TASKS for pair in PAIRS for run in tries_of(task, *pair)),
    *(Run(task, *pair, seed) for seed in SEEDS for task in TASKS for pair in PAIRS),
]


class TimeSecond(scratch.Module):
    """Unrolled steps of a cell that emits its state, as a layer with ``batch_first``."""

    states = directions = 1

    def __init__(self, cell):
        super().__init__()
        self.layer = scratch.Unrolled(cell)

    def forward(self, x, state=None, lengths=None):
        """Map ``x (N, T, D)`` to ``(y (N, T, H), state (1, N, H), cache)``."""
        y, h, cache = self.layer.forward(x.swapaxes(0, 1))
        return y.swapaxes(0, 1), h[None], cache

    def backward(self, dy, dstate, cache):
        """Map gradients of the outputs to those of the input and of the first state."""
        dx, dh = self.layer.backward(dy.swapaxes(0, 1), dstate[0], cache)
        return dx.swapaxes(0, 1), dh[None]


def build(name, task, seed):
    """Return the model of one remedy."""
    d, k = task.input_size, task.output_size
    cell = name.split("-")[0] if name.startswith(("gru", "lstm")) else "rnn"
    model = scratch.SequencePredictor(d, HIDDEN, k, cell, rng=seed)
    if name == "orthogonal":
        init.orthogonal(model, rng=seed)
    elif name == "identity":
        model.rnn = scratch.RNN(d, HIDDEN, nonlinearity="relu", batch_first=True, rng=seed)
        init.identity(model)
    elif name == "layernorm":
        model.rnn = TimeSecond(scratch.LayerNormCell(d, HIDDEN, rng=seed))
    elif name.startswith("lstm-forget"):
        init.forget_bias(model, float(name.removeprefix("lstm-forget")))
    return model


def steps(time):
    """The steps at which the sensitivity is written down: first and last among them."""
    return np.unique(np.linspace(0, time - 1, POINTS).astype(int)).tolist()


def sensitivity(model, task, time):
    """How much the prediction depends on the input of a step, on average."""
    x, _ = task.make(100, time, np.random.default_rng(runs.VALID_SEED))
    prediction, cache = model.forward(x)
    dx = model.backward(np.ones_like(prediction), cache)  # (N, T, D)
    model.zero_grad()
    return runs.digits(np.linalg.norm(dx, axis=2).mean(axis=0)[steps(time)])


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""

    def prepare(args):
        return lambda run, checkpoint, done: run.train(args, checkpoint, done)

    return runs.main("remedies", runs.parser(__doc__), RUNS, PROTOCOL, prepare, argv,
                     report=("rate", "solved_at", "score", "seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
