"""Text as characters: read from a file, cut in two, encoded, kept; and Tiny Shakespeare."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from rnnbook.data import fetch, shakespeare
from rnnbook.data.characters import CharVocab, read_text, split
from rnnbook.data.text import Vocab

POEM = "床前明月光，\n疑是地上霜。"


def test_a_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes(POEM.encode())
    assert read_text(path) == read_text(str(path)) == POEM


def test_line_ends_of_all_systems_become_one_and_a_byte_order_mark_is_no_character(tmp_path):
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(path) == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9 noir", "text.txt.* is not UTF-8 text .*at byte 3.*save it as UTF-8"),
        (b"", "text.txt.* is empty: expected a text"),
        (b"\xef\xbb\xbf", "text.txt.* is empty"),
        (b"a", "text.txt.* has one character only, 'a': expected at least two"),
        (b"\n\n\r\n", "has one character only, '.n'"),
    ],
)
def test_a_file_that_nothing_can_be_learned_from_is_refused(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none.txt")


def test_the_end_of_a_text_is_held_out():
    assert split("abcdefghij" * 2) == ("abcdefghij" + "abcdefgh", "ij")
    assert split("abcdefgh", 0.5) == ("abcd", "efgh")


@pytest.mark.parametrize(
    ("text", "fraction", "message"),
    [
        ("abcdef", 0, "fraction=0: expected"),
        ("abcdef", 1, "fraction=1: expected"),
        ("abcdef", 0.1, "fraction=0.1 of 6 characters leaves 5 and 1: expected at least 2 on"),
        ("abcdef", 0.9, "leaves 0 and 6"),
    ],
)
def test_a_part_too_short_to_predict_in_is_refused(text, fraction, message):
    with pytest.raises(ValueError, match=message):
        split(text, fraction)


@pytest.mark.parametrize("text", ["To be, or not to be\n", POEM, "añb́ 🙂🙃", "\x00\ud800 "])
def test_any_text_comes_back_from_its_ids(text):
    vocab = CharVocab.build(text)
    ids = vocab.encode(text)
    assert ids.dtype == np.int64 and ids.shape == (len(text),)
    assert set(ids.tolist()) == set(range(len(vocab)))  # id 0 is a character like the others
    assert vocab.decode(ids) == text
    assert vocab.encode("").shape == (0,) and vocab.decode([]) == ""


def test_characters_are_ordered_by_their_code_points():
    vocab = CharVocab.build("ba月\nb")
    assert vocab.tokens == ["\n", "a", "b", "月"]
    assert len(vocab) == 4 and "月" in vocab and "日" not in vocab
    np.testing.assert_array_equal(vocab.encode("b月"), [2, 3])
    assert repr(vocab) == "CharVocab(4 characters)"


def test_unknown_characters_are_named():
    vocab = CharVocab.build("abc")
    with pytest.raises(ValueError, match=r"text has 'é', '月': expected only the 3 characters"):
        vocab.encode("aé月éb")
    with pytest.raises(ValueError, match=r"text has 'd', .* 'm' and 13 more: expected"):
        vocab.encode("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CharVocab.build(""), ValueError, "text is empty"),
        (lambda: CharVocab.build("aaa"), ValueError, "text has one character only, 'a'"),
        (lambda: CharVocab.build(["a", "b"]), TypeError, r"text=\['a', 'b'\]: expected a str"),
        (lambda: CharVocab([]), ValueError, "tokens is empty"),
        (lambda: CharVocab(["a", "bc"]), ValueError, r"tokens\[1\]='bc': expected a single"),
        (lambda: CharVocab(["a", 3]), ValueError, r"tokens\[1\]=3: expected a single character"),
        (lambda: CharVocab("aba"), ValueError, "tokens names 'a' twice"),
        (lambda: CharVocab("ab").encode(3), TypeError, "text=3: expected a str"),
        (lambda: CharVocab("ab").decode([2]), ValueError, "ids contains 2: expected .* 0 to 1"),
        (lambda: CharVocab("ab").decode([0.5]), TypeError, "ids has dtype float64"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_vocabulary_comes_back_from_its_file(tmp_path):
    vocab = CharVocab.build(POEM)
    vocab.save(tmp_path / "v.json")
    again = CharVocab.load(tmp_path / "v.json")
    assert again == vocab and again.tokens == vocab.tokens
    assert vocab != CharVocab.build("ab")


def test_a_vocabulary_of_words_is_not_one_of_characters_nor_the_other_way_round(tmp_path):
    Vocab.build(["a b"], 9).save(tmp_path / "words.json")
    with pytest.raises(ValueError, match="words.json.* not a vocabulary that CharVocab.save wrote"):
        CharVocab.load(tmp_path / "words.json")
    CharVocab("ab").save(tmp_path / "characters.json")
    with pytest.raises(ValueError, match="not a vocabulary that Vocab.save wrote"):
        Vocab.load(tmp_path / "characters.json")


def test_a_damaged_vocabulary_is_refused_by_name(tmp_path):
    path = tmp_path / "v.json"
    path.write_text('{"format": "rnnbook.CharVocab", "version": 1, "tokens": ["a", "bc"]}')
    with pytest.raises(ValueError, match=r"v.json.* wrote: tokens\[1\]='bc'"):
        CharVocab.load(path)
    with pytest.raises(FileNotFoundError):
        CharVocab.load(tmp_path / "none.json")


def copy_of(folder, content):
    path = folder / shakespeare.FILE.name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_shakespeare_is_cut_into_the_usual_parts(tmp_path, monkeypatch):
    letters = bytes(range(32, 32 + 65))
    content = (letters * 20_000)[: shakespeare.FILE.size]
    copy_of(tmp_path, content)
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    train, held_out = shakespeare.load()
    assert (len(train), len(held_out)) == (1_003_854, 111_540)
    assert (train + held_out).encode() == content


@pytest.mark.parametrize("content", [b"To be", b"", b"\xff\xfe", b"ab" * 557_697])
def test_some_other_text_is_no_copy_of_shakespeare(tmp_path, content):
    path = copy_of(tmp_path, content)
    with pytest.raises(ValueError, match="input.txt is not a usable copy of Tiny Shakespeare: .*"):
        shakespeare.load(path)


def test_without_the_file_the_failure_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path)
    monkeypatch.delenv("RNNBOOK_DATA", raising=False)
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    with pytest.raises(
        fetch.DataUnavailableError, match="Tiny Shakespeare .*1,115,394 bytes.*char"
    ):
        shakespeare.load()


REAL = Path(os.environ.get("RNNBOOK_DATA", "nowhere")) / shakespeare.FILE.name


@pytest.mark.skipif(not REAL.is_file(), reason="no copy of Tiny Shakespeare on this machine")
def test_the_real_file_has_the_published_size_and_checksum():
    content = REAL.read_bytes()
    assert len(content) == shakespeare.FILE.size
    assert hashlib.sha256(content).hexdigest() == shakespeare.FILE.sha256
    train, held_out = shakespeare.load(REAL)
    assert train.startswith("First Citizen:\nBefore we proceed")
    assert set(held_out) < set(train)


def test_without_the_plays_the_package_itself_is_the_text_and_says_so(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    train, held_out = shakespeare.load_or_sample()
    assert train + held_out == shakespeare.own_source()
    assert "class LSTMCell(GatedCell):" in train + held_out
    assert "not about Shakespeare" in capsys.readouterr().out


def test_a_damaged_copy_of_the_plays_is_not_replaced_by_another_text(tmp_path):
    path = tmp_path / "input.txt"
    path.write_text("To be, or not to be", encoding="utf-8")
    with pytest.raises(ValueError, match="not a usable copy"):
        shakespeare.load_or_sample(path)
