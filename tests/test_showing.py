"""What pages show that they did not compute."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rnnbook import results_file, showing

ROOT = Path(__file__).resolve().parents[1]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.parametrize("folder", [".", "book/03-bptt"])
def test_results_are_found_from_a_page_and_from_the_top(folder, monkeypatch):
    monkeypatch.chdir(ROOT / folder)
    assert results_file("ragged.json").resolve() == ROOT / "book" / "results" / "ragged.json"


def test_without_a_copy_of_the_repository_results_are_fetched_once(tmp_path, monkeypatch):
    there, cache = tmp_path / "there", tmp_path / "cache"
    there.mkdir()
    (there / "new.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=there)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(showing, "RESULTS", f"http://127.0.0.1:{server.server_port}/")
        path = results_file("new.json")
        assert path.read_text() == "{}"
        (there / "new.json").unlink()
        assert results_file("new.json") == path
        server.shutdown()
