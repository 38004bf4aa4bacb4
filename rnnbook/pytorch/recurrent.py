"""Recurrent layers in PyTorch: torch's own, called by the book's convention.

Letters: T time, N batch, D input size, H hidden size, S layers times directions.
"""

import torch
from torch import nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnbook import expect

from .cells import NONLINEARITIES, gru_reset_before


class Recurrent(nn.RNNBase):
    """What the layers below add to torch's: ``lengths``, checks, and variants that torch lacks.

    Abstract. A variant that is not ``in_kernel`` runs step by step, by the subclass's
    ``_step(x_t, h, weight_ih, weight_hh, bias_ih, bias_hh) -> h'``.
    """

    states = 1
    in_kernel = True

    @property
    def directions(self):
        return 2 if self.bidirectional else 1

    def forward(self, x, state=None, lengths=None):
        """Run over whole sequences.

        Parameters
        ----------
        x : Tensor, (T, N, D), or (N, T, D) if batch_first
        state : Tensor, (S, N, H), or for an LSTM a pair of them, optional
            The initial state of each layer and direction; zeros if None.
        lengths : Tensor of int, (N,), optional
            The length of each sequence, 1 to T. What stands in ``x`` behind it is never read.

        Returns
        -------
        y : Tensor, (T, N, H), twice as wide if bidirectional; (N, T, ...) if batch_first
            The last layer's state at each step; zero on padding.
        state : as given
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
        shape = (self.num_layers * self.directions, batch, self.hidden_size)
        if state is None:
            zeros = x.new_zeros(shape)
            state = zeros if self.states == 1 else (zeros, zeros)
        parts = [state] if self.states == 1 else list(state)
        expect.state(parts, self.states, shape, x.dtype)
        if lengths is not None:
            lengths = torch.as_tensor(lengths)
            expect.lengths(lengths, time, batch)
        return time, state, lengths

    def _run(self, x, state, lengths):
        """Run step by step."""
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
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self, name + suffix, None) for name in names]  # no biases: None
        outputs = [None] * len(x)
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            h = torch.where(valid[t], self._step(x[t], h, *weights), h)
            outputs[t] = h
        # where, not a product: padding may hold NaN
        return torch.where(valid, torch.stack(outputs), 0), h


class RNN(Recurrent, nn.RNN):
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
        check_arguments(input_size, hidden_size, num_layers, dropout)
        expect.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
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

    def _step(self, x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        a = linear(x, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)
        return NONLINEARITIES[self.nonlinearity](a)


class LSTM(Recurrent, nn.LSTM):
    """``torch.nn.LSTM`` with ``lengths``.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    bias, batch_first : bool
    dropout : float
    bidirectional : bool
    dtype : torch.dtype
    """

    states = 2

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        dtype=None,
    ):
        check_arguments(input_size, hidden_size, num_layers, dropout)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
        )


class GRU(Recurrent, nn.GRU):
    """``torch.nn.GRU`` with ``lengths``, and with the original paper's reset.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    bias, batch_first : bool
    dropout : float
    bidirectional : bool
    reset_after : bool
        True runs in torch's kernel, False step by step; see :class:`GRUCell`.
    dtype : torch.dtype
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        reset_after=True,
        dtype=None,
    ):
        check_arguments(input_size, hidden_size, num_layers, dropout)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
        )
        self.reset_after = self.in_kernel = reset_after

    def _step(self, x, h, *weights):
        return gru_reset_before(x, h, *weights)


def check_arguments(input_size, hidden_size, num_layers, dropout):
    """The checks that all layers share."""
    expect.sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
    expect.probability("dropout", dropout)
