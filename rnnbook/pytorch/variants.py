"""Cells that emit an output of their own, in PyTorch.

Letters: T time, N batch, D input size, H hidden size, K output size.
"""

import torch
from torch import nn

from rnnbook import expect

from .cells import initial_state


class ConcatCell(nn.Module):
    """State and output from the same pair: h' = tanh(i2h([x, h])), y = i2o([x, h]).

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and K.
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    Robertson (2017), Classifying names with a character-level RNN, PyTorch tutorials.

    Examples
    --------
    >>> y, h = ConcatCell(3, 5, 2)(torch.ones(4, 3))  # N=4
    >>> y.shape, h.shape
    (torch.Size([4, 2]), torch.Size([4, 5]))
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

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    Jordan (1986), Serial order: a parallel distributed processing approach.

    Examples
    --------
    >>> y, state = JordanCell(3, 5, 2)(torch.ones(4, 3))
    >>> y.shape, y is state  # it remembers what it says, K=2 numbers
    (torch.Size([4, 2]), True)
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


class LayerNormCell(nn.Module):
    """A simple cell with a normalised preactivation: h' = tanh(LN(W_ih x + W_hh h)).

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    Ba, Kiros & Hinton (2016), Layer normalization, section 3.1.

    Examples
    --------
    >>> y, h = Unrolled(LayerNormCell(3, 5))(torch.ones(7, 4, 3))  # T=7, N=4
    >>> y.shape, h.shape
    (torch.Size([7, 4, 5]), torch.Size([4, 5]))
    """

    def __init__(self, input_size, hidden_size, *, dtype=None):
        expect.sizes(input_size=input_size, hidden_size=hidden_size)
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size, dtype=dtype))
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)
        self.norm = nn.LayerNorm(hidden_size, dtype=dtype)

    def forward(self, x, state=None):
        """Map ``x (N, D)`` and ``state (N, H)`` to ``(h', h')``: the output is the state."""
        dtype = self.weight_ih.dtype
        h = initial_state("state", x, state, self.input_size, self.hidden_size, dtype)
        h = torch.tanh(self.norm(x @ self.weight_ih.T + h @ self.weight_hh.T))  # (N, H)
        return h, h


class Unrolled(nn.Module):
    """A layer made of any cell that emits an output: y_t, s_t = cell(x_t, s_{t-1}).

    Parameters
    ----------
    cell : torch.nn.Module
        Called as ``cell(x, state) -> (y, state)``, as the cells of this file are.

    Examples
    --------
    >>> y, h = Unrolled(ConcatCell(3, 5, 2))(torch.ones(7, 4, 3))  # T=7, N=4
    >>> y.shape, h.shape
    (torch.Size([7, 4, 2]), torch.Size([4, 5]))
    """

    batch_first = bidirectional = False  # what truncated_bptt asks of a layer

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, state=None):
        """Map ``x (T, N, D)`` to ``(y (T, N, K), final state)``."""
        expect.shape("x", x, ("T", "N", self.cell.input_size))
        expect.steps("x", x, len(x))
        outputs = []
        for x_t in x:
            y, state = self.cell(x_t, state)
            outputs.append(y)
        return torch.stack(outputs), state
