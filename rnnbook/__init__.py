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
    "metrics",
    "plots",
    "probe",
    "pytorch",
    "scratch",
    "training",
)
_SHOWING = ("results_file", "show")
__all__ = [*_SUBMODULES, "__version__", *_SHOWING]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"rnnbook.{name}")
    if name in _SHOWING:
        return getattr(importlib.import_module("rnnbook.showing"), name)
    raise AttributeError(f"module 'rnnbook' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
