"""How long can a cell remember? RNN, LSTM and GRU on two tasks of growing length.

    OMP_NUM_THREADS=1 python experiments/memory.py    all runs, one after the other
    python experiments/memory.py --list               what is done, begun, waiting
    python experiments/memory.py --only 'copy-*'      some runs
    python experiments/memory.py --twin pytorch       all in one twin, not each in its faster one
    python experiments/memory.py --sample             all of it, very small: a minute

Finished runs stand in the results file and are skipped. A run that was interrupted goes on from
its last checkpoint. Run one such process at a time: they share the results file.
"""

from typing import NamedTuple

import runs

from rnnbook import init, scratch
from rnnbook.data import tasks
from rnnbook.interop import copy_weights, get_weights
from rnnbook.metrics import accuracy

HIDDEN = 32
RATES = (0.001, 0.003, 0.01)
SEEDS = (0, 1, 2, 3, 4)
CHOICE_SEED = 100
CLIP = 1.0
BUDGET, EVERY = 4000, 100  # updates; and after how many each is validated
WORD, SYMBOLS = 3, 4  # of the copy task


def recalled(logits, target):
    """The share of the word's symbols that are right, when the copy task asks for them."""
    return accuracy(logits[:, -WORD:], target[:, -WORD:])


class Task(NamedTuple):
    """A generator of samples, the lengths it is asked for, and when it counts as solved."""

    make: callable  # (count, length, rng) -> (x, target)
    lengths: tuple
    chosen_at: int  # the length at which the learning rate is chosen
    input_size: int
    output_size: int
    every_step: bool
    loss: str
    metric: object
    goal: float
    baseline: float  # the metric of a model that remembers nothing


def make_copy(count, lag, rng):
    return tasks.copy(count, lag, WORD, SYMBOLS, rng)


TASKS = {
    "adding": Task(tasks.adding, (50, 100, 200, 400), 100, 2, 1, False, "mse_loss", "loss",
                   0.01, tasks.ADDING_BASELINE),
    "copy": Task(make_copy, (10, 30, 100), 30, SYMBOLS + 2, SYMBOLS + 1, True,
                 "cross_entropy", recalled, 0.99, 1 / SYMBOLS),
}  # fmt: skip
CELLS = ("rnn", "gru", "lstm", "lstm-forget1")  # the last: forget-gate bias 1 at the start
FASTER = {"rnn": "scratch", "gru": "scratch", "lstm": "pytorch"}  # on one thread, at these sizes

PROTOCOL = [
    "Tasks (rnnbook.data.tasks): adding, whose length is T, counts as solved at a mean squared "
    f"error of {TASKS['adding'].goal}; copy, {WORD} symbols out of {SYMBOLS}, whose length is the "
    f"lag, where {TASKS['copy'].goal:.0%} of the symbols asked for are right.",
    f"Models: SequencePredictor, one layer, hidden size {HIDDEN}, float32, PyTorch's initial "
    "weights; lstm-forget1 starts with a forget-gate bias of 1. Both twins start from the same "
    "weights and see the same samples; each run names its twin.",
    f"Training: Adam, gradient norm at most {CLIP}, {runs.BATCH} fresh sequences an update, at "
    f"most {BUDGET} updates. Every {EVERY} updates the model is scored on {runs.VALID_COUNT} "
    "sequences drawn once, the same for all; it stops when the task is solved.",
    f"Learning rate: for each task and cell the best of {', '.join(map(str, RATES))} at length "
    f"{TASKS['adding'].chosen_at} (adding) or {TASKS['copy'].chosen_at} (copy), with a seed of its "
    f"own ({CHOICE_SEED}): first to solve, else best score. Runs named rate are the tries.",
    f"Seeds {', '.join(map(str, SEEDS))} set the initial weights and the training samples.",
    "score: after the last update; best: the best on the way; both on the validation sequences, "
    "which choose nothing but when to stop. Seconds: wall-clock time of training and validation; "
    "cpu_seconds: processor time, null where a run was interrupted.",
]


class Run(NamedTuple):
    """One training; without a rate of its own, with the rate that was chosen for its cell."""

    task: str
    length: int
    cell: str
    seed: int
    rate: float | None = None

    @property
    def name(self):
        what = f"seed{self.seed}" if self.rate is None else f"rate{self.rate}"
        return f"{self.task}-{self.length}-{self.cell}-{what}"

    def train(self, args, checkpoint, done):
        """Train; return what goes into the results file."""
        task = TASKS[self.task]
        rate = self.rate
        if rate is None:
            tries = {run.rate: run.name for run in tries_of(self.task, self.cell)}
            rate = runs.best_rate(tries, done, task.metric)
        length = self.length // 10 + 2 if args.sample else self.length
        twin = args.twin or FASTER[self.cell.split("-")[0]]
        model, optimizer = build(task, self.cell, self.seed, rate, twin)
        result = runs.learn(
            model, optimizer, lambda count, rng: task.make(count, length, rng), loss=task.loss,
            metric=task.metric, goal=task.goal, clip=CLIP, budget=4 if args.sample else BUDGET,
            every=2 if args.sample else EVERY, seed=self.seed, checkpoint=checkpoint,
        )  # fmt: skip
        parameters = sum(array.size for array in get_weights(model).values())
        return {"task": self.task, "length": length, "cell": self.cell, "seed": self.seed,
                "rate": rate, "rate_is": "chosen" if self.rate is None else "tried", "twin": twin,
                "parameters": parameters, "baseline": task.baseline, "goal": task.goal,
                **result}  # fmt: skip


def tries_of(task, cell):
    """List the runs that choose the learning rate of a cell."""
    return [Run(task, TASKS[task].chosen_at, cell, CHOICE_SEED, rate) for rate in RATES]


RUNS = [
    *(run for task in TASKS for cell in CELLS for run in tries_of(task, cell)),
    *(
        Run(name, length, cell, seed)
        for seed in SEEDS
        for name, task in TASKS.items()
        for length in task.lengths
        for cell in CELLS
    ),
]


def build(task, cell, seed, rate, twin):
    """Return ``(model, optimizer)``: for each seed the same weights in both twins."""
    kind, *change = cell.split("-")
    sizes = (task.input_size, HIDDEN, task.output_size, kind)
    model = scratch.SequencePredictor(*sizes, every_step=task.every_step, rng=seed)
    if change == ["forget1"]:
        init.forget_bias(model, 1.0)
    if twin == "scratch":
        return model, scratch.Adam(model.parameters(), lr=rate)
    from rnnbook import pytorch

    other = pytorch.SequencePredictor(*sizes, every_step=task.every_step)
    copy_weights(model, other)
    return other, pytorch.Adam(other.parameters(), lr=rate)


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""
    command = runs.parser(__doc__)
    command.add_argument("--twin", choices=("scratch", "pytorch"), help="default: the faster one")

    def prepare(args):
        return lambda run, checkpoint, done: run.train(args, checkpoint, done)

    return runs.main("memory", command, RUNS, PROTOCOL, prepare, argv,
                     report=("rate", "solved_at", "score", "seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
