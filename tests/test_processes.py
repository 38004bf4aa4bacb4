"""Several processes train as one: two are really started here, on CPUs, connected by gloo."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import safetensors
from lightning_fabric import Fabric

from rnnbook import pytorch, training

from . import two_processes
from .two_processes import TASKS, TWINS, texts, train

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

EVERY = pytest.mark.parametrize("name", [f"{twin}-{task}" for twin in TWINS for task in TASKS])


def start(what, folder):
    """Run the script in two processes; return the first one's exit status and all messages."""
    command = [sys.executable, two_processes.__file__, what, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A folder with what two processes found."""
    folder = tmp_path_factory.mktemp("together")
    rng = np.random.default_rng(0)
    rng.standard_normal((10_000, 500), np.float32).tofile(folder / "big")
    train("pytorch", "texts", checkpoint=folder / "0.checkpoint", epochs=1)
    status, messages = start("equal,share,apart", folder)
    assert status == 0, messages
    return folder


def read(path):
    """Return (history, weights) as ``two_processes.keep`` wrote them."""
    with safetensors.safe_open(path, framework="np") as file:
        rows = json.loads(file.metadata()["rows"])
        return pd.DataFrame(rows), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_equal(one, other, rtol=0.0):
    histories = [
        history.drop(columns="seconds").reset_index(drop=True) for history, _ in (one, other)
    ]
    pd.testing.assert_frame_equal(*histories, check_exact=rtol == 0, rtol=rtol or 1e-5)
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_allclose(array, other[1][name], rtol=rtol, atol=rtol, err_msg=name)


@EVERY
def test_two_processes_train_as_one_does_on_the_whole_batch(together, name):
    assert_equal(read(together / "0" / name), train(*name.split("-")), rtol=1e-10)


@EVERY
def test_both_processes_end_with_the_same_history_and_weights(together, name):
    one, other = (read(together / rank / name) for rank in "01")
    pd.testing.assert_frame_equal(one[0], other[0], check_exact=True)  # seconds too
    assert_equal(one, other)


def test_only_the_first_process_writes_the_checkpoint(together):
    names = {f"{twin}-{task}.checkpoint" for twin in TWINS for task in TASKS}
    assert {path.name for path in (together / "0").iterdir()} >= names
    assert not [path for path in (together / "1").iterdir() if path.suffix == ".checkpoint"]


def test_each_process_computes_half_of_every_batch_and_holds_no_more_than_a_batch(together):
    for rank in "01":
        seen = json.loads((together / f"share{rank}").read_text())
        assert seen["rows"] == [125] * 40
        assert seen["peak"] < 2_000_000  # bytes: a batch has 500,000, the file 20,000,000


def test_a_killed_process_ends_the_job_with_an_error_and_a_checkpoint_that_one_process_resumes(
    tmp_path,
):
    status, messages = start("killed", tmp_path)
    assert status != 0
    assert "process 0 of 2 cannot reach the others: one has ended" in messages
    assert "it goes on after the last whole epoch" in messages
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    resumed = train("pytorch", "texts", checkpoint=tmp_path / "checkpoint")
    assert len(resumed[0]) == 2
    assert_equal(resumed, train("pytorch", "texts"), rtol=1e-10)


def test_a_checkpoint_that_only_one_machine_sees_is_refused(together):
    for rank in "01":
        message = (together / f"refused{rank}").read_text()
        assert (
            f"the epoch reached is {1 - int(rank)} in process {rank} and 1 in process 0" in message
        )


def test_a_fabric_of_one_process_changes_nothing():
    assert_equal(
        train("pytorch", "texts"), train("pytorch", "texts", Fabric(accelerator="cpu", devices=1))
    )


@pytest.mark.parametrize(
    ("fabric", "error", "message"),
    [
        ("cpu", TypeError, "fabric='cpu': expected a lightning_fabric.Fabric"),
        ({"devices": 2, "strategy": "ddp"}, ValueError, r"not launched: call fabric.launch\(\)"),
        ({"devices": 1, "precision": "bf16-mixed"}, ValueError, "precision='bf16-mixed': expected"),
    ],
)  # fmt: skip
def test_a_fabric_that_asks_for_what_would_not_be_done_is_refused(fabric, error, message):
    fabric = fabric if isinstance(fabric, str) else Fabric(accelerator="cpu", **fabric)
    model = two_processes.model_of("pytorch", "texts")
    optimizer = pytorch.Adam(model.parameters())
    with pytest.raises(error, match=message):
        training.fit(model, texts(), optimizer=optimizer, progress=False, fabric=fabric)
