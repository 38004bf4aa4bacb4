"""Bad arguments and bad arrays: the message names the argument, its value, what was expected."""

import numpy as np
import pytest
import torch

from rnnbook import pytorch, scratch

from .cases import D, H, K, N, T, V

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])


def array(twin, *shape, dtype="float32"):
    if twin is scratch:
        return np.ones(shape, dtype)
    return torch.ones(shape, dtype=getattr(torch, dtype))


ARGUMENTS = [
    ("RNN", (0, H), {}, "input_size=0: expected an integer of at least 1"),
    ("RNN", (D, -2), {}, "hidden_size=-2: expected"),
    ("RNN", (D, 2.5), {}, "hidden_size=2.5: expected"),
    ("RNN", (D, H), {"num_layers": 0}, "num_layers=0: expected"),
    ("RNN", (D, H), {"nonlinearity": "swish"}, "nonlinearity='swish': expected one of 'tanh'"),
    ("RNN", (D, H), {"num_layers": 2, "dropout": 1.0}, "=1.0: expected a probability"),
    ("RNNCell", (D, 0), {}, "hidden_size=0: expected"),
    ("RNNCell", (D, H), {"nonlinearity": None}, "nonlinearity=None: expected one of"),
    ("ConcatCell", (D, 0, K), {}, "hidden_size=0: expected"),
    ("JordanCell", (D, H, 0), {}, "output_size=0: expected"),
    ("SequenceClassifier", (0, D, H, K), {}, "=0: expected"),
    ("SequenceClassifier", (V, D, H, 0), {}, "num_classes=0: expected"),
    ("SequenceClassifier", (V, D, H, K), {"cell": "rmm"}, "cell='rmm': expected one of 'rnn'"),
    ("SequenceClassifier", (V, D, H, K), {"pooling": "sum"}, "pooling='sum': expected one of"),
    ("SequenceClassifier", (V, D, H, K), {"dropout": 1.0}, "=1.0: expected a probability"),
    ("SequenceClassifier", (V, D, H, K), {"word_dropout": 1.0}, "=1.0: expected a probability"),
    ("SequencePredictor", (D, H, K), {"dropout": 1.0}, "=1.0: expected a probability"),
]


@TWINS
@pytest.mark.parametrize(("name", "args", "kwargs", "message"), ARGUMENTS)
def test_bad_constructor_arguments(twin, name, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(twin, name)(*args, **kwargs)


RNN_CALLS = [
    ((D,), {}, ValueError, r"x has shape \(3,\): expected \(T, N, 3\)"),
    ((T, D), {}, ValueError, r"x has shape \(6, 3\): expected \(T, N, 3\)"),
    ((T, N, D + 1), {}, ValueError, r"x has shape \(6, 4, 4\): expected \(T, N, 3\)"),
    ((0, N, D), {}, ValueError, r"T=0"),
    ((T, N, D), {"dtype": "float64"}, TypeError, "x has dtype .*float64: expected float32"),
    ((T, N, D), {"dtype": "int64"}, TypeError, "x has dtype .*int64: expected float32"),
]


@TWINS
@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid"])
@pytest.mark.parametrize(("shape", "kwargs", "error", "message"), RNN_CALLS)
def test_bad_inputs_of_a_recurrent_layer(twin, nonlinearity, shape, kwargs, error, message):
    with pytest.raises(error, match=message):
        twin.RNN(D, H, nonlinearity=nonlinearity)(array(twin, *shape, **kwargs))


@TWINS
@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid"])
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([T + 1, 1, 1, 1], ValueError, "lengths contains 7: expected integers from 1 to T=6"),
        ([0, 1, 1, 1], ValueError, "lengths contains 0: expected"),
        ([1, -3, 1, 1], ValueError, "lengths contains -3: expected"),
        ([1, 1, 1], ValueError, r"lengths has shape \(3,\): expected \(4,\)"),
        ([1.0, 2.0, 3.0, 4.0], TypeError, "lengths has dtype .*: expected integers"),
    ],
)
def test_bad_lengths(twin, nonlinearity, lengths, error, message):
    layer = twin.RNN(D, H, nonlinearity=nonlinearity)
    with pytest.raises(error, match=message):
        layer(array(twin, T, N, D), None, lengths)


@TWINS
@pytest.mark.parametrize("shape", [(1, N, H + 1), (2, N, H), (N, H)])
def test_bad_state_shapes(twin, shape):
    with pytest.raises(ValueError, match=r"state has shape .*: expected \(1, 4, 5\)"):
        twin.RNN(D, H)(array(twin, T, N, D), array(twin, *shape))


@TWINS
def test_bad_states_of_an_lstm_name_the_half_that_is_wrong(twin):
    layer, x = twin.LSTM(D, H), array(twin, T, N, D)
    good, bad = array(twin, 1, N, H), array(twin, 1, N, H + 1)
    with pytest.raises(ValueError, match=r"state\[1\] has shape \(1, 4, 6\): expected \(1, 4, 5\)"):
        layer(x, (good, bad))
    with pytest.raises(ValueError, match="state holds 1 arrays: expected 2"):
        layer(x, (good,))
    with pytest.raises(ValueError, match=r"c has shape \(4, 6\): expected \(4, 5\)"):
        twin.LSTMCell(D, H)(array(twin, N, D), (array(twin, N, H), array(twin, N, H + 1)))


@TWINS
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "ConcatCell", "JordanCell"])
def test_bad_inputs_of_cells(twin, name):
    cell = getattr(twin, name)(*((D, H, K) if name in ("ConcatCell", "JordanCell") else (D, H)))
    with pytest.raises(ValueError, match=r"x has shape \(4, 4\): expected \(N, 3\)"):
        cell(array(twin, N, D + 1))
    with pytest.raises(ValueError, match=r"has shape \(4, 9\): expected \(4, "):
        cell(array(twin, N, D), array(twin, N, 9))
    with pytest.raises(TypeError, match="has dtype .*float64: expected float32"):
        cell(array(twin, N, D, dtype="float64"))


@TWINS
@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([[1, V]], ValueError, "tokens contains 11: expected integers from 0 to 10"),
        ([[1, -1]], ValueError, "tokens contains -1: expected"),
        ([[1.0, 2.0]], TypeError, "tokens has dtype .*: expected integers"),
        ([1, 2], ValueError, r"tokens has shape \(2,\): expected \(N, T\)"),
        ([[]], TypeError, "tokens has dtype"),
    ],
)
def test_bad_tokens(twin, tokens, error, message):
    with pytest.raises(error, match=message):
        twin.SequenceClassifier(V, D, H, K)(tokens)


def test_bad_arguments_of_scratch_layers():
    with pytest.raises(ValueError, match="p=1.5: expected a probability"):
        scratch.Dropout(1.5)
    with pytest.raises(ValueError, match="padding_idx=11: expected an integer from 0 to 10"):
        scratch.Embedding(V, D, padding_idx=11)
    with pytest.raises(ValueError, match="dtype='int64': expected one of 'float32', 'float64'"):
        scratch.Linear(D, K, dtype=np.int64)
    with pytest.raises(ValueError, match=r"x has shape \(4, 4\): expected \(., 3\)"):
        scratch.Linear(D, K)(np.ones((N, D + 1), np.float32))
    with pytest.raises(ValueError, match="ids contains 11: expected integers from 0 to 10"):
        scratch.Embedding(V, D)(np.array([V]))


def test_bad_losses_and_optimisers():
    logits = np.zeros((N, K))
    with pytest.raises(ValueError, match="target contains 2: expected integers from 0 to 1"):
        scratch.cross_entropy(logits, np.array([0, 1, 2, 0]))
    with pytest.raises(ValueError, match=r"target has shape \(3,\): expected \(4,\)"):
        scratch.cross_entropy(logits, np.array([0, 1, 1]))
    with pytest.raises(ValueError, match=r"target has shape \(4,\): expected \(4, 2\)"):
        scratch.mse_loss(logits, np.zeros(N))
    linear = scratch.Linear(D, K)
    with pytest.raises(ValueError, match="lr=0: expected a finite number above 0"):
        scratch.SGD(linear.parameters(), lr=0)
    with pytest.raises(ValueError, match="weight_decay=-1: expected"):
        scratch.Adam(linear.parameters(), weight_decay=-1)
    with pytest.raises(ValueError, match="params is empty"):
        scratch.Adam([])
    with pytest.raises(ValueError, match="max_norm=0: expected"):
        scratch.clip_grad_norm(linear.parameters(), 0)


@TWINS
def test_dropout_without_layers_to_stand_between_warns(twin):
    with pytest.warns(UserWarning, match="num_layers=1") as caught:
        twin.RNN(D, H, dropout=0.5)
    if twin is scratch:  # torch's own warning points into torch
        assert caught[0].filename == __file__


@TWINS
def test_a_model_of_one_layer_finds_another_place_for_dropout(twin):
    twin.LanguageModel(V, D, H, num_layers=1, dropout=0.5)  # a warning would be an error
    twin.SequenceClassifier(V, D, H, K, num_layers=1, dropout=0.5)


def test_load_state_dict_names_everything_that_does_not_fit_and_changes_nothing():
    layer = scratch.RNN(D, H, rng=0)
    before = layer.state_dict()
    given = dict(before, weight_hh_l0=np.zeros((H, H + 1)), extra=np.zeros(1))
    del given["bias_ih_l0"]
    with pytest.raises(ValueError, match="missing bias_ih_l0; unexpected extra; weight_hh_l0 has"):
        layer.load_state_dict(given)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_gradcheck_wants_float64():
    with pytest.raises(ValueError, match="dtype=np.float64"):
        scratch.gradcheck(scratch.Linear(D, K), np.ones((N, D), np.float32))


def test_gradients_of_another_shape_than_the_outputs_are_refused():
    layer = scratch.GRU(D, H, rng=0)
    y, _, cache = layer.forward(np.ones((T, N, D), np.float32))
    for wrong in (y[:-1], np.concatenate([y, y[:1]]), y[..., :1]):
        with pytest.raises(ValueError, match="dy has shape"):
            layer.backward(wrong, None, cache)
    model = scratch.SequenceClassifier(V, D, H, K, rng=0)
    logits, cache = model.forward(np.ones((N, T), int))
    with pytest.raises(ValueError, match="dlogits has shape"):
        model.backward(logits.T, cache)


@TWINS
def test_a_cell_has_at_least_one_step_to_go(twin):
    with pytest.raises(ValueError, match="x has T=0 steps"):
        twin.Unrolled(twin.ConcatCell(D, H, K))(array(twin, 0, N, D))


def test_the_memory_of_another_optimizer_is_refused_and_changes_nothing():
    linear = scratch.Linear(D, K, rng=0)
    optimizer = scratch.Adam(linear.parameters())
    optimizer.step()
    earlier = optimizer.state_dict()
    linear.weight.grad += 1
    optimizer.step()
    before = optimizer.state_dict()
    for name, value, message in (
        ("7.exp_avg", np.zeros((K, D)), "holds 7.exp_avg: expected 2 parameters"),
        ("0.exp_avg", np.zeros((K, D + 1)), r"has shape \(\d, \d\): expected"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(earlier | {name: value})
    assert all((optimizer.state_dict()[name] == value).all() for name, value in before.items())
