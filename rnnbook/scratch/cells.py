"""One step of recurrence: the cell, forward and backward.

A cell reads the input of one time step and the state that the previous step left, and returns the
next state. Letters: N batch, D input size, H hidden size, G gates.
"""

import numpy as np

from rnnbook import expect

from .functional import NONLINEARITIES, squash
from .module import Module


class Cell(Module):
    """What the cells of torch share: four parameters, and the products with them. Abstract.

    A subclass names ``gates``, the number G of blocks of H rows that its weights have.
    """

    gates = 1

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=np.float32, rng=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        super().__init__(dtype, rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound, rows = hidden_size**-0.5, self.gates * hidden_size
        self.weight_ih = self.uniform(bound, rows, input_size)
        self.weight_hh = self.uniform(bound, rows, hidden_size)
        self.bias_ih = self.uniform(bound, rows) if bias else None
        self.bias_hh = self.uniform(bound, rows) if bias else None

    def project(self, x, *biases):
        """W_ih x + the biases given: what the input adds, for one step or for many at once."""
        a_x = x.reshape(-1, self.input_size) @ self.weight_ih.data.T
        a_x += sum(bias.data for bias in biases if bias is not None)
        return a_x.reshape(*x.shape[:-1], -1)  # (..., G*H)

    def project_backward(self, da_x, x):
        """Add to the gradients of weight_ih and bias_ih; return dL/dx."""
        rows = da_x.reshape(-1, self.gates * self.hidden_size)
        self.weight_ih.grad += rows.T @ x.reshape(-1, self.input_size)
        if self.bias_ih is not None:
            self.bias_ih.grad += rows.sum(axis=0)
        return (rows @ self.weight_ih.data).reshape(x.shape)

    def recur_backward(self, da_h, h):
        """Add to the gradients of weight_hh and bias_hh, for one step or for many at once."""
        rows = da_h.reshape(-1, self.gates * self.hidden_size)
        self.weight_hh.grad += rows.T @ h.reshape(-1, self.hidden_size)
        if self.bias_hh is not None:
            self.bias_hh.grad += rows.sum(axis=0)


class RNNCell(Cell):
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
        expect.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)
        self.nonlinearity = nonlinearity

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

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``(h' (N, H), cache)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        f = NONLINEARITIES[self.nonlinearity].f
        a_x = self.project(x, self.bias_ih, self.bias_hh)
        h_new = self.step(a_x, h, self.weight_hh.data, f)
        return h_new, (x, h, h_new)

    def backward(self, dh_new, cache):
        """Map ``dh' (N, H)`` to ``(dx (N, D), dh (N, H))``; add to every parameter's gradient."""
        x, h, h_new = cache
        slope = NONLINEARITIES[self.nonlinearity].slope(h_new)
        da, dh = self.step_backward(dh_new, slope, self.weight_hh.data)
        self.recur_backward(da, h)
        return self.project_backward(da, x), dh


class LSTMCell(Cell):
    """Long short-term memory: a cell state c that gates write, keep and read.

    With (i, f, g, o) = (sigmoid, sigmoid, tanh, sigmoid)(W_ih x + b_ih + W_hh h + b_hh):
    c' = f * c + i * g and h' = o * tanh(c').

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    dtype, rng
        See :class:`Module`.

    Notes
    -----
    ``weight_ih (4H, D)``, ``weight_hh (4H, H)`` and the biases ``(4H,)`` hold the gates in the
    order i, f, g, o and start from U(-1/sqrt(H), 1/sqrt(H)).

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory; the forget gate: Gers, Schmidhuber &
    Cummins (2000), Learning to forget.
    """

    gates = 4

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=np.float32, rng=None):
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)
        self.scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], self.dtype), hidden_size)  # i f g o

    @staticmethod
    def step(a_x, h, c, weight_hh, scale, out=None):
        """One step from the projected input: (h', c', gates, tanh c'), written into ``out``."""
        h_new, c_new, gates, tanh_c = out or [np.empty_like(a) for a in (h, c, a_x, c)]
        np.matmul(h, weight_hh.T, out=gates)  # (N, 4H)
        gates += a_x
        i, f, g, o = split(squash(gates, scale), 4)
        np.multiply(f, c, out=c_new)
        c_new += i * g
        np.tanh(c_new, out=tanh_c)
        np.multiply(o, tanh_c, out=h_new)
        return h_new, c_new, gates, tanh_c

    @staticmethod
    def slopes(gates, c, tanh_c):
        """What dL/dc' and dL/dh' are multiplied with on their way to the preactivations.

        ``(..., 4H)``: the slopes to a_i, a_f and a_g from c', and to a_o from h'; and ``(..., H)``:
        the slope of h' with respect to c'. For one step or for many at once.
        """
        i, f, g, o = split(gates, 4)
        slopes = np.empty_like(gates)
        to_i, to_f, to_g, to_o = split(slopes, 4)
        np.multiply(g, i - i * i, out=to_i)
        np.multiply(c, f - f * f, out=to_f)
        np.multiply(i, 1 - g * g, out=to_g)
        np.multiply(tanh_c, o - o * o, out=to_o)
        return slopes, o * (1 - tanh_c * tanh_c)

    @staticmethod
    def step_backward(dh_new, dc_new, f, slopes, slope_c, weight_hh, out=None):
        """From dL/dh' and dL/dc' to dL/da ``(N, 4H)``, dL/dh and dL/dc."""
        da = np.empty_like(slopes) if out is None else out
        dc_new = dc_new + dh_new * slope_c
        size = dc_new.shape[1]
        np.multiply(split(slopes[:, : 3 * size], 3), dc_new, out=split(da[:, : 3 * size], 3))
        np.multiply(slopes[:, 3 * size :], dh_new, out=da[:, 3 * size :])
        return da, da @ weight_hh, dc_new * f

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``(h, c)``, each (N, H), zeros if None, to ``((h', c'), cache)``."""
        h, c = (None, None) if state is None else state
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        c = initial_state("c", x, c, self.input_size, self.hidden_size, self.dtype)
        a_x = self.project(x, self.bias_ih, self.bias_hh)
        h_new, c_new, gates, tanh_c = self.step(a_x, h, c, self.weight_hh.data, self.scale)
        return (h_new, c_new), (x, h, c, gates, tanh_c)

    def backward(self, dstate, cache):
        """Map ``(dh', dc')`` to ``(dx (N, D), (dh, dc))``; add to every parameter's gradient."""
        x, h, c, gates, tanh_c = cache
        f = split(gates, 4)[1]
        slopes, slope_c = self.slopes(gates, c, tanh_c)
        da, dh, dc = self.step_backward(*dstate, f, slopes, slope_c, self.weight_hh.data)
        self.recur_backward(da, h)
        return self.project_backward(da, x), (dh, dc)


class GRUCell(Cell):
    """Gated recurrent unit: one state; a gate z keeps it, a gate r hides it from the candidate n.

    With (r, z) = sigmoid(W_ir x + b_ir + W_hr h + b_hr) and the same with z:
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn)) and h' = (1 - z) * n + z * h.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    reset_after : bool
        True, as in torch: r multiplies W_hn h + b_hn. False, as in the original paper: it
        multiplies h, and n = tanh(W_in x + b_in + W_hn (r * h) + b_hn).
    dtype, rng
        See :class:`Module`.

    Notes
    -----
    ``weight_ih (3H, D)``, ``weight_hh (3H, H)`` and the biases ``(3H,)`` hold the gates in the
    order r, z, n and start from U(-1/sqrt(H), 1/sqrt(H)).

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder. Chung et al.
    (2014), Empirical evaluation of gated recurrent neural networks, write 1 - z for this z.
    """

    gates = 3

    def __init__(
        self,
        input_size,
        hidden_size,
        bias=True,
        *,
        reset_after=True,
        dtype=np.float32,
        rng=None,
    ):
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)
        self.reset_after = reset_after

    @staticmethod
    def step(a_x, h, weight_hh, bias_hh, out=None):
        """One step with the reset after the product: (h', gates, W_hn h + b_hn) into ``out``."""
        h_new, gates, a_hn = out or [np.empty_like(a) for a in (h, a_x, h)]
        size = h.shape[1]
        a_h = h @ weight_hh.T  # (N, 3H)
        if bias_hh is not None:
            a_h += bias_hh
        a_hn[...] = a_h[:, 2 * size :]
        r, z, n = split(gates, 3)
        np.add(a_x[:, : 2 * size], a_h[:, : 2 * size], out=gates[:, : 2 * size])
        squash(gates[:, : 2 * size], 0.5)
        np.multiply(r, a_hn, out=n)
        n += a_x[:, 2 * size :]
        np.tanh(n, out=n)
        np.subtract(h, n, out=h_new)
        h_new *= z
        h_new += n  # (1 - z) n + z h
        return h_new, gates, a_hn

    @staticmethod
    def slopes(gates, h, a_hn):
        """What dL/dh' is multiplied with on its way to the preactivations.

        ``(..., 3H)``: the slopes to W_hr h, W_hz h and W_hn h; and ``(..., H)``: to W_in x, which
        differs from the third, for r stands between. For one step or for many at once.
        """
        r, z, n = split(gates, 3)
        slopes = np.empty_like(gates)
        to_r, to_z, to_hn = split(slopes, 3)
        to_in = (1 - z) * (1 - n * n)
        np.multiply(to_in, r, out=to_hn)
        np.multiply(to_hn, a_hn * (1 - r), out=to_r)
        np.multiply(h - n, z - z * z, out=to_z)
        return slopes, to_in

    @staticmethod
    def step_backward(dh_new, z, slopes, weight_hh, out=None):
        """From dL/dh' to dL/d(W_hh h + b_hh) ``(N, 3H)`` and dL/dh."""
        da_h = np.empty_like(slopes) if out is None else out
        np.multiply(split(slopes, 3), dh_new, out=split(da_h, 3))
        dh = da_h @ weight_hh
        dh += dh_new * z
        return da_h, dh

    @staticmethod
    def step_reset_before(a_x, h, weight_hh, bias_hh, out=None):
        """One step with the reset before the product: (h', gates) into ``out``."""
        h_new, gates = out or [np.empty_like(a) for a in (h, a_x)]
        size = h.shape[1]
        weight_rz, weight_n = weight_hh[: 2 * size], weight_hh[2 * size :]
        gates[...] = a_x
        if bias_hh is not None:
            gates += bias_hh
        gates[:, : 2 * size] += h @ weight_rz.T
        squash(gates[:, : 2 * size], 0.5)
        r, z, n = split(gates, 3)
        n += (r * h) @ weight_n.T
        np.tanh(n, out=n)
        np.subtract(h, n, out=h_new)
        h_new *= z
        h_new += n
        return h_new, gates

    @staticmethod
    def step_reset_before_backward(dh_new, h, gates, weight_hh):
        """From dL/dh' to dL/da ``(N, 3H)`` and dL/dh."""
        size = h.shape[1]
        r, z, n = split(gates, 3)
        da = np.empty_like(gates)
        da_r, da_z, da_n = split(da, 3)
        np.multiply(dh_new, (1 - z) * (1 - n * n), out=da_n)
        np.multiply(dh_new, (h - n) * (z - z * z), out=da_z)
        d_reset = da_n @ weight_hh[2 * size :]  # dL/d(r * h)
        np.multiply(d_reset, h * (r - r * r), out=da_r)
        dh = da[:, : 2 * size] @ weight_hh[: 2 * size]
        dh += d_reset * r
        dh += dh_new * z
        return da, dh

    def recur_backward(self, da_h, h, r=None):
        """As :meth:`Cell.recur_backward`; with the reset before, n read r * h instead of h."""
        if self.reset_after:
            return super().recur_backward(da_h, h)
        rows, size = da_h.reshape(-1, 3 * self.hidden_size), self.hidden_size
        grad = self.weight_hh.grad
        grad[: 2 * size] += rows[:, : 2 * size].T @ h.reshape(-1, size)
        grad[2 * size :] += rows[:, 2 * size :].T @ (r * h).reshape(-1, size)
        if self.bias_hh is not None:
            self.bias_hh.grad += rows.sum(axis=0)

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``(h' (N, H), cache)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        step = self.step if self.reset_after else self.step_reset_before
        bias_hh = None if self.bias_hh is None else self.bias_hh.data
        h_new, *kept = step(self.project(x, self.bias_ih), h, self.weight_hh.data, bias_hh)
        return h_new, (x, h, kept)

    def backward(self, dh_new, cache):
        """Map ``dh' (N, H)`` to ``(dx (N, D), dh (N, H))``; add to every parameter's gradient."""
        x, h, (gates, *a_hn) = cache
        r, z, _ = split(gates, 3)
        if self.reset_after:
            slopes, to_in = self.slopes(gates, h, *a_hn)
            da_h, dh = self.step_backward(dh_new, z, slopes, self.weight_hh.data)
            da_x = np.concatenate([da_h[:, : -self.hidden_size], dh_new * to_in], axis=1)
        else:
            da_h, dh = self.step_reset_before_backward(dh_new, h, gates, self.weight_hh.data)
            da_x = da_h
        self.recur_backward(da_h, h, r)
        return self.project_backward(da_x, x), dh


def initial_state(name, x, state, input_size, state_size, dtype):
    """Check ``x (N, D)`` and ``state (N, S)``; return the state, or zeros for None."""
    expect.shape("x", x, ("N", input_size))
    expect.dtype("x", x, dtype)
    if state is None:
        return np.zeros((len(x), state_size), dtype)
    expect.shape(name, state, (len(x), state_size))
    expect.dtype(name, state, dtype)
    return state


def split(array, gates):
    """Views of the gates of ``array (..., G*H)``, each (..., H)."""
    return np.moveaxis(array.reshape(*array.shape[:-1], gates, -1), -2, 0)
