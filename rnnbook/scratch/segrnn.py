"""SegRNN: a forecaster that reads and writes whole segments of a series.

Letters: N batch, L look-back, F horizon, C channels, w segment length, H hidden size, Q outputs.
"""

import numpy as np

from rnnbook import expect

from .functional import relu, relu_slope
from .layers import Dropout, Linear
from .module import Module, Parameter
from .recurrent import GRU


class SegRNN(Module):
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
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size does not fit: which, and what would.

    Notes
    -----
    ``position (F/w, H/2)`` and ``channel (C, H/2)`` start from a standard normal distribution, as
    in the authors' code; ``embedding``, ``rnn`` and ``linear`` as :class:`Linear` and
    :class:`GRU` do. No channel reads another one.

    This is the paper's main model: a GRU, and parallel multi-step forecasting. Its variants are
    not here: an RNN or LSTM instead of the GRU; recurrent multi-step forecasting, which feeds each
    forecast segment back as the next input; and, in the authors' code, each channel brought to
    mean 0 and variance 1 instead of less its last value. The authors' code takes that last value
    for a constant; here the gradient of the input runs through it, too.

    References
    ----------
    Lin et al. (2023), SegRNN: Segment recurrent neural network for long-term time series
    forecasting, arXiv:2308.11200.

    Examples
    --------
    >>> model = SegRNN(96, 48, channels=7, segment_length=24, hidden_size=8, rng=0).eval()
    >>> model(np.ones((2, 96, 7), np.float32)).shape  # N=2: two days of 7 columns, from four
    (2, 48, 7)
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
        dtype=np.float32,
        rng=None,
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
        super().__init__(dtype, rng)
        self.look_back, self.horizon, self.channels = look_back, horizon, channels
        self.segment_length, self.hidden_size = segment_length, hidden_size
        self.outputs = outputs
        self.ahead = horizon // segment_length  # F/w, the number of segments that are forecast
        size = hidden_size // 2 if channel_embedding else hidden_size
        self.position = self._normal(self.ahead, size)
        self.channel = self._normal(channels, size) if channel_embedding else None
        given = {"dtype": dtype, "rng": self.rng}
        self.embedding = Linear(segment_length, hidden_size, **given)
        self.rnn = GRU(hidden_size, hidden_size, **given)
        self.dropout = Dropout(dropout, **given)
        self.linear = Linear(hidden_size, (outputs or 1) * segment_length, **given)

    def forward(self, x):
        """Forecast every channel of every series.

        Parameters
        ----------
        x : ndarray, (N, L, C)

        Returns
        -------
        y : ndarray, (N, F, C), or (N, F, C, Q) with ``outputs``
            In the unit of ``x``.
        cache

        Raises
        ------
        ValueError, TypeError
            If the shape or dtype does not fit.
        """
        expect.shape("x", x, ("N", self.look_back, self.channels))
        expect.dtype("x", x, self.dtype)
        last = x[:, -1:]  # (N, 1, C)
        a, embedding_cache = self.embedding.forward(to_segments(x - last, self.segment_length))
        features = relu(a, out=a)  # (L/w, N*C, H)
        y, state, rnn_cache = self.rnn.forward(features)
        states = np.tile(state[0], (self.ahead, 1))  # (F/w*N*C, H)
        h, cell_cache = self.rnn.cells[0].forward(self._queries(len(x)), states)
        h, mask = self.dropout.forward(h)
        segments, linear_cache = self.linear.forward(h.reshape(self.ahead, -1, self.hidden_size))
        cache = embedding_cache, features, y.shape, rnn_cache, cell_cache, mask, linear_cache
        return self._join(segments, last), cache

    def backward(self, dy, cache):
        """Map ``dy``, of the shape of y, to ``dx (N, L, C)``; add to every parameter's gradient."""
        embedding_cache, features, y_shape, rnn_cache, cell_cache, mask, linear_cache = cache
        dsegments, dlast = self._join_backward(dy)
        dh = self.linear.backward(dsegments, linear_cache)
        dh = self.dropout.backward(dh.reshape(-1, self.hidden_size), mask)
        dqueries, dstates = self.rnn.cells[0].backward(dh, cell_cache)
        self._queries_backward(dqueries)
        dstate = dstates.reshape(self.ahead, -1, self.hidden_size).sum(axis=0, keepdims=True)
        dfeatures, _ = self.rnn.backward(np.zeros(y_shape, dy.dtype), dstate, rnn_cache)
        da = dfeatures * relu_slope(features)
        dx = from_segments(self.embedding.backward(da, embedding_cache), self.channels)
        dx[:, -1] += dlast - dx.sum(axis=1)  # v was added, and subtracted
        return dx

    def _join(self, segments, last):
        """Turn ``segments (F/w, N*C, Q*w)`` into forecasts, and add ``last (N, 1, C)``."""
        rows = self.ahead, -1, self.segment_length  # each output is a channel of its own
        y = from_segments(
            segments.reshape(rows), self.channels * (self.outputs or 1)
        )  # (N, F, C*Q)
        y = y.reshape(*y.shape[:2], self.channels, self.outputs or 1) + last[..., None]
        return y[..., 0] if self.outputs is None else y

    def _join_backward(self, dy):
        """Return the gradients of ``segments`` and, summed over F, of ``last``: (N, C)."""
        dy = dy.reshape(*dy.shape[:3], self.outputs or 1)  # (N, F, C, Q)
        by_output = dy.reshape(*dy.shape[:2], self.channels * dy.shape[3])
        dsegments = to_segments(by_output, self.segment_length)
        rows = self.ahead, -1, dy.shape[3] * self.segment_length
        return dsegments.reshape(rows), dy.sum(axis=(1, 3))

    def _normal(self, *shape):
        return Parameter(self.rng.standard_normal(shape).astype(self.dtype))

    def _queries(self, batch):
        """What the GRU reads for each future segment, of each channel: (F/w*N*C, H)."""
        queries = np.empty((self.ahead, batch, self.channels, self.hidden_size), self.dtype)
        size = self.position.data.shape[1]
        queries[..., :size] = self.position.data[:, None, None]
        if self.channel is not None:
            queries[..., size:] = self.channel.data
        return queries.reshape(-1, self.hidden_size)

    def _queries_backward(self, dqueries):
        """Add ``dqueries (F/w*N*C, H)`` to the gradients of what they were made of."""
        dqueries = dqueries.reshape(self.ahead, -1, self.channels, self.hidden_size)
        size = self.position.data.shape[1]
        self.position.grad += dqueries[..., :size].sum(axis=(1, 2))
        if self.channel is not None:
            self.channel.grad += dqueries[..., size:].sum(axis=(0, 1))


def to_segments(x, length):
    """Cut ``x (N, T, C)`` into ``(T/w, N*C, w)``: each channel of each series is a sequence."""
    batch, time, channels = x.shape
    cut = x.reshape(batch, time // length, length, channels).transpose(1, 0, 3, 2)
    return cut.reshape(time // length, batch * channels, length)


def from_segments(segments, channels):
    """Join ``segments (T/w, N*C, w)`` to ``(N, T, C)``: :func:`to_segments` undone."""
    count, rows, length = segments.shape
    cut = segments.reshape(count, rows // channels, channels, length).transpose(1, 0, 3, 2)
    return cut.reshape(rows // channels, count * length, channels)
