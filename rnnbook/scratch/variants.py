"""Cells that emit an output of their own: what older texts and tutorials call an RNN.

Letters: T time, N batch, D input size, H hidden size, K output size.
"""

import numpy as np

from rnnbook import expect

from .cells import initial_state
from .functional import tanh, tanh_slope
from .layers import LayerNorm, Linear
from .module import Module


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

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    Robertson (2017), Classifying names with a character-level RNN, PyTorch tutorials.

    Examples
    --------
    The output of a step does not see the state that the same step makes:

    >>> cell = ConcatCell(3, 5, 2, rng=0)
    >>> y, h, _ = cell.forward(np.ones((4, 3), np.float32))  # N=4
    >>> y.shape, h.shape
    ((4, 2), (4, 5))
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

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    Jordan (1986), Serial order: a parallel distributed processing approach.

    Examples
    --------
    >>> cell = JordanCell(3, 5, 2, rng=0)
    >>> y, state, _ = cell.forward(np.ones((4, 3), np.float32))
    >>> y.shape, y is state  # it remembers what it says, K=2 numbers
    ((4, 2), True)
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


class LayerNormCell(Module):
    """A simple cell with a normalised preactivation: h' = tanh(LN(W_ih x + W_hh h)).

    LN is :class:`LayerNorm` over the H units; its gain and bias are the cell's own. However large
    W_hh is, the preactivations of a step keep their mean and variance.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Notes
    -----
    ``weight_ih (H, D)`` and ``weight_hh (H, H)`` start from U(-1/sqrt(H), 1/sqrt(H)), as those of
    :class:`RNNCell`. The output is the state, so ``Unrolled(LayerNormCell(D, H))`` is the layer.

    References
    ----------
    Ba, Kiros & Hinton (2016), Layer normalization, section 3.1.

    Examples
    --------
    >>> layer = Unrolled(LayerNormCell(3, 5, rng=0))
    >>> y, h = layer(np.ones((7, 4, 3), np.float32))  # T=7, N=4
    >>> y.shape, h.shape
    ((7, 4, 5), (4, 5))
    """

    def __init__(self, input_size, hidden_size, *, dtype=np.float32, rng=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        super().__init__(dtype, rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = hidden_size**-0.5
        self.weight_ih = self.uniform(bound, hidden_size, input_size)
        self.weight_hh = self.uniform(bound, hidden_size, hidden_size)
        self.norm = LayerNorm(hidden_size, dtype=dtype, rng=self.rng)

    def __call__(self, x, state=None):
        return self.forward(x, state)[:2]

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``state (N, H)`` to ``(h', h', cache)``: the output is the state."""
        h = initial_state("state", x, state, self.input_size, self.hidden_size, self.dtype)
        a, cache_norm = self.norm.forward(x @ self.weight_ih.data.T + h @ self.weight_hh.data.T)
        h_new = tanh(a)
        return h_new, h_new, (x, h, cache_norm, h_new)

    def backward(self, dy, dstate, cache):
        """Map ``dy (N, H)`` and ``dstate' (N, H)`` or None to ``(dx (N, D), dstate (N, H))``."""
        x, h, cache_norm, h_new = cache
        dh_new = dy if dstate is None else dy + dstate
        da = self.norm.backward(dh_new * tanh_slope(h_new), cache_norm)
        self.weight_ih.grad += da.T @ x
        self.weight_hh.grad += da.T @ h
        return da @ self.weight_ih.data, da @ self.weight_hh.data


class Unrolled(Module):
    """A layer made of any cell that emits an output: y_t, s_t = cell(x_t, s_{t-1}).

    Parameters
    ----------
    cell : Module
        ``forward(x, state) -> (y, state, cache)`` and ``backward(dy, dstate, cache) ->
        (dx, dstate)``, as the cells of this file have them.

    Examples
    --------
    >>> layer = Unrolled(ConcatCell(3, 5, 2, rng=0))
    >>> y, h = layer(np.ones((7, 4, 3), np.float32))  # T=7, N=4
    >>> y.shape, h.shape
    ((7, 4, 2), (4, 5))
    """

    batch_first = bidirectional = False  # what truncated_bptt asks of a layer

    def __init__(self, cell):
        super().__init__(cell.dtype, cell.rng)
        self.cell = cell

    def __call__(self, x, state=None):
        return self.forward(x, state)[:2]

    def forward(self, x, state=None):
        """Map ``x (T, N, D)`` to ``(y (T, N, K), final state, cache)``."""
        expect.shape("x", x, ("T", "N", self.cell.input_size))
        expect.steps("x", x, len(x))
        outputs, caches = [], []
        for x_t in x:
            y, state, cache = self.cell.forward(x_t, state)
            outputs.append(y)
            caches.append(cache)
        return np.stack(outputs), state, caches

    def backward(self, dy, dstate, cache):
        """Map ``dy (T, N, K)`` and the final ``dstate`` (None: zeros) to ``(dx, dstate0)``."""
        dx = []
        for dy_t, step_cache in zip(dy[::-1], cache[::-1], strict=True):
            dx_t, dstate = self.cell.backward(dy_t, dstate, step_cache)
            dx.append(dx_t)
        return np.stack(dx[::-1]), dstate
