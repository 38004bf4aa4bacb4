"""Tokens, vocabulary and batches."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbook.data.text import TOKENIZER, TextBatches, Vocab, list_texts, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It WAS good", ["it", "was", "good"]),
        ("Don't! Really?", ["don't", "!", "really", "?"]),
        ("don’t", ["don't"]),
        ("'quoted' dogs' tails", ["quoted", "dogs", "tails"]),
        ("rock'n'roll", ["rock'n'roll"]),
        ("end.<br /><br />Next<BR>line", ["end", ".", "next", "line"]),
        ("9.5 of 10, 1,000 in the 80's", ["9.5", "of", "10", ",", "1,000", "in", "the", "80's"]),
        ("10/10...", ["10", "10", ".", ".", "."]),
        ("a _fine_ film (really); no-one", ["a", "fine", "film", "really", "no", "one"]),
        ("Amélie, Čapek und Ähren", ["amélie", ",", "čapek", "und", "ähren"]),
        ("电影 good很好。", ["电", "影", "good", "很", "好", "。"]),
        ("", []),
        (" \n -- ()", []),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens


@given(st.text())
def test_tokenizing_the_joined_tokens_changes_nothing(text):
    tokens = tokenize(text)
    assert tokenize(" ".join(tokens)) == tokens


def test_a_changed_tokenizer_has_another_version():
    characters = "".join(map(chr, range(0x500)))  # there, Unicode no longer changes
    words = "Don't 'quoted' 3.5 1,000,000 10/10... <br/> <BR > x_y é’s a'b'c 好.电 ..!?，。！？ 5th"
    cut = json.dumps([tokenize(words), tokenize(characters)])
    assert TOKENIZER == {"name": "rnnbook.data.text.tokenize", "version": 1}
    assert hashlib.sha256(cut.encode()).hexdigest().startswith("54724fe7e5ccb60c")


@pytest.mark.parametrize("texts", [["a", ""], ("a", ""), np.array(["a", ""]), pd.Series(["a", ""])])
def test_lists_of_texts_come_in_many_forms(texts):
    assert list_texts(texts) == ["a", ""]
    assert list_texts(texts[:0]) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a text", "lines='a text': expected a list of str. Put one text in a list"),
        (b"bytes", r"lines\[0\]=98: expected a str"),
        (None, "lines=None: expected a list of str"),
        (iter(["a"]), "lines=<list_it.*: expected a list of str"),
        (np.array([["a"]]), "lines=array.*: expected a list of str"),
        (pd.DataFrame({"text": ["a"]}), "lines=.*: expected a list of str"),
        (["a", np.nan], r"lines\[1\]=nan: expected a str. Leave it out, or write ''"),
        (["a", ["b"]], r"lines\[1\]=\['b'\]: expected a str"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(texts, message):
    with pytest.raises(TypeError, match=f"(?s){message}"):
        list_texts(texts, "lines")


def test_a_vocabulary_ranks_by_count_then_alphabet():
    vocab = Vocab.build(["b a c a", "c b d a"], max_size=100)
    assert vocab.tokens == ["<pad>", "<unk>", "a", "b", "c", "d"]
    assert Vocab.build(["d c b a", "a b c a"], max_size=100) == vocab


def test_max_size_counts_the_specials_and_keeps_the_most_frequent():
    vocab = Vocab.build(["a a a b b c"], max_size=4)
    assert vocab.tokens == ["<pad>", "<unk>", "a", "b"]
    assert len(vocab) == 4


def test_rare_tokens_are_left_out():
    assert Vocab.build(["a a b"], max_size=9, min_count=2).tokens[2:] == ["a"]


def test_token_lists_and_texts_give_the_same_vocabulary():
    texts = ["The film was good.", "The plot was not."]
    assert Vocab.build(texts, 50) == Vocab.build([tokenize(t) for t in texts], 50)


def test_a_special_in_the_data_does_not_take_two_places():
    assert Vocab.build([["<unk>", "a", "<pad>"]], 9).tokens == ["<pad>", "<unk>", "a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_size": 2}, "max_size=2"),
        ({"max_size": -5}, "max_size=-5"),
        ({"max_size": 2.5}, "max_size=2.5"),
        ({"max_size": 9, "min_count": 0}, "min_count=0"),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Vocab.build(["a b"], **arguments)


def test_one_string_in_place_of_a_list_is_refused():
    with pytest.raises(TypeError, match="a list of texts"):
        Vocab.build("one text", 10)


@pytest.mark.parametrize(
    "tokens", [[], ["a", "b"], ["<unk>", "<pad>", "a"], ["<pad>", "<unk>", "a", "b", "a"]]
)
def test_a_list_without_specials_or_with_doubles_is_no_vocabulary(tokens):
    with pytest.raises(ValueError, match="tokens"):
        Vocab(tokens)


@pytest.fixture
def letters():
    return Vocab(["<pad>", "<unk>", "a", "b", "c", "d", "e"])


def test_encoding_gives_int64_and_unknown_tokens_one(letters):
    ids = letters.encode("A b zebra.")
    assert ids.dtype == np.int64
    assert ids.tolist() == [2, 3, 1, 1]
    assert letters.encode(["e", "d"]).tolist() == [6, 5]


@pytest.mark.parametrize(
    ("truncate", "length", "kept"),
    [
        ("head", 3, "a b c"),
        ("tail", 3, "c d e"),
        ("both", 3, "a b e"),
        ("both", 4, "a b d e"),
        ("both", 1, "a"),
        ("tail", 1, "e"),
        ("head", 5, "a b c d e"),
        ("tail", 9, "a b c d e"),
        ("both", None, "a b c d e"),
    ],
)
def test_truncation_keeps_the_named_part(letters, truncate, length, kept):
    assert letters.decode(letters.encode("a b c d e", length, truncate)) == kept


@pytest.mark.parametrize("text", ["", "---", []])
def test_a_text_without_tokens_becomes_one_unknown(letters, text):
    ids = letters.encode(text, max_length=5)
    assert ids.tolist() == [1]
    assert ids.dtype == np.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": 0}, "max_length=0"),
        ({"max_length": -1}, "max_length=-1"),
        ({"truncate": "middle"}, "truncate='middle'"),
    ],
)
def test_bad_truncation_is_refused_even_for_short_texts(letters, arguments, message):
    with pytest.raises(ValueError, match=message):
        letters.encode("a", **arguments)


def test_decoding_leaves_out_padding(letters):
    assert letters.decode(np.array([2, 1, 0, 0])) == "a <unk>"
    assert letters.decode([]) == ""


@pytest.mark.parametrize("bad", [-1, 7])
def test_decoding_an_id_out_of_range_is_refused(letters, bad):
    with pytest.raises(ValueError, match=f"contains {bad}"):
        letters.decode([2, bad])


def test_a_saved_vocabulary_loads_equal(tmp_path):
    vocab = Vocab.build(["Amélie 很好 don't"], 50)
    vocab.save(tmp_path / "vocab.json")
    assert Vocab.load(tmp_path / "vocab.json") == vocab
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b'{"tokens": ["<pad>", "<unk>"]}',
        b'{"format": "rnnbook.Vocab", "version": 2, "tokens": ["<pad>", "<unk>"]}',
        b'{"format": "rnnbook.Vocab", "version": 1, "tokens": ["<pad>", "<unk>", 3]}',
        b'{"format": "rnnbook.Vocab", "version": 1, "tokens": ["a"]}',
        b'{"format": "rnnbook.Vocab", "version": 1, "tokens": ["<pad>", "<un',
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused_by_name(tmp_path, content):
    path = tmp_path / "vocab.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="vocab.json.* is not a vocabulary"):
        Vocab.load(path)


def test_a_missing_vocabulary_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Vocab.load(tmp_path / "none.json")


def test_a_failed_save_keeps_the_old_file(tmp_path, letters, monkeypatch):
    path = tmp_path / "vocab.json"
    letters.save(path)
    before = path.read_bytes()

    def full_disk(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        Vocab.build(["x"], 9).save(path)
    assert path.read_bytes() == before
    assert json.loads(before)["tokens"] == letters.tokens
    assert list(tmp_path.iterdir()) == [path]


def examples(n, seed=0, dtype=np.int64):
    """``n`` sequences whose first id is their own number plus one, with that number as label."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 60, size=n)
    sequences = [np.append(i + 1, rng.integers(1, 9, size=t - 1)) for i, t in enumerate(lengths)]
    return sequences, np.arange(n, dtype=dtype)


def test_a_batch_is_padded_at_the_end_to_its_own_longest():
    data = TextBatches([[5, 6, 7], [8], [9, 4]], [0, 1, 1], batch_size=2)
    (tokens, lengths), labels = next(data.batches())
    np.testing.assert_array_equal(tokens, [[5, 6, 7], [8, 0, 0]])
    np.testing.assert_array_equal(lengths, [3, 1])
    np.testing.assert_array_equal(labels, [0, 1])
    assert tokens.dtype == lengths.dtype == labels.dtype == np.int64
    assert len(data) == 3


def test_without_rng_the_examples_come_in_their_own_order():
    sequences, labels = examples(107)
    seen = [y for _, y in TextBatches(sequences, labels, batch_size=10).batches()]
    np.testing.assert_array_equal(np.concatenate(seen), labels)
    assert [len(y) for y in seen] == [10] * 10 + [7]


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize("n", [1, 10, 107, 1200])
def test_shuffled_batches_hold_every_example_once_and_unchanged(n, bucket):
    sequences, labels = examples(n)
    data = TextBatches(sequences, labels, batch_size=10, bucket=bucket)
    seen = []
    for (tokens, lengths), y in data.batches(np.random.default_rng(1)):
        assert tokens.shape == (len(y), lengths.max())
        for row, length, label in zip(tokens, lengths, y, strict=True):
            np.testing.assert_array_equal(row[:length], sequences[label])
            assert not row[length:].any()
        seen.extend(y)
    assert sorted(seen) == list(range(n))
    if n > 10:
        assert seen != list(range(n))


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    data = TextBatches(*examples(100), batch_size=10)

    def order(seed):
        return [y.tolist() for _, y in data.batches(np.random.default_rng(seed))]

    assert order(3) == order(3)
    assert order(3) != order(4)


def test_buckets_save_padding():
    sequences, labels = examples(1000)
    bucketed = TextBatches(sequences, labels, batch_size=10)
    plain = TextBatches(sequences, labels, batch_size=10, bucket=False)
    rng = np.random.default_rng
    assert bucketed.padding_share(rng(0)) < 0.2 * plain.padding_share(rng(0))


def test_buckets_do_not_come_sorted_by_length():
    data = TextBatches(*examples(500), batch_size=10)
    longest = [lengths.max() for (_, lengths), _ in data.batches(np.random.default_rng(0))]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.5


def test_padding_share_is_that_of_the_batches():
    data = TextBatches(*examples(55), batch_size=8)
    for seed in (None, 5):
        rng = None if seed is None else np.random.default_rng(seed)
        again = None if seed is None else np.random.default_rng(seed)
        tokens = [x[0] for x, _ in data.batches(rng)]
        padding = sum((t == 0).sum() for t in tokens) / sum(t.size for t in tokens)
        assert data.padding_share(again) == pytest.approx(padding)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_labels_keep_their_dtype(dtype):
    for (_, _), y in TextBatches(*examples(5, dtype=dtype), batch_size=2).batches():
        assert y.dtype == dtype


@pytest.mark.parametrize(
    ("sequences", "labels", "error", "message"),
    [
        ([[1], [2]], [0], ValueError, r"labels has shape \(1,\): expected 2"),
        ([[1]], 0, ValueError, "labels"),
        ([], [], ValueError, "sequences is empty"),
        ([[1], []], [0, 1], ValueError, r"sequences\[1\] has shape \(0,\)"),
        ([[1], [[2, 3]]], [0, 1], ValueError, r"sequences\[1\] has shape \(1, 2\)"),
        ([[1], [2, -3]], [0, 1], ValueError, r"sequences\[1\] contains -3"),
        ([[1.5]], [0], TypeError, r"sequences\[0\] has dtype float64"),
        ([[1]], ["good"], TypeError, "labels has dtype"),
    ],
)
def test_bad_examples_are_refused_at_construction(sequences, labels, error, message):
    with pytest.raises(error, match=message):
        TextBatches(sequences, labels)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_a_bad_batch_size_is_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        TextBatches([[1]], [0], batch_size=batch_size)


def test_a_seed_in_place_of_a_generator_is_refused():
    with pytest.raises(TypeError, match="rng=0"):
        next(TextBatches([[1]], [0]).batches(rng=0))
