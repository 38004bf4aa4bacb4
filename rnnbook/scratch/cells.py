"""One step of recurrence: the cell, forward and backward.

A cell reads the input of one time step and the state that the previous step left, and returns the
next state. Letters: N batch, D input size, H hidden size, G gates.
"""

import numpy as np

from rnnbook import expect

from .functional import NONLINEARITIES
from .module import Module


class Cell(Module):
    """What the cells of torch share: four parameters. Abstract.

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

    def project_backward(self, da, x):
        """Add to the gradients of weight_ih and bias_ih; return dL/dx. For one step, or many."""
        rows = da.reshape(-1, self.hidden_size)
        self.weight_ih.grad += rows.T @ x.reshape(-1, self.input_size)
        if self.bias_ih is not None:
            self.bias_ih.grad += column_sums(rows)
        return (rows @ self.weight_ih.data).reshape(x.shape)

    def recur_backward(self, da, h):
        """Add to the gradients of weight_hh and bias_hh, for one step or for many at once."""
        rows = da.reshape(-1, self.hidden_size)
        self.weight_hh.grad += rows.T @ h.reshape(-1, self.hidden_size)
        if self.bias_hh is not None:
            self.bias_hh.grad += column_sums(rows)

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

    Their products are large, and run faster with a sequence as a column than with a sequence as a
    row. So while a gated cell computes, a state is ``(H, N)``, and what a step reads is one array
    ``hx (H+1+D, N)``: h, a row of ones and x under each other. In an LSTM, one product with
    [W_hh b W_ih] then makes all preactivations; in a GRU it takes two, as r stands between them.

    The gates of a step lie in one array, too, the sigmoids first. As sigmoid(a) =
    tanh(a/2) / 2 + 1/2, one call of tanh serves all gates of an LSTM, and both of a GRU; that a/2
    costs nothing, for the weights of the sigmoids are halved before.
    """

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=np.float32, rng=None):
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)
        self.half = np.array(0.5, self.dtype)  # NumPy is faster with it than with a Python number

    def biases(self):
        """b_ih and b_hh as columns ``(G*H, 1)``; zeros where there are none."""
        if self.bias_ih is None:
            return (np.zeros((len(self.weight_hh.data), 1), self.dtype),) * 2
        return self.bias_ih.data[:, None], self.bias_hh.data[:, None]

    def add_gradients(self, dweight_hh, dweight_ih):
        """Add to every parameter's gradient, given those of [W_hh b_hh] and [b_ih W_ih]."""
        self.weight_hh.grad += dweight_hh[:, :-1]
        self.weight_ih.grad += dweight_ih[:, 1:]
        if self.bias_ih is not None:
            self.bias_hh.grad += dweight_hh[:, -1]
            self.bias_ih.grad += dweight_ih[:, 0]


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

    gates = 4

    def weight(self):
        """[W_hh b W_ih] ``(4H, H+1+D)``, with b = b_ih + b_hh, for hx; the sigmoids' rows halved.

        The gates stand in the order o, i, f, g.
        """
        b_ih, b_hh = self.biases()
        weight = np.concatenate([self.weight_hh.data, b_ih + b_hh, self.weight_ih.data], axis=1)
        blocks = weight.reshape(4, self.hidden_size, -1)[[3, 0, 1, 2]]
        blocks[:3] *= self.half
        return blocks.reshape(weight.shape)

    @staticmethod
    def step(hx, c, h_new, c_new, a, gates, tanh_c, weight, half):
        """From hx ``(H+1+D, N)`` and c, fill in h', c' and tanh c', each ``(H, N)``, and a.

        gates ``(4, H, N)`` is a view of a ``(4H, N)``.
        """
        np.matmul(weight, hx, out=a)  # (4H, N)
        np.tanh(a, out=a)
        sigmoids = gates[:3]
        sigmoids *= half
        sigmoids += half
        o, i, f, g = gates
        np.multiply(f, c, out=c_new)
        c_new += i * g
        np.tanh(c_new, out=tanh_c)
        np.multiply(o, tanh_c, out=h_new)

    @staticmethod
    def slopes(gates, c, tanh_c, h_new, out):
        """Fill in what gradients are multiplied with on their way back, ``(steps, 6, H, N)``.

        From gates ``(steps, 4, H, N)``. Two factors for dL/dh' lead to c' and to a_o; then four for
        dL/dc' lead to a_i, a_f, a_g and c.
        """
        o, i, f, g = gates.swapaxes(0, 1)
        to_c_new, to_o, to_i, to_f, to_g, to_c = out.swapaxes(0, 1)
        ig = i * g
        for product, gate, slope in (h_new, o, to_o), (ig, i, to_i), (f * c, f, to_f):
            np.multiply(product, gate, out=slope)  # s (1 - s) v = s v - s v s
            np.subtract(product, slope, out=slope)
        np.multiply(ig, g, out=to_g)
        np.subtract(i, to_g, out=to_g)  # i (1 - g^2)
        np.multiply(h_new, tanh_c, out=to_c_new)
        np.subtract(o, to_c_new, out=to_c_new)  # o (1 - tanh^2 c')
        to_c[...] = f

    @staticmethod
    def parts(slopes):
        """List the views of slopes ``(steps, 6, H, N)`` that :meth:`step_backward` reads."""
        return slopes[:, 0], slopes[:, 1], slopes[:, 2:5], slopes[:, 5]

    @staticmethod
    def step_backward(dh, dc, to_c_new, to_o, to_ifg, to_c, da, da_by_gate, weight_hh):
        """Write dL/da into da ``(4H, N)``; turn dL/dh' and dL/dc' into dL/dh and dL/dc."""
        dc += dh * to_c_new
        np.multiply(to_ifg, dc, out=da_by_gate[:3])
        np.multiply(to_o, dh, out=da_by_gate[3])
        np.matmul(weight_hh.T, da, out=dh)
        dc *= to_c

    def weight_backward(self, da, hx):
        """Add to every parameter's gradient, for many steps at once; return dL/dx.

        From da ``(steps, 4H, N)`` and hx ``(steps, H+1+D, N)`` to dx ``(steps, N, D)``.
        """
        (steps, _, batch), size = hx.shape, self.hidden_size
        da = by_feature(da)
        dweight = da @ by_feature(hx).T  # (4H, H+1+D)
        self.add_gradients(dweight[:, : size + 1], dweight[:, size:])
        return (da.T @ self.weight_ih.data).reshape(steps, batch, self.input_size)

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``(h, c)``, each (N, H), zeros if None, to ``((h', c'), cache)``."""
        h, c = (None, None) if state is None else state
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        c = initial_state("c", x, c, self.input_size, self.hidden_size, self.dtype)
        hx, c = stack(h, x), transposed(c)
        h_new, c_new, tanh_c = (np.empty_like(c) for _ in range(3))
        a, factors = np.empty((4 * len(c), len(x)), c.dtype), np.empty((1, 6, *c.shape), c.dtype)
        gates = a.reshape(4, *c.shape)
        self.step(hx, c, h_new, c_new, a, gates, tanh_c, self.weight(), self.half)
        self.slopes(gates[None], c[None], tanh_c[None], h_new[None], factors)
        return (transposed(h_new), transposed(c_new)), (hx, factors)

    def backward(self, dstate, cache):
        """Map ``(dh', dc')`` to ``(dx (N, D), (dh, dc))``; add to every parameter's gradient."""
        hx, factors = cache
        dh, dc = (transposed(part) for part in dstate)
        da = np.empty((4 * len(dh), dh.shape[1]), hx.dtype)
        views = (part[0] for part in self.parts(factors))
        self.step_backward(dh, dc, *views, da, da.reshape(4, *dh.shape), self.weight_hh.data)
        (dx,) = self.weight_backward(da[None], hx[None])
        return dx, (transposed(dh), transposed(dc))


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
        if not reset_after:
            self.step, self.slopes = self.step_reset_before, self.slopes_reset_before
            self.step_backward = self.step_reset_before_backward

    def weights(self):
        """[W_hh b_hh] ``(3H, H+1)`` and [b_ih W_ih] ``(3H, 1+D)``, the rows of r and z halved.

        With the reset before the product b_hn is not reset, and so stands with b_in.
        """
        (b_ih, b_hh), n = self.biases(), 2 * self.hidden_size
        weight_h = np.concatenate([self.weight_hh.data, b_hh], axis=1)
        weight_x = np.concatenate([b_ih, self.weight_ih.data], axis=1)
        if not self.reset_after:
            weight_x[n:, :1] += b_hh[n:]  # the other of the two is not read
        weight_h[:n] *= self.half
        weight_x[:n] *= self.half
        return weight_h, weight_x

    @staticmethod
    def step(h1, h_new, a, gates, a_x, n, weight, half):
        """One step, the reset after the product, from h1 ``(H+1, N)``: h and ones.

        What the input adds comes in a_x ``(2H, N)`` for r and z, and in n ``(H, N)`` for n. Fill in
        h', n, and a ``(3H, N)``, of which gates is a view: r, z, and W_hn h + b_hn.
        """
        np.matmul(weight, h1, out=a)  # (3H, N)
        sigmoids = a[: len(a_x)]
        sigmoids += a_x
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= half
        sigmoids += half
        r, z, a_hn = gates
        n += r * a_hn
        np.tanh(n, out=n)
        np.multiply(z, n, out=h_new)
        np.subtract(n, h_new, out=h_new)
        h_new += z * h1[:-1]  # (1 - z) n + z h

    @staticmethod
    def slopes(gates, n, h, out):
        """Fill in what dL/dh' is multiplied with on its way back, ``(steps, 5, H, N)``.

        From gates ``(steps, 3, H, N)``. The factors lead to W_in x + b_in, a_r, a_z, W_hn h + b_hn
        and h. The input receives the first three, the state the second to the fourth: they differ
        for n, where r stands between.
        """
        r, z, a_hn = gates.swapaxes(0, 1)
        to_in, to_r, to_z, to_hn, to_h = out.swapaxes(0, 1)
        np.multiply(1 - z, 1 - n * n, out=to_in)
        np.multiply(to_in, r, out=to_hn)
        np.multiply(to_hn, a_hn * (1 - r), out=to_r)
        np.multiply(h - n, z - z * z, out=to_z)
        to_h[...] = z

    @staticmethod
    def parts(slopes):
        """List the views of slopes ``(steps, 5, H, N)`` that :meth:`step_backward` reads."""
        return slopes[:, :4], slopes[:, 4]

    @staticmethod
    def step_backward(dh, to_a, to_h, da, da_by_gate, weight_hh):
        """Write dL/da into da ``(4H, N)``, in the order of the slopes; turn dL/dh' into dL/dh."""
        np.multiply(to_a, dh, out=da_by_gate)
        dh *= to_h
        dh += weight_hh.T @ da[len(dh) :]

    @staticmethod
    def step_reset_before(h1, h_new, a, gates, a_x, n, weight, half):
        """As :meth:`step`, the reset before the product: gates are r, z and r * h."""
        size, h = len(a_x), h1[:-1]
        sigmoids = a[:size]
        np.matmul(weight[:size], h1, out=sigmoids)
        sigmoids += a_x
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= half
        sigmoids += half
        r, z, reset = gates
        np.multiply(r, h, out=reset)
        n += weight[size:, :-1] @ reset
        np.tanh(n, out=n)
        np.multiply(z, n, out=h_new)
        np.subtract(n, h_new, out=h_new)
        h_new += z * h

    @staticmethod
    def slopes_reset_before(gates, n, h, out):
        """As :meth:`slopes`; in order: to a_n; from r * h to a_r; to a_z; from r * h to h; to h."""
        r, z, _ = gates.swapaxes(0, 1)
        to_n, to_r, to_z, reset_to_h, to_h = out.swapaxes(0, 1)
        np.multiply(1 - z, 1 - n * n, out=to_n)
        np.multiply(h, r - r * r, out=to_r)
        np.multiply(h - n, z - z * z, out=to_z)
        reset_to_h[...] = r
        to_h[...] = z

    @staticmethod
    def step_reset_before_backward(dh, to_a, to_h, da, da_by_gate, weight_hh):
        """As :meth:`step_backward`; what W_in x and W_hn (r * h) receive is the same."""
        to_n, to_r, to_z, reset_to_h = to_a
        da_n, da_r, da_z, da_hn = da_by_gate
        size = len(dh)
        np.multiply(to_n, dh, out=da_n)
        np.multiply(to_z, dh, out=da_z)
        da_hn[...] = da_n
        d_reset = weight_hh[2 * size :].T @ da_n  # dL/d(r * h)
        np.multiply(to_r, d_reset, out=da_r)
        dh *= to_h
        dh += d_reset * reset_to_h
        dh += weight_hh[: 2 * size].T @ da[size : 3 * size]

    def weight_backward(self, da, hx, reset):
        """Add to every parameter's gradient, for many steps at once; return dL/dx.

        From da ``(steps, 4H, N)`` and hx ``(steps, H+1+D, N)`` to dx ``(steps, N, D)``. With the
        reset before the product, W_hn has read reset ``(steps, H, N)``, r * h, and not h.
        """
        (steps, _, batch), size = hx.shape, self.hidden_size
        da, hx = by_feature(da), by_feature(hx)
        da_x, da_h = da[: 3 * size], da[size:]  # n r z, and r z n
        dweight_hh = da_h @ hx[: size + 1].T
        if not self.reset_after:
            dweight_hh[2 * size :, :size] = da_h[2 * size :] @ by_feature(reset).T
        dweight_ih = np.roll(da_x @ hx[size:].T, -size, axis=0)  # r z n, as in the weights
        self.add_gradients(dweight_hh, dweight_ih)
        weight_ih = np.roll(self.weight_ih.data, size, axis=0)
        return (da_x.T @ weight_ih).reshape(steps, batch, self.input_size)

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``(h' (N, H), cache)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.dtype)
        hx, size, (weight_h, weight_x) = stack(h, x), self.hidden_size, self.weights()
        a, a_x = np.empty((3 * size, len(x)), x.dtype), weight_x @ hx[size:]
        a_x, n = a_x[: 2 * size], a_x[2 * size :]
        gates, h_new = a.reshape(3, *n.shape), np.empty_like(n)
        self.step(hx[: size + 1], h_new, a, gates, a_x, n, weight_h, self.half)
        factors = np.empty((1, 5, *n.shape), x.dtype)
        self.slopes(gates[None], n[None], hx[None, :size], factors)
        reset = None if self.reset_after else gates[2:].copy()
        return transposed(h_new), (hx, factors, reset)

    def backward(self, dh_new, cache):
        """Map ``dh' (N, H)`` to ``(dx (N, D), dh (N, H))``; add to every parameter's gradient."""
        hx, factors, reset = cache
        dh = transposed(dh_new)
        da = np.empty((4 * len(dh), dh.shape[1]), hx.dtype)
        views = (part[0] for part in self.parts(factors))
        self.step_backward(dh, *views, da, da.reshape(4, *dh.shape), self.weight_hh.data)
        (dx,) = self.weight_backward(da[None], hx[None], reset)
        return dx, transposed(dh)


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


def transposed(array):
    """A copy of ``array (..., N, F)`` as ``(..., F, N)``, or the other way round."""
    return array.swapaxes(-2, -1).copy()


def stack(h, x):
    """h, a row of ones and x under each other: ``(H+1+D, N)`` from ``(N, H)`` and ``(N, D)``."""
    return np.concatenate([h.T, np.ones((1, len(x)), x.dtype), x.T])


def by_feature(array):
    """``array (steps, F, N)`` as ``(F, steps*N)``, so that a product sums over all steps."""
    return array.swapaxes(0, 1).reshape(array.shape[1], -1)
