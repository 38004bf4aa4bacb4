"""One step of recurrence: the cell, forward and backward.

A cell reads the input of one time step and the state that the previous step left, and returns the
next state. Letters: N batch, D input size, H hidden size, K output size.
"""

import numpy as np

from rnnbook import expect

from .functional import NONLINEARITIES, tanh, tanh_slope
from .layers import Linear
from .module import Module


class RNNCell(Module):
    """The simple (Elman) cell: h' = f(W_ih x + b_ih + W_hh h + b_hh).

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    nonlinearity : str
        f: "tanh", "relu", "sigmoid" or "identity".
    dtype, rng
        See :class:`Module`.

    Notes
    -----
    ``weight_ih (H, D)``, ``weight_hh (H, H)``, ``bias_ih (H,)`` and ``bias_hh (H,)`` start from
    U(-1/sqrt(H), 1/sqrt(H)). The second bias adds nothing; it is there because torch has it.

    References
    ----------
    Elman (1990), Finding structure in time.
    """

    def __init__(
        self, input_size, hidden_size, bias=True, nonlinearity="tanh", *, dtype=np.float32, rng=None
    ):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        expect.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(dtype, rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity = nonlinearity
        bound = hidden_size**-0.5
        self.weight_ih = self.uniform(bound, hidden_size, input_size)
        self.weight_hh = self.uniform(bound, hidden_size, hidden_size)
        self.bias_ih = self.uniform(bound, hidden_size) if bias else None
        self.bias_hh = self.uniform(bound, hidden_size) if bias else None

    @staticmethod
    def step(a_x, h, weight_hh, f, out=None):
        """h' = f(a_x + W_hh h), where a_x is the projected input."""
        a = h @ weight_hh.T  # (N, H)
        a += a_x
        return f(a, out=out)

    @staticmethod
    def step_backward(dh_new, slope, weight_hh):
        """From dL/dh' to dL/da and dL/dh; slope is f'(a), which follows from h'."""
        da = dh_new * slope  # (N, H)
        return da, da @ weight_hh

    def project(self, x):
        """W_ih x + b_ih + b_hh: what the input adds to a, for one step or for many at once."""
        a_x = x.reshape(-1, self.input_size) @ self.weight_ih.data.T
        if self.bias_ih is not None:
            a_x += self.bias_ih.data + self.bias_hh.data
        return a_x.reshape(*x.shape[:-1], self.hidden_size)  # (..., H)

    def project_backward(self, da, x, h):
        """Add to every parameter's gradient, for one step or for many at once; return dL/dx."""
        rows = da.reshape(-1, self.hidden_size)
        self.weight_ih.grad += rows.T @ x.reshape(-1, self.input_size)
        self.weight_hh.grad += rows.T @ h.reshape(-1, self.hidden_size)
        if self.bias_ih is not None:
            db = rows.sum(axis=0)
            self.bias_ih.grad += db
            self.bias_hh.grad += db
        return (rows @ self.weight_ih.data).reshape(x.shape)

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``(h' (N, H), cache)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        f = NONLINEARITIES[self.nonlinearity].f
        h_new = self.step(self.project(x), h, self.weight_hh.data, f)
        return h_new, (x, h, h_new)

    def backward(self, dh_new, cache):
        """Map ``dh' (N, H)`` to ``(dx (N, D), dh (N, H))``; add to every parameter's gradient."""
        x, h, h_new = cache
        slope = NONLINEARITIES[self.nonlinearity].slope(h_new)
        da, dh = self.step_backward(dh_new, slope, self.weight_hh.data)
        return self.project_backward(da, x, h), dh


class ConcatCell(Module):
    """A cell that emits its output from the same pair that it computes its state from.

    h' = tanh(W_i2h [x, h] + b_i2h) and y = W_i2o [x, h] + b_i2o, where [x, h] is x and h side by
    side. The output sees the *old* state: it knows x through one linear map only.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and K.
    dtype, rng
        See :class:`Module`.

    References
    ----------
    Robertson (2017), Classifying names with a character-level RNN, PyTorch tutorials.
    """

    def __init__(self, input_size, hidden_size, output_size, *, dtype=np.float32, rng=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        super().__init__(dtype, rng)
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        both = input_size + hidden_size
        self.i2h = Linear(both, hidden_size, dtype=dtype, rng=self.rng)
        self.i2o = Linear(both, output_size, dtype=dtype, rng=self.rng)

    def __call__(self, x, state=None):
        return self.forward(x, state)[:2]

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``state (N, H)`` to ``(y (N, K), state' (N, H), cache)``."""
        h = initial_state("state", x, state, self.input_size, self.hidden_size, self.dtype)
        both = np.concatenate([x, h], axis=1)  # (N, D+H)
        a, cache_h = self.i2h.forward(both)
        y, cache_y = self.i2o.forward(both)
        h_new = tanh(a)
        return y, h_new, (cache_h, cache_y, h_new)

    def backward(self, dy, dstate, cache):
        """Map ``dy (N, K)`` and ``dstate' (N, H)`` or None to ``(dx (N, D), dstate (N, H))``."""
        cache_h, cache_y, h_new = cache
        dboth = self.i2o.backward(dy, cache_y)
        if dstate is not None:
            dboth += self.i2h.backward(dstate * tanh_slope(h_new), cache_h)
        return dboth[:, : self.input_size], dboth[:, self.input_size :]


class JordanCell(Module):
    """A cell whose only memory is its last output.

    h = tanh(W_i2h [x, y] + b_i2h) and y' = W_h2o h + b_h2o, where [x, y] is the input beside the
    output of the step before. What y does not say is forgotten.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and K. The state is ``(N, K)``.
    dtype, rng
        See :class:`Module`.

    References
    ----------
    Jordan (1986), Serial order: a parallel distributed processing approach.
    """

    def __init__(self, input_size, hidden_size, output_size, *, dtype=np.float32, rng=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        super().__init__(dtype, rng)
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.i2h = Linear(input_size + output_size, hidden_size, dtype=dtype, rng=self.rng)
        self.h2o = Linear(hidden_size, output_size, dtype=dtype, rng=self.rng)

    def __call__(self, x, state=None):
        return self.forward(x, state)[:2]

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``state (N, K)`` to ``(y', y', cache)``: the output is the state."""
        y = initial_state("state", x, state, self.input_size, self.output_size, self.dtype)
        a, cache_h = self.i2h.forward(np.concatenate([x, y], axis=1))
        h = tanh(a)
        y_new, cache_y = self.h2o.forward(h)
        return y_new, y_new, (cache_h, cache_y, h)

    def backward(self, dy, dstate, cache):
        """Map ``dy (N, K)`` and ``dstate' (N, K)`` or None to ``(dx (N, D), dstate (N, K))``."""
        cache_h, cache_y, h = cache
        dh = self.h2o.backward(dy if dstate is None else dy + dstate, cache_y)
        dboth = self.i2h.backward(dh * tanh_slope(h), cache_h)
        return dboth[:, : self.input_size], dboth[:, self.input_size :]


def initial_state(name, x, state, input_size, state_size, dtype):
    """Check ``x (N, D)`` and ``state (N, S)``; return the state, or zeros for None."""
    expect.shape("x", x, ("N", input_size))
    expect.dtype("x", x, dtype)
    if state is None:
        return np.zeros((len(x), state_size), dtype)
    expect.shape(name, state, (len(x), state_size))
    expect.dtype(name, state, dtype)
    return state
