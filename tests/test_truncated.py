"""Truncated BPTT: the state is carried, the gradient is cut, in both twins alike."""

import tracemalloc

import numpy as np
import pytest
import torch

from rnnbook import pytorch, scratch
from rnnbook.interop import copy_weights, get_weights

from .cases import D, H, N

T = 7  # not a multiple of the chunks below
LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "sigmoid", "batch_first": True}),
    ("GRU", {"num_layers": 2}),
    ("LSTM", {"num_layers": 2, "batch_first": True}),
    ("Unrolled", {}),
]
every_layer = pytest.mark.parametrize(("name", "options"), LAYERS)
TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])


def flat(state):
    return list(state) if isinstance(state, tuple) else [state]


def build(name, options):
    """Both twins with equal weights, data (x, target of y), and an initial state, in float64."""
    rng = np.random.default_rng(1)
    if name == "Unrolled":
        ours = scratch.Unrolled(scratch.LayerNormCell(D, H, dtype=np.float64, rng=0))
        theirs = pytorch.Unrolled(pytorch.LayerNormCell(D, H, dtype=torch.float64))
        state = rng.standard_normal((N, H))
    else:
        ours = getattr(scratch, name)(D, H, **options, dtype=np.float64, rng=0)
        theirs = getattr(pytorch, name)(D, H, **options, dtype=torch.float64)
        state = rng.standard_normal((options.get("num_layers", 1), N, H))
        if name == "LSTM":
            state = (state, rng.standard_normal(state.shape))
    copy_weights(ours, theirs)
    first = (N, T) if options.get("batch_first") else (T, N)
    return ours, theirs, rng.standard_normal((*first, D)), rng.standard_normal((*first, H)), state


def our_loss(target, batch_first, seen=None):
    """0.5 sum (y - target)^2 of a chunk, a sum over time, so that chunks add up."""

    def loss(y, where):
        if seen is not None:
            seen.append(where)
        error = y - (target[:, where] if batch_first else target[where])
        return 0.5 * np.vdot(error, error), error

    return loss


def their_loss(target, batch_first):
    target = torch.tensor(target)
    return lambda y, where: (
        0.5 * (y - (target[:, where] if batch_first else target[where])).square().sum()
    )


def tensor(state):
    return tuple(map(torch.tensor, state)) if isinstance(state, tuple) else torch.tensor(state)


def gradients(layer):
    return {name: p.grad.copy() for name, p in layer.named_parameters()}


@every_layer
@pytest.mark.parametrize("steps", [1, 3, T])
@pytest.mark.parametrize("with_state", [True, False])
def test_both_twins_give_the_same_losses_states_and_gradients(name, options, steps, with_state):
    ours, theirs, x, target, state = build(name, options)
    batch_first = options.get("batch_first", False)
    given, their_given = (state, tensor(state)) if with_state else (None, None)
    chunks = list(scratch.truncated_bptt(ours, x, our_loss(target, batch_first), steps, given))
    their_chunks = list(
        pytorch.truncated_bptt(
            theirs, torch.tensor(x), their_loss(target, batch_first), steps, their_given
        )
    )
    assert len(chunks) == -(-T // steps)
    for (loss, end), (their_value, their_end) in zip(chunks, their_chunks, strict=True):
        assert isinstance(their_value, float)
        assert loss == pytest.approx(their_value, rel=1e-12)
        for a, b in zip(flat(end), flat(their_end), strict=True):
            assert not b.requires_grad
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    parameters = dict(theirs.named_parameters())
    for key, grad in gradients(ours).items():
        np.testing.assert_allclose(grad, parameters[key].grad, rtol=1e-9, atol=1e-11, err_msg=key)


@every_layer
@pytest.mark.parametrize("steps", [T, T + 5])
def test_one_chunk_is_full_backpropagation_exactly(name, options, steps):
    ours, _, x, target, state = build(name, options)
    ((loss, end),) = scratch.truncated_bptt(
        ours, x, our_loss(target, options.get("batch_first", False)), steps, state
    )
    truncated = gradients(ours)
    ours.zero_grad()
    y, full_end, cache = ours.forward(x, state)
    ours.backward(y - target, None, cache)
    assert loss == 0.5 * np.vdot(y - target, y - target)
    for a, b in zip(flat(end), flat(full_end), strict=True):
        np.testing.assert_array_equal(a, b)
    for key, grad in gradients(ours).items():
        np.testing.assert_array_equal(truncated[key], grad)


@every_layer
def test_the_state_is_that_of_the_whole_forward_and_the_losses_add_up_to_its_loss(name, options):
    ours, _, x, target, state = build(name, options)
    batch_first = options.get("batch_first", False)
    chunks = list(scratch.truncated_bptt(ours, x, our_loss(target, batch_first), 3, state))
    y, end = ours(x, state)
    for a, b in zip(flat(chunks[-1][1]), flat(end), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for number, stop in enumerate((3, 6)):  # those of the chunks before are kept, too
        _, between = ours(x[:, :stop] if batch_first else x[:stop], state)
        for a, b in zip(flat(chunks[number][1]), flat(between), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    assert sum(loss for loss, _ in chunks) == pytest.approx(0.5 * np.sum((y - target) ** 2))


@TWINS
@pytest.mark.parametrize("name", ["RNN", "LSTM"])
def test_a_gradient_reaches_the_start_of_its_chunk_and_no_further(twin, name):
    """The loss stands on the last step only, so its gradient is that of the last chunk alone."""
    ours, theirs, x, target, _ = build(name, {})
    layer = ours if twin is scratch else theirs
    data = x if twin is scratch else torch.tensor(x)

    def run(x, steps, state=None):
        def loss(y, where):
            last = where.stop == len(x)
            if twin is scratch:
                dy = np.zeros_like(y)
                dy[-1] = last * (y[-1] - target[-1])
                return 0.5 * np.vdot(dy, dy), dy
            return 0.5 * last * (y[-1] - torch.tensor(target[-1])).square().sum()

        for parameter in layer.parameters():
            parameter.grad = None if twin is pytorch else np.zeros_like(parameter.data)
        (*_, (_, end)) = twin.truncated_bptt(layer, x, loss, steps, state)
        return {n: np.asarray(p.grad).copy() for n, p in layer.named_parameters()}, end

    cut, _ = run(data, 5)  # chunks 0-4 and 5-6
    _, state = run(data[:5], 5)
    alone, _ = run(data[5:], 2, state)
    full, _ = run(data, T)
    for key in full:
        np.testing.assert_allclose(cut[key], alone[key], rtol=1e-10, atol=1e-15)
    assert np.abs(cut["weight_hh_l0"] - full["weight_hh_l0"]).max() > 1e-4  # the bias


@TWINS
def test_the_caller_may_step_the_optimiser_between_chunks(twin):
    ours, theirs, x, target, _ = build("GRU", {})
    layer = ours if twin is scratch else theirs
    data = x if twin is scratch else torch.tensor(x)
    loss = (our_loss if twin is scratch else their_loss)(target, False)
    optimizer = twin.SGD(layer.parameters(), lr=0.01)
    seen, first = [], get_weights(layer)
    for _ in range(2):
        for _, state in twin.truncated_bptt(layer, data, loss, 3):
            optimizer.step()
            optimizer.zero_grad()
            seen.append(np.asarray(flat(state)[0]).copy())
    # By hand, on the other twin: forward with the weights of the moment.
    by_hand = scratch.GRU(D, H, dtype=np.float64)
    by_hand.load_state_dict(first)
    number = 0
    for _ in range(2):
        state = None
        for start in range(0, T, 3):
            by_hand.zero_grad()
            y, state, cache = by_hand.forward(x[start : start + 3], state)
            by_hand.backward(y - target[start : start + 3], None, cache)
            for parameter in by_hand.parameters():
                parameter.data -= 0.01 * parameter.grad
            np.testing.assert_allclose(seen[number], state, rtol=1e-9)
            number += 1
    for key, array in get_weights(layer).items():
        np.testing.assert_allclose(array, by_hand.state_dict()[key], rtol=1e-9, atol=1e-13)


def test_a_second_call_goes_on_from_the_state_of_the_first():
    ours, _, x, target, state = build("LSTM", {})
    *_, (_, end) = scratch.truncated_bptt(ours, x, our_loss(target, False), 3, state)
    *_, (_, between) = scratch.truncated_bptt(ours, x[:3], our_loss(target, False), 3, state)
    *_, (_, again) = scratch.truncated_bptt(ours, x[3:], our_loss(target[3:], False), 3, between)
    for a, b in zip(end, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_loss_is_told_which_steps_it_sees_and_the_last_chunk_is_what_is_left():
    ours, _, x, target, _ = build("RNN", {})
    seen = []
    list(scratch.truncated_bptt(ours, x, our_loss(target, False, seen), 3))
    assert seen == [slice(0, 3), slice(3, 6), slice(6, 7)]


def test_memory_grows_with_the_chunk_and_not_with_time():
    layer = scratch.LSTM(D, H, rng=0)

    def peak(time, steps):
        x = np.zeros((time, N, D), np.float32)
        tracemalloc.start()
        for _ in scratch.truncated_bptt(layer, x, lambda y, where: (0.0, y), steps):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000, 50)  # what a first call allocates for good
    assert peak(1000, 50) < 1.2 * peak(200, 50)
    assert peak(1000, 1000) > 5 * peak(1000, 50)


def make_input(twin, *shape, dtype="float32"):
    return np.zeros(shape, dtype) if twin is scratch else torch.zeros(*shape)


def never(y, where):
    raise AssertionError("the loss was called")


@TWINS
def test_bidirectional_layers_are_refused_at_the_call(twin):
    layer = twin.GRU(D, H, bidirectional=True)
    with pytest.raises(ValueError, match="layer.bidirectional=True: expected .*reads the future"):
        twin.truncated_bptt(layer, make_input(twin, T, N, D), never, 3)


@TWINS
@pytest.mark.parametrize("steps", [0, -1, 2.5, None, True])
def test_bad_steps_are_refused_at_the_call(twin, steps):
    with pytest.raises(ValueError, match=f"steps={steps}: expected an integer of at least 1"):
        twin.truncated_bptt(twin.RNN(D, H), make_input(twin, T, N, D), never, steps)


@TWINS
def test_bad_inputs_are_refused_at_the_call(twin):
    with pytest.raises(ValueError, match=r"x has shape \(4, 3\): expected \(T, N, D\)"):
        twin.truncated_bptt(twin.RNN(D, H), make_input(twin, N, D), never, 3)
    layer = twin.RNN(D, H, batch_first=True)
    with pytest.raises(ValueError, match=r"x has shape \(4, 3\): expected \(N, T, D\)"):
        twin.truncated_bptt(layer, make_input(twin, N, D), never, 3)
    with pytest.raises(ValueError, match="T=0: expected"):
        twin.truncated_bptt(layer, make_input(twin, N, 0, D), never, 3)


def test_an_input_that_wants_a_gradient_is_refused_for_it_would_get_none():
    x = torch.zeros(T, N, D, requires_grad=True)
    with pytest.raises(ValueError, match=r"x.requires_grad=True: expected data.*x.detach\(\)"):
        pytorch.truncated_bptt(pytorch.RNN(D, H), x, never, 3)


def test_a_gradient_of_the_wrong_shape_or_dtype_is_refused():
    layer, x = scratch.RNN(D, H), make_input(scratch, T, N, D)
    with pytest.raises(ValueError, match=r"dy has shape \(4, 5\): expected \(3, 4, 5\)"):
        next(scratch.truncated_bptt(layer, x, lambda y, where: (0.0, y[0]), 3))
    with pytest.raises(TypeError, match="dy has dtype float64: expected float32"):
        next(scratch.truncated_bptt(layer, x, lambda y, where: (0.0, y.astype(float)), 3))
    assert not any(parameter.grad.any() for parameter in layer.parameters())
