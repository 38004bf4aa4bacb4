"""One training loop for both twins: readable, resumable, the same on every page.

All randomness of epoch e (the order of the examples, dropout) follows from ``(seed, e)``. So a run
that is killed and resumed from its checkpoint computes what an uninterrupted one computes.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import safetensors.numpy
from tqdm import tqdm

from . import expect
from .files import write_atomically
from .interop import get_weights, read_safetensors, set_weights
from .metrics import accuracy
from .processes import Processes
from .twins import in_evaluation, steps_as_examples, twin_of

METRICS = {"accuracy": accuracy}


@runtime_checkable
class Batches(Protocol):
    """What :func:`fit` reads: a number of examples, and how they come in batches.

    With an attribute ``stateful = True``, each batch goes on where the one before stopped, as in
    :class:`rnnbook.data.streams.StreamBatches`: the model's state is carried over, its gradient is
    not, and an example is one entry of the target.

    Examples
    --------
    >>> isinstance(ArrayBatches(np.ones((5, 3)), np.ones(5)), Batches)
    True
    """

    def __len__(self): ...

    def batches(self, rng=None):
        """Yield ``(tuple of inputs, target)``; shuffled by ``rng``, in order without one."""


class ArrayBatches:
    """Batches of plain arrays whose first axis counts the examples.

    Parameters
    ----------
    x : ndarray, (N, ...), or tuple of such arrays
        Passed to the model in this order. Integers stay integers; floating-point numbers are
        converted to the dtype of the model.
    y : ndarray, (N, ...)
        The target.
    batch_size : int

    Raises
    ------
    ValueError
        If the arrays differ in their number of examples, or there are none.

    Examples
    --------
    >>> data = ArrayBatches(np.ones((5, 7, 3)), np.arange(5), batch_size=2)
    >>> [target.tolist() for inputs, target in data.batches()]  # in order without a generator
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, x, y, batch_size=32):
        expect.sizes(batch_size=batch_size)
        self.inputs = tuple(map(np.asarray, x if isinstance(x, tuple) else (x,)))
        self.target = np.asarray(y)
        self.batch_size = batch_size
        counts = [len(array) for array in (*self.inputs, self.target)]
        if len(set(counts)) > 1 or counts[0] == 0:
            raise ValueError(f"x and y hold {counts} examples: expected equal numbers, not zero")

    def __len__(self):
        return len(self.target)

    def batches(self, rng=None):
        """Yield ``(inputs, target)``; shuffled by ``rng``, in order without one."""
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        for start in range(0, len(self), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield tuple(array[rows] for array in self.inputs), self.target[rows]


def fit(
    model,
    train,
    valid=None,
    *,
    optimizer,
    loss="cross_entropy",
    epochs=10,
    metric="loss",
    patience=None,
    goal=None,
    clip=None,
    checkpoint=None,
    tag=None,
    seed=0,
    progress=True,
    fabric=None,
):
    """Train a model of either twin, in this process or in several that share each batch.

    Parameters
    ----------
    model : scratch.Module or torch.nn.Module
        Called with the inputs of a batch.
    train, valid : (x, y), or an object with ``batches(rng)``
        Arrays (batches of 32), an :class:`ArrayBatches`, or anything whose ``batches(rng)`` yields
        ``(tuple of inputs, target)`` and whose ``len`` is the number of examples. Where it has an
        attribute ``stateful = True``, the model's state goes from each batch to the next, from
        zeros at the start of every epoch and every evaluation, and the gradient is cut between.
    optimizer : scratch or torch optimizer
        On the parameters of ``model``.
    loss : str or callable
        "cross_entropy" (of logits (N, K), or (N, T, K) with a target (N, T): the mean over all
        steps), "binary_cross_entropy_with_logits" or "mse_loss"; or a function of
        (output, target) that returns a loss (torch), or a loss and its gradient (scratch);
        it is called on ``valid`` too. Gradients that it adds by itself are kept.
    epochs : int
        The number of passes over ``train``, those before a resume counted in.
    metric : str or callable
        What chooses the best epoch on ``valid``: "loss" (lower is better), "accuracy", or a
        function of (all outputs, all targets), for which higher is better.
    patience : int, optional
        Stop after this many epochs without a better metric.
    goal : float, optional
        Stop as soon as the metric on ``valid`` is as good as this.
    clip : float, optional
        Largest gradient norm.
    checkpoint : path, optional
        A file, rewritten after every epoch. If it exists, training resumes from it, and computes
        what an uninterrupted run would have computed.
    tag : str, optional
        Says what is trained, and on what; a checkpoint with another tag is refused. Model and data
        are yours to keep the same: without a tag, only seed, metric and optimizer are compared.
    seed : int
        Torch's global generator is seeded from it too.
    progress : bool
        Show a progress bar on standard output.
    fabric : lightning_fabric.Fabric, optional
        Launched. Chooses the device of a torch model, and the processes, on one machine or on
        several. All call this with the same arguments; each computes its share of the rows of
        every batch, and every step is that of the whole batch, so ``loss`` must be a mean over the
        examples. The first process alone writes the checkpoint, which all of them read. Dropout
        differs between processes.

    Returns
    -------
    pandas.DataFrame
        One row an epoch: ``loss`` (mean over the epoch, while training), ``val_loss``, the
        metric, ``seconds``; the same in all processes. The model is left with the weights of its
        best epoch, or of its last where there is no ``valid``, and in evaluation mode.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, ``checkpoint`` belongs to another run, or the target of a
        batch does not fit the output: for "cross_entropy", a class is outside 0 to K-1.
    FileNotFoundError
        If the folder of ``checkpoint`` does not exist.
    FloatingPointError
        If the loss, its gradient or a score on ``valid`` is not finite: at which step, and what to
        try. The weights are those before that step; the checkpoint is that of the epoch before.
    RuntimeError
        If a process of ``fabric`` cannot reach the others.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> from rnnbook.data import tasks
    >>> model = scratch.SequencePredictor(4, 8, 4, rng=0)
    >>> train = tasks.recall(256, 5, 4, np.random.default_rng(0))
    >>> optimizer = scratch.Adam(model.parameters(), lr=0.01)
    >>> history = fit(model, train, train, optimizer=optimizer, epochs=5, progress=False)
    >>> list(history.columns), bool(history["loss"].iloc[-1] < history["loss"].iloc[0])
    (['loss', 'val_loss', 'seconds'], True)
    """
    train = _batches("train", train)
    valid = None if valid is None else _batches("valid", valid)
    expect.sizes(epochs=epochs)
    if patience is not None:
        expect.sizes(patience=patience)
    if clip is not None:
        expect.positive("clip", clip)
    if valid is None and (patience is not None or goal is not None or metric != "loss"):
        raise ValueError(
            f"patience={patience}, goal={goal} and metric={metric!r} need valid, held-out data"
        )
    twin = twin_of(model, optimizer, loss)
    own, optimized = twin.parameters()
    if not {id(p) for p in optimized} <= {id(p) for p in own}:
        raise ValueError("optimizer holds other parameters: build it on model.parameters()")
    processes = Processes(fabric)
    processes.place(model)

    run = _Run(twin, metric, seed, checkpoint, tag)
    processes.expect_equal("the epoch reached", run.epoch)
    processes.expect_equal("the number of examples", len(train) + len(valid or ()))
    processes.start_equal(model)
    while run.epoch < epochs and not run.is_over(patience, goal):
        start = time.perf_counter()
        row = {"loss": _train_epoch(twin, train, seed, run.epoch, clip, progress, processes)}
        if valid is not None:
            scores = _evaluate(twin, valid, metric, processes)
            row |= {f"val_{name}": score for name, score in scores.items()}
        _expect_finite(row, run.epoch)
        row["seconds"] = time.perf_counter() - start
        run.record(processes.of_first_row(row), write=processes.rank == 0)
        processes.wait()
    run.restore_best()
    twin.train(False)
    return run.history()


def evaluate(model, data, *, loss="cross_entropy", metric="loss"):
    """Return ``{"loss": ..., metric: ...}`` of a model on data, in evaluation mode.

    The model is left in the mode that it was in.

    Parameters
    ----------
    model, data, loss, metric
        As in :func:`fit`.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequencePredictor(3, 5, 2, rng=0)
    >>> data = np.ones((4, 7, 3), np.float32), np.zeros(4, int)
    >>> sorted(evaluate(model, data, metric="accuracy"))
    ['accuracy', 'loss']
    """
    twin, data = twin_of(model, None, loss), _batches("data", data)
    with in_evaluation(model):
        return _evaluate(twin, data, metric, Processes())


def _evaluate(twin, data, metric, processes):
    twin.train(False)
    outputs, targets, total, state = [], [], 0.0, ()
    for inputs, target in data.batches():
        own_inputs, own_target, rows = processes.rows(inputs, target)
        carried = twin.carry(state, len(own_target))
        output, loss, end = twin.evaluate(own_inputs, own_target, carried)
        state = _state_to_carry("data", data, end)
        total += loss * _examples(data, own_target[:rows])
        if metric != "loss":
            outputs.append(processes.spread(twin.array(output), len(target)))
            targets.append(target)
    scores = {"loss": processes.total(total) / len(data)}
    if metric != "loss":
        name, function = _metric(metric)
        if _is_stateful(data):
            outputs, targets = zip(*map(steps_as_examples, outputs, targets), strict=True)
        outputs, targets = processes.total(np.concatenate(outputs)), np.concatenate(targets)
        scores[name] = float(function(outputs, targets))
    return scores


def predict(model, data):
    """Return the outputs of a model on data, in the order of the examples, in evaluation mode.

    The model is left in the mode that it was in.

    Parameters
    ----------
    model
        As in :func:`fit`.
    data : ndarray, tuple of ndarrays, or an object with ``batches(rng)``
        Arrays are the inputs alone. Of a model that returns a state too, each starts from zeros.

    Raises
    ------
    ValueError
        If ``data`` is stateful: its examples come side by side, not in a row.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequencePredictor(3, 5, 2, rng=0)
    >>> predict(model, np.ones((100, 7, 3), np.float32)).shape  # in batches, without gradients
    (100, 2)
    """
    twin = twin_of(model)
    if isinstance(data, np.ndarray | tuple):
        inputs = data if isinstance(data, tuple) else (data,)
        data = ArrayBatches(inputs, np.zeros(len(inputs[0])))
    data = _batches("data", data)
    if _is_stateful(data):
        raise ValueError(
            "data.stateful=True: expected examples in a row, not streams side by side. Call "
            "evaluate, or pass the ids of one stream as an array (1, T)"
        )
    with in_evaluation(model):
        return np.concatenate([twin.predict(inputs)[0] for inputs, _ in data.batches()])


def _batches(name, data):
    """Turn ``(x, y)`` into batches; leave batches as they are."""
    if isinstance(data, tuple) and len(data) == 2:
        return ArrayBatches(*data)
    if isinstance(data, Batches):
        return data
    kind = type(data).__name__
    raise TypeError(f"{name} is a {kind}: expected a pair (x, y), or an object with batches(rng)")


def _is_stateful(data):
    return getattr(data, "stateful", False)


def _examples(data, target):
    """The number of examples in a batch: rows, or in streams, entries of the target."""
    return target.size if _is_stateful(data) else len(target)


def _state_to_carry(name, data, state):
    """The list that a twin returned, for the next batch; empty where each starts from zeros."""
    if not _is_stateful(data):
        return ()
    if not state:
        raise TypeError(
            f"{name}.stateful=True: expected a model that returns (output, state) and takes the "
            f"state after its inputs, as LanguageModel does. Pass such a model, or other batches"
        )
    return state


def _metric(metric):
    """Return (name, function) of a metric other than the loss."""
    if callable(metric):
        name = getattr(metric, "__name__", type(metric).__name__)
        if name in ("loss", "seconds"):
            raise ValueError(f"metric is named {name!r}, as a column of the history: rename it")
        return name, metric
    expect.one_of("metric", metric, ("loss", *METRICS))
    return metric, METRICS[metric]


def _train_epoch(twin, train, seed, epoch, clip, progress, processes):
    """Run one epoch; return the mean loss over its examples."""
    rank = [processes.rank] if processes.rank else []  # each process drops entries of its own
    twin.seed([seed, epoch, *rank])
    twin.train(True)
    total, count, state = 0.0, 0, ()
    with tqdm(
        total=len(train),
        desc=f"epoch {epoch + 1}",
        unit="example",
        file=sys.stdout,
        disable=not progress or processes.rank > 0,
    ) as bar:
        rng = np.random.default_rng([seed, epoch])
        for step, (inputs, target) in enumerate(train.batches(rng), start=1):
            examples = _examples(train, target)
            inputs, own, rows = processes.rows(inputs, target)
            loss, end = twin.forward_backward(inputs, own, twin.carry(state, len(own)))
            state = _state_to_carry("train", train, end)
            loss = processes.mean(twin, loss, rows / len(target))
            if not math.isfinite(loss):
                raise _diverged(f"loss={loss}", epoch, f", step {step}")
            if not twin.step(clip):
                raise _diverged("the gradient is not finite", epoch, f", step {step}")
            total += loss * examples
            count += examples
            bar.update(examples)
            bar.set_postfix(loss=f"{total / count:.4f}", refresh=False)
    return total / count


def _expect_finite(row, epoch):
    for name, value in row.items():
        if not math.isfinite(value):
            raise _diverged(f"{name}={value}", epoch)


def _diverged(what, epoch, step=""):
    return FloatingPointError(
        f"{what} at epoch {epoch + 1}{step}: expected a finite number. Look for NaN in the inputs; "
        f"else lower the learning rate, or pass clip=1.0"
    )


class _Run:
    """What has been reached so far: rows, the best weights, and both in the checkpoint."""

    def __init__(self, twin, metric, seed, checkpoint, tag=None):
        self.twin, self.checkpoint = twin, checkpoint and Path(checkpoint)
        self.column = "val_loss" if metric == "loss" else f"val_{_metric(metric)[0]}"
        self.sign = -1 if metric == "loss" else 1
        optimizer = type(twin.optimizer).__name__
        if self.checkpoint and not self.checkpoint.parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint={str(checkpoint)!r}: expected a file in a folder that exists"
            )
        self.identity = {"seed": int(seed), "metric": self.column, "optimizer": optimizer}
        if tag is not None:
            self.identity["tag"] = tag
        self.rows, self.best, self.best_weights = [], None, None
        if self.checkpoint and self.checkpoint.exists():
            self._load()

    @property
    def epoch(self):
        return len(self.rows)

    def is_over(self, patience, goal):
        if self.best is None:
            return False
        if goal is not None and self.sign * self.rows[self.best][self.column] >= self.sign * goal:
            return True
        return patience is not None and self.epoch - 1 - self.best >= patience

    def record(self, row, write):
        self.rows.append(row)
        if self.column in row:
            scores = [self.sign * row[self.column] for row in self.rows]
            if self.best is None or scores[-1] > scores[self.best]:
                self.best = self.epoch - 1
                self.best_weights = get_weights(self.twin.model)
        if self.checkpoint and write:
            self._save()

    def restore_best(self):
        if self.best_weights is not None:
            set_weights(self.twin.model, self.best_weights)

    def history(self):
        return pd.DataFrame(self.rows, index=pd.RangeIndex(1, self.epoch + 1, name="epoch"))

    def _save(self):
        arrays = {
            f"{part}/{name}": np.array(array, order="C")
            for part, named in (
                ("weights", get_weights(self.twin.model)),
                ("best", self.best_weights or {}),
                ("optimizer", self.twin.optimizer_arrays()),
            )
            for name, array in named.items()
        }
        progress = {"rows": self.rows, "best": self.best, "identity": self.identity}
        metadata = {"progress": json.dumps(progress)}
        write_atomically(self.checkpoint, safetensors.numpy.save(arrays, metadata))

    def _load(self):
        arrays, metadata = read_safetensors(self.checkpoint)
        if "progress" not in metadata:
            raise ValueError(f"checkpoint={str(self.checkpoint)!r} was not written by fit()")
        progress = json.loads(metadata["progress"])
        if progress["identity"] != self.identity:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} is of another run, with "
                f"{progress['identity']}: expected {self.identity}. Name another file"
            )
        parts = {"weights": {}, "best": {}, "optimizer": {}}
        for key, array in arrays.items():
            part, name = key.split("/", 1)
            parts[part][name] = array
        set_weights(self.twin.model, parts["weights"])
        self.twin.load_optimizer_arrays(parts["optimizer"])
        self.rows, self.best = progress["rows"], progress["best"]
        self.best_weights = parts["best"] or None
