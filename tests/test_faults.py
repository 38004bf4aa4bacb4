"""Faults that really happen here: processes that are killed, disks that are full."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors

from . import kill_training

ROOT = Path(__file__).resolve().parents[1]


def read(path):
    """Return (history, weights) as ``kill_training.keep`` wrote them."""
    with safetensors.safe_open(path, framework="np") as file:
        rows = json.loads(file.metadata()["rows"])
        return pd.DataFrame(rows), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_equal(one, other):
    pd.testing.assert_frame_equal(one[0], other[0], check_exact=True)
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, other[1][name], err_msg=name)


@pytest.mark.skipif(sys.platform != "linux", reason="a fork that trains is safe on Linux only")
@pytest.mark.parametrize("twin", ["scratch", "pytorch"])
def test_a_run_that_is_killed_many_times_ends_as_one_that_never_was(twin, tmp_path):
    command = [sys.executable, kill_training.__file__, twin, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    assert_equal(read(tmp_path / "resumed"), read(tmp_path / "whole"))


@pytest.fixture(params=["full disk", "file size limit"])
def disk(request, tmp_path):
    """A folder, and how to fill and free its disk: one of 64 kB, or a limit on this process."""
    if request.param == "full disk":
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "rnnbook", str(tmp_path)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("only root on Linux can mount a small disk")
        waste = tmp_path / "waste"

        def fill():
            free = os.statvfs(tmp_path)
            waste.write_bytes(bytes(free.f_bavail * free.f_bsize))

        yield tmp_path, fill, waste.unlink, errno.ENOSPC
        subprocess.run(["umount", str(tmp_path)], check=True)
    else:
        resource = pytest.importorskip("resource")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)

        def limit(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

        yield tmp_path, lambda: limit(1000), lambda: limit(before[0]), errno.EFBIG
        limit(before[0])


@pytest.mark.parametrize("twin", ["scratch", "pytorch"])
def test_a_full_disk_keeps_the_last_checkpoint_and_training_goes_on_once_there_is_space(
    twin, disk, tmp_path_factory, monkeypatch
):
    folder, fill, free, number = disk
    checkpoint = folder / "checkpoint"
    monkeypatch.setattr(kill_training, "EPOCHS", 2)
    kill_training.train(twin, checkpoint)
    good, names = checkpoint.read_bytes(), sorted(os.listdir(folder))
    monkeypatch.setattr(kill_training, "EPOCHS", 4)
    fill()
    try:
        with pytest.raises(OSError) as caught:
            kill_training.train(twin, checkpoint)
    finally:
        free()
    assert caught.value.errno == number
    assert checkpoint.read_bytes() == good
    assert sorted(os.listdir(folder)) == names
    other = tmp_path_factory.mktemp("roomy") / "checkpoint"
    assert_equal(kill_training.train(twin, checkpoint), kill_training.train(twin, other))


def test_an_experiment_that_is_killed_repeats_no_finished_run(tmp_path):
    results = tmp_path / "results.json"
    command = [sys.executable, str(ROOT / "experiments" / "memory.py"), "--sample"]
    command += ["--only", "adding-*-rnn-rate*", "--results", str(results)]
    command += ["--cache", str(tmp_path / "cache")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in running.stdout:
        if results.exists() and "(3 of" in line:  # two runs are finished, the third one has begun
            break
    running.kill()
    running.wait()
    running.stdout.close()
    first = json.loads(results.read_text())["runs"]
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    runs = json.loads(results.read_text())["runs"]
    assert 2 <= len(first) < len(runs)
    assert list(runs.items())[: len(first)] == list(first.items())  # times too
    assert not [name for name in first if name in again]
    assert not list((tmp_path / "cache").iterdir())
