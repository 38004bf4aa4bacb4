"""Time training in one process, in one with two threads, and in two processes sharing each batch.

    python benchmarks/processes.py             five minutes: book/results/processes.json
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
BATCH_SIZES = (8, 32, 128, 512)


def main():
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--quick", action="store_true")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--results", type=Path, default=RESULTS / "processes.json")
    command.add_argument("--worker", nargs=2, metavar=("WAY", "BATCH"), help=argparse.SUPPRESS)
    command.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = command.parse_args()
    if arguments.worker:
        work(*arguments.worker, QUICK if arguments.quick else SIZE, arguments.out)
        return
    rows = []
    for batch in (4,) if arguments.quick else BATCH_SIZES:
        times = {way: [] for way in WAYS}
        memory = {way: [] for way in WAYS}
        for _ in range(1 if arguments.quick else arguments.rounds):
            for way in WAYS:
                one = measure(way, batch, arguments)
                times[way].append(one["seconds"])
                memory[way].append(one["peak_mb"])
        row = {"batch_size": batch}
        for way in WAYS:
            row[way] = {
                "seconds": float(f"{statistics.median(times[way]):.3g}"),
                "range": [float(f"{f(times[way]):.3g}") for f in (min, max)],
                "peak_mb": round(statistics.median(memory[way])),
            }
        rows.append(row)
        print(row, flush=True)
    results = {
        "what": "seconds of an epoch of training, the median over rounds",
        "size": QUICK if arguments.quick else SIZE,
        "rows": rows,
        "rounds": 1 if arguments.quick else arguments.rounds,
        "machine": machine(),
    }
    write_atomically(arguments.results, (json.dumps(results, indent=1) + "\n").encode())


def measure(way, batch, arguments):
    """Train in processes of their own; return what the first of them found."""
    out = arguments.results.with_suffix(".part")
    command = [sys.executable, __file__, "--worker", way, str(batch), "--out", str(out)]
    command += ["--quick"] if arguments.quick else []
    threads = {"OMP_NUM_THREADS": str(WAYS[way][1])}
    subprocess.run(command, check=True, env={**os.environ, **threads}, stderr=subprocess.DEVNULL)
    found = json.loads(out.read_text())
    out.unlink()
    return found


def work(way, batch, size, out):
    import torch
    from lightning_fabric import Fabric

    from rnnbook import pytorch, training

    processes, threads = WAYS[way]
    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy)
    fabric.launch()
    torch.set_num_threads(threads)
    rng, count = np.random.default_rng(0), int(batch) * size["batches"]
    tokens, labels = rng.integers(1, 1000, (count, size["time"])), rng.integers(0, 2, count)
    model = pytorch.SequenceClassifier(
        1000, size["embed_size"], size["hidden_size"], 2, cell="lstm"
    )
    history = training.fit(
        model,
        training.ArrayBatches(tokens, labels, int(batch)),
        optimizer=pytorch.Adam(model.parameters()),
        epochs=4,
        progress=False,
        fabric=fabric,
    )
    if fabric.global_rank == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
        found = {"seconds": min(history["seconds"].iloc[1:]), "peak_mb": peak}
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
