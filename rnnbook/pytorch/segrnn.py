"""SegRNN in PyTorch: a forecaster that reads and writes whole segments of a series.

Letters: N batch, L look-back, F horizon, C channels, w segment length, H hidden size, Q outputs.
"""

import torch
from torch import nn

from rnnbook import expect

from .recurrent import GRU


class SegRNN(nn.Module):
    """Forecast every channel by itself: a GRU over segments, then all future segments at once.

    With x_1 ... x_(L/w) the segments of one channel, less its last value v:
    h_i = GRU(relu(W_e x_i + b_e), h_(i-1)) reads them; each future segment m starts from the last
    state h and takes one step of the same GRU, y_m = W_y dropout(GRU([p_m, q_c], h)) + b_y + v,
    where p_m is learned for the segment and q_c for the channel.

    Parameters
    ----------
    look_back, horizon : int
        L and F, multiples of ``segment_length``: how much is read, and how much is forecast.
    channels : int
        C. All channels share all weights, but for q_c.
    segment_length : int
        w.
    hidden_size : int
        H; even, for p_m and q_c are half of it each.
    dropout : float
        Before the read-out.
    channel_embedding : bool
        False: there is no q_c, and p_m has size H, which may then be odd.
    outputs : int, optional
        Q, numbers for each step and channel, such as quantiles. None: one, as in the paper.
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size does not fit: which, and what would.

    Notes
    -----
    Which of the paper's variants this is stands in :class:`rnnbook.scratch.SegRNN`, and how the
    weights start.

    References
    ----------
    Lin et al. (2023), SegRNN: Segment recurrent neural network for long-term time series
    forecasting, arXiv:2308.11200.

    Examples
    --------
    >>> model = SegRNN(96, 48, channels=7, segment_length=24, hidden_size=8).eval()
    >>> model(torch.ones(2, 96, 7)).shape  # N=2: two days of 7 columns, from four
    torch.Size([2, 48, 7])
    """

    def __init__(
        self,
        look_back,
        horizon,
        channels,
        segment_length=48,
        hidden_size=512,
        dropout=0.5,
        channel_embedding=True,
        outputs=None,
        *,
        dtype=None,
    ):
        expect.sizes(look_back=look_back, horizon=horizon, channels=channels)
        expect.sizes(segment_length=segment_length, hidden_size=hidden_size)
        if outputs is not None:
            expect.sizes(outputs=outputs)
        for name, value in ("look_back", look_back), ("horizon", horizon):
            expect.multiple(name, value, segment_length, "the segment_length: change either")
        if channel_embedding:
            expect.multiple("hidden_size", hidden_size, 2, "or channel_embedding=False")
        expect.probability("dropout", dropout)
        super().__init__()
        self.look_back, self.horizon, self.channels = look_back, horizon, channels
        self.segment_length, self.hidden_size = segment_length, hidden_size
        self.outputs = outputs
        self.ahead = horizon // segment_length  # F/w, the number of segments that are forecast
        size = hidden_size // 2 if channel_embedding else hidden_size
        self.position = nn.Parameter(torch.randn(self.ahead, size, dtype=dtype))
        self.channel = None
        if channel_embedding:
            self.channel = nn.Parameter(torch.randn(channels, size, dtype=dtype))
        self.embedding = nn.Linear(segment_length, hidden_size, dtype=dtype)
        self.rnn = GRU(hidden_size, hidden_size, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, (outputs or 1) * segment_length, dtype=dtype)

    def forward(self, x):
        """Forecast every channel of every series.

        Parameters
        ----------
        x : Tensor, (N, L, C)

        Returns
        -------
        Tensor, (N, F, C), or (N, F, C, Q) with ``outputs``
            In the unit of ``x``.

        Raises
        ------
        ValueError, TypeError
            If the shape or dtype does not fit.
        """
        expect.shape("x", x, ("N", self.look_back, self.channels))
        expect.dtype("x", x, self.position.dtype)
        last = x[:, -1:]  # (N, 1, C)
        segments = to_segments(x - last, self.segment_length)
        _, state = self.rnn(torch.relu(self.embedding(segments)))  # (1, N*C, H)
        _, h = self.rnn(self._queries(len(x)), state.repeat(1, self.ahead, 1))
        segments = self.linear(self.dropout(h[0]))  # (F/w*N*C, Q*w)
        rows = self.ahead, -1, self.segment_length  # each output is a channel of its own
        y = from_segments(
            segments.reshape(rows), self.channels * (self.outputs or 1)
        )  # (N, F, C*Q)
        y = y.reshape(*y.shape[:2], self.channels, self.outputs or 1) + last[..., None]
        return y[..., 0] if self.outputs is None else y

    def _queries(self, batch):
        """What the GRU reads for each future segment, of each channel: (1, F/w*N*C, H)."""
        rows = self.ahead, batch, self.channels, -1
        queries = self.position[:, None, None].expand(rows)
        if self.channel is not None:
            queries = torch.cat([queries, self.channel.expand(rows)], dim=-1)
        return queries.reshape(1, self.ahead * batch * self.channels, self.hidden_size)


def to_segments(x, length):
    """Cut ``x (N, T, C)`` into ``(T/w, N*C, w)``: each channel of each series is a sequence."""
    batch, time, channels = x.shape
    cut = x.reshape(batch, time // length, length, channels).permute(1, 0, 3, 2)
    return cut.reshape(time // length, batch * channels, length)


def from_segments(segments, channels):
    """Join ``segments (T/w, N*C, w)`` to ``(N, T, C)``: :func:`to_segments` undone."""
    count, rows, length = segments.shape
    cut = segments.reshape(count, rows // channels, channels, length).permute(1, 0, 3, 2)
    return cut.reshape(rows // channels, count * length, channels)
