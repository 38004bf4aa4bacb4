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
        x, time, state, lengths = self._check(x, state, lengths)
        if lengths is None and self.in_kernel:
            return super().forward(x, state)
        if x.is_cuda and self.in_kernel:
            packed = pack_padded_sequence(x, lengths.cpu(), self.batch_first, enforce_sorted=False)
            y, state = super().forward(packed, state)
            return pad_packed_sequence(y, self.batch_first, total_length=time)[0], state
        return self._run(x, state, lengths)

    def _check(self, x, state, lengths):
        letters = ("N", "T") if self.batch_first else ("T", "N")
        expect.shape("x", x, (*letters, self.input_size))
        kind = self.weight_ih_l0.dtype
        mixed = torch.is_autocast_enabled(x.device.type)  # then torch chooses the precision
        x = x.to(kind) if mixed else x
        expect.dtype("x", x, kind)
        batch, time = x.shape[:2] if self.batch_first else x.shape[1::-1]
        expect.steps("x", x, time)
        shape = (self.num_layers * self.directions, batch, self.hidden_size)
        if state is None:
            zeros = x.new_zeros(shape)
            state = zeros if self.states == 1 else (zeros, zeros)
        parts = [state] if self.states == 1 else list(state)
        parts = [part.to(kind) for part in parts] if mixed else parts
        expect.state(parts, self.states, shape, kind)
        if lengths is not None:
            lengths = torch.as_tensor(lengths)
            expect.lengths(lengths, time, batch)
        return x, time, (parts[0] if self.states == 1 else tuple(parts)), lengths

    def _run(self, x, state, lengths):
        """Run in pieces of time; the results of packed sequences, sooner on a CPU.

        Sorted by length, the sequences that reach a piece are the first rows. A piece ends where a
        sequence does, so that inside, all are of one length, and torch's kernel for that takes it.
        """
        y = x.transpose(0, 1) if self.batch_first else x
        time, batch, _ = y.shape
        if lengths is None:
            lengths = torch.full((batch,), time)
        order = torch.argsort(lengths.cpu(), descending=True, stable=True)
        back = torch.argsort(order).to(x.device)
        order = order.to(x.device)
        pieces = list(pieces_of(lengths.tolist())) or [(0, time, 0)]  # of no rows, one piece
        parts = [part[:, order] for part in ((state,) if self.states == 1 else state)]  # (S, N, H)
        y, finals = y[:, order], []
        for layer in range(self.num_layers):
            if layer:
                y = nn.functional.dropout(y, self.dropout, self.training)
            outputs = []
            for suffix, reverse in (("", False), ("_reverse", True))[: self.directions]:
                start = tuple(part[len(finals)] for part in parts)
                weights = self._weights(f"_l{layer}{suffix}")
                out, end = self._unroll(y, start, pieces, weights, reverse)
                outputs.append(out)
                finals.append(end)
            y = torch.cat(outputs, dim=2)
        parts = [torch.stack(ends)[:, back] for ends in zip(*finals, strict=True)]
        y = y[:, back]
        y = y.transpose(0, 1) if self.batch_first else y
        return y, (parts[0] if self.states == 1 else tuple(parts))

    def _weights(self, suffix):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
        return [getattr(self, name + suffix) for name in names]

    def _unroll(self, x, state, pieces, weights, reverse):
        """One direction of one layer: (T, N, D) and states (N, H) to (T, N, H) and states."""
        time, batch, _ = x.shape
        longest = pieces[-1][1] if pieces else 0
        spans = [stop - start for start, stop, _ in pieces]
        xs = x.split([*spans, time - longest])  # backward of a slice would fill all of x, each time
        todo, outputs = list(zip(xs, pieces, strict=False)), []
        for piece, (_, _, alive) in reversed(todo) if reverse else todo:
            piece, begin = piece[:, :alive], tuple(part[:alive] for part in state)
            y, end = self._piece(piece.flip(0) if reverse else piece, begin, weights)
            y = nn.functional.pad(y.flip(0) if reverse else y, (0, 0, 0, batch - alive))
            outputs.append(y)
            state = tuple(
                torch.cat([new, old[alive:]]) for new, old in zip(end, state, strict=True)
            )
        if reverse:
            outputs.reverse()
        return torch.cat([*outputs, x.new_zeros(time - longest, batch, self.hidden_size)]), state

    def _piece(self, x, state, weights):
        """All of one length: (T, N, D) and a tuple of (N, H) to (T, N, H) and such a tuple."""
        if self.in_kernel:
            return self._kernel(x, state, weights)
        (h,), outputs = state, []
        for x_t in x:
            h = self._step(x_t, h, *weights, *([None, None] if not self.bias else []))
            outputs.append(h)
        return torch.stack(outputs), (h,)

    def _kernel(self, x, state, weights):
        """As :meth:`_piece`, in the kernel behind ``torch.nn``: one layer, one direction."""
        kernel = getattr(torch, self.mode.lower())
        state = tuple(part[None].contiguous() for part in state)
        options = self.bias, 1, 0.0, self.training, False, False
        y, *end = kernel(x, state if self.states == 2 else state[0], weights, *options)
        return y, tuple(part[0] for part in end)


class RNN(Recurrent, nn.RNN):
    """:class:`torch.nn.RNN` with ``lengths`` and two more nonlinearities.

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

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Examples
    --------
    >>> layer = RNN(3, 5, num_layers=2)
    >>> y, state = layer(torch.ones(7, 2, 3))  # T=7, N=2, D=3
    >>> y.shape, state.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
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
    """:class:`torch.nn.LSTM` with ``lengths``.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
    bias, batch_first : bool
    dropout : float
    bidirectional : bool
    dtype : torch.dtype

    Examples
    --------
    >>> layer = LSTM(3, 5, batch_first=True, bidirectional=True)
    >>> y, (h, c) = layer(torch.ones(2, 7, 3))
    >>> y.shape, h.shape
    (torch.Size([2, 7, 10]), torch.Size([2, 2, 5]))
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
    """:class:`torch.nn.GRU` with ``lengths``, and with the original paper's reset.

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

    Examples
    --------
    What stands behind the end of a sequence is not read:

    >>> x = torch.ones(2, 7, 3)
    >>> x[1, 4:] = torch.nan
    >>> y, state = GRU(3, 5, batch_first=True)(x, lengths=torch.tensor([7, 4]))
    >>> bool((y[1, 4:] == 0).all()), torch.equal(state[0, 1], y[1, 3])
    (True, True)
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


def pieces_of(lengths):
    """Yield ``(start, stop, alive)``: from step start to step stop there are alive sequences."""
    start = 0
    for stop in sorted(set(lengths)):
        yield start, stop, sum(length >= stop for length in lengths)
        start = stop
