"""One step of recurrence in PyTorch. Letters: N batch, D input size, H hidden size."""

import torch
from torch import nn
from torch.nn.functional import linear

from rnnbook import expect

NONLINEARITIES = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda a: a,
}


class RNNCell(nn.RNNCell):
    """:class:`torch.nn.RNNCell` and two more f: h' = f(W_ih x + b_ih + W_hh h + b_hh).

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    nonlinearity : str
        f: "tanh", "relu", "sigmoid" or "identity".
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Examples
    --------
    >>> cell = RNNCell(3, 5, nonlinearity="sigmoid")
    >>> cell(torch.ones(2, 3)).shape  # N=2, from a state of zeros
    torch.Size([2, 5])
    """

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", *, dtype=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        expect.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(input_size, hidden_size, bias, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``h' (N, H)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.weight_ih.dtype)
        if self.nonlinearity in ("tanh", "relu"):
            return super().forward(x, h)
        a = linear(x, self.weight_ih, self.bias_ih)
        a = a + linear(h, self.weight_hh, self.bias_hh)
        return NONLINEARITIES[self.nonlinearity](a)


class LSTMCell(nn.LSTMCell):
    """:class:`torch.nn.LSTMCell` with checks: c' = f * c + i * g, h' = o * tanh(c').

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Examples
    --------
    >>> h, c = LSTMCell(3, 5)(torch.ones(2, 3))
    >>> h.shape, c.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(self, input_size, hidden_size, bias=True, *, dtype=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size, bias, dtype=dtype)

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``(h, c)``, each (N, H), zeros if None, to ``(h', c')``."""
        given = (None, None) if state is None else state
        sizes = self.input_size, self.hidden_size, self.weight_ih.dtype
        h, c = (
            initial_state(name, x, part, *sizes) for name, part in zip("hc", given, strict=True)
        )
        return super().forward(x, (h, c))


class GRUCell(nn.GRUCell):
    """:class:`torch.nn.GRUCell`, and with ``reset_after=False`` the original paper's.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    reset_after : bool
        True, as in torch: n = tanh(W_in x + b_in + r * (W_hn h + b_hn)). False:
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn).
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Examples
    --------
    >>> after, before = GRUCell(3, 5), GRUCell(3, 5, reset_after=False)
    >>> _ = before.load_state_dict(after.state_dict())  # the same weights, another function
    >>> x, h = torch.ones(2, 3), torch.ones(2, 5)
    >>> torch.allclose(after(x, h), before(x, h))
    False
    """

    def __init__(self, input_size, hidden_size, bias=True, *, reset_after=True, dtype=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size, bias, dtype=dtype)
        self.reset_after = reset_after

    def forward(self, x, h=None):
        """Map ``x (N, D)`` and ``h (N, H)`` (zeros if None) to ``h' (N, H)``."""
        h = initial_state("h", x, h, self.input_size, self.hidden_size, self.weight_ih.dtype)
        if self.reset_after:
            return super().forward(x, h)
        return gru_reset_before(x, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


def gru_reset_before(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    """One step of a GRU whose reset gate acts on the state before the matrix product."""
    size = h.shape[1]
    a_r, a_z, a_n = linear(x, weight_ih, bias_ih).chunk(3, dim=1)
    bias_rz, bias_n = (None, None) if bias_hh is None else bias_hh.split([2 * size, size])
    h_r, h_z = linear(h, weight_hh[: 2 * size], bias_rz).chunk(2, dim=1)
    r, z = torch.sigmoid(a_r + h_r), torch.sigmoid(a_z + h_z)
    n = torch.tanh(a_n + linear(r * h, weight_hh[2 * size :], bias_n))
    return (1 - z) * n + z * h


def initial_state(name, x, state, input_size, state_size, dtype):
    """Check ``x (N, D)`` and ``state (N, S)``; return the state, or zeros for None."""
    expect.shape("x", x, ("N", input_size))
    expect.dtype("x", x, dtype)
    if state is None:
        return x.new_zeros(len(x), state_size)
    expect.shape(name, state, (len(x), state_size))
    expect.dtype(name, state, dtype)
    return state
