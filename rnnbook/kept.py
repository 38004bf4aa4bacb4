"""What the reusable classes share: a model of either twin that travels in one file.

The file holds weights and a header in JSON: what kind it is, its options, and whatever else the
model cannot do without. Nothing is pickled.
"""

import json
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from . import expect, scratch
from .interop import copy_weights, read_safetensors, save_weights, set_weights

TWINS = ("pytorch", "scratch")


class Kept:
    """A frozen dataclass with an argument ``twin`` that learns a model, and is saved and loaded.

    Abstract. A subclass names its ``header``, its ``noun`` and what it ``learns_by``, and defines

    - ``_parts() -> dict``, what the header tells beside the options, and
    - ``_restore(arrays, content) -> (model, dict of attributes)``, from weights and header.
    """

    header: ClassVar[dict]
    noun: ClassVar[str]
    learns_by: ClassVar[str]
    twin: str
    model: Any = None

    def save(self, path):
        """Write weights, options and all else that belongs to them to one safetensors file.

        Raises
        ------
        RuntimeError
            Before :meth:`fit`.
        OSError
            If the file cannot be written; an older one is untouched.
        """
        self._expect_model()
        content = self.header | {"options": self._options()} | self._parts()
        save_weights(self.model, path, {"rnnbook": _json(content)})

    @classmethod
    def load(cls, path, twin="pytorch"):
        """Return what :meth:`save` wrote, from either twin, in either twin.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is another one or damaged, or its parts do not fit each other.
        """
        package(twin)  # so that an error below is the file's
        arrays, metadata = read_safetensors(path)
        try:
            return cls._from_file(twin, arrays, json.loads(metadata.get("rnnbook", "null")))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"path={str(path)!r} is not a whole file of {cls.__name__}.save: {error}"
            ) from error

    @classmethod
    def _from_file(cls, twin, arrays, content):
        if not isinstance(content, dict):
            raise ValueError(f"its header describes no {cls.noun}")
        for name, known in cls.header.items():
            if content.get(name) != known:
                raise ValueError(f"its {name} is {content.get(name)!r}, expected {known!r}")
        self = cls(twin=twin, **content.get("options"))
        own = json.loads(_json(self._options()))
        if own != content["options"]:
            raise ValueError(f"its options are {content['options']}, expected {own}")
        model, attributes = self._restore(arrays, content)
        set_weights(model, arrays)
        vars(self).update(attributes, model=model)
        return self

    def _options(self):
        """What a file tells of the arguments: all but the twin."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in names if name != "twin"}

    def _expect_model(self):
        if self.model is None:
            raise RuntimeError(
                f"this {self.noun} has not learned yet: call {self.learns_by}, or load a file"
            )


def package(twin):
    """Return the package of a twin.

    Raises
    ------
    ValueError
        If there is no such twin.
    ImportError
        If it is "pytorch" and torch is not installed.
    """
    expect.one_of("twin", twin, TWINS)
    if twin == "scratch":
        return scratch
    try:
        from . import pytorch
    except ImportError as error:
        raise ImportError(f"{error}: install torch, or pass twin='scratch'") from error
    return pytorch


def build(twin, name, *args, seed, **options):
    """Return a model of either twin in float32, with first weights that NumPy draws for both."""
    model = getattr(scratch, name)(*args, **options, rng=seed)
    if twin == "scratch":
        return model
    import torch

    other = getattr(package(twin), name)(*args, **options, dtype=torch.float32)
    copy_weights(model, other)
    return other


def expect_finite(arrays):
    """Every array of a file holds finite float32 numbers."""
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{name} has dtype {array.dtype}: expected finite float32 numbers")


def _json(content):
    return json.dumps(content, default=np.generic.item)
