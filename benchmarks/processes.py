"""Time training in one process, in one with two threads, and in two processes sharing each batch.

    python benchmarks/processes.py             four minutes: book/results/processes.json
    python benchmarks/processes.py --quick     the same on tiny sizes, to see that it works

The same LSTM classifier, data and batches each time, on the CPU, in float32; the ways take turns,
round after round. Let the machine do nothing else.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from speed import RESULTS, machine

from rnnbook.files import write_atomically

WAYS = {"one process": (1, 1), "two threads": (1, 2), "two processes": (2, 1)}  # processes, threads
SIZE = {"time": 100, "embed_size": 64, "hidden_size": 128, "batches": 10}
QUICK = {"time": 5, "embed_size": 3, "hidden_size": 4, "batches": 2}
BATCH_SIZES = (8, 32, 128)


def main():
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--quick", action="store_true")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--results", type=Path, default=RESULTS / "processes.json")
    command.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    command.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = command.parse_args()
    size, batches = (QUICK, (4,)) if arguments.quick else (SIZE, BATCH_SIZES)
    if arguments.worker:
        work(arguments.worker, size, batches, arguments.out)
        return
    rounds = [
        {way: measure(way, arguments) for way in WAYS}
        for _ in range(1 if arguments.quick else arguments.rounds)
    ]
    rows = []
    for n, batch in enumerate(batches):
        row = {"batch_size": batch}
        for way in WAYS:
            seconds = [found[way][n]["seconds"] for found in rounds]
            row[way] = {
                "seconds": float(f"{statistics.median(seconds):.3g}"),
                "range": [float(f"{f(seconds):.3g}") for f in (min, max)],
                "peak_mb": round(statistics.median(found[way][n]["peak_mb"] for found in rounds)),
            }
        rows.append(row)
        print(row)
    results = {
        "what": "seconds of an epoch of training, the median over rounds",
        "size": size,
        "rows": rows,
        "rounds": len(rounds),
        "machine": machine(),
    }
    write_atomically(arguments.results, (json.dumps(results, indent=1) + "\n").encode())


def measure(way, arguments):
    """Train in processes of their own; return what the first of them found for each batch size."""
    out = arguments.results.with_suffix(".part")
    command = [sys.executable, __file__, "--worker", way, "--out", str(out)]
    command += ["--quick"] if arguments.quick else []
    threads = {"OMP_NUM_THREADS": str(WAYS[way][1])}
    subprocess.run(command, check=True, env={**os.environ, **threads}, stderr=subprocess.DEVNULL)
    found = json.loads(out.read_text())
    out.unlink()
    return found


def work(way, size, batches, out):
    import torch
    from lightning_fabric import Fabric

    processes, threads = WAYS[way]
    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy)
    fabric.launch()
    torch.set_num_threads(threads)
    found = [train(batch, size, fabric) for batch in batches]  # small ones first: the peak grows
    if fabric.global_rank == 0:
        out.write_text(json.dumps(found))


def train(batch, size, fabric):
    from rnnbook import pytorch, training

    rng, count = np.random.default_rng(0), batch * size["batches"]
    tokens, labels = rng.integers(1, 1000, (count, size["time"])), rng.integers(0, 2, count)
    width = size["embed_size"], size["hidden_size"]
    model = pytorch.SequenceClassifier(1000, *width, 2, cell="lstm")
    history = training.fit(
        model,
        training.ArrayBatches(tokens, labels, batch),
        optimizer=pytorch.Adam(model.parameters()),
        epochs=3,
        progress=False,
        fabric=fabric,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
    return {"seconds": min(history["seconds"].iloc[1:]), "peak_mb": peak}


if __name__ == "__main__":
    main()
