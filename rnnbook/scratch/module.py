"""The base of every layer: parameters with gradients, found by the names they are assigned to."""

import numpy as np

from rnnbook import expect


class Parameter:
    """An array that is learned, and the gradient of the loss with respect to it.

    Attributes
    ----------
    data : ndarray
    grad : ndarray
        Same shape as ``data``. Backward passes add to it; ``Module.zero_grad`` clears it.

    Examples
    --------
    >>> p = Parameter(np.ones((2, 3)))
    >>> p.data.shape, int(p.grad.sum())  # learned, and its gradient, which starts at zero
    ((2, 3), 0)
    """

    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class Module:
    """A layer or a model: holds :class:`Parameter` s and other modules as attributes.

    The contract that every subclass keeps:

    - ``forward(...)`` returns its outputs and, last, a cache of what backward needs;
    - ``module(...)`` returns the outputs alone;
    - ``backward(d_outputs..., cache)`` adds to every ``Parameter.grad`` and returns the gradients
      of the inputs. The cache is a value, not hidden state, so one module can run many times
      before the first backward.

    Parameters
    ----------
    dtype : dtype
        ``numpy.float32`` or ``numpy.float64``: of every parameter, input and output.
    rng : None, int or numpy.random.Generator
        Draws the initial weights, and later the dropout masks.

    Raises
    ------
    ValueError
        If ``dtype`` is neither of the two.

    Examples
    --------
    A layer of one's own, y = w x, with its backward pass:

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__(np.float64)
    ...         self.w = Parameter(np.array([2.0]))
    ...
    ...     def forward(self, x):
    ...         return self.w.data * x, x
    ...
    ...     def backward(self, dy, cache):
    ...         self.w.grad += (dy * cache).sum()
    ...         return self.w.data * dy
    >>> layer = Scale()
    >>> y, cache = layer.forward(np.array([3.0, 4.0]))
    >>> layer.backward(np.ones(2), cache).tolist(), layer.w.grad.tolist()
    ([2.0, 2.0], [7.0])
    """

    def __init__(self, dtype=np.float32, rng=None):
        self.dtype = np.dtype(dtype)
        expect.one_of("dtype", self.dtype.name, ("float32", "float64"))
        self.rng = np.random.default_rng(rng)
        self.training = True

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)[0]

    def children(self):
        """Yield ``(name, module)`` for each module assigned to an attribute, in that order."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def modules(self):
        """Yield this module and everything below it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def named_parameters(self):
        """Yield ``(name, Parameter)``: first its own, then its children's, as torch does.

        What is shared under several names comes once, under the first.
        """
        seen = set()
        for name, parameter in self._names():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def _names(self, prefix=""):
        """As :meth:`named_parameters`, but yield what is shared under each of its names."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, child in self.children():
            yield from child._names(f"{prefix}{name}.")

    def parameters(self):
        """List every :class:`Parameter` of this module and those below it."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self):
        """Set every gradient to zero."""
        for parameter in self.parameters():
            parameter.grad.fill(0)

    def train(self, mode=True):
        """Switch dropout on (``mode=True``) or off, here and below. Return self."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Switch to evaluation: no dropout. Return self."""
        return self.train(False)

    def seed(self, seed):
        """Let every random draw from here on, in this module and below, follow from ``seed``."""
        rng = np.random.default_rng(seed)
        for module in self.modules():
            module.rng = rng

    def state_dict(self):
        """Return ``{name: array}``, copies of all parameters: torch's names, shapes and order.

        What is shared stands under each of its names, as in torch.
        """
        return {name: parameter.data.copy() for name, parameter in self._names()}

    def load_state_dict(self, state_dict):
        """Copy ``{name: array}`` into the parameters, casting to this module's dtype.

        Raises
        ------
        ValueError
            If a name is missing or unexpected, or a shape differs. The one message names all of
            them, and nothing has been changed.
        """
        own = dict(self._names())
        expect.state_dict(
            {name: parameter.data.shape for name, parameter in own.items()},
            {name: np.shape(array) for name, array in state_dict.items()},
        )
        for name, array in state_dict.items():
            own[name].data[...] = array

    def uniform(self, bound, *shape):
        """Return a new :class:`Parameter` with entries drawn from U(-bound, bound)."""
        return Parameter(self.rng.uniform(-bound, bound, shape).astype(self.dtype))
