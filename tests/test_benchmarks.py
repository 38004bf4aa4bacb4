"""The benchmark runs and reports what the book reads; how fast anything is, no test says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROW = {
    "layer", "size", "mode", "ratio", "ratio_range",
    "scratch_ms", "torch_ms", "scratch_gflops", "torch_gflops",
    "scratch_share_of_peak", "torch_share_of_peak", "scratch_peak_mb", "torch_peak_mb",
}  # fmt: skip


def check_results(results):
    modes = {(row["layer"], row["mode"]) for row in results["rows"]}
    assert modes == {(k, m) for k in ("RNN", "GRU", "LSTM") for m in ("forward", "training")}
    for row in results["rows"]:
        assert set(row) == ROW
        low, high = row["ratio_range"]
        assert 0 < low <= row["ratio"] <= high
        assert 0 < row["scratch_share_of_peak"] < 1
    for mode in ("forward", "training"):
        assert set(results["geomean"][mode]) == {"RNN", "GRU", "LSTM", "all"}
    assert {point["layer"] for point in results["growth"]} == {"RNN", "GRU", "LSTM"}
    assert set(results["products_us"]) == {"by gate", "rows", "columns"}
    assert results["machine"]["processor"] and results["threads"] >= 1
    assert results["peak_gflops"] > 0


def test_a_quick_run_measures_every_layer_and_mode(tmp_path):
    path = tmp_path / "speed.json"
    command = [sys.executable, ROOT / "benchmarks" / "speed.py", "--quick", "--results", path]
    subprocess.run(command, check=True, capture_output=True)
    results = json.loads(path.read_text())
    check_results(results)
    first = results["rows"][0]
    assert first["ratio"] == pytest.approx(first["scratch_ms"] / first["torch_ms"], rel=1e-2)
    assert results["torch_peak_gflops"] > 0


@pytest.mark.parametrize("name", ["speed-amd.json", "speed-intel.json"])
def test_the_committed_results_are_whole(name):
    results = json.loads((ROOT / "book" / "results" / name).read_text(encoding="utf-8"))
    check_results(results)
    assert len(results["rows"]) == 36 and results["rounds"] >= 3
    assert {point["vary"] for point in results["growth"]} == {"T", "N", "H"}


def test_a_quick_run_measures_every_way_through_a_ragged_batch(tmp_path):
    path = tmp_path / "ragged.json"
    command = [sys.executable, ROOT / "benchmarks" / "speed.py", "--ragged", "--quick"]
    subprocess.run([*command, "--results", path], check=True, capture_output=True)
    layers = json.loads(path.read_text())["layers"]
    assert set(layers) == {"RNN", "GRU", "LSTM"}
    for times in layers.values():
        assert set(times) == {"size", "packed_ms", "twin_ms", "scratch_ms", "padded_ms"}


def check_processes(results):
    ways = {"one process", "two threads", "two processes"}
    for row in results["rows"]:
        assert set(row) == {"batch_size", *ways}
        for way in ways:
            low, high = row[way]["range"]
            assert 0 < low <= row[way]["seconds"] <= high and row[way]["peak_mb"] > 0
    assert results["machine"]["cores"] >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak of memory")
def test_a_quick_run_times_one_process_two_threads_and_two_processes(tmp_path):
    path = tmp_path / "processes.json"
    command = [sys.executable, ROOT / "benchmarks" / "processes.py", "--quick", "--results", path]
    subprocess.run(command, check=True, capture_output=True)
    results = json.loads(path.read_text())
    check_processes(results)
    assert [p.name for p in tmp_path.iterdir()] == ["processes.json"]


PROCESSES = ROOT / "book" / "results" / "processes.json"


@pytest.mark.skipif(not PROCESSES.exists(), reason="not measured yet")
def test_the_committed_times_of_processes_are_whole():
    results = json.loads(PROCESSES.read_text(encoding="utf-8"))
    check_processes(results)
    assert results["rounds"] >= 3 and results["size"]["time"] == 100
