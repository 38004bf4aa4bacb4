"""How `pytest --nbval` treats the notebooks: offline, and strictly where the data are at hand."""

import os

import pytest

from rnnbook.data import fetch, imdb, series, shakespeare

# Chapters whose stored outputs come from a data set. Without it they run on a generated sample, so
# their outputs are not compared; errors and failed asserts still fail.
NEEDS = {
    "05-imdb": imdb.ARCHIVE,
    "06-forecasting": series.FILES["ETTh1"],
    "07-text": shakespeare.FILE,
}

os.environ.setdefault("RNNBOOK_OFFLINE", "1")  # the kernels inherit it


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
