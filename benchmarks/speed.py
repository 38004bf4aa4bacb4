"""Time the recurrent layers from scratch against those of torch.nn, on the CPU, in float32.

    python benchmarks/speed.py             everything, a quarter of an hour: book/results/speed.json
    python benchmarks/speed.py --ragged    batches of unequal lengths: book/results/ragged.json
    python benchmarks/speed.py --quick --results FILE    the same on tiny sizes, to see it work

Each side runs in a process of its own, one after the other, round after round: in one process the
thread pools of NumPy's BLAS and of torch would disturb each other. Let the machine do nothing else.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from rnnbook.files import write_atomically

RESULTS = Path(__file__).resolve().parents[1] / "book" / "results"
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SIZES = [  # T, N, D, H
    (100, 32, 64, 128),
    (250, 64, 128, 128),
    (100, 64, 256, 256),
    (50, 128, 256, 512),
    (100, 1, 64, 128),
    (400, 16, 32, 64),
]
BASE = (100, 32, 64, 128)
PRODUCT = (64, 128)  # N, H
GROWTH = {"T": (50, 100, 200, 400, 800), "N": (1, 8, 32, 128), "H": (32, 64, 128, 256, 512)}
RAGGED = (200, 32, 64, 64)
QUICK_SIZES, QUICK_BASE, QUICK_GROWTH = [(5, 2, 3, 4)], (5, 2, 3, 4), {"T": (5, 10)}

PROTOCOL = [
    "Sizes are (T, N, D, H). Forward: the layer called on x, without a cache or without gradients. "
    "Training: forward, gradients set to zero, backward from every output to the parameters and x; "
    "the gradient of the outputs is a given array, (T, N, H) in memory as on paper.",
    "Both sides in float32, with the same number of threads, each in a process of its own, in "
    "turn. A process repeats each mode for at least the seconds given and keeps its best time.",
    "A ratio is scratch / torch of two processes that ran one after the other; of the rounds, the "
    "median is given, with the lowest and the highest. Times are medians over the rounds.",
    "Floating-point operations: 2 T N G H (D + H) forward, three times that in training, G the "
    "number of gates. Their share is of the best float32 matrix product of NumPy in any round; "
    "that of torch stands beside it. They use different libraries.",
    "Growth: a training step from scratch; median time and highest memory over the rounds.",
    "Products: what the four gates of an LSTM ask of the state in one step of N = 64, H = 128, "
    "in three layouts; microseconds, the best of any round.",
    "Peak memory: how far the first calls raise the highest resident size of a process that has "
    "everything imported and its inputs made.",
]


RAGGED_PROTOCOL = [
    "A training step, as without --ragged, on sequences of all lengths from T/2 to T. packed: "
    "torch.nn on a packed sequence; twin: rnnbook.pytorch; scratch: rnnbook.scratch; padded: "
    "torch.nn on the padded array, which computes something else, for it reads padding.",
    "Each way in a process of its own, in turn; medians over the rounds, in milliseconds.",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each mode and process")
    parser.add_argument("--results", type=Path, help="the file that is written")
    parser.add_argument("--ragged", action="store_true", help="unequal lengths instead")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--side", nargs=3, metavar=("WHO", "LAYER", "T,N,D,H"), help="one process")
    arguments = parser.parse_args()
    if arguments.side:
        who, layer, size = arguments.side
        size = tuple(map(int, size.split(",")))
        print(json.dumps(measure(who, layer, size, arguments.seconds, arguments.threads)))
        return
    if arguments.quick:
        if not arguments.results:
            parser.error("--quick measures nothing of use: name another file with --results")
        arguments.rounds, arguments.seconds = 1, 0.01
    name, function = ("ragged", run_ragged) if arguments.ragged else ("speed", run)
    results = function(arguments)
    path = arguments.results or RESULTS / f"{name}.json"
    write_atomically(path, json.dumps(results, indent=1).encode() + b"\n")


def load_before(arguments):
    """The load of this machine; a warning if it is not idle."""
    load = os.getloadavg()[0]
    if load > 0.5 and not arguments.quick:
        print(
            f"The load of this machine is {load:.1f}: what else runs here will show in the times."
        )
    return load


def run(arguments):
    sizes = QUICK_SIZES if arguments.quick else SIZES
    load = load_before(arguments)
    measured, peaks, products = {}, dict.fromkeys(("scratch", "torch"), 0.0), []
    for number in range(arguments.rounds):
        for who in peaks:
            peak = in_process(f"{who}-peak", "RNN", sizes[0], arguments)["gflops"]
            peaks[who] = max(peaks[who], peak)
        products.append(in_process("products", "RNN", sizes[0], arguments))
        for layer in GATES:
            for size in sizes:
                for who in ("scratch", "torch"):
                    one = in_process(who, layer, size, arguments)
                    measured.setdefault((layer, size), {}).setdefault(who, []).append(one)
                print(f"round {number + 1}: {layer} {size}", flush=True)
    rows = [
        row(layer, size, mode, sides, peaks["scratch"])
        for mode in ("forward", "training")
        for (layer, size), sides in measured.items()
    ]
    results = {
        "command": "python benchmarks/speed.py",
        "protocol": PROTOCOL,
        "machine": {**machine(), "load_before": load},
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "peak_gflops": digits(peaks["scratch"]),
        "torch_peak_gflops": digits(peaks["torch"]),
        "products_us": {name: digits(min(p[name] for p in products)) for name in products[0]},
        "rows": rows,
        "geomean": {mode: geomeans(rows, mode) for mode in ("forward", "training")},
        "growth": list(growth(arguments)),
    }
    for mode, means in results["geomean"].items():
        print(mode, means)
    return results


def run_ragged(arguments):
    load = load_before(arguments)
    layers = {layer: ragged(layer, arguments) for layer in GATES}
    return {
        "command": "python benchmarks/speed.py --ragged",
        "protocol": RAGGED_PROTOCOL,
        "machine": {**machine(), "load_before": load},
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "layers": layers,
    }


def in_process(who, layer, size, arguments):
    """Measure one side in a process of its own."""
    threads = str(arguments.threads)
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    command = [sys.executable, __file__, "--side", who, layer, ",".join(map(str, size))]
    command += ["--threads", threads, "--seconds", str(arguments.seconds)]
    done = subprocess.run(command, env=os.environ | limits, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure(who, layer, size, seconds, threads):
    """Best time and peak memory of each mode, in the process that this runs in."""
    if who in ("scratch-peak", "torch-peak"):
        return {"gflops": peak_gflops(who.removesuffix("-peak"), seconds, threads)}
    if who == "products":
        return products_us(seconds)
    modes = MODES[who](layer, size, threads)
    before, result = peak_memory(), {}
    for name, call in modes.items():
        call()
        call()
        result[name] = {"peak_mb": (peak_memory() - before) / 2**20}
    for name, call in modes.items():
        result[name]["ms"] = best(call, seconds) * 1e3
    return result


def scratch_modes(layer, size, threads):
    from rnnbook import scratch

    module, x, dy = getattr(scratch, layer)(*size[2:], rng=0), inputs(size), gradient(size)

    def training():
        _, _, cache = module.forward(x)
        module.zero_grad()
        module.backward(dy, None, cache)

    return {"forward": lambda: module(x), "training": training}


def torch_modes(layer, size, threads):
    import torch

    torch.set_num_threads(threads)
    module = getattr(torch.nn, layer)(*size[2:])
    x, dy = torch.tensor(inputs(size), requires_grad=True), torch.tensor(gradient(size))

    def forward():
        with torch.no_grad():
            module(x)

    def training():
        y, _ = module(x)
        module.zero_grad()
        y.backward(dy)

    return {"forward": forward, "training": training}


def ragged_scratch_modes(layer, size, threads):
    from rnnbook import scratch

    module, x, lengths = getattr(scratch, layer)(*size[2:], rng=0), inputs(size), lengths_of(size)
    dy = gradient(size)

    def training():
        _, _, cache = module.forward(x, None, lengths)
        module.zero_grad()
        module.backward(dy, None, cache)

    return {"training": training}


def ragged_torch_modes(layer, size, threads, way):
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from rnnbook import pytorch

    torch.set_num_threads(threads)
    module = getattr(pytorch if way == "twin" else torch.nn, layer)(*size[2:])
    x, dy = torch.tensor(inputs(size), requires_grad=True), torch.tensor(gradient(size))
    lengths = torch.tensor(lengths_of(size))

    def training():
        if way == "twin":
            y, _ = module(x, None, lengths)
        elif way == "packed":
            y, _ = module(pack_padded_sequence(x, lengths, enforce_sorted=False))
            y, _ = pad_packed_sequence(y)
        else:
            y, _ = module(x)
        module.zero_grad()
        y.backward(dy)

    return {"training": training}


WAYS = ("scratch", "twin", "packed", "padded")  # of a ragged batch
MODES = {
    "scratch": scratch_modes,
    "torch": torch_modes,
    "ragged-scratch": ragged_scratch_modes,
    **{f"ragged-{way}": partial(ragged_torch_modes, way=way) for way in WAYS[1:]},
}


def lengths_of(size):
    """Lengths from T/2 to T, in no order."""
    lengths = np.linspace(size[0] // 2, size[0], size[1]).round().astype(np.int64)
    return np.random.default_rng(0).permutation(lengths)


def inputs(size):
    return np.random.default_rng(0).standard_normal(size[:3]).astype(np.float32)


def gradient(size):
    return np.random.default_rng(1).standard_normal((*size[:2], size[3])).astype(np.float32)


def best(call, seconds):
    """Seconds of the fastest of many calls."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_gflops(who, seconds, threads, size=2048):
    """What one side's product of two large matrices reaches."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    matmul = np.matmul
    if who == "torch":
        import torch

        torch.set_num_threads(threads)
        a, matmul = torch.tensor(a), torch.matmul
    out = a @ a
    return 2 * size**3 / best(lambda: matmul(a, a, out=out), seconds) / 1e9


def products_us(seconds):
    """Microseconds of one step's product of an LSTM, by layout."""
    (batch, size), rng = PRODUCT, np.random.default_rng(0)

    def operand(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    layouts = {
        "by gate": (operand(batch, size), operand(4, size, size)),
        "rows": (operand(batch, size), operand(size, 4 * size)),
        "columns": (operand(4 * size, size), operand(size, batch)),
    }
    times = {}
    for name, (left, right) in layouts.items():
        out = left @ right
        times[name] = 1e6 * best(partial(np.matmul, left, right, out=out), seconds)
    return times


def peak_memory():
    """Highest resident size of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def row(layer, size, mode, sides, peak):
    """What the rounds say about one layer, size and mode."""
    ms = {who: [one[mode]["ms"] for one in rounds] for who, rounds in sides.items()}
    mb = {who: max(one[mode]["peak_mb"] for one in rounds) for who, rounds in sides.items()}
    ratios = [ours / theirs for ours, theirs in zip(ms["scratch"], ms["torch"], strict=True)]
    time_, batch, inputs_, hidden = size
    work = 2 * time_ * batch * GATES[layer] * hidden * (inputs_ + hidden)
    work *= 3 if mode == "training" else 1
    middle = {who: statistics.median(values) for who, values in ms.items()}
    gflops = {who: work / value / 1e6 for who, value in middle.items()}
    return {
        "layer": layer,
        "size": size,
        "mode": mode,
        "ratio": digits(statistics.median(ratios)),
        "ratio_range": [digits(min(ratios)), digits(max(ratios))],
        **{f"{who}_ms": digits(value) for who, value in middle.items()},
        **{f"{who}_gflops": digits(value) for who, value in gflops.items()},
        **{f"{who}_share_of_peak": digits(value / peak) for who, value in gflops.items()},
        **{f"{who}_peak_mb": digits(value) for who, value in mb.items()},
    }


def geomeans(rows, mode):
    """Geometric means of the ratios: of each layer, and of all."""
    ratios = {}
    for entry in rows:
        if entry["mode"] == mode:
            for name in (entry["layer"], "all"):
                ratios.setdefault(name, []).append(entry["ratio"])
    return {name: digits(statistics.geometric_mean(values)) for name, values in ratios.items()}


def ragged(layer, arguments):
    """Milliseconds of a training step on a ragged batch, in every way."""
    size = QUICK_BASE if arguments.quick else RAGGED
    times = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            one = in_process(f"ragged-{way}", layer, size, arguments)
            times[way].append(one["training"]["ms"])
    return {"size": size} | {f"{way}_ms": digits(statistics.median(t)) for way, t in times.items()}


def growth(arguments):
    """How time and memory of a training step from scratch grow with one size at a time."""
    base = QUICK_BASE if arguments.quick else BASE
    for layer in GATES:
        for letter, values in (QUICK_GROWTH if arguments.quick else GROWTH).items():
            for value in values:
                size = list(base)
                size["TNDH".index(letter)] = value
                measured = [
                    in_process("scratch", layer, size, arguments)["training"]
                    for _ in range(arguments.rounds)
                ]
                yield {
                    "layer": layer,
                    "vary": letter,
                    "value": value,
                    "ms": digits(statistics.median(one["ms"] for one in measured)),
                    "peak_mb": digits(max(one["peak_mb"] for one in measured)),
                }


def digits(value):
    """Round to four digits."""
    return float(f"{value:.4g}")


def machine():
    from importlib.metadata import version

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": version("torch"),
    }


def processor():
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
