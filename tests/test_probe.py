"""The microscope shows the same truth for scratch, for torch, and for a reader's own module."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnbook import probe, pytorch, scratch
from rnnbook.interop import copy_weights

from .cases import D, H, K, N, T
from .test_package import BLOCK_TORCH, run

CELLS = [("RNN", {}), ("GRU", {}), ("GRU", {"reset_after": False}), ("LSTM", {})]
every_cell = pytest.mark.parametrize(
    ("name", "options"), CELLS, ids=["rnn", "gru", "gru-before", "lstm"]
)
KINDS = ["scratch", "scratch-cell", "pytorch", "pytorch-cell", "batch-first", "own"]
every_kind = pytest.mark.parametrize("kind", KINDS)


class Own(nn.Module):
    """A reader's own layer: y is a read-out, not the state."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside
        self.out = nn.Linear(H, K, dtype=torch.float64)

    def forward(self, x, state=None):
        y, state = self.inside(x, state)
        return self.out(y), state


class OwnCell(nn.Module):
    """A reader's own cell, that returns what ``give`` makes of the next state."""

    def __init__(self, inside, give):
        super().__init__()
        self.inside, self.give = inside, give

    def forward(self, x, state):
        return self.give(self.inside(x, state))


def layer(name, options=None, **shape):
    return getattr(scratch, name)(D, H, **(options or {}), **shape, dtype=np.float64, rng=0)


def cell_of(ours, module, name, options):
    """The cell of one twin with the weights of the scratch layer ``ours``."""
    dtype = torch.float64 if module is pytorch else np.float64
    cell = getattr(module, name + "Cell")(D, H, **options, dtype=dtype)
    weights = {key.removesuffix("_l0"): array for key, array in ours.state_dict().items()}
    if module is pytorch:
        weights = {key: torch.tensor(array) for key, array in weights.items()}
    cell.load_state_dict(weights)
    return cell


def torch_twin(ours, name, options=None, **shape):
    theirs = getattr(pytorch, name)(D, H, **(options or {}), **shape, dtype=torch.float64)
    copy_weights(ours, theirs)
    return theirs


def model_of(kind, name, options):
    """The same function with the same weights, as another kind of model."""
    ours = layer(name, options)
    if kind == "scratch":
        return ours
    if kind == "scratch-cell":
        return cell_of(ours, scratch, name, options)
    if kind == "pytorch":
        return torch_twin(ours, name, options)
    if kind == "pytorch-cell":
        return cell_of(ours, pytorch, name, options)
    if kind == "batch-first":
        return torch_twin(ours, name, options, batch_first=True)
    return Own(torch_twin(ours, name, options))


def inputs(kind="scratch", name="RNN", *, layers=1, seed=1):
    """x and a state that fit the kind of model."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, N, D))
    state = [rng.standard_normal((layers, N, H)) for _ in range(2 if name == "LSTM" else 1)]
    if kind.endswith("cell"):
        state = [part[0] for part in state]
    x = x.swapaxes(0, 1) if kind == "batch-first" else x
    return x, state[0] if len(state) == 1 else tuple(state)


def unrolled(name, options, x, state):
    """Every state of the torch cell in one graph, copied between steps so that each is a node."""
    cell = model_of("pytorch-cell", name, options)
    state = [torch.tensor(part, requires_grad=True) for part in _pair(state)]
    visited = [state]
    for x_t in x:
        state = cell(torch.tensor(x_t), state[0] if len(state) == 1 else tuple(state))
        state = [part.clone() for part in _pair(state)]
        for part in state:
            part.retain_grad()
        visited.append(state)
    return visited


def _pair(state):
    return state if isinstance(state, tuple) else (state,)


# gradient flow


@every_kind
@every_cell
def test_gradient_flow_is_what_autograd_retains_at_every_step(name, options, kind):
    x, state = inputs(kind, name)
    model = model_of(kind, name, options)
    rng = np.random.default_rng(2)
    dstate = tuple(rng.standard_normal(part.shape) for part in _pair(state))
    flow = probe.gradient_flow(model, x, state, dstate if name == "LSTM" else dstate[0])

    x, state = inputs("pytorch-cell", name)
    visited = unrolled(name, options, x, state)
    ends = [torch.tensor(d.reshape(N, H)) for d in dstate]
    torch.autograd.backward(visited[-1], ends)
    for k, part in enumerate("hc" if name == "LSTM" else "h"):
        assert flow[part].shape == (T + 1, N)
        retained = [parts[k].grad.norm(dim=1).numpy() for parts in visited]
        np.testing.assert_allclose(flow[part], retained, rtol=1e-10)


def test_gradient_flow_starts_from_a_random_direction_of_length_one():
    x, _ = inputs()
    flow = probe.gradient_flow(layer("LSTM", num_layers=2), x)
    np.testing.assert_allclose(flow["h"][-1], 1)
    np.testing.assert_array_equal(flow["c"][-1], 0)
    other = probe.gradient_flow(layer("LSTM", num_layers=2), x, rng=1)
    assert not np.allclose(flow["h"][0], other["h"][0])


@pytest.mark.parametrize("twin", [scratch, pytorch])
def test_a_vanishing_gradient_does_not_underflow_in_float32(twin):
    model = twin.RNN(1, 3, nonlinearity="identity")
    weights = {key: np.zeros(np.shape(array), "f") for key, array in model.state_dict().items()}
    weights["weight_hh_l0"] = 0.1 * np.eye(3, dtype="f")
    if twin is pytorch:
        weights = {key: torch.tensor(array) for key, array in weights.items()}
    model.load_state_dict(weights)
    flow = probe.gradient_flow(model, np.zeros((100, 2, 1), "f"))["h"]
    np.testing.assert_allclose(flow[0], 1e-100, rtol=1e-4)


# Jacobians


@every_kind
@every_cell
def test_jacobians_are_those_of_autograd(name, options, kind):
    x, state = inputs(kind, name)
    jacobians = probe.jacobian(model_of(kind, name, options), x, state)

    cell = model_of("pytorch-cell", name, options)
    x, state = inputs("pytorch-cell", name)
    parts = len(_pair(state))

    def whole(x_t, vector):
        state = tuple(vector.reshape(1, parts, H).unbind(1))
        return torch.cat(_pair(cell(x_t[None], state if parts == 2 else state[0])), dim=1)[0]

    for n in range(N):
        vector = torch.tensor(np.concatenate([part[n] for part in _pair(state)]))
        for t in range(T):
            x_t = torch.tensor(x[t, n])
            expected = torch.autograd.functional.jacobian(lambda v, x_t=x_t: whole(x_t, v), vector)
            np.testing.assert_allclose(jacobians[t, n], expected, atol=1e-12)
            vector = whole(x_t, vector).detach()


def test_the_jacobian_of_a_linear_network_is_its_recurrent_matrix():
    model = layer("RNN", {"nonlinearity": "identity"})
    x, _ = inputs()
    jacobians = probe.jacobian(model, x)
    assert jacobians.shape == (T, N, H, H)
    np.testing.assert_array_equal(
        jacobians, np.broadcast_to(model.weight_hh_l0.data, jacobians.shape)
    )
    logs = probe.product_singular_values(jacobians)
    for k in range(1, T + 1):
        power = np.linalg.matrix_power(model.weight_hh_l0.data, k)
        expected = np.log(np.linalg.svd(power, compute_uv=False))
        np.testing.assert_allclose(logs[k - 1], np.broadcast_to(expected, (N, H)), rtol=1e-9)


def test_jacobians_of_two_layers_chain_to_the_gradient_of_the_initial_state():
    model, (x, state) = layer("LSTM", num_layers=2), inputs(name="LSTM", layers=2)
    jacobians = probe.jacobian(model, x, state)
    assert jacobians.shape == (T, N, 4 * H, 4 * H)
    rng = np.random.default_rng(3)
    dstate = tuple(rng.standard_normal((2, 2, N, H)))
    y, _, cache = model.forward(x, state)
    _, expected = model.backward(np.zeros_like(y), dstate, cache)

    def vector(parts):  # (N, 4H): h of both layers, then c
        return np.concatenate([part[k] for part in parts for k in range(2)], axis=1)

    gradient = vector(dstate)
    for factor in jacobians[::-1]:
        gradient = np.einsum("ni,nij->nj", gradient, factor)
    np.testing.assert_allclose(gradient, vector(expected), rtol=1e-9)


def test_products_multiply_the_last_factors_first():
    factors = np.random.default_rng(4).standard_normal((3, 1, 4, 4))
    logs = probe.product_singular_values(factors)
    last, middle, first = factors[::-1]
    for k, product in enumerate([last, last @ middle, last @ middle @ first]):
        np.testing.assert_allclose(logs[k], np.log(np.linalg.svd(product, compute_uv=False)))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_products_of_many_factors_neither_underflow_nor_overflow(scale):
    rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((4, 4)))
    logs = probe.product_singular_values(np.tile(scale * rotation, (500, 2, 1, 1)))
    expected = np.arange(1, 501)[:, None, None] * np.log(scale)
    np.testing.assert_allclose(logs, np.broadcast_to(expected, logs.shape), rtol=1e-10)


def test_singular_values_that_rounding_hides_are_nan_and_a_zero_product_is_minus_infinity():
    logs = probe.product_singular_values(np.tile(np.diag([1.0, 0.1]), (30, 1, 1, 1)))
    np.testing.assert_allclose(logs[:, 0, 0], 0, atol=1e-12)
    np.testing.assert_allclose(logs[:15, 0, 1], -np.arange(1, 16) * np.log(10))
    assert np.isnan(logs[16:, 0, 1]).all()
    assert (probe.product_singular_values(np.zeros((2, 1, 3, 3))) == -np.inf).all()


# gates and states


@every_kind
@every_cell
def test_gates_rebuild_what_the_layer_computes(name, options, kind):
    x, state = inputs(kind, name)
    model = model_of(kind, name, options)
    gates = probe.gates(model, x, state)
    visited = probe.states(model, x, state)
    expected, _ = model_of("scratch", name, options)(*inputs("scratch", name))
    names = {"RNN": "h", "GRU": "rznh", "LSTM": "ifgoch"}[name]
    assert "".join(gates) == names
    for one in (gates, visited):
        np.testing.assert_allclose(one["h"], expected, atol=1e-12)
    if name == "LSTM":
        np.testing.assert_allclose(gates["o"] * np.tanh(visited["c"]), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_gate_whose_bias_is_large_is_open(name):
    model = layer(name, num_layers=2)
    forced = {"LSTM": "f", "GRU": "z"}[name]  # both are the second block of rows
    model.bias_ih_l1.data[H : 2 * H] = 50
    gates = probe.gates(model, inputs()[0])
    np.testing.assert_allclose(gates[forced], 1)
    assert probe.gates(model, inputs()[0], layer=0)[forced].max() < 1
    if name == "GRU":
        np.testing.assert_allclose(gates["h"], 0, atol=1e-12)  # z keeps the initial zeros


@every_cell
@pytest.mark.parametrize("twin", ["scratch", "pytorch"])
def test_each_layer_of_several_has_its_gates_and_states(name, options, twin):
    x, state = inputs(name=name, layers=3)
    model = layer(name, options, num_layers=3)
    model = torch_twin(model, name, options, num_layers=3) if twin == "pytorch" else model
    _, final = layer(name, options, num_layers=3)(x, state)
    for number in range(3):
        gates = probe.gates(model, x, state, layer=number)
        for k, part in enumerate("hc" if name == "LSTM" else "h"):
            expected = _pair(final)[k][number]
            np.testing.assert_allclose(gates[part][-1], expected, atol=1e-12)
            visited = probe.states(model, x, state, layer=number)
            np.testing.assert_allclose(visited[part][-1], expected, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_gates_need_no_bias_and_work_in_float32(bias):
    model = pytorch.LSTM(D, H, bias=bias)
    x = inputs()[0].astype(np.float32)
    gates = probe.gates(model, torch.tensor(x))
    assert {str(activity.dtype) for activity in gates.values()} == {"float32"}
    expected = model(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(gates["h"], expected, atol=1e-6)


# own cells


@pytest.mark.parametrize(
    ("name", "give"),
    [
        ("RNN", lambda h: h),
        ("RNN", lambda h: (2 * h, h)),
        ("LSTM", lambda state: state),
        ("LSTM", lambda state: (state[0], state)),
    ],
    ids=["h", "y-h", "h-c", "y-(h-c)"],
)
def test_a_cell_of_ones_own_may_return_its_state_or_an_output_beside_it(name, give):
    x, state = inputs("cell", name)
    cell = model_of("pytorch-cell", name, {})
    own = probe.Step(OwnCell(cell, give))
    for tool in (probe.states, probe.gates, probe.gradient_flow):
        found, expected = tool(own, x, state), tool(cell, x, state)
        for part, values in expected.items():
            np.testing.assert_array_equal(found[part], values)
    np.testing.assert_array_equal(probe.jacobian(own, x, state), probe.jacobian(cell, x, state))


@pytest.mark.parametrize("name", ["ConcatCell", "JordanCell"])
def test_cells_that_emit_outputs_are_probed_in_both_twins_unrolled_or_step_by_step(name):
    ours = getattr(scratch, name)(D, H, K, dtype=np.float64, rng=0)
    theirs = getattr(pytorch, name)(D, H, K, dtype=torch.float64)
    copy_weights(ours, theirs)
    x, _ = inputs()
    state = np.random.default_rng(6).standard_normal((N, H if name == "ConcatCell" else K))
    models = [probe.Step(ours), scratch.Unrolled(ours), probe.Step(theirs)]
    models.append(pytorch.Unrolled(theirs))
    expected = probe.jacobian(models[0], x, state)
    _, _, cache = ours.forward(x[0], state)
    row = np.zeros_like(state)
    row[:, 1] = 1
    dy = np.zeros((N, K))
    np.testing.assert_allclose(expected[0, :, 1], ours.backward(dy, row, cache)[1])
    for model in models[1:]:
        np.testing.assert_allclose(probe.jacobian(model, x, state), expected, atol=1e-12)


def test_a_module_of_ones_own_may_read_tokens():
    class Speaker(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(9, D), nn.GRU(D, H)

        def forward(self, tokens, state=None):
            return self.rnn(self.embedding(tokens), state)

    tokens = np.random.default_rng(0).integers(0, 9, (T, N))
    model = Speaker()
    h = probe.states(model, tokens)["h"]
    np.testing.assert_allclose(h, model(torch.tensor(tokens))[0].detach(), atol=1e-6)
    assert probe.gradient_flow(model, tokens)["h"].shape == (T + 1, N)


def test_a_state_that_forgets_all_has_a_gradient_of_zero():
    class Forgets(nn.Module):
        def forward(self, x, state=None):
            return x, x[-1]

    x, _ = inputs()
    np.testing.assert_array_equal(probe.gradient_flow(Forgets(), x.astype("f"))["h"][:-1], 0)


def test_probing_leaves_the_model_as_it_was():
    x, _ = inputs()
    model = layer("GRU", num_layers=2, dropout=0.5)
    for parameter in model.parameters():
        parameter.grad += 3
    model.dropout.training = False
    drawn = str(model.rng.bit_generator.state)
    twin = torch_twin(model, "GRU", num_layers=2, dropout=0.5)
    for one in (model, twin):
        probe.gradient_flow(one, x)
        probe.jacobian(one, x)
        probe.gates(one, x)
        assert one.training
    assert not model.dropout.training and str(model.rng.bit_generator.state) == drawn
    assert all((parameter.grad == 3).all() for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in twin.parameters())


# saturation


def test_saturation_counts_both_ends_of_each_unit():
    activity = np.array([[0.05, 0.5, 0.95], [0.02, 0.95, 0.95], [0.5, 0.5, 0.99], [0.0, 0.5, 0.05]])
    shares = probe.saturation(activity[:, None])
    np.testing.assert_array_equal(shares.left, [0.75, 0, 0.25])
    np.testing.assert_array_equal(shares.right, [0, 0.25, 0.75])
    shares = probe.saturation(2 * activity[:, None] - 1, (-1, 1), margin=0.2)
    np.testing.assert_array_equal(shares.left, [0.75, 0, 0.25])


# memory


def delay_line(span):
    """A linear network whose unit k holds the input of k steps before."""
    model = scratch.RNN(1, span, nonlinearity="identity", dtype=np.float64)
    for parameter in model.parameters():
        parameter.data[...] = 0
    model.weight_ih_l0.data[0] = 1
    model.weight_hh_l0.data[...] = np.eye(span, k=-1)
    return model


@pytest.mark.parametrize("twin", ["scratch", "pytorch"])
def test_a_delay_line_remembers_its_span_and_nothing_beyond(twin):
    model = delay_line(4)
    if twin == "pytorch":
        model = pytorch.RNN(1, 4, nonlinearity="identity", dtype=torch.float64)
        copy_weights(delay_line(4), model)
    x = np.random.default_rng(0).standard_normal((60, 40, 1))
    scores = probe.memory(probe.states(model, x)["h"], x, range(8))
    assert scores.shape == (8,)
    np.testing.assert_allclose(scores[:4], 1, atol=1e-3)
    assert np.abs(scores[4:]).max() < 0.05


def test_memory_is_scored_on_sequences_that_were_not_fitted():
    rng = np.random.default_rng(1)
    h, x = rng.standard_normal((6, 10, 40)), rng.standard_normal((6, 10, 1))
    assert probe.memory(h, x, [0])[0] < 0  # 30 fitted examples: 40 units fit them perfectly


def test_memory_of_a_leaky_unit_is_what_theory_says():
    model = delay_line(1)
    model.weight_hh_l0.data[...] = 0.8
    x = np.random.default_rng(2).standard_normal((120, 200, 1))
    scores = probe.memory(probe.states(model, x)["h"][20:], x[20:], [0, 1, 2, 5])
    theory = 0.36 * 0.64 ** np.array([0, 1, 2, 5])  # Var(x_t-k part) / Var(h)
    np.testing.assert_allclose(scores, theory, atol=0.02)


# errors

X, _ = inputs()
ERRORS = {
    "a list": (lambda: probe.states([1], X), TypeError, "model is list: expected a recurrent"),
    "a whole model": (
        lambda: probe.states(scratch.SequenceClassifier(9, D, H, 2), X),
        TypeError,
        "model is SequenceClassifier: .* recurrent layer",
    ),
    "both directions": (
        lambda: probe.jacobian(scratch.LSTM(D, H, bidirectional=True), X.astype("f")),
        ValueError,
        "bidirectional=False",
    ),
    "both directions in torch": (
        lambda: probe.jacobian(nn.LSTM(D, H, bidirectional=True), X.astype("f")),
        ValueError,
        "bidirectional=False",
    ),
    "one step": (lambda: probe.states(layer("RNN"), X[0]), ValueError, r"x has shape \(4, 3\)"),
    "no step": (lambda: probe.states(layer("RNN"), X[:0]), ValueError, "at least one step"),
    "precision": (lambda: probe.states(nn.LSTM(D, H), X), TypeError, "x has dtype float64"),
    "the state of another model": (
        lambda: probe.gates(nn.LSTM(D, H).double(), X, np.zeros((2, N, H))),
        ValueError,
        "state holds 1 arrays: expected 2",
    ),
    "the state of another batch": (
        lambda: probe.states(layer("RNN"), X, np.zeros((1, N + 1, H))),
        ValueError,
        r"state has an array of shape \(1, 5, 5\): expected \(4, H\)",
    ),
    "dstate": (
        lambda: probe.gradient_flow(layer("LSTM"), X, dstate=np.zeros((1, N, H))),
        ValueError,
        "dstate holds 1 arrays: expected 2",
    ),
    "dstate's shape": (
        lambda: probe.gradient_flow(layer("RNN"), X, dstate=np.zeros((N, H))),
        ValueError,
        r"dstate has shape \(4, 5\): expected \(1, 4, 5\)",
    ),
    "layer": (lambda: probe.gates(layer("RNN"), X, layer=1), ValueError, "layer=1: expected"),
    "a cell of its own as a layer": (
        lambda: probe.states(OwnCell(nn.Bilinear(D, D, D).double(), lambda h: h), X, X[:1]),
        ValueError,
        r"returned a Tensor: expected \(y, state\). .* Step\(model\)",
    ),
    "h, c or y, h": (
        lambda: probe.states(probe.Step(OwnTwo()), X.astype("f")),
        ValueError,
        "expected state=",
    ),
    "learned start": (
        lambda: probe.states(LearnedStart(), X.astype("f")),
        ValueError,
        "does not start from zeros",
    ),
    "gates without weights": (
        lambda: probe.gates(probe.Step(scratch.ConcatCell(D, H, K)), X.astype("f")),
        ValueError,
        "no weight_ih_l0 or weight_ih among its weights i2h.weight",
    ),
    "gates of something else": (
        lambda: probe.gates(Swapped(), X.astype("f")),
        ValueError,
        "miss its own h",
    ),
    "limits": (
        lambda: probe.saturation(np.full((2, 2, 2), -0.5)),
        ValueError,
        "from -0.5 to -0.5: expected limits",
    ),
    "margin": (
        lambda: probe.saturation(np.zeros((2, 2, 2)), margin=0.6),
        ValueError,
        "margin=0.6",
    ),
    "lag": (lambda: probe.memory(X, X, [0, T]), ValueError, "lag=6: expected an integer from 0"),
    "no lag": (lambda: probe.memory(X, X, []), ValueError, "lags is empty"),
    "one sequence": (lambda: probe.memory(X[:, :1], X[:, :1], [0]), ValueError, "N=1"),
    "other steps": (lambda: probe.memory(X, X[1:], [0]), ValueError, r"x has shape \(5, 4, 3\)"),
}


class OwnTwo(nn.Module):
    def forward(self, x, state=None):
        return x, x


class LearnedStart(nn.Module):
    def forward(self, x, state=None):
        state = torch.ones(x.shape[1], D) if state is None else state
        return x, state + x[0]


class Swapped(nn.Module):
    """An LSTM whose forget gate is where the input gate should be."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, H)

    def forward(self, x, state):
        y, (h, c) = self.lstm(x, state)
        return y, (0.5 * h, c)


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_probed_is_refused_with_what_to_do(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_scratch_is_probed_where_torch_is_not_installed():
    code = (
        BLOCK_TORCH
        + """
import numpy as np
from rnnbook import probe, scratch
x = np.random.default_rng(0).standard_normal((6, 4, 3)).astype("f")
model = scratch.LSTM(3, 5)
probe.gradient_flow(model, x), probe.jacobian(model, x), probe.gates(model, x)
print(probe.memory(probe.states(model, x)["c"], x, [0, 2]).shape)
"""
    )
    assert run(code) == "(2,)"
