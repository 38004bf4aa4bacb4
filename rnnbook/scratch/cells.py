"""One step of recurrence: the cell, forward and backward.

A cell reads the input of one time step and the state that the previous step left, and returns the
next state. Letters: N batch, D input size, H hidden size, G gates.
"""

import numpy as np

from rnnbook import expect

from .functional import NONLINEARITIES
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

    def project_backward(self, da_x, x):
        """Add to the gradients of weight_ih and bias_ih; return dL/dx."""
        rows = da_x.reshape(-1, self.gates * self.hidden_size)
        self.weight_ih.grad += rows.T @ x.reshape(-1, self.input_size)
        if self.bias_ih is not None:
            self.bias_ih.grad += column_sums(rows)
        return (rows @ self.weight_ih.data).reshape(x.shape)

    def recur_backward(self, da_h, h):
        """Add to the gradients of weight_hh and bias_hh, for one step or for many at once."""
        rows = da_h.reshape(-1, self.gates * self.hidden_size)
        self.weight_hh.grad += rows.T @ h.reshape(-1, self.hidden_size)
        if self.bias_hh is not None:
            self.bias_hh.grad += column_sums(rows)


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

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Notes
    -----
    ``weight_ih (H, D)``, ``weight_hh (H, H)``, ``bias_ih (H,)`` and ``bias_hh (H,)`` start from
    U(-1/sqrt(H), 1/sqrt(H)). The second bias adds nothing; it is there because torch has it.

    References
    ----------
    Elman (1990), Finding structure in time.

    Examples
    --------
    >>> cell = RNNCell(3, 5, rng=0)
    >>> x, h = np.ones((2, 3), np.float32), np.zeros((2, 5), np.float32)  # N=2, D=3, H=5
    >>> h_new, cache = cell.forward(x, h)
    >>> dx, dh = cell.backward(np.ones_like(h_new), cache)
    >>> h_new.shape, dx.shape, cell.weight_ih.grad.shape
    ((2, 5), (2, 3), (5, 3))
    """

    def __init__(
        self, input_size, hidden_size, bias=True, nonlinearity="tanh", *, dtype=np.float32, rng=None
    ):
        expect.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)
        self.nonlinearity = nonlinearity

    def project(self, x):
        """W_ih x + b_ih + b_hh: what the input adds, for one step or for many at once."""
        a_x = x.reshape(-1, self.input_size) @ self.weight_ih.data.T
        if self.bias_ih is not None:
            a_x += self.bias_ih.data + self.bias_hh.data
        return a_x.reshape(*x.shape[:-1], self.hidden_size)  # (..., H)

    @staticmethod
    def step(a_x, h, h_new, weight, f):
        """h' = f(a_x + W_hh h), where a_x is the projected input and weight is W_hh^T."""
        np.matmul(h, weight, out=h_new)  # (N, H)
        h_new += a_x
        f(h_new, out=h_new)

    @staticmethod
    def step_backward(dh, slope, da, weight_hh):
        """Write dL/da into da; turn dL/dh' into dL/dh. slope is f'(a), which follows from h'."""
        np.multiply(dh, slope, out=da)  # (N, H)
        np.matmul(da, weight_hh, out=dh)

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``(h' (N, H), cache)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        f, h_new = NONLINEARITIES[self.nonlinearity].f, np.empty_like(h)
        self.step(self.project(x), h, h_new, self.weight_hh.data.T, f)
        return h_new, (x, h, h_new)

    def backward(self, dh_new, cache):
        """Map ``dh' (N, H)`` to ``(dx (N, D), dh (N, H))``; add to every parameter's gradient."""
        x, h, h_new = cache
        dh, da = dh_new.copy(), np.empty_like(h)
        slope = NONLINEARITIES[self.nonlinearity].slope(h_new)
        self.step_backward(dh, slope, da, self.weight_hh.data)
        self.recur_backward(da, h)
        return self.project_backward(da, x), dh


class GatedCell(Cell):
    """What LSTM and GRU share: gates, each a block of H rows in the weights. Abstract.

    While it computes, every gate of a step lies in one piece, ``(G, N, H)``, in the ``order`` that
    a subclass names, its ``sigmoids`` first. As sigmoid(a) = tanh(a/2) / 2 + 1/2, one call of tanh
    serves all gates; that a/2 costs nothing, for the weights of the sigmoids are halved before.
    """

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=np.float32, rng=None):
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)
        self.half = np.array(0.5, self.dtype)  # NumPy is faster with it than with a Python number

    def by_gate(self, *weights):
        """Arrays ``(G*H, ...)`` side by side as ``(G, ..., H)``: in order, sigmoids halved."""
        rows = np.concatenate([weight.reshape(len(weight), -1) for weight in weights], axis=1)
        blocks = rows.reshape(self.gates, self.hidden_size, -1)[self.order]
        blocks[: self.sigmoids] *= 0.5
        return blocks.swapaxes(1, 2)

    def project(self, x, weight_ih):
        """W_ih x + bias by gate: what the input adds, for one step or for many at once.

        The bias is the last row of ``weight_ih (G, D+1, H)``, and reads a column of ones.
        """
        rows = x.reshape(-1, self.input_size)
        if self.bias_ih is not None:
            rows = np.concatenate([rows, np.ones((len(rows), 1), self.dtype)], axis=1)
        a_x = np.matmul(rows, weight_ih)
        return a_x.reshape(self.gates, *x.shape[:-1], self.hidden_size)  # (G, ..., H)


class LSTMCell(GatedCell):
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

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Notes
    -----
    ``weight_ih (4H, D)``, ``weight_hh (4H, H)`` and the biases ``(4H,)`` hold the gates in the
    order i, f, g, o and start from U(-1/sqrt(H), 1/sqrt(H)).

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory; the forget gate: Gers, Schmidhuber &
    Cummins (2000), Learning to forget.

    Examples
    --------
    >>> cell = LSTMCell(3, 5, rng=0)
    >>> h, c = cell(np.ones((2, 3), np.float32))  # N=2, from a state of zeros
    >>> h.shape, c.shape, cell.weight_ih.data.shape
    ((2, 5), (2, 5), (20, 3))
    """

    gates, sigmoids, order = 4, 3, [3, 0, 1, 2]  # o i f g

    def weights(self):
        """W_ih, with the sum of the biases, ``(4, D+1, H)`` and W_hh ``(4, H, H)``, by gate."""
        weight_hh = np.ascontiguousarray(self.by_gate(self.weight_hh.data))
        if self.bias_ih is None:
            return self.by_gate(self.weight_ih.data), weight_hh
        return self.by_gate(self.weight_ih.data, self.bias_ih.data + self.bias_hh.data), weight_hh

    @staticmethod
    def step(a_x, h, c, h_new, c_new, gates, tanh_c, weight, half):
        """One step from the projected input: fill in h', c', gates ``(4, N, H)`` and tanh c'."""
        np.matmul(h, weight, out=gates)
        gates += a_x
        np.tanh(gates, out=gates)
        sigmoids = gates[:3]
        sigmoids *= half
        sigmoids += half
        o, i, f, g = gates
        np.multiply(f, c, out=c_new)
        c_new += i * g
        np.tanh(c_new, out=tanh_c)
        np.multiply(o, tanh_c, out=h_new)

    @staticmethod
    def slopes(gates, c, tanh_c, h_new):
        """What dL/dc' and dL/dh' are multiplied with on their way to the preactivations.

        From gates ``(..., 4, N, H)``, of one step or of many at once. The slopes to a_o from h' and
        to a_i, a_f, a_g from c', ``(..., 4, N, H)``; and the slope of h' with respect to c',
        ``(..., N, H)``.
        """
        o, i, f, g = np.moveaxis(gates, -3, 0)
        slopes = np.empty_like(gates)
        to_o, to_i, to_f, to_g = np.moveaxis(slopes, -3, 0)
        ig = i * g
        for product, gate, slope in (h_new, o, to_o), (ig, i, to_i), (f * c, f, to_f):
            np.multiply(product, gate, out=slope)  # s (1 - s) v = s v - s v s
            np.subtract(product, slope, out=slope)
        np.subtract(i, np.multiply(ig, g, out=ig), out=to_g)  # i (1 - g^2)
        slope_c = h_new * tanh_c
        return slopes, np.subtract(o, slope_c, out=slope_c)  # o (1 - tanh^2 c')

    @staticmethod
    def step_backward(dh, dc, f, slopes, slope_c, da, da_by_gate, weight_hh):
        """Write dL/da into da ``(N, 4H)``; turn dL/dh' and dL/dc' into dL/dh and dL/dc."""
        dc += dh * slope_c
        np.multiply(slopes[1:], dc, out=da_by_gate[:3])  # i f g
        np.multiply(slopes[0], dh, out=da_by_gate[3])  # o
        np.matmul(da, weight_hh, out=dh)
        dc *= f

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``(h, c)``, each (N, H), zeros if None, to ``((h', c'), cache)``."""
        h, c = (None, None) if state is None else state
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        c = initial_state("c", x, c, self.input_size, self.hidden_size, self.dtype)
        weight_ih, weight_hh = self.weights()
        h_new, c_new, tanh_c = (np.empty_like(h) for _ in range(3))
        gates = np.empty((4, *h.shape), self.dtype)
        a_x = self.project(x, weight_ih)
        self.step(a_x, h, c, h_new, c_new, gates, tanh_c, weight_hh, self.half)
        return (h_new, c_new), (x, h, c, gates, tanh_c, h_new)

    def backward(self, dstate, cache):
        """Map ``(dh', dc')`` to ``(dx (N, D), (dh, dc))``; add to every parameter's gradient."""
        x, h, c, gates, tanh_c, h_new = cache
        dh, dc = (part.copy() for part in dstate)
        slopes, slope_c = self.slopes(gates, c, tanh_c, h_new)
        da = np.empty((len(x), 4 * self.hidden_size), self.dtype)
        weight_hh = self.weight_hh.data
        self.step_backward(dh, dc, gates[2], slopes, slope_c, da, split(da, 4), weight_hh)
        self.recur_backward(da, h)
        return self.project_backward(da, x), (dh, dc)


class GRUCell(GatedCell):
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

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Notes
    -----
    ``weight_ih (3H, D)``, ``weight_hh (3H, H)`` and the biases ``(3H,)`` hold the gates in the
    order r, z, n and start from U(-1/sqrt(H), 1/sqrt(H)).

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder. Chung et al.
    (2014), Empirical evaluation of gated recurrent neural networks, write 1 - z for this z.

    Examples
    --------
    With the update gate open, a GRU keeps its state whatever it reads:

    >>> cell = GRUCell(3, 5, rng=0)
    >>> cell.bias_ih.data[5:10] = 100  # the rows of z
    >>> h = np.full((2, 5), 0.5, np.float32)
    >>> np.array_equal(cell(np.ones((2, 3), np.float32), h), h)
    True
    """

    gates, sigmoids, order = 3, 2, [0, 1, 2]  # r z n

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

    def weights(self):
        """W_ih, with biases, ``(3, D+1, H)`` and W_hh ``(3, H, H)`` by gate; and b_hn.

        Where the reset comes after, b_hn ``(H,)`` stands with W_hn h inside the product with r;
        where it comes before, b_hn is None and with the other biases.
        """
        weight_hh = np.ascontiguousarray(self.by_gate(self.weight_hh.data))
        if self.bias_ih is None:
            return self.by_gate(self.weight_ih.data), weight_hh, None
        bias, bias_hn = self.bias_ih.data + self.bias_hh.data, None
        if self.reset_after:
            n = slice(2 * self.hidden_size, None)
            bias[n], bias_hn = self.bias_ih.data[n], self.bias_hh.data[n]
        return self.by_gate(self.weight_ih.data, bias), weight_hh, bias_hn

    @staticmethod
    def step(a_x, h, h_new, gates, a_hn, weight, half, bias_hn):
        """One step, the reset after the product: fill in h', gates ``(3, N, H)``, W_hn h + b_hn."""
        np.matmul(h, weight, out=gates)
        np.add(gates[2], 0 if bias_hn is None else bias_hn, out=a_hn)
        sigmoids = gates[:2]
        sigmoids += a_x[:2]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= half
        sigmoids += half
        r, z, n = gates
        np.multiply(r, a_hn, out=n)
        n += a_x[2]
        np.tanh(n, out=n)
        np.subtract(h, n, out=h_new)
        h_new *= z
        h_new += n  # (1 - z) n + z h

    @staticmethod
    def slopes(gates, h, a_hn):
        """What dL/dh' is multiplied with on its way to the preactivations.

        From gates ``(..., 3, N, H)``, of one step or of many at once. The slopes to W_hr h, W_hz h
        and W_hn h, ``(..., 3, N, H)``; and the slope to W_in x, ``(..., N, H)``, which differs
        from the third, for r stands between.
        """
        r, z, n = np.moveaxis(gates, -3, 0)
        slopes = np.empty_like(gates)
        to_r, to_z, to_hn = np.moveaxis(slopes, -3, 0)
        to_in = (1 - z) * (1 - n * n)
        np.multiply(to_in, r, out=to_hn)
        np.multiply(to_hn, a_hn * (1 - r), out=to_r)
        np.multiply(h - n, z - z * z, out=to_z)
        return slopes, to_in

    @staticmethod
    def step_backward(dh, z, slopes, to_in, da_h, da_h_by_gate, da_n, weight_hh):
        """Write dL/d(W_hh h + b_hh) and dL/d(W_in x + b_in); turn dL/dh' into dL/dh."""
        np.multiply(slopes, dh, out=da_h_by_gate)
        np.multiply(to_in, dh, out=da_n)
        dh *= z
        dh += da_h @ weight_hh

    @staticmethod
    def step_reset_before(a_x, h, h_new, gates, reset, weight, half):
        """One step, the reset before the product: fill in h', gates ``(3, N, H)`` and r * h."""
        sigmoids = gates[:2]
        np.matmul(h, weight[:2], out=sigmoids)
        sigmoids += a_x[:2]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= half
        sigmoids += half
        r, z, n = gates
        np.multiply(r, h, out=reset)
        np.matmul(reset, weight[2], out=n)
        n += a_x[2]
        np.tanh(n, out=n)
        np.subtract(h, n, out=h_new)
        h_new *= z
        h_new += n

    @staticmethod
    def slopes_reset_before(gates, h):
        """As :meth:`slopes`; the slope to W_hr h is that of r * h, from which it is reached."""
        r, z, n = np.moveaxis(gates, -3, 0)
        slopes = np.empty_like(gates)
        to_r, to_z, to_n = np.moveaxis(slopes, -3, 0)
        np.multiply(h, r - r * r, out=to_r)
        np.multiply(h - n, z - z * z, out=to_z)
        np.multiply(1 - z, 1 - n * n, out=to_n)
        return slopes

    @staticmethod
    def step_reset_before_backward(dh, r, z, slopes, da, da_by_gate, weight_hh):
        """Write dL/da into da ``(N, 3H)``; turn dL/dh' into dL/dh."""
        size = dh.shape[1]
        np.multiply(slopes[1:], dh, out=da_by_gate[1:])
        d_reset = da[:, 2 * size :] @ weight_hh[2 * size :]  # dL/d(r * h)
        np.multiply(slopes[0], d_reset, out=da_by_gate[0])
        dh *= z
        dh += d_reset * r
        dh += da[:, : 2 * size] @ weight_hh[: 2 * size]

    def recur_backward(self, da_h, h, reset=None):
        """As :meth:`Cell.recur_backward`; with the reset before, n read r * h instead of h."""
        if self.reset_after:
            return super().recur_backward(da_h, h)
        rows, size = da_h.reshape(-1, 3 * self.hidden_size), self.hidden_size
        grad = self.weight_hh.grad
        grad[: 2 * size] += rows[:, : 2 * size].T @ h.reshape(-1, size)
        grad[2 * size :] += rows[:, 2 * size :].T @ reset.reshape(-1, size)
        if self.bias_hh is not None:
            self.bias_hh.grad += column_sums(rows)

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``(h' (N, H), cache)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        weight_ih, weight_hh, bias_hn = self.weights()
        a_x = self.project(x, weight_ih)
        h_new, kept = np.empty_like(h), np.empty_like(h)  # kept: W_hn h + b_hn, or r * h
        gates = np.empty((3, *h.shape), self.dtype)
        if self.reset_after:
            self.step(a_x, h, h_new, gates, kept, weight_hh, self.half, bias_hn)
        else:
            self.step_reset_before(a_x, h, h_new, gates, kept, weight_hh, self.half)
        return h_new, (x, h, gates, kept)

    def backward(self, dh_new, cache):
        """Map ``dh' (N, H)`` to ``(dx (N, D), dh (N, H))``; add to every parameter's gradient."""
        x, h, gates, kept = cache
        r, z, _ = gates
        dh, weight_hh = dh_new.copy(), self.weight_hh.data
        da = np.empty((len(x), 3 * self.hidden_size), self.dtype)
        if self.reset_after:
            slopes, to_in = self.slopes(gates, h, kept)
            da_n, by_gate = np.empty_like(h), split(da, 3)
            self.step_backward(dh, z, slopes, to_in, da, by_gate, da_n, weight_hh)
            self.recur_backward(da, h)
            by_gate[2] = da_n  # the rest of what W_ih x receives is what W_hh h receives
        else:
            slopes = self.slopes_reset_before(gates, h)
            self.step_reset_before_backward(dh, r, z, slopes, da, split(da, 3), weight_hh)
            self.recur_backward(da, h, kept)
        return self.project_backward(da, x), dh


def initial_state(name, x, state, input_size, state_size, dtype):
    """Check ``x (N, D)`` and ``state (N, S)``; return the state, or zeros for None."""
    expect.shape("x", x, ("N", input_size))
    expect.dtype("x", x, dtype)
    if state is None:
        return np.zeros((len(x), state_size), dtype)
    expect.shape(name, state, (len(x), state_size))
    expect.dtype(name, state, dtype)
    return state


def column_sums(rows):
    """``rows.sum(axis=0)`` as a product, which is faster."""
    return np.ones(len(rows), rows.dtype) @ rows


def split(rows, gates):
    """View of ``rows (..., N, G*H)`` by gate, ``(..., G, N, H)``."""
    return rows.reshape(*rows.shape[:-1], gates, rows.shape[-1] // gates).swapaxes(-3, -2)
