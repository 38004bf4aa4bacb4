"""The promise of the book: every model is the same function twice, with the same gradients."""

import inspect
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch

from rnnbook import pytorch, scratch
from rnnbook.interop import copy_weights, get_weights
from rnnbook.scratch import recurrent
from rnnbook.scratch.recurrent import blocks

from .cases import CASES, LENGTHS, D, H, K, N, T, V, make_inputs

OUTPUT_TOLERANCE = 1e-12
GRADIENT_TOLERANCE = 1e-10

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


def twins(case):
    """Build both twins in float64 with the same weights, none of them constant.

    A LayerNorm starts at 1 and 0, and there a forgotten weight or bias would not show.
    """
    ours = getattr(scratch, case.name)(*case.args, **case.kwargs, dtype=np.float64, rng=0)
    rng = np.random.default_rng(9)
    for parameter in ours.parameters():
        parameter.data += 0.2 * rng.standard_normal(parameter.data.shape)
    theirs = getattr(pytorch, case.name)(*case.args, **case.kwargs, dtype=torch.float64)
    copy_weights(ours, theirs)
    return ours, theirs


def flat(value):
    """List the arrays of nested tuples, leaving out None: an LSTM's state is a pair."""
    if isinstance(value, tuple | list):
        return [array for part in value for array in flat(part)]
    return [] if value is None else [value]


def like(value, make):
    """Call ``make`` on each array of nested tuples."""
    return tuple(like(v, make) for v in value) if isinstance(value, tuple) else make(value)


def error(ours, theirs):
    """Largest difference, relative to the largest entry."""
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300)


def tensors(arrays):
    def tensor(array):
        return torch.tensor(array, requires_grad=array.dtype == np.float64)

    return [like(a, tensor) for a in arrays]


@every_case
def test_state_dicts_have_the_same_names_shapes_and_order(case):
    ours, theirs = twins(case)
    shapes = [(name, array.shape) for name, array in ours.state_dict().items()]
    assert shapes == [(name, tuple(t.shape)) for name, t in theirs.state_dict().items()]


@every_case
def test_outputs_and_all_gradients_match_torch(case):
    rng = np.random.default_rng(1)
    ours, theirs = twins(case)
    inputs = make_inputs(case, rng)
    tensor_inputs = tensors(inputs)

    *outputs, cache = ours.forward(*inputs)
    tensor_outputs = flat(theirs(*tensor_inputs))
    for a, b in zip(flat(outputs), tensor_outputs, strict=True):
        assert error(a, b) < OUTPUT_TOLERANCE

    cotangents = [like(output, lambda a: rng.standard_normal(a.shape)) for output in outputs]
    dinputs = flat(ours.backward(*cotangents, cache))
    torch.autograd.backward(tensor_outputs, [torch.tensor(c) for c in flat(cotangents)])
    differentiable = [t for t in flat(tensor_inputs) if t.requires_grad]
    for dinput, tensor in zip(dinputs, differentiable, strict=False):
        assert error(dinput, tensor.grad) < GRADIENT_TOLERANCE
    assert len(dinputs) >= len(differentiable)
    parameters = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert error(parameter.grad, parameters[name].grad) < GRADIENT_TOLERANCE, name


@every_case
def test_gradients_match_finite_differences(case):
    ours, _ = twins(case)
    inputs = make_inputs(case, np.random.default_rng(1))
    if case.inputs[0] == "tokens":  # the row of padding gets no gradient on purpose
        padding = case.kwargs.get("padding_idx", 0)
        inputs[0] = np.where(inputs[0] == padding, padding + 1, inputs[0])
    errors = scratch.gradcheck(ours, *inputs)
    floats = sum(a.dtype == np.float64 for a in flat(inputs))
    names = (name for name, _ in ours.named_parameters())
    assert set(errors) == {*names, *(f"input {number}" for number in range(floats))}
    assert max(errors.values()) < 1e-6, errors


@every_case
def test_call_returns_what_forward_returns_without_the_cache(case):
    ours, _ = twins(case)
    inputs = make_inputs(case, np.random.default_rng(1))
    *outputs, _ = ours.forward(*inputs)
    for a, b in zip(flat(ours(*inputs)), flat(outputs), strict=True):
        np.testing.assert_array_equal(a, b)


@every_case
def test_backward_adds_to_gradients_and_zero_grad_clears_them(case):
    rng = np.random.default_rng(1)
    ours, _ = twins(case)
    *outputs, cache = ours.forward(*make_inputs(case, rng))
    cotangents = [like(output, lambda a: rng.standard_normal(a.shape)) for output in outputs]
    ours.backward(*cotangents, cache)
    once = [parameter.grad.copy() for parameter in ours.parameters()]
    ours.backward(*cotangents, cache)
    for parameter, grad in zip(ours.parameters(), once, strict=True):
        np.testing.assert_allclose(parameter.grad, 2 * grad, rtol=1e-12)
    ours.zero_grad()
    assert all(not parameter.grad.any() for parameter in ours.parameters())


@every_case
def test_float32_is_kept_from_input_to_gradient(case):
    def single(array):
        return array.astype(np.float32) if array.dtype == np.float64 else array

    inputs = [like(a, single) for a in make_inputs(case, np.random.default_rng(1))]
    ours = getattr(scratch, case.name)(*case.args, **case.kwargs, rng=0)
    *outputs, cache = ours.forward(*inputs)
    arrays = flat(outputs) + flat(ours.backward(*outputs, cache))
    arrays += [p.data for p in ours.parameters()] + [p.grad for p in ours.parameters()]
    assert {str(array.dtype) for array in arrays} == {"float32"}


CELLS = {  # the arguments of the constructor, and the size of the state
    "ConcatCell": ((D, H, K), H),
    "JordanCell": ((D, H, K), K),
    "LayerNormCell": ((D, H), H),
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("with_state", [True, False])
def test_unrolled_cells_match_torch(name, with_state):
    rng = np.random.default_rng(2)
    args, state_size = CELLS[name]
    ours = scratch.Unrolled(getattr(scratch, name)(*args, dtype=np.float64, rng=0))
    theirs = pytorch.Unrolled(getattr(pytorch, name)(*args, dtype=torch.float64))
    copy_weights(ours, theirs)
    x = rng.standard_normal((T, N, D))
    state = rng.standard_normal((N, state_size))
    inputs = [x, state] if with_state else [x]
    tensor_inputs = tensors(inputs)
    y, final, cache = ours.forward(*inputs)
    tensor_outputs = theirs(*tensor_inputs)
    assert error(y, tensor_outputs[0]) < OUTPUT_TOLERANCE
    assert error(final, tensor_outputs[1]) < OUTPUT_TOLERANCE
    dy, dfinal = rng.standard_normal(y.shape), rng.standard_normal(final.shape)
    dinputs = ours.backward(dy, dfinal, cache)
    torch.autograd.backward(tensor_outputs, [torch.tensor(dy), torch.tensor(dfinal)])
    for dinput, tensor in zip(dinputs, tensor_inputs, strict=False):
        assert error(dinput, tensor.grad) < GRADIENT_TOLERANCE
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert error(p.grad, q.grad) < GRADIENT_TOLERANCE


@pytest.mark.parametrize("name", CELLS)
def test_unrolled_backward_takes_no_state_gradient_as_zeros(name):
    rng = np.random.default_rng(2)
    args, _ = CELLS[name]
    layer = scratch.Unrolled(getattr(scratch, name)(*args, dtype=np.float64, rng=0))
    y, final, cache = layer.forward(rng.standard_normal((T, N, D)))
    dx, dstate = layer.backward(y, None, cache)
    dx_zeros, dstate_zeros = layer.backward(y, np.zeros_like(final), cache)
    np.testing.assert_array_equal(dx, dx_zeros)
    np.testing.assert_array_equal(dstate, dstate_zeros)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_ragged_batches_match_packed_sequences_of_torch_itself(name, bidirectional, batch_first):
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    rng = np.random.default_rng(3)
    options = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": batch_first}
    ours = getattr(scratch, name)(D, H, **options, dtype=np.float64, rng=0)
    theirs = getattr(torch.nn, name)(D, H, **options, dtype=torch.float64)
    copy_weights(ours, theirs)
    x = rng.standard_normal((N, T, D) if batch_first else (T, N, D))
    y, state = ours(x, lengths=LENGTHS)
    packed = pack_padded_sequence(torch.tensor(x), LENGTHS, batch_first, enforce_sorted=False)
    packed_y, packed_state = theirs(packed)
    padded, _ = pad_packed_sequence(packed_y, batch_first, total_length=T)
    assert error(y, padded) < OUTPUT_TOLERANCE
    for a, b in zip(flat(state), flat(packed_state), strict=True):
        assert error(a, b) < OUTPUT_TOLERANCE


@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid"])
def test_padding_is_never_read_even_if_it_is_nan(nonlinearity):
    rng = np.random.default_rng(3)
    options = {"nonlinearity": nonlinearity, "num_layers": 2, "bidirectional": True}
    ours = scratch.RNN(D, H, **options, dtype=np.float64, rng=0)
    theirs = pytorch.RNN(D, H, **options, dtype=torch.float64)
    copy_weights(ours, theirs)
    x = rng.standard_normal((T, N, D))
    clean, clean_state, cache = ours.forward(x, None, LENGTHS)
    padding = np.arange(T)[:, None] >= LENGTHS
    dirty = np.where(padding[:, :, None], np.nan, x)
    y, state, dirty_cache = ours.forward(dirty, None, LENGTHS)
    np.testing.assert_array_equal(y, clean)
    np.testing.assert_array_equal(state, clean_state)
    assert not y[padding].any()
    dy = np.where(padding[:, :, None], np.nan, rng.standard_normal(y.shape))
    dx, dstate = ours.backward(dy, None, dirty_cache)
    assert not dx[padding].any()
    assert np.isfinite(dx).all() and np.isfinite(dstate).all()
    assert all(np.isfinite(parameter.grad).all() for parameter in ours.parameters())
    tensor_y, _ = theirs(torch.tensor(dirty), lengths=torch.tensor(LENGTHS))
    assert error(clean, tensor_y) < OUTPUT_TOLERANCE


def test_one_module_runs_many_times_before_the_first_backward():
    rng = np.random.default_rng(4)
    cell = scratch.RNNCell(D, H, dtype=np.float64, rng=0)
    theirs = pytorch.RNNCell(D, H, dtype=torch.float64)
    copy_weights(cell, theirs)
    xs = rng.standard_normal((3, N, D))
    h, caches, tensor_h = None, [], None
    for x in xs:
        h, cache = cell.forward(x, h)
        caches.append(cache)
        tensor_h = theirs(torch.tensor(x), tensor_h)
    dh = rng.standard_normal(h.shape)
    tensor_h.backward(torch.tensor(dh))
    for cache in reversed(caches):
        _, dh = cell.backward(dh, cache)
    for p, q in zip(cell.parameters(), theirs.parameters(), strict=True):
        assert error(p.grad, q.grad) < GRADIENT_TOLERANCE


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_inference_needs_less_memory_than_training(name):
    layer = getattr(scratch, name)(8, 32, num_layers=2, rng=0)
    x = np.zeros((400, 16, 8), np.float32)

    def peak(run):
        tracemalloc.start()
        try:
            run(x)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(layer) < 0.6 * peak(layer.forward)


LOSSES = {
    "cross_entropy": lambda rng: (rng.standard_normal((N, K)), rng.integers(0, K, N)),
    "binary_cross_entropy_with_logits": lambda rng: (
        30 * rng.standard_normal((N, K)),
        rng.random((N, K)),
    ),
    "mse_loss": lambda rng: (rng.standard_normal((T, N)), rng.standard_normal((T, N))),
    "pinball_loss": lambda rng: (
        rng.standard_normal((T, N, 3)),
        rng.standard_normal((T, N)),
        (0.2, 0.5, 0.9),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_gradients_match_torch(name):
    prediction, target, *rest = LOSSES[name](np.random.default_rng(5))
    loss, gradient = getattr(scratch, name)(prediction, target, *rest)
    tensor = torch.tensor(prediction, requires_grad=True)
    expected = getattr(pytorch, name)(tensor, torch.tensor(target), *rest)
    expected.backward()
    assert abs(loss - expected.item()) < OUTPUT_TOLERANCE * max(1, abs(loss))
    assert error(gradient, tensor.grad) < GRADIENT_TOLERANCE


def test_losses_stay_finite_on_huge_logits():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype=np.float32)
    loss, gradient = scratch.cross_entropy(logits, np.array([0, 0]))
    assert loss == pytest.approx(1e4) and np.isfinite(gradient).all()
    loss, gradient = scratch.binary_cross_entropy_with_logits(logits, np.eye(2))
    assert loss == pytest.approx(0, abs=1e-6) and np.isfinite(gradient).all()


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.03}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.03}),
]


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_ten_optimiser_steps_give_equal_losses_and_weights(name, options, clip):
    rng = np.random.default_rng(6)
    arguments = (V, D, H, K)
    ours = scratch.SequenceClassifier(*arguments, bidirectional=True, dtype=np.float64, rng=0)
    theirs = pytorch.SequenceClassifier(*arguments, bidirectional=True, dtype=torch.float64)
    copy_weights(ours, theirs)
    our_optimizer = getattr(scratch, name)(ours.parameters(), **options)
    their_optimizer = getattr(pytorch, name)(theirs.parameters(), **options)
    tokens, target = rng.integers(0, V, (N, T)), rng.integers(0, K, N)
    for _ in range(10):
        logits, cache = ours.forward(tokens, LENGTHS)
        loss, dlogits = scratch.cross_entropy(logits, target)
        our_optimizer.zero_grad()
        ours.backward(dlogits, cache)
        their_loss = pytorch.cross_entropy(theirs(tokens, LENGTHS), torch.tensor(target))
        their_optimizer.zero_grad()
        their_loss.backward()
        if clip:
            norm = scratch.clip_grad_norm(ours.parameters(), clip)
            their_norm = pytorch.clip_grad_norm(theirs.parameters(), clip).item()
            assert norm == pytest.approx(their_norm, rel=1e-10)
            assert norm > clip
        our_optimizer.step()
        their_optimizer.step()
        assert loss == pytest.approx(their_loss.item(), rel=1e-11)
    for name, array in get_weights(theirs).items():
        np.testing.assert_allclose(ours.state_dict()[name], array, rtol=1e-8, atol=1e-11)


def test_clip_grad_norm_leaves_small_gradients_alone():
    linear = scratch.Linear(D, K, rng=0)
    linear.weight.grad += 0.01
    before = linear.weight.grad.copy()
    norm = scratch.clip_grad_norm(linear.parameters(), 1.0)
    assert norm == pytest.approx(np.linalg.norm(before))
    np.testing.assert_array_equal(linear.weight.grad, before)


def test_dropout_keeps_the_mean_scales_the_rest_and_is_off_in_evaluation():
    layer = scratch.Dropout(0.3, rng=0)
    x = np.ones((200, 500), np.float32)
    y, cache = layer.forward(x)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(layer.backward(x, cache), y)
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_dropout_acts_between_layers_only_in_training():
    x = np.random.default_rng(7).standard_normal((T, N, D)).astype(np.float32)
    layer = scratch.RNN(D, H, num_layers=2, dropout=0.5, rng=0)
    plain = scratch.RNN(D, H, num_layers=2, rng=0)
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(layer.eval()(x)[0], plain(x)[0])
    y, state = layer.train()(x)
    assert not np.allclose(y, plain(x)[0])
    np.testing.assert_array_equal(state[0], plain(x)[1][0])  # below the first dropout


def test_gradients_through_dropout_match_finite_differences():
    class Frozen:
        """A generator that draws the same mask every time."""

        def random(self, shape, dtype):
            return np.random.default_rng(8).random(shape, dtype=dtype)

    model = scratch.SequenceClassifier(
        V, D, H, K, num_layers=2, dropout=0.4, dtype=np.float64, rng=0
    )
    for module in model.modules():
        module.rng = Frozen()
    tokens = np.random.default_rng(8).integers(1, V, (N, T))
    errors = scratch.gradcheck(model, tokens, LENGTHS)
    assert max(errors.values()) < 1e-6, errors


def test_padding_row_starts_at_zero_and_gets_no_gradient():
    layer = scratch.Embedding(V, D, padding_idx=0, rng=0)
    y, cache = layer.forward(np.array([[0, 3, 3]]))
    assert not y[0, 0].any()
    layer.backward(np.ones_like(y), cache)
    assert not layer.weight.grad[0].any()
    np.testing.assert_array_equal(layer.weight.grad[3], 2 * np.ones(D, np.float32))


def test_layer_norm_gives_every_vector_mean_0_and_variance_1_whatever_its_scale():
    x = np.random.default_rng(10).standard_normal((T, N, H)) * 50 + 7
    y = scratch.LayerNorm(H, dtype=np.float64)(x)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(scratch.LayerNorm(H, dtype=np.float64)(x * 9 - 4), y, rtol=1e-5)


def test_layer_norm_of_equal_entries_is_its_bias():
    layer = scratch.LayerNorm(H)
    layer.bias.data[...] = np.arange(H)
    np.testing.assert_array_equal(layer(np.full((N, H), 3, np.float32))[0], np.arange(H))


def test_layer_norm_and_its_cell_refuse_bad_arguments():
    with pytest.raises(ValueError, match="normalized_shape=0: expected an integer of at least 1"):
        scratch.LayerNorm(0)
    with pytest.raises(ValueError, match="eps=0: expected a finite number above 0"):
        scratch.LayerNorm(D, eps=0)
    with pytest.raises(ValueError, match=r"x has shape \(4, 4\): expected \(., 3\)"):
        scratch.LayerNorm(D)(np.ones((N, D + 1), np.float32))
    with pytest.raises(TypeError, match="x has dtype float64: expected float32"):
        scratch.LayerNorm(D)(np.ones((N, D)))
    x = np.ones((N, D), np.float32)
    for twin, make in ((scratch, np.asarray), (pytorch, torch.tensor)):
        with pytest.raises(ValueError, match="hidden_size=0: expected"):
            twin.LayerNormCell(D, 0)
        with pytest.raises(ValueError, match=r"x has shape \(4, 2\): expected \(N, 3\)"):
            twin.LayerNormCell(D, H)(make(x[:, :2]))
        with pytest.raises(ValueError, match=r"state has shape \(4, 3\): expected \(4, 5\)"):
            twin.LayerNormCell(D, H)(make(x), make(x))


SIGNATURES = [
    "RNNCell", "LSTMCell", "GRUCell", "ConcatCell", "JordanCell", "LayerNormCell", "RNN", "LSTM",
    "GRU", "Unrolled", "Linear", "Embedding", "Dropout", "LayerNorm", "SequenceClassifier",
    "SequencePredictor", "LanguageModel", "SegRNN", "SGD", "Adam", "clip_grad_norm", "mse_loss",
    "pinball_loss", "truncated_bptt",
]  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_agree_in_names_order_and_defaults(name):
    """Where the twin is torch's own, it may have more options than ours."""

    def parameters(function):
        given = inspect.signature(function).parameters.values()
        own = {"self", "dtype", "rng", "device"}
        return {p.name: p.default for p in given if p.name not in own}

    ours = parameters(getattr(scratch, name))
    theirs = parameters(getattr(pytorch, name))
    renamed = {"prediction": "input"} if name == "mse_loss" else {}
    names = [renamed.get(n, n) for n in ours]
    assert names == [n for n in theirs if n in names]
    if getattr(pytorch, name).__module__.startswith("rnnbook"):
        assert list(ours) == list(theirs)
    for n, default in ours.items():
        assert theirs[renamed.get(n, n)] == default, n


def test_both_twins_export_the_same_names():
    only_scratch = {"Module", "Parameter", "gradcheck"}  # torch.nn and torch.autograd have them
    assert set(scratch.__all__) - only_scratch == set(pytorch.__all__)


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(
    ("name", "options"), [("RNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})]
)
def test_cutting_time_into_blocks_changes_nothing(name, options, ragged, length, monkeypatch):
    rng = np.random.default_rng(9)
    layer = getattr(scratch, name)(D, H, bidirectional=True, **options, dtype=np.float64, rng=0)
    x, lengths = rng.standard_normal((T, N, D)), LENGTHS if ragged else None

    def run():
        layer.zero_grad()
        y, state, cache = layer.forward(x, None, lengths)
        dx, dstate = layer.backward(np.sin(y), None, cache)
        return flat([y, state, dx, dstate, layer(x, None, lengths), *grads(layer)])

    whole = run()
    monkeypatch.setattr(recurrent, "blocks", partial(fixed_blocks, length))
    for a, b in zip(run(), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_gradients_have_the_precision_of_the_layer_whatever_arrives(name):
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    found = []
    for kind in (np.float64, np.float32, np.int64):
        layer = getattr(scratch, name)(2, 4, dtype=np.float64, rng=0)
        y, _, cache = layer.forward(x)
        dx, _ = layer.backward(np.ones(y.shape, kind), None, cache)
        assert dx.dtype == np.float64
        found.append(flat([dx, *grads(layer)]))
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_an_update_gate_that_is_open_keeps_the_state_to_the_last_bit(seed, reset_after):
    layer = scratch.GRU(3, 5, reset_after=reset_after, rng=seed)
    layer.bias_ih_l0.data[5:10] = 100  # the rows of z
    rng = np.random.default_rng(seed)
    h = rng.uniform(-1, 1, (1, 2, 5)).astype(np.float32)
    y, _ = layer(rng.standard_normal((30, 2, 3)).astype(np.float32), h)
    np.testing.assert_array_equal(y, np.broadcast_to(h, y.shape))


def grads(layer):
    return [parameter.grad.copy() for parameter in layer.parameters()]


def fixed_blocks(length, time, batch, width, backwards=False):
    """As the layers' own, with blocks of ``length`` steps whatever the batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrent, "BLOCK", length * batch * width)
        patch.setattr(recurrent, "ROWS", 1)
        cut = blocks(time, batch, width, backwards)
    assert len(cut) == -(-time // length)
    return cut


@pytest.mark.parametrize("time", [1, 5, 64, 65])
@pytest.mark.parametrize("batch", [0, 1, 300, 10**6])
def test_blocks_cover_every_step_once_in_either_direction(time, batch):
    steps = np.arange(time)
    forwards = [steps[block] for block in blocks(time, batch, 2000)]
    backwards = [steps[block] for block in blocks(time, batch, 2000, backwards=True)]
    np.testing.assert_array_equal(np.concatenate(forwards), steps)
    np.testing.assert_array_equal(np.concatenate(backwards), steps[::-1])
    if batch == 10**6:
        assert len(forwards) == time


@pytest.mark.parametrize("lengths", [None, [3, 5, 1]])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_layers_of_torch_take_part_in_mixed_precision(cell, lengths):
    torch.manual_seed(0)
    layer = getattr(pytorch, cell)(4, 6, num_layers=2)
    x = torch.randn(5, 3, 4)
    expected, _ = layer(x, None, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = layer(x.bfloat16(), None, lengths)
        again, _ = layer(x, state, lengths)  # what comes out may go in
    torch.testing.assert_close(y.float(), expected, atol=0.05, rtol=0)
    assert again.shape == y.shape
    y.float().sum().backward()
    assert {parameter.grad.dtype for parameter in layer.parameters()} == {torch.float32}


def test_a_parameter_that_is_replaced_is_the_one_that_is_read():
    layer = scratch.GRU(D, H, bidirectional=True, rng=0)
    x = np.ones((T, N, D), np.float32)
    before = layer(x)[0]
    layer.weight_hh_l0_reverse = scratch.Parameter(np.zeros((3 * H, H), np.float32))
    after, _, cache = layer.forward(x)
    assert (after[..., :H] == before[..., :H]).all() and (after[..., H:] != before[..., H:]).any()
    layer.backward(after, None, cache)
    assert layer.weight_hh_l0_reverse.grad.any()
    assert layer.weight_hh_l0_reverse is layer.cells[1].weight_hh
