"""SegRNN: what it promises beyond the equality of its twins."""

import numpy as np
import pytest
import torch

from rnnbook import pytorch, scratch
from rnnbook.interop import copy_weights, get_weights, set_weights
from rnnbook.training import evaluate, fit, predict

N, LOOK_BACK, HORIZON, CHANNELS, SEGMENT, HIDDEN = 4, 10, 14, 3, 2, 12

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])


def build(twin, horizon=HORIZON, channels=CHANNELS, **options):
    """A model in float64 without dropout, the same in both twins."""
    options = {"segment_length": SEGMENT, "hidden_size": HIDDEN, "dropout": 0.0, **options}
    sizes = (LOOK_BACK, horizon, channels)
    model = scratch.SegRNN(*sizes, **options, dtype=np.float64, rng=0)
    if twin is scratch:
        return model
    other = pytorch.SegRNN(*sizes, **options, dtype=torch.float64)
    copy_weights(model, other)
    return other


def series(seed=1):
    return np.random.default_rng(seed).standard_normal((N, LOOK_BACK, CHANNELS))


@TWINS
def test_a_constant_added_to_a_channel_is_added_to_its_forecast(twin):
    model, shift = build(twin), np.array([100.0, -7.0, 0.0])
    moved = predict(model, series() + shift)
    np.testing.assert_allclose(moved, predict(model, series()) + shift, rtol=1e-11)


@TWINS
def test_the_forecast_of_a_channel_depends_on_its_own_past_alone(twin):
    model, x = build(twin), series()
    before = predict(model, x)
    x[:, :, 1] += series(2)[:, :, 1]
    after = predict(model, x)
    np.testing.assert_allclose(after[:, :, [0, 2]], before[:, :, [0, 2]], rtol=1e-12)
    assert np.abs(after - before)[:, :, 1].min() > 1e-6


@TWINS
def test_channels_differ_by_their_embedding_alone(twin):
    x = series()
    x[...] = x[:, :, :1]
    for embedding, spread in (True, 0.1), (False, 0):
        y = predict(build(twin, channel_embedding=embedding), x)
        assert np.ptp(y, axis=2).max() >= spread
        if not embedding:
            np.testing.assert_allclose(y, y[:, :, [1, 2, 0]], rtol=1e-12)


@TWINS
def test_each_output_is_what_a_model_with_that_read_out_alone_forecasts(twin):
    several, single = build(twin, outputs=5), build(twin)
    y, weights = predict(several, series()), get_weights(several)
    assert y.shape == (N, HORIZON, CHANNELS, 5)
    for number in range(5):
        rows = slice(number * SEGMENT, (number + 1) * SEGMENT)
        own = weights | {name: weights[name][rows] for name in ("linear.weight", "linear.bias")}
        set_weights(single, own)
        np.testing.assert_allclose(y[..., number], predict(single, series()), rtol=1e-12)
    assert predict(build(twin, outputs=1), series()).shape == (N, HORIZON, CHANNELS, 1)
    assert np.ptp(y, axis=-1).min() > 1e-6


@TWINS
def test_a_shorter_horizon_has_the_first_segments_of_a_longer_one(twin):
    longer, shorter = build(twin), build(twin, horizon=3 * SEGMENT)
    weights = get_weights(longer)
    weights["position"] = weights["position"][:3]
    set_weights(shorter, weights)
    expected = predict(longer, series())[:, : 3 * SEGMENT]
    np.testing.assert_allclose(predict(shorter, series()), expected, rtol=1e-12)


@TWINS
def test_dropout_acts_before_the_read_out_and_in_training_only(twin):
    plain, model = build(twin), build(twin, dropout=0.5)
    expected = predict(plain, series())
    np.testing.assert_array_equal(predict(model, series()), expected)
    model.train()
    weights = {name: np.zeros_like(array) for name, array in get_weights(model).items()}
    weights["linear.bias"] += 3.0
    x = series() if twin is scratch else torch.tensor(series())
    assert not np.allclose(model(x) if twin is scratch else model(x).detach(), expected)
    set_weights(model, weights)  # with no dropout behind it, the bias reaches the forecast whole
    y = model(x) - x[:, -1:]
    np.testing.assert_allclose(y if twin is scratch else y.detach(), 3.0, rtol=1e-12)


def test_gradients_through_dropout_match_finite_differences():
    class Frozen:
        """A generator that draws the same mask every time."""

        def random(self, shape, dtype):
            return np.random.default_rng(3).random(shape, dtype=dtype)

    model = scratch.SegRNN(4, 6, 1, 2, 2, dropout=0.4, dtype=np.float64, rng=0)
    model.dropout.rng = Frozen()
    errors = scratch.gradcheck(model, np.random.default_rng(4).standard_normal((3, 4, 1)))
    assert max(errors.values()) < 1e-6, errors


@TWINS
def test_embeddings_start_from_a_standard_normal(twin):
    torch.manual_seed(0)
    weights = get_weights(twin.SegRNN(2, 200, 60, segment_length=2, hidden_size=80))
    for name in ("position", "channel"):
        assert weights[name].mean() == pytest.approx(0, abs=0.06)
        assert weights[name].std() == pytest.approx(1, abs=0.06)


def windows(rng, count):
    """Two noisy sines of periods 8 and 6, at random phases: what was, and what comes."""
    time = np.arange(LOOK_BACK + HORIZON)[:, None] * (2 * np.pi / np.array([8, 6]))  # (L+F, C)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 2))
    both = np.sin(time + phase) + 0.1 * rng.standard_normal((count, len(time), 2))
    return both[:, :LOOK_BACK], both[:, LOOK_BACK:]


@pytest.fixture(scope="module")
def trained():
    """Return ``{twin: (history, loss on new windows)}`` and those windows."""
    rng = np.random.default_rng(5)
    train, valid, test = (windows(rng, count) for count in (320, 32, 64))
    results = {}
    for twin in (scratch, pytorch):
        model = build(twin, channels=2)
        history = fit(
            model, train, valid, optimizer=twin.Adam(model.parameters(), lr=0.02),
            loss="mse_loss", epochs=15, progress=False,
        )  # fmt: skip
        results[twin] = history, evaluate(model, test, loss="mse_loss")["loss"]
    return results, test


def test_both_twins_learn_a_noisy_sine_that_its_last_value_does_not_forecast(trained):
    results, (x, y) = trained
    naive = np.square(y - x[:, -1:]).mean()
    for _, loss in results.values():
        assert loss < 0.2 * naive


def test_both_twins_have_equal_histories_from_equal_weights(trained):
    (ours, loss), (theirs, their_loss) = trained[0].values()
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-10)
    assert loss == pytest.approx(their_loss, rel=1e-10)


ARGUMENTS = [
    ({"look_back": 0}, "look_back=0: expected an integer of at least 1"),
    ({"horizon": 2.0}, "horizon=2.0: expected an integer of at least 1"),
    ({"channels": 0}, "channels=0: expected"),
    ({"segment_length": -2}, "segment_length=-2: expected"),
    ({"hidden_size": 0}, "hidden_size=0: expected"),
    ({"outputs": 0}, "outputs=0: expected"),
    ({"look_back": 11}, "look_back=11: expected a multiple of 2, the segment_length: change"),
    ({"horizon": 13}, "horizon=13: expected a multiple of 2, the segment_length: change"),
    ({"hidden_size": 9}, "hidden_size=9: expected a multiple of 2, or channel_embedding=False"),
    ({"dropout": 1.0}, "dropout=1.0: expected a probability"),
]


@TWINS
@pytest.mark.parametrize(("change", "message"), ARGUMENTS)
def test_bad_constructor_arguments(twin, change, message):
    good = {
        "look_back": LOOK_BACK, "horizon": HORIZON, "channels": CHANNELS,
        "segment_length": SEGMENT, "hidden_size": HIDDEN,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        twin.SegRNN(**(good | change))


@TWINS
@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((N, LOOK_BACK), "float64", ValueError, r"shape \(4, 10\): expected \(N, 10, 3\)"),
        ((N, 12, CHANNELS), "float64", ValueError, r"shape \(4, 12, 3\): expected \(N, 10, 3\)"),
        ((N, LOOK_BACK, 2), "float64", ValueError, r"shape \(4, 10, 2\): expected \(N, 10, 3\)"),
        ((N, LOOK_BACK, CHANNELS), "float32", TypeError, "dtype .*float32: expected float64"),
    ],
)
def test_bad_inputs(twin, shape, dtype, error, message):
    x = np.ones(shape, dtype) if twin is scratch else torch.ones(shape, dtype=getattr(torch, dtype))
    with pytest.raises(error, match=message):
        build(twin)(x)


@TWINS
@pytest.mark.parametrize("outputs", [None, 3])
def test_no_rows_give_no_forecasts(twin, outputs):
    model, shape = build(twin, outputs=outputs), (0, LOOK_BACK, CHANNELS)
    expected = (0, HORIZON, CHANNELS) if outputs is None else (0, HORIZON, CHANNELS, outputs)
    if twin is pytorch:
        assert model(torch.zeros(shape, dtype=torch.float64)).shape == expected
    else:
        y, cache = model.forward(np.zeros(shape))
        assert y.shape == expected and model.backward(y, cache).shape == shape
