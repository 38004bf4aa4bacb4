"""One step of recurrence in PyTorch. Letters: N batch, D input size, H hidden size, K output."""

import torch
from torch import nn

from rnnbook import expect

NONLINEARITIES = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda a: a,
}


class RNNCell(nn.RNNCell):
    """``torch.nn.RNNCell`` with two more nonlinearities: h' = f(W_ih x + b_ih + W_hh h + b_hh).

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    bias : bool
    nonlinearity : str
        f: "tanh", "relu", "sigmoid" or "identity".
    dtype : torch.dtype
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
        a = nn.functional.linear(x, self.weight_ih, self.bias_ih)
        a = a + nn.functional.linear(h, self.weight_hh, self.bias_hh)
        return NONLINEARITIES[self.nonlinearity](a)


class ConcatCell(nn.Module):
    """State and output from the same pair: h' = tanh(i2h([x, h])), y = i2o([x, h]).

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and K.
    dtype : torch.dtype

    References
    ----------
    Robertson (2017), Classifying names with a character-level RNN, PyTorch tutorials.
    """

    def __init__(self, input_size, hidden_size, output_size, *, dtype=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size, dtype=dtype)
        self.i2o = nn.Linear(input_size + hidden_size, output_size, dtype=dtype)

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``state (N, H)`` to ``(y (N, K), state' (N, H))``."""
        dtype = self.i2h.weight.dtype
        h = initial_state("state", x, state, self.input_size, self.hidden_size, dtype)
        both = torch.cat([x, h], dim=1)  # (N, D+H)
        return self.i2o(both), torch.tanh(self.i2h(both))


class JordanCell(nn.Module):
    """The output is the memory: h = tanh(i2h([x, y])), y' = h2o(h).

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and K. The state is ``(N, K)``.
    dtype : torch.dtype

    References
    ----------
    Jordan (1986), Serial order: a parallel distributed processing approach.
    """

    def __init__(self, input_size, hidden_size, output_size, *, dtype=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.i2h = nn.Linear(input_size + output_size, hidden_size, dtype=dtype)
        self.h2o = nn.Linear(hidden_size, output_size, dtype=dtype)

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``state (N, K)`` to ``(y', y')``: the output is the state."""
        dtype = self.i2h.weight.dtype
        y = initial_state("state", x, state, self.input_size, self.output_size, dtype)
        h = torch.tanh(self.i2h(torch.cat([x, y], dim=1)))
        y = self.h2o(h)  # (N, K)
        return y, y


def initial_state(name, x, state, input_size, state_size, dtype):
    """Check ``x (N, D)`` and ``state (N, S)``; return the state, or zeros for None."""
    expect.shape("x", x, ("N", input_size))
    expect.dtype("x", x, dtype)
    if state is None:
        return x.new_zeros(len(x), state_size)
    expect.shape(name, state, (len(x), state_size))
    expect.dtype(name, state, dtype)
    return state
