"""The language model twice: its state, its tied table, and training on one long text."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from rnnbook import metrics, pytorch, scratch
from rnnbook.data.streams import StreamBatches
from rnnbook.interop import copy_weights, get_weights, load_weights, save_weights, set_weights
from rnnbook.training import ArrayBatches, evaluate, fit, predict

from .cases import D, H, K, N, T, V

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])
CELLS = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


def language_model(twin, embed_size=D, double=True, **options):
    options = {"num_layers": 2, **options}
    dtypes = (np.float64, torch.float64) if double else (np.float32, torch.float32)
    ours = scratch.LanguageModel(V, embed_size, H, **options, dtype=dtypes[0], rng=0)
    if twin is scratch:
        return ours
    theirs = pytorch.LanguageModel(V, embed_size, H, **options, dtype=dtypes[1])
    copy_weights(ours, theirs)
    return theirs


def text(count=300, seed=0):
    """Ids that can be learned: most follow from the one before."""
    rng = np.random.default_rng(seed)
    ids = [0]
    for _ in range(count - 1):
        ids.append((3 * ids[-1] + 1) % V if rng.random() < 0.8 else rng.integers(0, V))
    return np.array(ids)


def arrays(state):
    return [np.asarray(part) for part in (state if isinstance(state, tuple) else (state,))]


def without_seconds(history):
    return history.drop(columns="seconds")


@TWINS
@CELLS
def test_a_text_read_in_pieces_is_scored_as_in_one(twin, cell):
    model, tokens = language_model(twin, cell=cell), text(N * T).reshape(N, T)
    with torch.no_grad():
        whole, end = model(tokens)
        logits, state = [], None
        for piece in np.split(tokens, [1, 4], axis=1):
            part, state = model(piece, state)
            logits.append(np.asarray(part))
    np.testing.assert_allclose(np.concatenate(logits, axis=1), whole, rtol=1e-12, atol=1e-14)
    for a, b in zip(arrays(state), arrays(end), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_one_hot_vectors_are_an_embedding_that_is_the_identity():
    plain, embedded = language_model(scratch, None), language_model(scratch, V)
    weights = plain.state_dict() | {"embedding.weight": np.eye(V)}
    embedded.load_state_dict(weights)
    tokens = text(N * T).reshape(N, T)
    np.testing.assert_allclose(plain(tokens)[0], embedded(tokens)[0], rtol=1e-12)


@TWINS
def test_a_tied_table_is_one_parameter_under_two_names(twin):
    model = language_model(twin, H, tied=True)
    assert model.embedding.weight is model.linear.weight
    names = [name for name, _ in model.named_parameters()]
    assert "embedding.weight" in names and "linear.weight" not in names
    assert len({id(p) for p in model.parameters()}) == len(list(model.parameters()))
    weights = get_weights(model)
    np.testing.assert_array_equal(weights["embedding.weight"], weights["linear.weight"])


@TWINS
def test_the_gradient_of_a_tied_table_is_the_sum_of_both_uses(twin):
    tied, free = language_model(twin, H, tied=True), language_model(twin, H)
    set_weights(free, get_weights(tied))
    tokens, target = text(N * T).reshape(N, T), text(N * T, 1)
    grads = []
    for model in (tied, free):
        if twin is scratch:
            logits, _, cache = model.forward(tokens)
            _, dlogits = scratch.cross_entropy(logits.reshape(-1, V), target)
            model.backward(dlogits.reshape(logits.shape), None, cache)
        else:
            pytorch.cross_entropy(model(tokens)[0].reshape(-1, V), torch.tensor(target)).backward()
        grads.append({name: np.asarray(p.grad).copy() for name, p in model.named_parameters()})
    both = grads[1]["embedding.weight"] + grads[1]["linear.weight"]
    assert np.abs(grads[1]["embedding.weight"]).max() > 1e-4
    np.testing.assert_allclose(grads[0]["embedding.weight"], both, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("source", "target"), [(scratch, pytorch), (pytorch, scratch)])
def test_a_file_of_a_tied_model_loads_strictly_into_the_other_twin(source, target, tmp_path):
    model, other = (language_model(twin, H, tied=True) for twin in (source, target))
    set_weights(model, {name: array + 1 for name, array in get_weights(model).items()})
    save_weights(model, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert other.embedding.weight is other.linear.weight
    assert list(get_weights(other)) == list(get_weights(model))
    for name, array in get_weights(model).items():
        np.testing.assert_array_equal(get_weights(other)[name], array)
    weights = get_weights(model)
    del weights["linear.weight"]
    with pytest.raises(ValueError, match="missing linear.weight"):
        set_weights(other, weights)


def test_a_tied_table_starts_as_a_read_out():
    model = language_model(scratch, H, tied=True)
    assert np.abs(model.embedding.weight.data).max() <= H**-0.5


@TWINS
@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((0, D, H), {}, "vocab_size=0: expected"),
        ((V, 0, H), {}, "embed_size=0: expected"),
        ((V, D, 0), {}, "hidden_size=0: expected"),
        ((V, D, H), {"cell": "lstn"}, "cell='lstn': expected one of 'rnn'"),
        ((V, D, H), {"dropout": 1.0}, "dropout=1.0: expected a probability"),
        ((V, D, H), {"tied": True}, "embed_size=3, hidden_size=5 and tied=True: expected equal"),
        ((V, None, H), {"tied": True}, "embed_size=None, hidden_size=5 and tied=True: expected"),
    ],
)
def test_bad_arguments(twin, args, options, message):
    with pytest.raises(ValueError, match=message):
        twin.LanguageModel(*args, **options)


@TWINS
def test_bad_tokens_and_states(twin):
    model = language_model(twin)
    with pytest.raises(ValueError, match=f"tokens contains {V}: expected integers from 0 to 10"):
        model(np.full((N, T), V))
    with pytest.raises(ValueError, match=r"tokens has shape \(6,\): expected \(N, T\)"):
        model(np.zeros(T, int))
    with pytest.raises(TypeError, match="tokens has dtype .*float64: expected integers"):
        model(np.zeros((N, T)))
    _, state = model(np.zeros((N, T), int))
    with pytest.raises(ValueError, match=r"state\[0\] has shape \(2, 4, 5\): expected \(2, 1, 5\)"):
        model(np.zeros((1, T), int), state)


def test_dropout_acts_on_the_inputs_and_before_the_read_out_and_only_in_training():
    model, tokens = language_model(scratch, dropout=0.5), text(N * T).reshape(N, T)
    plain = language_model(scratch)
    np.testing.assert_array_equal(model.eval()(tokens)[0], plain(tokens)[0])
    model.train().rnn.dropout.p = 0
    kept = []

    def remember(x):
        kept.append(x)
        return x, None

    model.dropout.forward = remember
    np.testing.assert_array_equal(model.forward(tokens)[0], plain(tokens)[0])
    assert [x.shape for x in kept] == [(N, T, D), (N, T, H)]


class Frozen:
    """A generator that draws the same mask every time."""

    def random(self, shape, dtype):
        return np.random.default_rng(8).random(shape, dtype=dtype)


@pytest.mark.parametrize("embed_size", [D, None])
def test_gradients_through_dropout_match_finite_differences(embed_size):
    model = language_model(scratch, embed_size, dropout=0.4)
    for module in model.modules():
        module.rng = Frozen()
    errors = scratch.gradcheck(model, text(N * T).reshape(N, T))
    assert max(errors.values()) < 1e-6, errors


@TWINS
@CELLS
@pytest.mark.parametrize("steps", [1, 7, 49, 50, 300])
def test_a_stream_evaluated_in_pieces_of_any_length_has_the_loss_of_one_piece(twin, cell, steps):
    model, ids = language_model(twin, cell=cell), text()
    with torch.no_grad():
        logits = np.asarray(model(ids[None, :-1])[0])[0]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(len(p)), ids[1:]]).mean()
    loss = evaluate(model, StreamBatches(ids, 1, steps))["loss"]
    assert loss == pytest.approx(expected, rel=1e-10)


@TWINS
@CELLS
def test_streams_of_unequal_length_have_the_mean_loss_of_all_their_predictions(twin, cell):
    model, ids = language_model(twin, cell=cell), text(46)  # 45 predictions in 4 streams
    losses, ends = [], [12, 23, 34, 45]
    for start, end in zip([0, *ends], ends, strict=False):
        one = StreamBatches(ids[start : end + 1], 1, 100)
        losses.append(evaluate(model, one)["loss"] * (end - start))
    for steps in (1, 4, 11, 100):
        loss = evaluate(model, StreamBatches(ids, 4, steps))["loss"]
        assert loss == pytest.approx(sum(losses) / 45, rel=1e-10)


@TWINS
def test_every_evaluation_starts_from_an_empty_state(twin):
    model, data = language_model(twin), StreamBatches(text(), 3, 20)
    assert evaluate(model, data) == evaluate(model, data)


@TWINS
def test_the_accuracy_of_a_stream_counts_every_prediction_once(twin):
    model, ids = language_model(twin), text(46)
    scores = [
        evaluate(model, StreamBatches(ids, 1, steps), metric="accuracy")["accuracy"]
        for steps in (45, 7)
    ]
    assert scores[0] == scores[1]
    assert scores[0] * 45 == pytest.approx(round(scores[0] * 45))


def train(twin, train_data=None, **options):
    model = language_model(
        twin, dropout=options.pop("dropout", 0.0), cell=options.pop("cell", "gru")
    )
    optimizer = twin.Adam(model.parameters(), lr=0.02)
    history = fit(
        model,
        train_data or StreamBatches(text(), 4, 16),
        StreamBatches(text(60, 1), 1, 16),
        optimizer=optimizer,
        progress=False,
        **{"epochs": 3, "clip": 0.5, **options},
    )
    return history, model


@CELLS
def test_both_twins_run_the_same_history_on_streams(cell):
    ours, theirs = (train(twin, cell=cell)[0] for twin in (scratch, pytorch))
    pd.testing.assert_frame_equal(without_seconds(ours), without_seconds(theirs), rtol=1e-9)


def test_training_on_a_stream_learns():
    history, model = train(scratch, epochs=20)
    assert metrics.perplexity(history.val_loss.min()) < 0.5 * V
    assert history.val_loss.min() == pytest.approx(
        evaluate(model, StreamBatches(text(60, 1), 1, 59))["loss"]
    )


@TWINS
def test_the_training_loss_is_that_of_evaluation_where_nothing_moves(twin):
    """So the state is carried in training as it is in evaluation, and starts from zeros."""
    model, data = language_model(twin), StreamBatches(text(), 4, 16)
    still = twin.SGD(model.parameters(), lr=1e-20)
    history = fit(model, data, optimizer=still, epochs=2, progress=False)
    assert history.loss.tolist() == pytest.approx([evaluate(model, data)["loss"]] * 2, rel=1e-10)


@TWINS
def test_the_gradient_is_cut_between_pieces(twin):
    """One step on the second piece is a step from its state as a constant."""
    ids = text(2 * T + 1)
    data = StreamBatches(ids, 1, T)
    model, by_hand = language_model(twin), language_model(twin)
    fit(model, data, optimizer=twin.SGD(model.parameters(), lr=0.5), epochs=1, progress=False)
    optimizer, state = twin.SGD(by_hand.parameters(), lr=0.5), None
    for (tokens,), target in data.batches():
        optimizer.zero_grad()
        if twin is scratch:
            logits, state, cache = by_hand.forward(tokens, state)
            _, dlogits = scratch.cross_entropy(logits[0], target[0])
            by_hand.backward(dlogits[None], None, cache)
        else:
            logits, state = by_hand(tokens, state)
            pytorch.cross_entropy(logits[0], torch.tensor(target[0])).backward()
            state = tuple(torch.tensor(part.detach().numpy()) for part in state)
        optimizer.step()
    for name, array in get_weights(by_hand).items():
        np.testing.assert_allclose(get_weights(model)[name], array, rtol=1e-12, atol=1e-14)


class Stopped(Exception):
    """Stands for whatever ends a run in the middle of an epoch."""


class Interrupted(StreamBatches):
    """Streams that end in the middle of the second epoch."""

    epoch = 0

    def batches(self, rng=None):
        self.epoch += 1
        for number, batch in enumerate(super().batches(rng)):
            if self.epoch == 2 and number == 3:
                raise Stopped
            yield batch


@TWINS
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(twin, tmp_path):
    options = {"dropout": 0.3, "epochs": 4}
    expected, model = train(twin, checkpoint=tmp_path / "whole", **options)
    with pytest.raises(Stopped):
        train(twin, Interrupted(text(), 4, 16), checkpoint=tmp_path / "cut", **options)
    resumed, again = train(twin, checkpoint=tmp_path / "cut", **options)
    pd.testing.assert_frame_equal(
        without_seconds(resumed), without_seconds(expected), check_exact=True
    )
    for name, array in get_weights(model).items():
        np.testing.assert_array_equal(get_weights(again)[name], array)


@TWINS
def test_separate_sequences_train_a_language_model_too_each_from_an_empty_state(twin):
    model, ids = language_model(twin), text(N * (T + 1)).reshape(N, T + 1)
    pair = ids[:, :-1], ids[:, 1:]
    history = fit(
        model, pair, pair, optimizer=twin.Adam(model.parameters()), epochs=2, progress=False
    )
    one_by_one = ArrayBatches(*pair, batch_size=1)
    assert evaluate(model, one_by_one)["loss"] == pytest.approx(history.val_loss[2], rel=1e-10)
    assert predict(model, pair[0]).shape == (N, T, V)


@TWINS
def test_a_stateful_stream_needs_a_model_that_returns_its_state(twin):
    class WrongData(ArrayBatches):
        stateful = True

    model = twin.SequenceClassifier(V, D, H, K)
    data = WrongData(np.ones((N, T), int), np.ones(N, int))
    with pytest.raises(TypeError, match=r"train.stateful=True: expected a model that returns \(ou"):
        fit(model, data, optimizer=twin.Adam(model.parameters()), progress=False)
    with pytest.raises(TypeError, match="data.stateful=True: expected a model that returns"):
        evaluate(model, data)


@TWINS
def test_predictions_of_a_stream_are_refused(twin):
    with pytest.raises(ValueError, match="data.stateful=True: expected examples in a row"):
        predict(language_model(twin), StreamBatches(text(), 2, 8))


def test_a_uniform_guess_has_the_perplexity_of_its_choices_and_their_bits():
    assert metrics.perplexity(math.log(65)) == pytest.approx(65)
    assert metrics.bits(math.log(8)) == pytest.approx(3)
