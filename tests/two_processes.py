"""What two processes do together; tests/test_processes.py starts this script and reads its files.

python two_processes.py WHAT FOLDER
"""

import json
import os
import signal
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from lightning_fabric import Fabric

from rnnbook import pytorch, scratch, training
from rnnbook.data.streams import StreamBatches
from rnnbook.data.text import TextBatches
from rnnbook.interop import copy_weights, get_weights

V, D, H, K = 11, 3, 5, 2
TWINS = {"scratch": scratch, "pytorch": pytorch}
TASKS = ("texts", "stream")


def texts(seed=0):
    """19 ragged texts, in batches of 8: of the last, one process has two and the other one."""
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, V, rng.integers(1, 7)) for _ in range(19)]
    return TextBatches(tokens, np.array([1 in t for t in tokens]).astype(int), batch_size=8)


def stream():
    """Five streams of 5 or 4 predictions: the last piece has one row, the second process none."""
    return StreamBatches(np.random.default_rng(0).integers(0, V, 22), batch_size=5, steps=2)


def model_of(twin, task, seed=0):
    kinds = {"texts": ("SequenceClassifier", (V, D, H, K)), "stream": ("LanguageModel", (V, D, H))}
    name, size = kinds[task]
    ours = getattr(scratch, name)(*size, dtype=np.float64, rng=seed)
    if twin == "scratch":
        return ours
    theirs = getattr(pytorch, name)(*size, dtype=torch.float64)
    copy_weights(ours, theirs)
    return theirs


def train(twin, task, fabric=None, checkpoint=None, epochs=2, seed=0, data=None):
    data = data or (texts() if task == "texts" else stream())
    model = model_of(twin, task, seed)
    history = training.fit(
        model,
        data,
        texts(1) if task == "texts" else stream(),
        optimizer=TWINS[twin].Adam(model.parameters(), lr=0.01),
        metric="accuracy",
        clip=0.3,
        epochs=epochs,
        checkpoint=checkpoint,
        progress=False,
        fabric=fabric,
    )
    return history, get_weights(model)


def keep(path, history, weights):
    rows = json.dumps(history.to_dict("records"))
    path.write_bytes(safetensors.numpy.save(weights, {"rows": rows}))


def equal(folder, fabric):
    """Train every task; the second process starts from other weights than the first."""
    own = folder / str(fabric.global_rank)
    own.mkdir()
    for twin in TWINS:
        for task in TASKS:
            name = f"{twin}-{task}"
            result = train(twin, task, fabric, own / f"{name}.checkpoint", seed=fabric.global_rank)
            keep(own / name, *result)


def share(folder, fabric):
    """Train on a file of 20 MB, and write down the rows of each batch and the memory it took."""
    values = np.memmap(folder / "big", np.float32, "r", shape=(10_000, 500))
    model, rows = pytorch.Linear(500, 1), []
    model.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    tracemalloc.start()
    training.fit(
        model, training.ArrayBatches(values, values[:, :1], 250), loss="mse_loss", epochs=1,
        optimizer=pytorch.SGD(model.parameters(), lr=1e-9), progress=False, fabric=fabric,
    )  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1]
    (folder / f"share{fabric.global_rank}").write_text(json.dumps({"rows": rows, "peak": peak}))


class Deadly:
    """Texts, in the second epoch of which the process is killed."""

    def __init__(self):
        self.data, self.epoch = texts(), 0

    def __len__(self):
        return len(self.data)

    def batches(self, rng=None):
        self.epoch += 1
        for number, batch in enumerate(self.data.batches(rng)):
            if self.epoch == 2 and number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


def killed(folder, fabric):
    """Train until the second process is killed."""
    data = Deadly() if fabric.global_rank == 1 else texts()
    train("pytorch", "texts", fabric, folder / "checkpoint", data=data)


def apart(folder, fabric):
    """Resume where the first process alone sees the checkpoint."""
    rank = fabric.global_rank
    try:
        train("pytorch", "texts", fabric, folder / f"{rank}.checkpoint")
    except ValueError as error:
        (folder / f"refused{rank}").write_text(str(error))


if __name__ == "__main__":
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    for what in sys.argv[1].split(","):
        globals()[what](Path(sys.argv[2]), fabric)
