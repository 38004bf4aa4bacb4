"""Recurrent neural networks, every model twice: from scratch in NumPy, and in PyTorch.

Nothing heavy is imported until it is used: ``import rnnbook`` takes milliseconds and loads
neither NumPy nor torch.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "anomalies",
    "attribution",
    "check",
    "classify",
    "data",
    "forecaster",
    "forecasting",
    "generate",
    "init",
    "interop",
    "plots",
    "probe",
    "pytorch",
    "scratch",
    "training",
)
__all__ = [*_SUBMODULES, "__version__", "show"]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"rnnbook.{name}")
    if name == "show":
        return importlib.import_module("rnnbook.showing").show
    raise AttributeError(f"module 'rnnbook' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
