"""A classifier of the reader's own texts: learns, predicts, and travels in one file."""

import json
import struct
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch

from rnnbook import classify, training
from rnnbook.classify import TextClassifier
from rnnbook.data.text import TextBatches
from rnnbook.interop import get_weights, save_weights

TWINS = pytest.mark.parametrize("twin", ["scratch", "pytorch"])
SMALL = {"embed_size": 6, "hidden_size": 5, "max_length": 12, "dropout": 0.0}
WORDS = {"sport": "goal match team", "food": "soup bread salt", "music": "song piano drum"}
FILLER = ["the", "a", "of", "and", "with", "was", "very", "so"]


def texts_and_labels(count=90, seed=0, words=WORDS):
    """Texts with one telling word, of ragged lengths, and the topics that it tells."""
    rng = np.random.default_rng(seed)
    labels = [str(label) for label in rng.choice(list(words), count)]
    texts = []
    for label in labels:
        text = [*rng.choice(FILLER, rng.integers(0, 9)), rng.choice(words[label].split())]
        texts.append(" ".join(rng.permutation(text)))
    return texts, labels


def trained(twin="scratch", *, epochs=2, data=None, fit=None, **options):
    classifier = TextClassifier(twin, **SMALL | {"cell": "gru"} | options)
    classifier.fit(*(data or texts_and_labels()), epochs=epochs, progress=False, **(fit or {}))
    return classifier


def logits(classifier, texts):
    ids = [classifier.vocab.encode(text, classifier.max_length, "both") for text in texts]
    return training.predict(classifier.model, TextBatches(ids, np.zeros(len(ids))))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A trained classifier of three classes, and its file."""
    classifier = trained("pytorch", epochs=3)
    path = tmp_path_factory.mktemp("classify") / "film.safetensors"
    classifier.save(path)
    return classifier, path


# Learning


@TWINS
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_it_learns_three_classes_and_labels_new_texts(twin, cell):
    fit = {"lr": 0.02, "valid_fraction": 0.2}
    classifier = trained(twin, cell=cell, epochs=12, data=texts_and_labels(200), fit=fit)
    texts, labels = texts_and_labels(60, seed=1)
    predicted = classifier.predict(texts)
    assert (predicted == labels).mean() > 0.9
    assert classifier.classes.labels == ["food", "music", "sport"]
    p = classifier.predict_proba(texts)
    assert p.shape == (60, 3) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert [classifier.classes.labels[k] for k in p.argmax(axis=1)] == predicted.tolist()


def test_both_twins_start_from_the_same_weights_and_run_the_same_history():
    def run(twin):
        classifier = TextClassifier(twin, **SMALL)
        return classifier.fit(*texts_and_labels(), epochs=3, progress=False), classifier

    (ours, one), (theirs, other) = run("scratch"), run("pytorch")
    pd.testing.assert_frame_equal(
        ours.drop(columns="seconds"), theirs.drop(columns="seconds"), rtol=1e-3
    )
    new = texts_and_labels(20, seed=2)[0]
    np.testing.assert_allclose(logits(one, new), logits(other, new), atol=1e-3)


@TWINS
def test_everything_follows_from_the_seed(twin):
    texts = texts_and_labels(20, seed=2)[0]
    first, again, other = (trained(twin, dropout=0.3, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.predict_proba(texts), again.predict_proba(texts))
    assert not np.allclose(first.predict_proba(texts), other.predict_proba(texts), atol=1e-4)


def test_the_best_epoch_on_the_held_out_texts_is_kept():
    texts, labels = texts_and_labels(40, seed=5)
    valid = texts, labels[1:] + labels[:1]  # wrong labels: the surer the model, the worse
    classifier = TextClassifier("scratch", **SMALL)
    history = classifier.fit(
        *texts_and_labels(), valid=valid, epochs=12, lr=0.3, metric="loss", progress=False
    )  # fmt: skip
    assert history.val_loss.idxmin() < 6
    targets = classifier.classes.encode(valid[1])
    p = classifier.predict_proba(valid[0])[np.arange(40), targets]
    assert -np.log(p).mean() == pytest.approx(history.val_loss.min(), rel=1e-4)


def test_the_history_tells_accuracy_on_the_held_out_texts():
    classifier = TextClassifier("scratch", **SMALL)
    history = classifier.fit(*texts_and_labels(), epochs=2, progress=False)
    assert list(history.columns) == ["loss", "val_loss", "val_accuracy", "seconds"]


def test_training_is_that_of_the_docstring(monkeypatch):
    seen = {}

    def fit(model, train, valid, **options):
        seen.update(options, train=train, valid=valid)

    monkeypatch.setattr(training, "fit", fit)
    TextClassifier("scratch", seed=5).fit(
        *texts_and_labels(), lr=0.5, batch_size=7, patience=2, epochs=3, progress=False
    )  # fmt: skip
    assert (seen["clip"], seen["seed"], seen["metric"]) == (1.0, 5, "accuracy")
    assert (seen["patience"], seen["epochs"], seen["progress"]) == (2, 3, False)
    assert type(seen["optimizer"]).__name__ == "Adam" and seen["optimizer"].lr == 0.5
    assert seen["train"].batch_size == 7 and len(seen["train"]) + len(seen["valid"]) == 90


def test_first_weights_and_held_out_part_follow_from_the_seed(monkeypatch):
    runs = []
    monkeypatch.setattr(training, "fit", lambda *arguments, **_: runs.append(arguments))
    texts, labels = texts_and_labels()
    texts = [f"{text} {'so ' * i}" for i, text in enumerate(texts)]  # each has its own length
    for seed in (1, 1, 2):
        TextClassifier("scratch", seed=seed).fit(texts, labels, progress=False)
    for look in (
        lambda model, train, valid: get_weights(model)["linear.weight"].tolist(),
        lambda model, train, valid: valid.lengths.tolist(),
    ):
        first, again, other = (look(*run) for run in runs)
        assert first == again != other


def test_without_a_held_out_part_all_texts_are_trained_on():
    texts, labels = texts_and_labels()
    whole = trained(data=(texts, labels), fit={"valid_fraction": 0}, min_count=1)
    assert set(" ".join(texts).split()) == set(whole.vocab.tokens[2:])


def test_the_vocabulary_is_that_of_the_training_part_only():
    texts, labels = texts_and_labels(90)
    texts = [f"{text} w{i} w{i}" for i, text in enumerate(texts)]
    classifier = trained(data=(texts, labels), fit={"valid_fraction": 0.2})
    held_out = [i for i in range(90) if f"w{i}" not in classifier.vocab]
    share = Counter(labels[i] for i in held_out)
    assert share == {label: round(0.2 * count) for label, count in Counter(labels).items()}

    given = texts_and_labels(30, seed=1)
    given[0][0] += " unseen unseen unseen"
    classifier = trained(data=(texts, labels), fit={"valid": given})
    assert "unseen" not in classifier.vocab and all(f"w{i}" in classifier.vocab for i in range(90))


@TWINS
@pytest.mark.parametrize("epochs", [1, 4])
def test_an_interrupted_run_resumes_and_ends_the_same(twin, epochs, tmp_path):
    def run(epochs, checkpoint):
        fit = {"checkpoint": checkpoint}
        return trained(twin, epochs=epochs, fit=fit, dropout=0.3)

    run(epochs, tmp_path / "cut")
    resumed, whole = run(4, tmp_path / "cut"), run(4, tmp_path / "whole")
    for name, array in get_weights(whole.model).items():
        np.testing.assert_array_equal(get_weights(resumed.model)[name], array)


def test_a_checkpoint_of_other_texts_labels_or_options_is_refused(tmp_path):
    def run(data=None, **options):
        fit = {"checkpoint": tmp_path / "run"} | options.pop("fit", {})
        return trained(epochs=1, data=data, fit=fit, **options)

    texts, labels = texts_and_labels()
    run(fit={"valid_fraction": 0})
    for other in ((texts, labels[1:] + labels[:1]), (texts[1:] + texts[:1], labels)):
        with pytest.raises(ValueError, match="is of another run"):
            run(other, fit={"valid_fraction": 0})
    run(fit={"valid_fraction": 0})

    (tmp_path / "run").unlink()
    run()
    for other in (
        {"data": (texts, ["foo" if label == "food" else label for label in labels])},
        {"max_length": 11},
        {"dropout": 0.1},
        {"twin": "pytorch"},
        {"fit": {"lr": 0.01}},
        {"fit": {"batch_size": 31}},
        {"fit": {"valid_fraction": 0}},
        {"fit": {"valid": (texts, labels)}},
    ):
        with pytest.raises(ValueError, match="is of another run"):
            run(**other)
    run()


def test_fitting_again_starts_anew_and_failing_to_changes_nothing():
    classifier = trained()
    before = classifier.predict_proba(["goal", "soup"])
    for labels in (["a", "a"], ["a", None]):
        with pytest.raises(ValueError, match="labels"):
            classifier.fit(["goal", "soup"], labels)
    with pytest.raises(ValueError, match="no token is so frequent"):
        classifier.fit(["one", "two", "three", "four"], ["a", "b", "a", "b"])
    np.testing.assert_array_equal(classifier.predict_proba(["goal", "soup"]), before)

    classifier.fit(*texts_and_labels(words={"no": "x y", "yes": "v w"}), epochs=2, progress=False)
    assert classifier.classes.labels == ["no", "yes"]
    assert set(classifier.predict(["v", "x", "goal"])) <= {"no", "yes"}
    classifier.fit(*texts_and_labels(), epochs=2, progress=False)
    np.testing.assert_array_equal(classifier.predict_proba(["goal", "soup"]), before)


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([7, -2] * 20, "i", [-2, 7]),
        (np.array([7, -2] * 20, np.int8), "i", [-2, 7]),
        (pd.Series([1.0, 0.0] * 20), "i", [0, 1]),
        ([True, False] * 20, "b", [False, True]),
        (np.array([True, False] * 20), "b", [False, True]),
        (("yes", "") * 20, "U", ["", "yes"]),
        (np.array(["yes", "no"] * 20), "U", ["no", "yes"]),
        (pd.Categorical(["yes", "no"] * 20), "U", ["no", "yes"]),
    ],
)
def test_predicted_labels_are_of_the_kind_that_was_given(labels, kind, classes, tmp_path):
    classifier = trained(data=(pd.Series(["good soup", "bad soup"] * 20), labels))
    classifier.save(tmp_path / "file")
    for each in classifier, TextClassifier.load(tmp_path / "file", twin="scratch"):
        assert each.classes.labels == classes
        predicted = each.predict(np.array(["good soup", "bad", "new"]))
        assert predicted.dtype.kind == kind and set(predicted.tolist()) <= set(classes)
        assert each.predict([]).dtype == predicted.dtype


def test_options_cannot_change_behind_the_weights():
    with pytest.raises(AttributeError, match="hidden_size"):
        trained().hidden_size = 7


# Predicting


@TWINS
def test_the_answer_for_a_text_does_not_depend_on_the_other_texts(twin, monkeypatch):
    classifier = trained(twin)
    texts = [*texts_and_labels(50, seed=3)[0], "", "goal " * 500, "unknown words only"]
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(classifier.predict_proba(texts), alone, atol=1e-6)
    np.testing.assert_allclose(classifier.predict_proba(texts[::-1]), alone[::-1], atol=1e-6)
    monkeypatch.setattr(classify, "CHUNK", 7)
    monkeypatch.setattr(classify, "BATCH", 3)
    np.testing.assert_allclose(classifier.predict_proba(texts), alone, atol=1e-6)
    assert len({tuple(row) for row in alone.round(4)}) > 10  # or order would not matter


def test_prediction_sees_few_texts_at_a_time(monkeypatch):
    classifier, seen = trained(), []
    monkeypatch.setattr(classify, "CHUNK", 100)
    predict = training.predict

    def watched(model, data):
        seen.extend(tokens.shape for (tokens, _), _ in data.batches())
        return predict(model, data)

    monkeypatch.setattr(training, "predict", watched)
    classifier.predict(["goal " * (i % 14) for i in range(450)])
    assert sum(n for n, _ in seen) == 450
    assert max(n for n, _ in seen) <= 64 and max(t for _, t in seen) == classifier.max_length
    assert sum(n * t for n, t in seen) < 450 * classifier.max_length  # similar lengths together


@TWINS
def test_no_texts_give_no_answers(twin):
    classifier = trained(twin)
    assert classifier.predict([]).shape == (0,)
    assert classifier.predict([]).dtype == classifier.predict(["goal"]).dtype
    assert classifier.predict_proba([]).shape == (0, 3)
    assert classifier.predict_proba([]).dtype == np.float32


@TWINS
def test_a_very_long_text_is_cut(twin):
    classifier = trained(twin)  # reads 12 tokens: the first and the last 6
    long = "soup " * 6 + "goal " * 100_000 + "bread " * 6
    short = "soup " * 6 + "bread " * 6
    np.testing.assert_array_equal(
        classifier.predict_proba([long]), classifier.predict_proba([short])
    )
    again = trained(twin, data=([long, *texts_and_labels()[0]], ["food", *texts_and_labels()[1]]))
    assert again.predict([long]).shape == (1,)


@TWINS
def test_texts_without_a_known_word_are_read_as_unknown_words(twin):
    classifier = trained(twin)
    p = classifier.predict_proba(["", " -- ", "zebra", "<unk>", "zebra quagga"])
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p[:3], np.broadcast_to(p[3], (3, 3)), atol=1e-6)


def test_empty_texts_can_be_trained_on():
    texts, labels = texts_and_labels()
    assert trained(data=(["", *texts], ["food", *labels])).predict([""]).shape == (1,)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "save"])
def test_nothing_comes_before_learning(method, tmp_path):
    for argument in ([], [""], tmp_path / "file"):
        with pytest.raises(RuntimeError, match=r"has not learned yet: call fit\(texts, labels\)"):
            getattr(TextClassifier("scratch"), method)(argument)
    assert list(tmp_path.iterdir()) == []


# Bad arguments: each is refused before any work


@pytest.fixture
def no_work(monkeypatch):
    def work(*_, **__):
        raise AssertionError("work was done")

    monkeypatch.setattr(classify.Vocab, "build", work)
    monkeypatch.setattr(training, "fit", work)


GOOD = (["good soup", "bad soup"] * 3, ["yes", "no"] * 3)
BAD = [
    ([], [], {}, ValueError, r"labels holds the classes \[\]: expected at least two"),
    ([], GOOD[1], {}, ValueError, "labels holds 6 labels: expected at least one text"),
    ("good soup", ["yes"], {}, TypeError, "texts='good soup': expected a list of str"),
    (None, GOOD[1], {}, TypeError, "texts=None: expected a list of str"),
    (map(str, GOOD[0]), GOOD[1], {}, TypeError, "texts=<map.*: expected a list of str"),
    (pd.DataFrame({"text": GOOD[0]}), GOOD[1], {}, TypeError, "expected a list of str"),
    (np.array([GOOD[0]]), GOOD[1], {}, TypeError, "expected a list of str"),
    ([*GOOD[0][:5], 3], GOOD[1], {}, TypeError, r"texts\[5\]=3: expected a str"),
    ([*GOOD[0][:4], None, ""], GOOD[1], {}, TypeError, r"texts\[4\]=None: expected a str"),
    ([["good"], *GOOD[0][:5]], GOOD[1], {}, TypeError, r"texts\[0\]=\['good'\]: expected a str"),
    (GOOD[0], GOOD[1][:5], {}, ValueError, "labels holds 5 labels: expected 6, one for each text"),
    (GOOD[0], "yesnoo", {}, TypeError, "labels='yesnoo': expected a list of labels"),
    (GOOD[0], None, {}, TypeError, "labels=None: expected a list of labels"),
    (GOOD[0], iter(GOOD[1]), {}, TypeError, "labels=<list_it.*: expected a list of labels"),
    (GOOD[0], ["yes"] * 6, {}, ValueError, r"labels holds the classes \['yes'\]: expected at le"),
    (GOOD[0], [0, 1, 0, 1, 0, np.nan], {}, ValueError, r"labels\[5\]=nan: expected a str or a w"),
    (GOOD[0], [0, 1, 0, 1, 0, np.inf], {}, ValueError, r"labels\[5\]=inf: expected"),
    (GOOD[0], [*GOOD[1][:3], None, "no", "no"], {}, ValueError, r"labels\[3\]=None: expected"),
    (GOOD[0], [*GOOD[1][:3], pd.NA, "no", "no"], {}, ValueError, r"labels\[3\]=<NA>: expected"),
    (GOOD[0], [0.0, 1.0, 0.5] * 2, {}, ValueError, r"labels\[2\]=0.5: expected a str or a whole"),
    (GOOD[0], [0, 2**63] * 3, {}, ValueError, r"labels\[1\]=9223372036854775808: expected"),
    (GOOD[0], np.eye(6), {}, TypeError, r"labels=array.*: expected a list of labels"),
    (GOOD[0], [*GOOD[1][:5], 1], {}, ValueError, r"labels\[5\]=1 and labels\[0\]='yes': .* kind"),
    (GOOD[0], [0, 1, 0, 1, 0, True], {}, ValueError, r"labels\[5\]=True and labels\[0\]=0"),
    (GOOD[0], ["a"] * 5 + ["b"], {}, ValueError, r"labels holds 'b' once: expected two examples"),
    (*GOOD, {"valid": GOOD[0]}, TypeError, r"valid=\[.*: expected a pair \(texts, labels\)"),
    (*GOOD, {"valid": ("soup", ["no"])}, TypeError, r"valid\[0\]='soup': expected a list"),
    (*GOOD, {"valid": (["soup"], [])}, ValueError, r"valid\[1\] holds 0 labels: expected 1"),
    (*GOOD, {"valid": ([], [])}, ValueError, r"valid\[1\] holds 0 labels: expected at least one"),
    (*GOOD, {"valid": (["x", "y"], ["no", "maybe"])}, ValueError,
     r"valid\[1\]\[1\]='maybe': expected one of the classes \['no', 'yes'\]"),
    (*GOOD, {"valid_fraction": 1.0}, ValueError, "valid_fraction=1.0: expected"),
    (*GOOD, {"valid_fraction": -0.1}, ValueError, "valid_fraction=-0.1: expected"),
    (*GOOD, {"epochs": 0}, ValueError, "epochs=0: expected"),
    (*GOOD, {"batch_size": 0}, ValueError, "batch_size=0: expected"),
    (*GOOD, {"lr": 0}, ValueError, "lr=0: expected"),
    (*GOOD, {"metric": "auc"}, ValueError, "metric='auc': expected one of 'accuracy', 'loss'"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "labels", "options", "error", "message"), BAD)
def test_what_cannot_be_learned_from_is_refused(texts, labels, options, error, message, request):
    classifier = TextClassifier("scratch")
    request.getfixturevalue("no_work")
    with pytest.raises(error, match=message):
        classifier.fit(texts, labels, **options)
    assert classifier.model is None


@pytest.mark.parametrize("bad", ["soup", None, 3, [b"soup"], ["good", 3], np.array("soup")])
def test_what_cannot_be_predicted_from_is_refused(bad, film):
    for method in film[0].predict, film[0].predict_proba:
        with pytest.raises(TypeError, match="texts.*expected a"):
            method(bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"twin": "keras"}, "twin='keras': expected one of 'pytorch', 'scratch'"),
        ({"cell": "mlp"}, "cell='mlp': expected one of 'rnn', 'gru', 'lstm'"),
        ({"pooling": "sum"}, "pooling='sum': expected"),
        ({"truncate": "middle"}, "truncate='middle': expected"),
        ({"bidirectional": "yes"}, "bidirectional='yes': expected"),
        ({"hidden_size": 0}, "hidden_size=0: expected"),
        ({"embed_size": 2.5}, "embed_size=2.5: expected"),
        ({"num_layers": -1}, "num_layers=-1: expected"),
        ({"max_length": None}, "max_length=None: expected"),
        ({"min_count": 0}, "min_count=0: expected"),
        ({"vocab_size": 2}, "vocab_size=2: expected"),
        ({"dropout": 1.0}, "dropout=1.0: expected"),
        ({"word_dropout": -1}, "word_dropout=-1: expected"),
        ({"seed": -1}, "seed=-1: expected"),
        ({"seed": None}, "seed=None: expected"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier(**{"twin": "scratch"} | options)


def test_a_small_class_can_be_learned_with_a_held_out_part_of_ones_own():
    texts, labels = ["good soup", "bad soup", "bad soup"], ["yes", "no", "no"]
    for fit in ({"valid": (texts, labels)}, {"valid_fraction": 0}):
        assert trained(data=(texts, labels), fit=fit).classes.labels == ["no", "yes"]


def test_a_vocabulary_without_words_is_refused():
    for texts in (["one", "two", "three", "four"], ["", "", "", ""]):
        with pytest.raises(ValueError, match="min_count=2: no token is so frequent in the 2"):
            TextClassifier("scratch").fit(texts, ["a", "b"] * 2, progress=False)


# The file


@pytest.mark.parametrize("writer", ["scratch", "pytorch"])
@pytest.mark.parametrize("reader", ["scratch", "pytorch"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_file_of_either_twin_predicts_the_same_in_either(writer, reader, cell, tmp_path):
    one = trained(writer, cell=cell, num_layers=2, dropout=0.2, word_dropout=0.1)
    one.save(tmp_path / "film.safetensors")
    other = TextClassifier.load(tmp_path / "film.safetensors", twin=reader)
    assert other.twin == reader and other.vocab == one.vocab
    texts = texts_and_labels(40, seed=4)[0]
    np.testing.assert_allclose(logits(one, texts), logits(other, texts), atol=1e-5)
    np.testing.assert_array_equal(one.predict(texts), other.predict(texts))
    assert other.predict_proba(texts).std() > 1e-3
    assert type(other.model).__module__ == f"rnnbook.{reader}.models"


def test_options_travel_with_the_file(tmp_path):
    options = {
        "cell": "rnn", "vocab_size": np.int64(15), "num_layers": 2, "bidirectional": False,
        "dropout": np.float32(0.25), "pooling": "last", "word_dropout": 0.1, "min_count": 1,
        "max_length": 4, "truncate": "head", "seed": 9, "embed_size": 3, "hidden_size": 4,
    }  # fmt: skip
    one = trained(**options)
    one.save(tmp_path / "file")
    other = TextClassifier.load(tmp_path / "file", twin="scratch")
    assert {name: getattr(other, name) for name in options} == options
    one.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()
    texts = ["goal " + "the " * 9, "the " * 9 + "goal"]
    assert not np.allclose(*other.predict_proba(texts))  # head: the second "goal" is not read
    np.testing.assert_allclose(other.predict_proba(texts), one.predict_proba(texts), atol=1e-6)


def test_tokens_of_any_script_travel_with_the_file(tmp_path):
    texts = ["电影 很好 ünïcode don't 3.5", "无聊 ünïcode 3.5 don't"] * 5
    one = trained(data=(texts, ["好", "差"] * 5))
    one.save(tmp_path / "file")
    other = TextClassifier.load(tmp_path / "file", twin="scratch")
    assert other.vocab == one.vocab and "影" in other.vocab
    assert other.classes.labels == ["好", "差"] == sorted(["好", "差"])


def test_a_loaded_classifier_can_learn_anew(film):
    classifier = TextClassifier.load(film[1], twin="scratch")
    classifier.fit(*texts_and_labels(words={"no": "x y", "yes": "v w"}), epochs=1, progress=False)
    assert classifier.classes.labels == ["no", "yes"]


def test_the_header_says_what_the_file_is(film):
    content = json.loads(read(film[1])[0]["__metadata__"]["rnnbook"])
    assert content["format"] == "rnnbook.TextClassifier" and content["version"] == 1
    assert content["tokenizer"] == {"name": "rnnbook.data.text.tokenize", "version": 1}
    assert content["classes"] == ["food", "music", "sport"]
    assert content["vocabulary"] == film[0].vocab.tokens
    assert content["options"]["cell"] == "gru" and "twin" not in content["options"]


def test_a_failed_save_keeps_the_old_file(film, tmp_path, monkeypatch):
    path = tmp_path / "film.safetensors"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        film[0].save(path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def read(path):
    """The header of a safetensors file, and the bytes behind it."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def rewrite(film, tmp_path, change):
    """A copy of the file whose described content ``change`` has changed in place."""
    header, body = read(film[1])
    content = json.loads(header["__metadata__"]["rnnbook"])
    content = change(content) or content
    header["__metadata__"]["rnnbook"] = json.dumps(content)
    data = json.dumps(header).encode()
    path = tmp_path / "changed.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data + body)
    return path


def change(*keys, to):
    def changed(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return changed


def drop(*keys):
    def changed(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return changed


FORGED = [
    (lambda content: ["a list"], "its header describes no classifier"),
    (change("format", to="rnnbook.Vocab"), "its format is 'rnnbook.Vocab', expected 'rnnbook.Te"),
    (change("version", to=2), "its version is 2, expected 1"),
    (drop("tokenizer"), "its tokenizer is None, expected"),
    (change("tokenizer", "name", to="spacy"), "its tokenizer is .*'spacy'.*, expected .*tokenize"),
    (change("tokenizer", "version", to=2), "its tokenizer is .*2.*, expected .*1"),
    (drop("options"), "mapping"),
    (drop("options", "pooling"), "its options are .*, expected .*pooling"),
    (change("options", "colour", to="red"), "colour"),
    (change("options", "twin", to="scratch"), "twin"),
    (change("options", "cell", to=["gru"]), r"cell=\['gru'\]: expected one of"),
    (change("options", "cell", to="lstm"), "rnn.weight_ih_l0 has shape .*, expected"),
    (change("options", "pooling", to="max"), "linear.weight has shape .*, expected"),
    (change("options", "bidirectional", to=False), "unexpected rnn.weight_ih_l0_reverse"),
    (change("options", "num_layers", to=2), "missing rnn.weight_ih_l1"),
    (change("options", "num_layers", to=10**9), "too few weights"),
    (change("options", "hidden_size", to=10**9), "too few weights"),
    (change("options", "embed_size", to=10**9), "embedding.weight has shape .*, expected"),
    (change("options", "dropout", to="0.5"), "dropout='0.5': expected"),
    (change("options", "dropout", to=float("nan")), "dropout=nan: expected"),
    (change("options", "max_length", to=0), "max_length=0: expected"),
    (drop("classes"), "labels=None"),
    (change("classes", to=["food", "music"]), r"linear.weight has shape \(3, 20\), expected \(2,"),
    (change("classes", to=["food", "sport", "music"]), "classes=.*: expected .*'music', 'sport'"),
    (change("classes", to=["food", "food", "sport"]), "classes=.*: expected"),
    (change("classes", to=["food", 1, None]), r"labels\[2\]=None: expected a str"),
    (change("classes", to=["food"]), "expected at least two"),
    (drop("vocabulary"), "vocabulary=None: expected a list"),
    (change("vocabulary", to="tokens"), "vocabulary='tokens': expected a list"),
    (change("vocabulary", 5, to=7), r"vocabulary\[5\]=7: expected a str"),
    (change("vocabulary", 5, to="<unk>"), "names '<unk>' twice"),
    (drop("vocabulary", 0), "tokens starts with"),
    (drop("vocabulary", -1), r"embedding.weight has shape .*: a row for each token of the vocab"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_a_file_whose_parts_do_not_fit_is_refused(film, tmp_path, change, message):
    path = rewrite(film, tmp_path, change)
    with pytest.raises(
        ValueError, match=f"(?s)not a whole file of TextClassifier.save: .*{message}"
    ):
        TextClassifier.load(path, twin="scratch")


def test_the_forger_leaves_a_good_file_good(film, tmp_path):
    path = rewrite(film, tmp_path, lambda content: None)
    assert TextClassifier.load(path, twin="scratch").predict(["soup"]).shape == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("embedding.weight"), r"embedding.weight has shape \(\), expected"),
        (lambda w: w.pop("linear.bias"), "missing linear.bias"),
        (lambda w: w.update(extra=np.ones(3, np.float32)), "unexpected extra"),
        (lambda w: w.update({"linear.bias": w["linear.bias"][1:]}), "linear.bias has shape"),
        (lambda w: w.update({"linear.bias": w["linear.bias"] * np.nan}), "linear.bias .* finite"),
        (lambda w: w.update({"linear.bias": w["linear.bias"].astype(float)}), "float64: expected"),
    ],
)
def test_weights_that_do_not_fit_are_refused(film, tmp_path, change, message):
    weights, metadata = get_weights(film[0].model), read(film[1])[0]["__metadata__"]
    change(weights)
    path = tmp_path / "file"
    weights = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    path.write_bytes(safetensors.numpy.save(weights, metadata))
    with pytest.raises(ValueError, match=message):
        TextClassifier.load(path, twin="scratch")


def test_foreign_and_cut_files_are_refused(film, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        TextClassifier.load(path, twin="scratch")
    save_weights(film[0].model, path)
    with pytest.raises(ValueError, match="not a whole file of TextClassifier.save: its header"):
        TextClassifier.load(path, twin="scratch")
    save_weights(film[0].model, path, {"rnnbook": "{not json"})
    with pytest.raises(ValueError, match="not a whole file of TextClassifier.save"):
        TextClassifier.load(path, twin="scratch")
    save_weights(film[0].model, path, {"rnnbook": "[" * 100_000})
    with pytest.raises(ValueError, match="not a whole file of TextClassifier.save"):
        TextClassifier.load(path, twin="scratch")
    whole = film[1].read_bytes()
    for content in (b"", b"something else entirely", whole[:100], whole[:-1], whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            TextClassifier.load(path, twin="scratch")
    with pytest.raises(ValueError, match="^twin='jax': expected one of"):
        TextClassifier.load(film[1], twin="jax")


def test_the_torch_twin_is_float32_whatever_torchs_default(film):
    torch.set_default_dtype(torch.float64)
    try:
        loaded = TextClassifier.load(film[1], twin="pytorch")
        assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
        assert loaded.predict_proba(["soup"]).dtype == np.float32
    finally:
        torch.set_default_dtype(torch.float32)
