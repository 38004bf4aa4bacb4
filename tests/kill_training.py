"""Train until killed, again and again; tests/test_faults.py starts this script.

    python kill_training.py TWIN FOLDER

Each round is a process of its own, forked, killed by SIGKILL at a random moment after it has
finished at least one more epoch, and followed by a round that resumes. Prints how often it killed.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

from rnnbook import scratch, training
from rnnbook.interop import copy_weights, get_weights, read_safetensors

EPOCHS = 40


def learner(twin):
    """Return a model and its optimizer."""
    package, model = scratch, scratch.SequenceClassifier(11, 3, 5, 2, "lstm", dropout=0.3, rng=0)
    if twin == "pytorch":
        from rnnbook import pytorch as package

        ours, model = model, package.SequenceClassifier(11, 3, 5, 2, "lstm", dropout=0.3)
        copy_weights(ours, model)
    return model, package.Adam(model.parameters(), lr=0.01)


def train(twin, checkpoint):
    """Return the history without its times, and the weights."""
    model, optimizer = learner(twin)
    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 11, (80, 6)), rng.integers(0, 2, 80)
    history = training.fit(
        model,
        (x[:64], y[:64]),
        (x[64:], y[64:]),
        optimizer=optimizer,
        metric="accuracy",
        epochs=EPOCHS,
        checkpoint=checkpoint,
        progress=False,
    )
    return history.drop(columns="seconds"), get_weights(model)


def keep(path, history, weights):
    rows = json.dumps(history.to_dict("records"))
    path.write_bytes(safetensors.numpy.save(weights, {"rows": rows}))


def epochs_in(checkpoint):
    """Read a checkpoint, which must be whole; 0 where there is none."""
    if not checkpoint.exists():
        return 0
    return len(json.loads(read_safetensors(checkpoint)[1]["progress"])["rows"])


def fork(do, *args):
    """Call ``do(*args)`` in a process of its own; return its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            do(*args)
            status = 0
        finally:
            os._exit(status)
    return child


def finish(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def train_and_keep(twin, checkpoint, path):
    keep(path, *train(twin, checkpoint))


def version(checkpoint):
    """What changes when the file is replaced."""
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else None


def main(twin, folder):
    checkpoint = folder / "checkpoint"
    learner(twin)  # what torch imports late, once for all rounds. But this process never trains:
    # torch refuses to go on in the fork of one that has
    finish(fork(train_and_keep, twin, folder / "whole.checkpoint", folder / "whole"))
    moments, killed = random.Random(0), 0
    while epochs_in(checkpoint) < EPOCHS - 2:  # the last round is not killed
        before = epochs_in(checkpoint)
        child = fork(train, twin, checkpoint)
        file = version(checkpoint)
        while version(checkpoint) == file and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert epochs_in(checkpoint) > before
    finish(fork(train_and_keep, twin, checkpoint, folder / "resumed"))
    print(killed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
