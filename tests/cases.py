"""The table of cases: every model that exists twice. A new row adds all of its tests.

Sizes are all different, weights, biases and states random and non-zero, lengths ragged: constant
weights or equal sizes would hide swapped gates and missing transposes.
"""

from typing import NamedTuple

import numpy as np

T, N, D, H, K, V = 6, 4, 3, 5, 2, 11
LENGTHS = np.array([3, 6, 1, 4])


class Case(NamedTuple):
    """A class name that both twins have, its arguments, and what to call it on.

    ``inputs`` names arrays of :func:`make_inputs`; "state" and "lengths" may be among them.
    """

    name: str
    args: tuple
    kwargs: dict
    inputs: tuple

    @property
    def label(self):
        options = ",".join(f"{key}={value}" for key, value in self.kwargs.items())
        return f"{self.name}({options})-{'-'.join(self.inputs)}"


def _cells():
    for nonlinearity in ("tanh", "relu", "sigmoid", "identity"):
        for bias in (True, False):
            kwargs = {"bias": bias, "nonlinearity": nonlinearity}
            yield Case("RNNCell", (D, H), kwargs, ("x_step", "h"))
    yield Case("RNNCell", (D, H), {}, ("x_step",))
    for bias in (True, False):
        yield Case("LSTMCell", (D, H), {"bias": bias}, ("x_step", "hc"))
        for reset_after in (True, False):
            yield Case(
                "GRUCell", (D, H), {"bias": bias, "reset_after": reset_after}, ("x_step", "h")
            )
    yield Case("LSTMCell", (D, H), {}, ("x_step",))
    yield Case("GRUCell", (D, H), {}, ("x_step",))
    yield Case("ConcatCell", (D, H, K), {}, ("x_step", "h"))
    yield Case("ConcatCell", (D, H, K), {}, ("x_step",))
    yield Case("JordanCell", (D, H, K), {}, ("x_step", "output"))
    yield Case("JordanCell", (D, H, K), {}, ("x_step",))
    yield Case("LayerNormCell", (D, H), {}, ("x_step", "h"))
    yield Case("LayerNormCell", (D, H), {}, ("x_step",))


def _layers():
    yield Case("Linear", (D, K), {}, ("x_step",))
    yield Case("Linear", (D, K), {}, ("x",))
    yield Case("Linear", (D, K), {"bias": False}, ("x",))
    yield Case("Embedding", (V, D), {}, ("tokens",))
    yield Case("Embedding", (V, D), {"padding_idx": 0}, ("tokens",))
    yield Case("Embedding", (V, D), {"padding_idx": 7}, ("tokens",))
    yield Case("LayerNorm", (D,), {}, ("x_step",))
    yield Case("LayerNorm", (D,), {"eps": 0.3}, ("x",))


def _recurrent():
    for nonlinearity in ("tanh", "relu", "sigmoid", "identity"):
        for shape in ({}, {"num_layers": 2, "bidirectional": True}):
            kwargs = {"nonlinearity": nonlinearity, **shape}
            yield Case("RNN", (D, H), kwargs, ("x", "state", "lengths"))
    for kwargs in (
        {},
        {"bias": False},
        {"num_layers": 3},
        {"bidirectional": True},
        {"batch_first": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
        {"num_layers": 2, "bidirectional": True, "nonlinearity": "sigmoid"},
    ):
        for inputs in (("x",), ("x", "state"), ("x", "state", "lengths")):
            yield Case("RNN", (D, H), kwargs, inputs)


def _gated():
    for name, options in (("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})):
        state = "states" if name == "LSTM" else "state"
        for kwargs in (
            {},
            {"bias": False},
            {"num_layers": 3},
            {"batch_first": True},
            {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
            {"num_layers": 2, "bidirectional": True},
        ):
            for inputs in (("x",), ("x", state), ("x", state, "lengths")):
                yield Case(name, (D, H), {**kwargs, **options}, inputs)


def _models():
    for pooling in ("last", "mean", "max", "mean_max"):
        for kwargs in ({}, {"num_layers": 2, "bidirectional": True}):
            for inputs in (("tokens",), ("tokens", "lengths")):
                yield Case(
                    "SequenceClassifier", (V, D, H, K), {"pooling": pooling, **kwargs}, inputs
                )
    for cell in ("gru", "lstm"):
        for pooling in ("last", "mean"):
            kwargs = {"cell": cell, "pooling": pooling, "num_layers": 2, "bidirectional": True}
            yield Case("SequenceClassifier", (V, D, H, K), kwargs, ("tokens", "lengths"))
    yield Case("SequenceClassifier", (V, D, H, 1), {}, ("tokens", "lengths"))
    for cell in ("rnn", "gru", "lstm"):
        for every_step in (False, True):
            kwargs = {"cell": cell, "every_step": every_step}
            yield Case("SequencePredictor", (D, H, K), kwargs, ("sequences",))
            kwargs = {**kwargs, "num_layers": 2, "bidirectional": True}
            yield Case("SequencePredictor", (D, H, K), kwargs, ("sequences", "lengths"))


def _forecasters():
    """Sizes of their own, all different: what is cut into segments has more of them."""
    for look_back, horizon, channels, kwargs in (
        (10, 14, 3, {"hidden_size": 12}),
        (10, 14, 3, {"hidden_size": 9, "channel_embedding": False}),
        (2, 14, 3, {"hidden_size": 12}),  # one segment back
        (10, 2, 1, {"hidden_size": 12}),  # one segment ahead, one channel
        (10, 14, 3, {"hidden_size": 12, "outputs": 5}),  # such as quantiles
    ):
        kwargs = {"segment_length": 2, **kwargs, "dropout": 0.0}
        yield Case("SegRNN", (look_back, horizon, channels), kwargs, ("series",))


def _language_models():
    for cell, state in (("rnn", "state"), ("gru", "state"), ("lstm", "states")):
        for args, kwargs in (
            ((V, D, H), {}),
            ((V, D, H), {"num_layers": 2}),
            ((V, None, H), {}),  # one-hot inputs
            ((V, H, H), {"tied": True, "num_layers": 2}),
        ):
            for inputs in (("characters",), ("characters", state)):
                yield Case("LanguageModel", args, {"cell": cell, **kwargs}, inputs)


CASES = [
    *_cells(),
    *_layers(),
    *_recurrent(),
    *_gated(),
    *_models(),
    *_forecasters(),
    *_language_models(),
]


def make_inputs(case, rng):
    """Return the arrays that ``case.inputs`` names, in float64."""
    batch_first = case.kwargs.get("batch_first", False)
    states = case.kwargs.get("num_layers", 1) * (2 if case.kwargs.get("bidirectional") else 1)
    makers = {
        "x_step": lambda: rng.standard_normal((N, D)),
        "x": lambda: rng.standard_normal((N, T, D) if batch_first else (T, N, D)),
        "sequences": lambda: rng.standard_normal((N, T, D)),
        "series": lambda: rng.standard_normal((N, case.args[0], case.args[2])),
        "h": lambda: rng.standard_normal((N, H)),
        "hc": lambda: (rng.standard_normal((N, H)), rng.standard_normal((N, H))),
        "states": lambda: tuple(rng.standard_normal((2, states, N, H))),
        "output": lambda: rng.standard_normal((N, K)),
        "state": lambda: rng.standard_normal((states, N, H)),
        "lengths": lambda: LENGTHS.copy(),
        "tokens": lambda: rng.integers(0, V, (N, T)),
        "characters": lambda: rng.integers(0, V, (N, T)),  # 0 is no padding
    }
    return [makers[name]() for name in case.inputs]
