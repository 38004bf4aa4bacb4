"""Recurrent layers in PyTorch: torch's own, called by the book's convention.

Letters: T time, N batch, D input size, H hidden size, S layers times directions.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbook import expect

from .cells import NONLINEARITIES


class RNN(nn.RNN):
    """``torch.nn.RNN`` with ``lengths`` and two more nonlinearities.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    nonlinearity : str
        "tanh" and "relu" run in torch's kernel, "sigmoid" and "identity" step by step.
    bias, batch_first : bool
    dropout : float
    bidirectional : bool
    dtype : torch.dtype
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        nonlinearity="tanh",
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        dtype=None,
    ):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        expect.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        expect.probability("dropout", dropout)
        self.in_kernel = nonlinearity in ("tanh", "relu")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity=nonlinearity if self.in_kernel else "tanh",
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity
        self.directions = 2 if bidirectional else 1

    def forward(self, x, state=None, lengths=None):
        """Run over whole sequences.

        Parameters
        ----------
        x : Tensor, (T, N, D), or (N, T, D) if batch_first
        state : Tensor, (S, N, H), optional
            The initial state of each layer and direction; zeros if None.
        lengths : Tensor of int, (N,), optional
            The length of each sequence, 1 to T. What stands in ``x`` behind it is never read.

        Returns
        -------
        y : Tensor, (T, N, H), twice as wide if bidirectional; (N, T, ...) if batch_first
            The last layer's state at each step; zero on padding.
        state : Tensor, (S, N, H)
            The state of each layer and direction after its last valid step.

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, T is 0, or a length is outside 1 to T.
        """
        time, state, lengths = self._check(x, state, lengths)
        if not self.in_kernel:
            return self._run(x, state, lengths)
        if lengths is None:
            return super().forward(x, state)
        packed = pack_padded_sequence(x, lengths.cpu(), self.batch_first, enforce_sorted=False)
        y, state = super().forward(packed, state)
        y, _ = pad_packed_sequence(y, self.batch_first, total_length=time)
        return y, state

    def _check(self, x, state, lengths):
        letters = ("N", "T") if self.batch_first else ("T", "N")
        expect.shape("x", x, (*letters, self.input_size))
        expect.dtype("x", x, self.weight_ih_l0.dtype)
        batch, time = x.shape[:2] if self.batch_first else x.shape[1::-1]
        if time == 0:
            raise ValueError(f"x has T=0 steps (shape {tuple(x.shape)}): expected at least one")
        if state is None:
            state = x.new_zeros(self.num_layers * self.directions, batch, self.hidden_size)
        expect.shape("state", state, (self.num_layers * self.directions, batch, self.hidden_size))
        expect.dtype("state", state, x.dtype)
        if lengths is not None:
            lengths = torch.as_tensor(lengths)
            expect.lengths(lengths, time, batch)
        return time, state, lengths

    def _run(self, x, state, lengths):
        """Run step by step, for the nonlinearities that torch's kernel lacks."""
        y = x.transpose(0, 1) if self.batch_first else x
        time, batch, _ = y.shape
        if lengths is None:
            lengths = torch.full((batch,), time)
        steps = torch.arange(time)[:, None, None]
        valid = (steps < lengths[:, None]).to(x.device)  # (T, N, 1)
        finals = []
        for layer in range(self.num_layers):
            if layer:
                y = nn.functional.dropout(y, self.dropout, self.training)
            outputs = []
            for direction in range(self.directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                out, h = self._unroll(y, state[len(finals)], valid, suffix, bool(direction))
                outputs.append(out)
                finals.append(h)
            y = torch.cat(outputs, dim=2)
        return (y.transpose(0, 1) if self.batch_first else y), torch.stack(finals)

    def _unroll(self, x, h, valid, suffix, reverse):
        """One direction of one layer: (T, N, D) and (N, H) to (T, N, H) and (N, H)."""
        f = NONLINEARITIES[self.nonlinearity]
        bias_ih, bias_hh = (
            (getattr(self, f"bias_ih{suffix}"), getattr(self, f"bias_hh{suffix}"))
            if self.bias
            else (None, None)
        )
        a_x = nn.functional.linear(x, getattr(self, f"weight_ih{suffix}"), bias_ih)
        outputs = [None] * len(x)
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            a = a_x[t] + nn.functional.linear(h, getattr(self, f"weight_hh{suffix}"), bias_hh)
            h = torch.where(valid[t], f(a), h)
            outputs[t] = h
        # where, not a product: padding may hold NaN
        return torch.where(valid, torch.stack(outputs), 0), h


class Unrolled(nn.Module):
    """A layer made of any cell that emits an output: y_t, s_t = cell(x_t, s_{t-1}).

    Parameters
    ----------
    cell : torch.nn.Module
        Called as ``cell(x, state) -> (y, state)``, as :class:`ConcatCell` and
        :class:`JordanCell` are.
    """

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, state=None):
        """Map ``x (T, N, D)`` to ``(y (T, N, K), final state)``."""
        expect.shape("x", x, ("T", "N", self.cell.input_size))
        outputs = []
        for x_t in x:
            y, state = self.cell(x_t, state)
            outputs.append(y)
        return torch.stack(outputs), state
