"""Initial values: what each function makes, that both twins get the same, and what it refuses."""

import numpy as np
import pytest
import torch

from rnnbook import init, pytorch, scratch
from rnnbook.interop import copy_weights, get_weights, set_weights

from .cases import D, H, K, N, T, V

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def blocks(weights, gates):
    """List every (H, H) block of the recurrent weights."""
    return [b for name in weights if "weight_hh" in name for b in np.split(weights[name], gates)]


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


@TWINS
@pytest.mark.parametrize("name", GATES)
def test_orthogonal_makes_every_gate_of_every_layer_orthogonal_and_no_two_alike(twin, name):
    model = getattr(twin, name)(D, H, num_layers=2, bidirectional=True)
    before = get_weights(model)
    assert init.orthogonal(model, gain=1.5, rng=0) is model
    after = get_weights(model)
    found = blocks(after, GATES[name])
    assert len(found) == 4 * GATES[name]
    for block in found:
        np.testing.assert_allclose(block @ block.T, 2.25 * np.eye(H), atol=1e-5)
    for number, block in enumerate(found):
        assert all(np.abs(block - other).max() > 0.1 for other in found[:number])
    assert all(np.array_equal(after[n], before[n]) for n in after if "weight_hh" not in n)


def test_orthogonal_matrices_are_uniform_among_all():
    """Without the correction of signs, QR gives a mean trace of -0.5 here, not 0."""
    cell = scratch.RNNCell(1, 3)
    rng = np.random.default_rng(0)
    traces = [np.trace(init.orthogonal(cell, rng=rng).weight_hh.data) for _ in range(2000)]
    assert abs(np.mean(traces)) < 4 * np.std(traces) / 2000**0.5
    assert np.std(traces) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", GATES)
def test_both_twins_and_torchs_own_layer_get_the_same_numbers_from_the_same_rng(name):
    options = {"num_layers": 2, "bidirectional": True}
    ours = getattr(scratch, name)(D, H, **options, dtype=np.float64)
    for module in (pytorch, torch.nn):
        theirs = getattr(module, name)(D, H, **options, dtype=torch.float64)
        copy_weights(ours, theirs)
        assert same(
            get_weights(init.orthogonal(ours, rng=3)), get_weights(init.orthogonal(theirs, rng=3))
        )
        if name == "RNN":
            assert same(get_weights(init.identity(ours)), get_weights(init.identity(theirs)))
        if name == "LSTM":
            assert same(get_weights(init.forget_bias(ours)), get_weights(init.forget_bias(theirs)))


@TWINS
def test_initialisers_reach_cells_and_layers_inside_models(twin):
    model = twin.SequenceClassifier(V, D, H, K, cell="lstm")
    init.forget_bias(init.orthogonal(model, rng=0), 2.0)
    weights = get_weights(model)
    np.testing.assert_array_equal(weights["rnn.bias_ih_l0"][H : 2 * H], 2)
    block = weights["rnn.weight_hh_l0"][:H]
    np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-5)
    cell = init.orthogonal(twin.Unrolled(twin.LayerNormCell(D, H)), rng=0)
    block = get_weights(cell)["cell.weight_hh"]
    np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-5)


@TWINS
def test_orthogonal_linear_recurrence_keeps_the_length_of_the_state(twin):
    layer = init.orthogonal(twin.RNN(D, H, nonlinearity="identity", bias=False), rng=0)
    make = np.asarray if twin is scratch else torch.tensor
    state = np.random.default_rng(1).standard_normal((1, N, H)).astype(np.float32)
    _, end = layer(make(np.zeros((200, N, D), np.float32)), make(state))
    end = np.asarray(end if twin is scratch else end.detach())
    np.testing.assert_allclose(
        np.linalg.norm(end, axis=2), np.linalg.norm(state, axis=2), rtol=1e-4
    )


@TWINS
def test_identity_copies_the_state_and_adds_the_input(twin):
    layer = twin.RNN(D, H, nonlinearity="relu", num_layers=2)
    before = get_weights(layer)
    assert init.identity(layer, scale=0.5) is layer
    weights = get_weights(layer)
    for suffix in ("_l0", "_l1"):
        np.testing.assert_array_equal(weights["weight_hh" + suffix], 0.5 * np.eye(H))
        assert not weights["bias_ih" + suffix].any() and not weights["bias_hh" + suffix].any()
        np.testing.assert_array_equal(weights["weight_ih" + suffix], before["weight_ih" + suffix])


@TWINS
def test_identity_keeps_the_state_over_a_thousand_steps_without_input(twin):
    layer = init.identity(twin.RNN(D, H, nonlinearity="relu"))
    make = np.asarray if twin is scratch else torch.tensor
    state = make(np.random.default_rng(1).random((1, N, H)).astype(np.float32))
    _, end = layer(make(np.zeros((1000, N, D), np.float32)), state)
    assert bool((end == state).all())


@TWINS
def test_identity_works_without_biases_and_leaves_a_layer_norm_alone(twin):
    weights = get_weights(init.identity(twin.RNNCell(D, H, bias=False)))
    np.testing.assert_array_equal(weights["weight_hh"], np.eye(H))
    weights = get_weights(init.identity(twin.LayerNormCell(D, H)))
    np.testing.assert_array_equal(weights["weight_hh"], np.eye(H))
    np.testing.assert_array_equal(weights["norm.weight"], np.ones(H))


@TWINS
@pytest.mark.parametrize("cell", ["GRU", "LSTM", "GRUCell", "LSTMCell"])
def test_identity_refuses_gated_cells_and_changes_nothing(twin, cell):
    model = getattr(twin, cell)(D, H)
    before = get_weights(model)
    with pytest.raises(
        ValueError, match=r"weight_hh.* has shape \((15|20), 5\), that of a.*\(H, H\)"
    ):
        init.identity(model)
    assert same(get_weights(model), before)


@TWINS
@pytest.mark.parametrize("name", ["LSTM", "LSTMCell"])
def test_forget_bias_sets_the_sum_that_the_forget_gate_sees_and_nothing_else(twin, name):
    model = getattr(twin, name)(D, H)
    before = get_weights(model)
    assert init.forget_bias(model, 3.0) is model
    after = get_weights(model)
    suffix = "_l0" if name == "LSTM" else ""
    forget = slice(H, 2 * H)  # i f g o
    np.testing.assert_array_equal(after["bias_ih" + suffix][forget], 3)
    np.testing.assert_array_equal(after["bias_hh" + suffix][forget], 0)
    for key in after:
        rest = [part for number, part in enumerate(np.split(after[key], 4)) if number != 1]
        kept = [part for number, part in enumerate(np.split(before[key], 4)) if number != 1]
        np.testing.assert_array_equal(rest, kept)


@TWINS
def test_forget_bias_opens_the_gate_to_sigmoid_of_its_value(twin):
    """With input and recurrent weights 0, c' = sigmoid(value) c, but for the candidate."""
    cell = init.forget_bias(twin.LSTMCell(D, H), 1.5)
    weights = {
        name: np.zeros_like(array) if name.startswith("weight") else array.copy()
        for name, array in get_weights(cell).items()
    }
    for bias in ("bias_ih", "bias_hh"):
        weights[bias][2 * H : 3 * H] = 0  # the candidate g
    set_weights(cell, weights)
    make = np.asarray if twin is scratch else torch.tensor
    ones = make(np.ones((N, H), np.float32))
    _, c = cell(make(np.ones((N, D), np.float32)), (ones, ones))
    c = np.asarray(c if twin is scratch else c.detach())
    np.testing.assert_allclose(c, 1 / (1 + np.exp(-1.5)), rtol=1e-6)


@TWINS
@pytest.mark.parametrize("cell", ["RNN", "GRU"])
def test_forget_bias_refuses_a_model_without_an_lstm(twin, cell):
    with pytest.raises(ValueError, match="has no LSTM"):
        init.forget_bias(getattr(twin, cell)(D, H))


@TWINS
def test_forget_bias_refuses_an_lstm_without_biases(twin):
    with pytest.raises(ValueError, match="weight_hh_l0 has no bias beside it: .*bias=True"):
        init.forget_bias(twin.LSTM(D, H, bias=False))


def test_initialisers_work_on_the_readers_own_torch_module_by_name():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight_ih = torch.nn.Parameter(torch.randn(4 * H, D))
            self.weight_hh = torch.nn.Parameter(torch.randn(4 * H, H))
            self.bias_ih = torch.nn.Parameter(torch.randn(4 * H))  # one bias is enough

    own = torch.nn.ModuleDict({"mine": Own(), "gru": torch.nn.GRU(D, H)})
    before = get_weights(own)
    weights = get_weights(init.forget_bias(init.orthogonal(own, rng=0), 2.0))
    np.testing.assert_array_equal(weights["mine.bias_ih"][H : 2 * H], 2)
    np.testing.assert_array_equal(weights["gru.bias_ih_l0"], before["gru.bias_ih_l0"])
    for block in blocks({"weight_hh": weights["mine.weight_hh"]}, 4):
        np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-5)
    assert own["mine"].weight_hh.requires_grad and own["mine"].weight_hh.is_leaf


@pytest.mark.parametrize("function", [init.orthogonal, init.identity, init.forget_bias])
def test_models_without_recurrent_weights_are_refused_by_the_names_they_have(function):
    with pytest.raises(ValueError, match="no recurrent weight.*weight_hh.*weight, bias"):
        function(scratch.Linear(D, K))
    with pytest.raises(ValueError, match="no recurrent weight.*there are none"):
        function(torch.nn.Identity())
    with pytest.raises(TypeError, match="model=3: expected"):
        function(3)


def test_recurrent_weights_that_are_no_square_blocks_are_refused():
    with pytest.raises(ValueError, match=r"weight_hh_l0 has shape \(20, 2\): expected \(H, H\)"):
        init.orthogonal(torch.nn.LSTM(D, H, proj_size=2))
    own = torch.nn.Module()
    for shape in ((3 * H + 1, H), (H,), (1, H, H)):
        own.weight_hh = torch.nn.Parameter(torch.zeros(shape))
        with pytest.raises(ValueError, match=r"weight_hh has shape .*: expected \(H, H\)"):
            init.orthogonal(own)


def test_bad_numbers_are_refused_before_anything_changes():
    layer = scratch.RNN(D, H)
    before = get_weights(layer)
    with pytest.raises(ValueError, match="gain=0: expected a finite number above 0"):
        init.orthogonal(layer, gain=0)
    with pytest.raises(ValueError, match="scale=-1: expected a finite number above 0"):
        init.identity(layer, scale=-1)
    for value in (float("nan"), "1", None):
        with pytest.raises(ValueError, match="value=.*: expected a finite number"):
            init.forget_bias(scratch.LSTM(D, H), value)
    assert same(get_weights(layer), before)


def test_layers_compute_with_their_new_weights_at_once():
    x = np.random.default_rng(2).standard_normal((T, N, D))
    layer = scratch.LSTM(D, H, dtype=np.float64, rng=0)
    layer(x)  # nothing of the old weights may be kept
    init.forget_bias(init.orthogonal(layer, rng=0))
    theirs = pytorch.LSTM(D, H, dtype=torch.float64)
    copy_weights(layer, theirs)
    np.testing.assert_allclose(layer(x)[0], theirs(torch.tensor(x))[0].detach(), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        *((name, (40, 50)) for name in ("RNN", "LSTM", "GRU", "LayerNormCell")),
        *((f"{name}Cell", (40, 50)) for name in ("RNN", "LSTM", "GRU")),
        *((name, (40, 50, 60)) for name in ("ConcatCell", "JordanCell")),
        ("Linear", (40, 50)),
    ],
)
def test_both_twins_start_from_weights_of_one_size(name, sizes):
    """The largest of many uniform numbers is close to their bound."""
    torch.manual_seed(0)
    ours = getattr(scratch, name)(*sizes, rng=0).state_dict()
    theirs = getattr(pytorch if hasattr(pytorch, name) else torch.nn, name)(*sizes)
    for key, weight in theirs.state_dict().items():
        assert abs(ours[key]).max() == pytest.approx(weight.abs().max().item(), rel=0.2), key
