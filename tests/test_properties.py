"""Arrays as they come: whatever their shape, layout and values, equal to torch or a clear error."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnbook import pytorch, scratch, training
from rnnbook.interop import copy_weights, get_weights

from .cases import CASES, make_inputs
from .test_twins import flat, like, twins

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])
few = settings(max_examples=200, deadline=None, derandomize=True)

LAYOUTS = {
    "contiguous": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every other entry": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read backwards": lambda a: a[::-1].copy()[::-1],
    "a part of more": lambda a: np.pad(a, 1)[(slice(1, -1),) * a.ndim],
}


def lay_out(array, layout, read_only=True):
    """The same numbers, laid out in another way in memory, and perhaps not to be written to."""
    array = LAYOUTS[layout](array)
    array.flags.writeable = not read_only
    return array


layouts = st.tuples(st.sampled_from(list(LAYOUTS)), st.booleans())


def assert_same(ours, theirs, rtol, least=0.0):
    """Equal, with NaN and infinity in the same places: no NaN where torch has none.

    Errors count relative to the largest number, or to ``least``, from which small ones came.
    """
    for one, other in zip(flat(ours), flat(theirs), strict=True):
        other = other.detach().numpy()
        assert one.shape == other.shape
        finite = np.abs(other[np.isfinite(other)])
        atol = rtol * finite.max(initial=least)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol, equal_nan=True)


@few
@given(
    case=st.sampled_from(CASES),
    layout=layouts,
    scale=st.sampled_from([0.0, 1e-300, 1e-30, 1.0, 1e3, 1e30]),
    bad=st.sampled_from([None, np.nan, np.inf, -np.inf]),
    seed=st.integers(0, 100),
)
def test_every_model_gives_what_torch_gives_for_any_layout_and_any_values(
    case, layout, scale, bad, seed
):
    # Zero times infinity is NaN, and our sigmoid, a shifted tanh, is zero from -38 on, torch's from
    # -745 on: no infinite state behind a gate that is all but closed.
    assume(bad is None or np.isnan(bad) or scale <= 1)
    rng = np.random.default_rng(seed)

    def change(array):
        if array.dtype == np.float64:
            array = array * scale
            if bad is not None:
                array.flat[rng.integers(array.size)] = bad
        return array

    inputs = [like(a, change) for a in make_inputs(case, rng)]
    ours, theirs = twins(case)
    with np.errstate(all="ignore"):
        outputs = ours(*[like(a, lambda array: lay_out(array, *layout)) for a in inputs])
    with torch.no_grad():
        expected = theirs(*[like(a, lambda array: torch.tensor(array.copy())) for a in inputs])
    assert_same(outputs, expected, 1e-9)


@st.composite
def batches_of_sequences(draw):
    """Sizes from 1 on, N from 0; lengths or none."""
    time, size, hidden = (draw(st.integers(1, 5)) for _ in range(3))
    batch = draw(st.integers(0, 5))
    seed = draw(st.integers(0, 100))
    lengths = draw(st.none() | st.lists(st.integers(1, time), min_size=batch, max_size=batch))
    lengths = None if lengths is None else np.array(lengths, int)
    return time, batch, size, hidden, lengths, seed


@few
@given(
    sizes=batches_of_sequences(),
    name=st.sampled_from(["RNN", "LSTM", "GRU"]),
    bidirectional=st.booleans(),
    kind=st.sampled_from(["float32", "float64"]),
    layout=layouts,
)
def test_layers_and_their_gradients_equal_torch_for_any_sizes(
    sizes, name, bidirectional, kind, layout
):
    time, batch, size, hidden, lengths, seed = sizes
    rng = np.random.default_rng(seed)
    options = {"num_layers": 2, "bidirectional": bidirectional}
    ours = getattr(scratch, name)(size, hidden, **options, dtype=kind, rng=seed)
    theirs = getattr(pytorch, name)(size, hidden, **options, dtype=getattr(torch, kind))
    copy_weights(ours, theirs)
    x = rng.standard_normal((time, batch, size)).astype(kind)
    dy = rng.standard_normal((time, batch, hidden * (1 + bidirectional))).astype(kind)
    tensor = torch.tensor(x, requires_grad=True)

    y, state, cache = ours.forward(lay_out(x, *layout), None, lengths)
    expected, end = theirs(tensor, None, lengths)
    rtol = 1e-4 if kind == "float32" else 1e-10
    assert_same((y, state), (expected, end), rtol, 0.1)

    dx, _ = ours.backward(lay_out(dy, *layout), None, cache)
    expected.backward(torch.tensor(dy))
    assert_same(dx, tensor.grad, rtol, 0.1)
    grads = dict(theirs.named_parameters())
    for parameter, gradient in ours.named_parameters():
        assert_same(gradient.grad, grads[parameter].grad, rtol, 0.1)


LOSSES = ["cross_entropy", "binary_cross_entropy_with_logits", "mse_loss"]


@few
@given(
    loss=st.sampled_from(LOSSES),
    rows=st.integers(1, 6),
    kind=st.sampled_from(["float32", "float64"]),
    scale=st.sampled_from([0.0, 1e-30, 1.0, 1e4, 1e15]),
    bad=st.sampled_from([None, np.nan]),
    layout=layouts,
    seed=st.integers(0, 100),
)
def test_losses_and_their_gradients_equal_torch_for_any_values(
    loss, rows, kind, scale, bad, layout, seed
):
    rng = np.random.default_rng(seed)
    output = (scale * rng.standard_normal((rows, 3))).astype(kind)
    if bad is not None:
        output[rng.integers(rows), rng.integers(3)] = bad
    target = rng.integers(0, 3, rows) if loss == "cross_entropy" else rng.random((rows, 3))
    tensor = torch.tensor(output, requires_grad=True)
    wanted = torch.tensor(target if loss == "cross_entropy" else target.astype(kind))
    expected = getattr(torch.nn.functional, loss)(tensor, wanted)
    expected.backward()
    value, gradient = getattr(scratch, loss)(lay_out(output, *layout), lay_out(target, *layout))
    rtol = 1e-5 if kind == "float32" else 1e-10
    assert_same((np.array(value), gradient), (expected, tensor.grad), rtol)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_of_no_rows_is_an_error_not_nan(loss):
    target = np.zeros(0, int) if loss == "cross_entropy" else np.zeros((0, 3))
    with pytest.raises(ValueError, match=r"has shape \(0, 3\): expected at least one"):
        getattr(scratch, loss)(np.zeros((0, 3)), target)


@few
@given(
    layout=layouts,
    floats=st.sampled_from(["<f4", ">f4", "<f8", ">f8", "<f2"]),
    whole=st.sampled_from(["<i8", ">i8", "<i4", ">i2", "<u2", "|u1"]),
)
@TWINS
def test_both_twins_train_on_arrays_of_any_layout_and_byte_order(twin, layout, floats, whole):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, (6, 4, 3)).astype("f8")  # exact in every type
    y = rng.integers(0, 2, 6)
    first = scratch.SequencePredictor(3, 4, 2, rng=0)

    def train(x, y):
        model = twin.SequencePredictor(3, 4, 2)
        copy_weights(first, model)
        optimizer = twin.SGD(model.parameters(), lr=0.1)
        history = training.fit(
            model, Whole(x, y), Whole(x, y), optimizer=optimizer, epochs=1, progress=False
        )
        return history.drop(columns="seconds").to_numpy(), get_weights(model)

    expected, weights = train(x, y)
    given_, other = train(lay_out(x.astype(floats), *layout), lay_out(y.astype(whole), *layout))
    np.testing.assert_array_equal(given_, expected)
    for name, array in weights.items():
        np.testing.assert_array_equal(other[name], array)


class Whole:
    """One batch: the arrays as they are."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def batches(self, rng=None):
        yield (self.x,), self.y


def test_ids_of_any_integer_type_and_byte_order_are_read():
    layer = scratch.Embedding(5, 2, rng=0)
    for kind in ("i1", "u2", "<i4", ">i4", ">i8"):
        ids = np.array([[3, 0], [1, 4]], kind)
        np.testing.assert_array_equal(layer(ids), layer.weight.data[[[3, 0], [1, 4]]])


def test_floats_of_the_other_byte_order_are_refused_by_layers_as_every_other_dtype():
    with pytest.raises(TypeError, match="x has dtype >f4: expected float32, the dtype of the"):
        scratch.RNN(2, 3)(np.zeros((4, 1, 2), ">f4"))


@TWINS
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_spoilt(twin, clip):
    def loss(output, target):
        """Its value is finite, its gradient is not."""
        if twin is scratch:
            return 1.0, np.full_like(output, np.inf)
        return (output - output.detach()).abs().sqrt().sum()

    model = twin.Linear(3, 1)
    before = get_weights(model)
    with pytest.raises(
        FloatingPointError,
        match="the gradient is not finite at epoch 1, step 1: .* lower the learning rate",
    ):
        training.fit(
            model, (np.ones((4, 3)), np.ones((4, 1))), loss=loss, clip=clip, progress=False,
            optimizer=twin.SGD(model.parameters(), lr=0.1),
        )  # fmt: skip
    for name, array in get_weights(model).items():
        np.testing.assert_array_equal(array, before[name])


@TWINS
def test_huge_finite_gradients_are_clipped_not_refused(twin):
    model = twin.Linear(1, 1)
    x = np.full((2, 1), 3e19, np.float32)  # the squares of its gradients overflow in float32
    training.fit(
        model, (x, np.zeros((2, 1))), loss=linear_loss(twin), clip=1.0, epochs=1, progress=False,
        optimizer=twin.SGD(model.parameters(), lr=0.1),
    )  # fmt: skip
    assert all(np.isfinite(array).all() for array in get_weights(model).values())


def linear_loss(twin):
    def loss(output, target):
        return (float(output.mean()), np.ones_like(output)) if twin is scratch else output.sum()

    return loss


@TWINS
def test_held_out_data_with_nan_stop_training_and_leave_the_checkpoint_of_the_epoch_before(
    twin, tmp_path
):
    model, x, y = twin.Linear(3, 1), np.ones((4, 3)), np.ones((4, 1))
    bad = np.where(np.arange(4)[:, None] == 2, np.nan, x)
    options = {"loss": "mse_loss", "progress": False, "checkpoint": tmp_path / "run"}
    options["optimizer"] = twin.SGD(model.parameters(), lr=0.1)
    training.fit(model, (x, y), (x, y), epochs=1, **options)
    good = (tmp_path / "run").read_bytes()
    with pytest.raises(FloatingPointError, match="val_loss=nan at epoch 2: .*NaN in the inputs"):
        training.fit(model, (x, y), (bad, y), epochs=2, **options)
    assert (tmp_path / "run").read_bytes() == good
