"""A Keras 3 model and the twin that has its weights are the same function."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from rnnbook import pytorch, scratch
from rnnbook.interop import from_keras, get_weights

from .cases import LENGTHS, D, H, K, N, T, V

TWINS = [scratch, pytorch]
KINDS = {"rnn": ("SimpleRNN", "RNN"), "lstm": ("LSTM", "LSTM"), "gru": ("GRU", "GRU")}
each_twin = pytest.mark.parametrize("twin", TWINS, ids=["scratch", "pytorch"])


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Keras on torch; what it writes about itself goes into a folder of the test."""
    folder = str(tmp_path_factory.mktemp("keras"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", folder)
        import keras

        assert keras.backend.backend() == "torch"
        yield keras


def shuffled(layer, seed=0):
    """The layer with random weights everywhere: zeros and ones would hide swapped gates."""
    rng = np.random.default_rng(seed)
    layer.set_weights([0.5 * rng.standard_normal(w.shape) for w in layer.weights])
    return layer


def built(keras, *layers, ids=False):
    model = keras.Sequential([keras.Input((T,) if ids else (T, D)), *layers])
    return shuffled(model)


def vectors():
    return np.random.default_rng(1).standard_normal((N, T, D)).astype(np.float32)


def tokens():
    return np.random.default_rng(1).integers(0, V, (N, T))


def array(output):
    return output.detach().cpu().numpy() if isinstance(output, torch.Tensor) else output


def agree(theirs, ours):
    np.testing.assert_allclose(array(theirs), array(ours), atol=2e-6)


def call(twin, layer, x):
    return layer(x if twin is scratch else torch.tensor(x))


LAYERS = [
    ("rnn", {}, {}),
    ("rnn", {"use_bias": False}, {"bias": False}),
    ("rnn", {"activation": "relu"}, {"nonlinearity": "relu"}),
    ("rnn", {"activation": "sigmoid"}, {"nonlinearity": "sigmoid"}),
    ("rnn", {"activation": "linear"}, {"nonlinearity": "identity"}),
    ("lstm", {}, {}),
    ("lstm", {"use_bias": False}, {"bias": False}),
    ("gru", {}, {}),
    ("gru", {"use_bias": False}, {"bias": False}),
    ("gru", {"reset_after": False}, {"reset_after": False}),
]


@each_twin
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cell", "theirs", "ours"), LAYERS)
def test_a_layer_of_keras_and_its_twin_give_the_same_outputs(
    keras, twin, cell, theirs, ours, bidirectional
):
    their_name, our_name = KINDS[cell]
    layer = getattr(keras.layers, their_name)(H, return_sequences=True, **theirs)
    layer = keras.layers.Bidirectional(layer) if bidirectional else layer
    layer(vectors())
    shuffled(layer)
    copy = getattr(twin, our_name)(D, H, batch_first=True, bidirectional=bidirectional, **ours)
    from_keras(layer, copy)
    agree(layer(vectors()), call(twin, copy, vectors())[0])


@each_twin
@pytest.mark.parametrize("cell", KINDS)
def test_stacked_layers_with_dropout_between_give_the_same_outputs(keras, twin, cell):
    make = getattr(keras.layers, KINDS[cell][0])
    model = built(
        keras,
        keras.layers.Bidirectional(make(H, return_sequences=True)),
        keras.layers.Dropout(0.5),
        keras.layers.Bidirectional(make(H, return_sequences=True)),
    )
    copy = getattr(twin, KINDS[cell][1])(D, H, 2, batch_first=True, bidirectional=True)
    from_keras(model, copy)
    agree(model(vectors()), call(twin, copy, vectors())[0])


@each_twin
@pytest.mark.parametrize("cell", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_whole_classifier_gives_the_same_logits(keras, twin, cell, bidirectional):
    layer = getattr(keras.layers, KINDS[cell][0])(H)
    model = built(
        keras,
        keras.layers.Embedding(V, D),
        keras.layers.Bidirectional(layer) if bidirectional else layer,
        keras.layers.Dense(K),
        ids=True,
    )
    copy = twin.SequenceClassifier(V, D, H, K, cell, bidirectional=bidirectional)
    from_keras(model, copy)
    agree(model(tokens()), copy(tokens()))


@each_twin
@pytest.mark.parametrize("every_step", [False, True])
def test_a_whole_predictor_gives_the_same_numbers(keras, twin, every_step):
    model = built(
        keras,
        keras.layers.LSTM(H, return_sequences=True),
        keras.layers.LSTM(H, return_sequences=every_step),
        keras.layers.Dense(K),
    )
    copy = twin.SequencePredictor(D, H, K, "lstm", 2, every_step=every_step)
    from_keras(model, copy)
    agree(model(vectors()), call(twin, copy, vectors()))


@each_twin
def test_one_sigmoid_of_keras_is_the_sigmoid_of_our_logit(keras, twin):
    model = built(
        keras,
        keras.layers.Embedding(V, D),
        keras.layers.SimpleRNN(H),
        keras.layers.Dense(1, "sigmoid"),
        ids=True,
    )
    copy = twin.SequenceClassifier(V, D, H, 1)
    from_keras(model, copy)
    agree(array(model(tokens()))[:, 0], 1 / (1 + np.exp(-array(copy(tokens())))))


@each_twin
def test_masked_padding_behind_is_our_lengths(keras, twin):
    model = built(
        keras,
        keras.layers.Embedding(V, D, mask_zero=True),
        keras.layers.Bidirectional(keras.layers.GRU(H)),
        keras.layers.Dense(K),
        ids=True,
    )
    ids = np.where(np.arange(T) < LENGTHS[:, None], tokens().clip(1), 0)
    copy = twin.SequenceClassifier(V, D, H, K, "gru", bidirectional=True)
    from_keras(model, copy)
    agree(model(ids), copy(ids, LENGTHS))
    unmasked = array(copy(ids))[LENGTHS < T]
    assert np.abs(array(model(ids))[LENGTHS < T] - unmasked).max() > 1e-2


def dense(keras, layer, *more):
    return built(keras, layer, *more, keras.layers.Dense(K))


REFUSED = [
    (lambda k: built(k, k.layers.GRU(H)), "RNN", {}, ValueError, "is a GRU: expected SimpleRNN"),
    (
        lambda k: built(k, k.layers.GRU(H, reset_after=False)),
        "GRU",
        {},
        ValueError,
        "reset_after=F",
    ),
    (lambda k: built(k, k.layers.GRU(H, activation="relu")), "GRU", {}, ValueError, "='relu': exp"),
    (
        lambda k: built(k, k.layers.LSTM(H, recurrent_activation="hard_sigmoid")),
        "LSTM",
        {},
        ValueError,
        "recurrent_activation='hard_sigmoid': expected 'sigmoid'",
    ),
    (
        lambda k: built(k, k.layers.LSTM(H, go_backwards=True)),
        "LSTM",
        {},
        ValueError,
        "go_backwards=True: expected False",
    ),
    (
        lambda k: built(k, k.layers.Bidirectional(k.layers.LSTM(H), merge_mode="sum")),
        "LSTM",
        {"bidirectional": True},
        ValueError,
        "merge_mode='sum': expected 'concat'",
    ),
    (
        lambda k: built(
            k,
            k.layers.Bidirectional(
                k.layers.LSTM(H, go_backwards=True), backward_layer=k.layers.LSTM(H)
            ),
        ),
        "LSTM",
        {"bidirectional": True},
        ValueError,
        "go_backwards=True: expected False",
    ),
    (lambda k: built(k, k.layers.SimpleRNN(H, activation="relu")), "RNN", {}, ValueError, "'tanh'"),
    (lambda k: built(k, k.layers.LSTM(H + 1)), "LSTM", {}, ValueError, "weight_ih_l0 has shape"),
    (lambda k: built(k, k.layers.LSTM(H)), "LSTM", {"num_layers": 2}, ValueError, "missing .*_l1"),
    (lambda k: built(k, k.layers.LSTM(H, use_bias=False)), "LSTM", {}, ValueError, "missing bias"),
    (lambda k: dense(k, k.layers.LSTM(H)), "LSTM", {}, ValueError, "unexpected linear.weight"),
    (lambda k: k.layers.LSTM(H), "LSTM", {}, ValueError, "call it on a batch first"),
    (lambda k: built(k, k.layers.Dense(H)), "RNN", {}, TypeError, "holds Dense: expected"),
    (
        lambda k: dense(k, k.layers.LSTM(H, return_sequences=True), k.layers.Flatten()),
        "LSTM",
        {},
        TypeError,
        "holds LSTM, Flatten, Dense: expected Embedding",
    ),
    (lambda k: np.ones(3), "RNN", {}, TypeError, "expected a layer or Sequential model of Keras 3"),
]


@each_twin
@pytest.mark.parametrize(("make", "kind", "options", "error", "message"), REFUSED)
def test_what_would_compute_something_else_is_refused_and_changes_nothing(
    keras, twin, make, kind, options, error, message
):
    target = getattr(twin, kind)(D, H, **options)
    before = get_weights(target)
    with pytest.raises(error, match=message):
        from_keras(make(keras), target)
    for name, value in get_weights(target).items():
        np.testing.assert_array_equal(value, before[name])


@each_twin
def test_what_is_read_of_the_states_must_agree(keras, twin):
    embedding = keras.layers.Embedding(V, D)
    model = built(keras, embedding, keras.layers.LSTM(H), keras.layers.Dense(K), ids=True)
    with pytest.raises(ValueError, match="target has pooling='mean': expected 'last'"):
        from_keras(model, twin.SequenceClassifier(V, D, H, K, "lstm", pooling="mean"))
    model = dense(keras, keras.layers.LSTM(H))
    with pytest.raises(ValueError, match="return_sequences=False: expected True"):
        from_keras(model, twin.SequencePredictor(D, H, K, "lstm", every_step=True))
    model = built(keras, keras.layers.LSTM(H), keras.layers.Dense(K, "relu"))
    with pytest.raises(ValueError, match="activation='relu': expected 'linear' or 'sigmoid'"):
        from_keras(model, twin.SequencePredictor(D, H, K, "lstm"))
    with pytest.raises(TypeError, match="target is a Linear"):
        from_keras(model, twin.Linear(D, H))


def test_the_package_never_imports_keras():
    code = "import sys; from rnnbook import *; print('keras' in sys.modules)"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "False"
