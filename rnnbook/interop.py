"""Weights between the twins, by name; and safetensors files that either twin loads.

Works on any :class:`rnnbook.scratch.Module` and any ``torch.nn.Module``. Nothing is ever pickled.
"""

import os
import sys

import numpy as np
import safetensors
import safetensors.numpy

from . import expect
from .files import write_atomically
from .scratch import Module


def is_torch(model):
    """Say whether ``model`` is a ``torch.nn.Module``, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def get_weights(model):
    """Return ``{name: ndarray}``: copies of all parameters (and, for torch, buffers) of a model.

    Raises
    ------
    TypeError
        If ``model`` is neither a scratch module nor a torch module.
    """
    if isinstance(model, Module):
        return model.state_dict()
    if is_torch(model):
        return {name: t.detach().cpu().numpy().copy() for name, t in model.state_dict().items()}
    raise TypeError(f"model={model!r}: expected a rnnbook.scratch.Module or a torch.nn.Module")


def set_weights(model, weights):
    """Copy ``{name: ndarray}`` into a model of either twin, casting to the model's dtype.

    Raises
    ------
    ValueError
        Naming every missing, unexpected and misshapen entry; the model is unchanged.
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

    Raises
    ------
    ValueError
        Naming every missing, unexpected and misshapen entry; the target is unchanged.
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
    """
    write_atomically(path, safetensors.numpy.save(get_weights(model), metadata))


def load_weights(model, path):
    """Read weights that :func:`save_weights` wrote, from either twin, into either twin.

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
