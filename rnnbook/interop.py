"""Weights between the twins, by name; safetensors files that either twin loads; and from Keras.

Works on any :class:`rnnbook.scratch.Module` and :class:`torch.nn.Module`. Nothing is ever pickled.
"""

import os
import re
import sys

import numpy as np
import safetensors
import safetensors.numpy

from . import expect
from .files import write_atomically
from .scratch import Module

KERAS_LAYERS = {"RNN": "SimpleRNN", "LSTM": "LSTM", "GRU": "GRU"}
KERAS_LETTERS = {"Embedding": "E", "Bidirectional": "R", "Dense": "D"} | dict.fromkeys(
    KERAS_LAYERS.values(), "R"
)
KERAS_GATES = {"RNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}  # where ours stand in Keras


def is_torch(model):
    """Say whether ``model`` is a :class:`torch.nn.Module`, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def get_weights(model):
    """Return ``{name: ndarray}``: copies of all parameters (and, for torch, buffers) of a model.

    Raises
    ------
    TypeError
        If ``model`` is neither a scratch module nor a torch module.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> {name: w.shape for name, w in get_weights(scratch.Linear(3, 2)).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    if isinstance(model, Module):
        return model.state_dict()
    if is_torch(model):
        return {name: t.detach().cpu().numpy().copy() for name, t in model.state_dict().items()}
    raise TypeError(f"model={model!r}: expected a rnnbook.scratch.Module or a torch.nn.Module")


def set_weights(model, weights):
    """Copy ``{name: ndarray}`` into a model of either twin, casting to the model's dtype.

    Parameters
    ----------
    model : scratch or torch module
    weights : dict of str to ndarray
        As :func:`get_weights` returns them.

    Raises
    ------
    ValueError
        Naming every missing, unexpected and misshapen entry; the model is unchanged.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> layer = scratch.Linear(3, 2)
    >>> set_weights(layer, {"weight": np.zeros((2, 3))})
    Traceback (most recent call last):
        ...
    ValueError: state_dict does not fit the model: missing bias
    """
    own = get_weights(model)
    expect.state_dict(
        {name: array.shape for name, array in own.items()},
        {name: np.shape(array) for name, array in weights.items()},
    )
    if is_torch(model):
        import torch

        weights = {name: torch.tensor(array) for name, array in weights.items()}
    model.load_state_dict(weights)


def copy_weights(source, target):
    """Give ``target`` the weights of ``source``; each may be of either twin.

    Parameters
    ----------
    source, target : scratch or torch module
        With parameters of the same names and shapes.

    Raises
    ------
    ValueError
        Naming every missing, unexpected and misshapen entry; the target is unchanged.

    Examples
    --------
    >>> import torch
    >>> from rnnbook import pytorch, scratch
    >>> ours, theirs = scratch.GRU(3, 5), pytorch.GRU(3, 5)
    >>> copy_weights(ours, theirs)
    >>> x = np.ones((7, 2, 3), np.float32)
    >>> np.allclose(ours(x)[0], theirs(torch.tensor(x))[0].detach(), atol=1e-6)
    True
    """
    set_weights(target, get_weights(source))


def save_weights(model, path, metadata=None):
    """Write a model's weights to a safetensors file, beside and renamed.

    Parameters
    ----------
    model : scratch or torch module
    path : path
    metadata : dict of str to str, optional
        Kept in the file's header.

    Examples
    --------
    >>> import tempfile
    >>> from rnnbook import scratch
    >>> path = os.path.join(tempfile.mkdtemp(), "gru.safetensors")
    >>> save_weights(scratch.GRU(3, 5), path, {"trained on": "nothing yet"})
    >>> load_weights(scratch.GRU(3, 5), path)
    {'trained on': 'nothing yet'}
    """
    write_atomically(path, safetensors.numpy.save(get_weights(model), metadata))


def load_weights(model, path):
    """Read weights that :func:`save_weights` wrote, from either twin, into either twin.

    Parameters
    ----------
    model : scratch or torch module
    path : path

    Returns
    -------
    dict of str to str
        The metadata of the file.

    Raises
    ------
    ValueError
        If the file is damaged, or its names, shapes or dtypes are not the model's; the model is
        unchanged.
    FileNotFoundError

    Examples
    --------
    A file of one twin is read by the other:

    >>> import tempfile
    >>> from rnnbook import pytorch, scratch
    >>> path = os.path.join(tempfile.mkdtemp(), "gru.safetensors")
    >>> save_weights(pytorch.GRU(3, 5), path)
    >>> load_weights(scratch.GRU(3, 5), path)
    {}
    """
    weights, metadata = read_safetensors(path)
    own = get_weights(model)
    expect.state_dict(
        {name: array.shape for name, array in own.items()},
        {name: array.shape for name, array in weights.items()},
    )
    for name, array in weights.items():
        if array.dtype != own[name].dtype:
            raise ValueError(
                f"{path}: {name} has dtype {array.dtype}, expected {own[name].dtype}. "
                f"Build the model with dtype {array.dtype} to read this file"
            )
    set_weights(model, weights)
    return metadata


def from_keras(source, target):
    """Give ``target`` the weights of a Keras 3 layer or model: both then compute the same.

    Kernels are transposed, gates put into our order, and the biases of SimpleRNN, LSTM and
    GRU(reset_after=False), one where we have two, go into ``bias_ih``. Options that change what is
    computed must agree: kind, activations, ``reset_after``, directions, what is read of the states.

    Parameters
    ----------
    source : keras.layers.Layer
        SimpleRNN, LSTM or GRU, also in Bidirectional; or a Sequential of an Embedding (or none),
        one or more of these, and a Dense (or none). It must be built, as after a first call.
        Layers of dropout are passed over.
    target : scratch or torch module
        For a layer, or layers: an RNN, LSTM or GRU. With a Dense behind them, a SequencePredictor;
        with an Embedding too, a SequenceClassifier. These two give logits, so their outputs are
        those of the Dense before its sigmoid or softmax.

    Raises
    ------
    TypeError
        If the source or a layer of it, or the target, is of another kind.
    ValueError
        If the source is not built, or an option or a shape does not agree; the target is unchanged.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> model = keras.saving.load_model("my.keras")  # doctest: +SKIP
    >>> twin = scratch.SequenceClassifier(10_000, 64, 100, 2, "gru")  # doctest: +SKIP
    >>> from_keras(model, twin)  # Embedding, GRU(100), Dense(2)  # doctest: +SKIP
    """
    layers = _keras_layers(source)
    rnn = getattr(target, "rnn", target)
    kind, model = type(rnn).__name__, type(target).__name__
    if kind not in KERAS_LAYERS or model not in (kind, "SequenceClassifier", "SequencePredictor"):
        raise TypeError(
            f"target is a {model}: expected RNN, LSTM, GRU, SequenceClassifier or SequencePredictor"
        )
    prefix, weights = "" if rnn is target else "rnn.", {}
    recurrent = [layer for letter, layer in layers if letter == "R"]
    for depth, layer in enumerate(recurrent):
        for suffix, part in _keras_directions(layer, f"_l{depth}"):
            for name, array in _keras_weights(part, rnn, kind).items():
                weights[f"{prefix}{name}{suffix}"] = array
    if layers[0][0] == "E":
        weights["embedding.weight"] = _keras_arrays(layers[0][1])[0]
    if layers[-1][0] == "D":
        _agree(layers[-1][1], activation=("linear", "sigmoid", "softmax"))
        for name, array in zip(("weight", "bias"), _keras_arrays(layers[-1][1]), strict=False):
            weights[f"linear.{name}"] = array.T
    if rnn is not target:
        every_step = model == "SequencePredictor" and target.every_step
        _agree(recurrent[-1], return_sequences=(every_step,))
        if model == "SequenceClassifier" and target.pooling != "last":
            raise ValueError(f"target has pooling={target.pooling!r}: expected 'last', as in Keras")
    set_weights(target, weights)


def _keras_layers(source):
    """List (letter, layer) of what has weights: E embedding, R recurrent, D dense."""
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(source, keras.layers.Layer):
        raise TypeError(f"source={source!r}: expected a layer or Sequential model of Keras 3")
    if not source.built:
        raise ValueError(f"{source.name} has no weights yet: call it on a batch first")
    layers = source.layers if isinstance(source, keras.Sequential) else [source]
    passed_over = (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.SpatialDropout1D)
    layers = [layer for layer in layers if not isinstance(layer, passed_over)]
    kinds = [type(layer).__name__ for layer in layers]
    letters = "".join(KERAS_LETTERS.get(kind, "?") for kind in kinds)
    if not re.fullmatch("E?R+D?", letters):
        raise TypeError(
            f"{source.name} holds {', '.join(kinds) or 'no layer'}: expected Embedding or none, "
            f"then SimpleRNN, LSTM, GRU or Bidirectional, then Dense or none"
        )
    return list(zip(letters, layers, strict=True))


def _keras_directions(layer, suffix):
    """List (suffix of our names, layer) for the one or two directions of a Keras layer."""
    if type(layer).__name__ != "Bidirectional":
        _agree(layer, go_backwards=(False,))
        return [(suffix, layer)]
    _agree(layer, merge_mode=("concat",))
    _agree(layer.forward_layer, go_backwards=(False,))
    _agree(layer.backward_layer, go_backwards=(True,))
    return [(suffix, layer.forward_layer), (f"{suffix}_reverse", layer.backward_layer)]


def _keras_weights(layer, rnn, kind):
    """Our names and layouts for the weights of one direction of one Keras layer."""
    if type(layer).__name__ != KERAS_LAYERS[kind]:
        raise ValueError(
            f"{layer.name} is a {type(layer).__name__}: expected {KERAS_LAYERS[kind]}, "
            f"for the target has {kind} layers"
        )
    f = getattr(rnn, "nonlinearity", "tanh") if kind == "RNN" else "tanh"
    _agree(layer, activation=("linear" if f == "identity" else f,))
    if kind != "RNN":
        _agree(layer, recurrent_activation=("sigmoid",))
    if kind == "GRU":
        _agree(layer, reset_after=(rnn.reset_after,))
    order = KERAS_GATES[kind]

    def by_gate(array):  # (..., G*H) with their gates to (G*H, ...) with ours
        gates = np.split(array, len(order), axis=-1)
        return np.concatenate([gates[k] for k in order], axis=-1).T

    kernel, recurrent_kernel, *bias = _keras_arrays(layer)  # (D, G*H), (H, G*H), (G*H,) or (2, G*H)
    weights = {"weight_ih": by_gate(kernel), "weight_hh": by_gate(recurrent_kernel)}
    if bias:
        both = bias[0] if bias[0].ndim == 2 else np.stack([bias[0], np.zeros_like(bias[0])])
        weights["bias_ih"], weights["bias_hh"] = (by_gate(row) for row in both)
    return weights


def _keras_arrays(layer):
    """The weights of a Keras layer as NumPy arrays, from any backend."""
    torch = sys.modules.get("torch")
    values = [variable.value for variable in layer.weights]
    return [
        np.asarray(value.detach().cpu() if torch and isinstance(value, torch.Tensor) else value)
        for value in values
    ]


def _agree(layer, **options):
    """Each named option of a Keras layer is among the values that the target can reproduce."""
    config = layer.get_config()
    for name, allowed in options.items():
        value = config.get(name, getattr(layer, name, None))
        if value not in allowed:
            raise ValueError(
                f"{layer.name} has {name}={value!r}: expected {' or '.join(map(repr, allowed))}, "
                f"for this target. Build the target with the option that fits, if it has one"
            )


def read_safetensors(path):
    """Return ``({name: ndarray}, metadata)`` of a safetensors file.

    Raises
    ------
    ValueError
        If the file is not a whole safetensors file, or of a dtype that NumPy lacks (bfloat16).
    FileNotFoundError
    """
    path = os.fspath(path)
    try:
        with safetensors.safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    except TypeError as error:
        raise ValueError(f"{path}: its numbers are not NumPy's ({error})") from None
