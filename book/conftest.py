"""How `pytest --nbval` treats the notebooks: offline, and strictly where the data are at hand."""

import itertools
import os
import sys
import tempfile

import nbval.kernel
import pytest
from nbval.kernel import KernelManager

from rnnbook.data import fetch, imdb, series, shakespeare

# Chapters whose stored outputs come from a data set. Without it they run on a generated sample, so
# their outputs are not compared; errors and failed asserts still fail.
NEEDS = {
    "05-imdb": imdb.ARCHIVE,
    "06-forecasting": series.FILES["ETTh1"],
    "07-text": shakespeare.FILE,
}

os.environ.setdefault("RNNBOOK_OFFLINE", "1")  # the kernels inherit it

sockets = tempfile.TemporaryDirectory(prefix="rnnbook-")  # one a process, removed at its end
numbers = itertools.count()


def kernel_manager(**options):
    """A kernel that is reached through files, not ports.

    Two workers that each pick free ports for a kernel may pick the same. Then a kernel dies at its
    start, or its heartbeat waits for ever on a socket of another kind, and pytest waits with it.
    """
    file = f"{sockets.name}/{next(numbers)}.json"
    return KernelManager(transport="ipc", connection_file=file, **options)


if sys.platform != "win32":  # ZeroMQ has no files to talk through there
    nbval.kernel.KernelManager = kernel_manager


def at_hand(file):
    try:
        return bool(fetch.locate(file))
    except fetch.DataUnavailableError:
        return False


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path):
    collectors = yield
    file = NEEDS.get(file_path.parent.name)
    if file and not at_hand(file):
        for notebook in collectors:
            notebook.compare_outputs = False
    return collectors
