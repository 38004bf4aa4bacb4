"""The same seed on the same machine gives the same numbers, bit for bit, for all that learns."""

import os
import subprocess
import sys

import pytest

from . import fits


@pytest.fixture(scope="module")
def here():
    return dict(fits.fingerprints(seed=0))


def test_the_same_seed_gives_the_same_numbers_in_one_process(here):
    assert dict(fits.fingerprints(seed=0)) == here


def test_another_seed_gives_other_numbers(here):
    other = dict(fits.fingerprints(seed=1))
    assert other.keys() == here.keys()
    assert not [name for name in here if other[name] == here[name]]


def test_the_same_seed_gives_the_same_numbers_in_another_process_whatever_order_sets_have(here):
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-m", "tests.fits"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment,
        cwd=os.path.dirname(os.path.dirname(fits.__file__)),
    )  # fmt: skip
    assert dict(line.rsplit(" ", 1) for line in done.stdout.splitlines()) == here
