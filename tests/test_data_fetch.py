"""Where data files come from, tried against a server on this machine that misbehaves on request."""

import gc
import hashlib
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from rnnbook.data import fetch

CONTENT = bytes(range(256)) * 2_000


class Handler(BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path in ("/moved", "/round-and-round"):
            self.send_response(302)
            self.send_header("Location", {"/moved": "/good"}.get(self.path, self.path))
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/cut-without-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        if self.path == "/marked-as-gzip" and "gzip" in self.headers["Accept-Encoding"]:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        body = {
            "/truncated": CONTENT[: len(CONTENT) // 2],
            "/cut-without-length": CONTENT[: len(CONTENT) // 2],
            "/stalled": CONTENT[: len(CONTENT) // 2],
            "/reset": CONTENT[: len(CONTENT) // 2],
            "/wrong": CONTENT[::-1],
            "/one-bit": CONTENT[:-9] + bytes([CONTENT[-9] ^ 1]) + CONTENT[-8:],
        }.get(self.path, CONTENT)
        if self.path == "/slow":
            for start in range(0, len(body), 2**16):
                self.wfile.write(body[start : start + 2**16])
                time.sleep(0.02)
            return
        self.wfile.write(body)
        if self.path == "/stalled":
            time.sleep(2)
        if self.path == "/reset":
            now = struct.pack("ii", 1, 0)  # close at once, with what is not sent thrown away
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.connection.close()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(fetch, "cache_folder", lambda: folder)
    monkeypatch.delenv("RNNBOOK_DATA", raising=False)
    monkeypatch.delenv("RNNBOOK_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Handler, "asked", [])
    return folder


@pytest.fixture
def file(server):
    return fetch.DataFile(
        name="set/file.bin",
        url=f"{server}/good",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        title="the test file",
    )


def kept(folder):
    return [p for p in folder.rglob("*") if p.is_file()] if folder.exists() else []


def test_a_download_is_kept_in_the_cache_and_used_from_there(cache, file):
    found = fetch.locate(file)
    assert found == cache / "set/file.bin"
    assert found.read_bytes() == CONTENT
    assert fetch.locate(file) == found
    assert Handler.asked == ["/good"]
    assert kept(cache) == [found]


def test_a_download_shows_a_progress_bar(cache, file, capsys):
    fetch.locate(file)
    assert "100%" in capsys.readouterr().err


def test_an_archive_that_the_server_marks_as_compressed_arrives_as_it_is(cache, file):
    marked = replace(file, url=file.url.replace("good", "marked-as-gzip"))
    assert fetch.locate(marked).read_bytes() == CONTENT


def test_a_download_follows_a_redirection(cache, file):
    moved = replace(file, url=file.url.replace("good", "moved"))
    assert fetch.locate(moved).read_bytes() == CONTENT
    assert Handler.asked == ["/moved", "/good"]


FAULTS = [
    "truncated", "cut-without-length", "stalled", "reset", "wrong", "one-bit", "missing",
    "round-and-round",
]  # fmt: skip


@pytest.mark.parametrize("how", FAULTS)
def test_a_failed_download_says_what_to_do_and_leaves_nothing(cache, file, how, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.5)
    bad = replace(file, url=file.url.replace("good", how))
    with pytest.raises(fetch.DataUnavailableError) as caught:
        fetch.locate(bad)
    message = str(caught.value)
    for part in ("the test file", "set/file.bin", bad.url, "path=", "RNNBOOK_DATA", "Try again"):
        assert part in message
    assert kept(cache) == []


def test_a_failure_names_its_cause(cache, file):
    with pytest.raises(fetch.DataUnavailableError, match="404"):
        fetch.locate(replace(file, url=file.url.replace("good", "missing")))
    with pytest.raises(fetch.DataUnavailableError, match="hash"):
        fetch.locate(replace(file, url=file.url.replace("good", "wrong")))


def test_two_processes_may_download_into_one_cache_at_once(cache, file):
    script = f"""
from dataclasses import replace
from pathlib import Path
from rnnbook.data import fetch
fetch.cache_folder = lambda: Path({str(cache)!r})
file = fetch.{file!r}
for number in range(3):
    slow = replace(file, name=f"set/{{number}}.bin", url=file.url.replace("good", "slow"))
    assert fetch.locate(slow).read_bytes() == bytes(range(256)) * 2_000
"""
    command = [sys.executable, "-c", script]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert sorted(path.name for path in kept(cache)) == ["0.bin", "1.bin", "2.bin"]
    assert Handler.asked.count("/slow") > 3  # both did download


def test_after_a_failure_the_next_try_starts_afresh(cache, file):
    with pytest.raises(fetch.DataUnavailableError):
        fetch.locate(replace(file, url=file.url.replace("good", "truncated")))
    assert fetch.locate(file).read_bytes() == CONTENT


def test_a_server_that_cannot_be_reached_is_unavailable_data(cache, file):
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch.locate(replace(file, url="http://127.0.0.1:1/nobody"))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pooch leaves it to Python
def test_a_download_that_the_user_interrupts_leaves_nothing(cache, file, monkeypatch):
    def interrupted(self, chunk_size):
        yield CONTENT[:chunk_size]
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch.locate(file)
    assert kept(cache) == []
    gc.collect()


def test_a_damaged_file_in_the_cache_is_downloaded_again(cache, file):
    target = cache / file.name
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:1000])
    assert fetch.locate(file).read_bytes() == CONTENT


def test_offline_never_asks_the_network_and_never_trusts_a_damaged_file(cache, file, monkeypatch):
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    with pytest.raises(fetch.DataUnavailableError, match="RNNBOOK_OFFLINE"):
        fetch.locate(file)
    target = cache / file.name
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:1000])
    with pytest.raises(fetch.DataUnavailableError, match="RNNBOOK_OFFLINE"):
        fetch.locate(file)
    target.write_bytes(CONTENT)
    assert fetch.locate(file) == target
    assert Handler.asked == []


def test_offline_zero_means_online(cache, file, monkeypatch):
    monkeypatch.setenv("RNNBOOK_OFFLINE", "0")
    assert fetch.locate(file).read_bytes() == CONTENT


def test_a_path_comes_before_the_data_folder_and_that_before_the_cache(
    cache, file, tmp_path, monkeypatch
):
    own, folder = tmp_path / "own.bin", tmp_path / "data"
    for path in (own, folder / file.name, cache / file.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    monkeypatch.setenv("RNNBOOK_DATA", str(folder))
    assert fetch.locate(file, own) == own
    assert fetch.locate(file, str(own)) == own
    assert fetch.locate(file) == folder / file.name
    (folder / file.name).unlink()
    assert fetch.locate(file) == cache / file.name
    assert Handler.asked == []


def test_a_path_that_does_not_exist_is_an_error_at_once(cache, file, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.bin.*the test file"):
        fetch.locate(file, tmp_path / "nowhere.bin")
    assert Handler.asked == []


def test_a_data_folder_without_the_file_is_named_in_the_failure(cache, file, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    with pytest.raises(fetch.DataUnavailableError) as caught:
        fetch.locate(file)
    assert f"now {tmp_path}, which does not" in str(caught.value)
