"""Models for a task: what the chapters train."""

import numpy as np

from rnnbook import expect

from .layers import Dropout, Dropout1d, Embedding, Linear
from .module import Module
from .recurrent import GRU, LSTM, RNN

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
POOLINGS = ("last", "mean", "max", "mean_max")


class SequenceClassifier(Module):
    """Classify token sequences: embedding, recurrent layers, pooling over time, linear read-out.

    Parameters
    ----------
    vocab_size : int
        V; token 0 is padding.
    embed_size : int
        D.
    hidden_size : int
        H.
    num_classes : int
        K; with 1, the model returns one logit for each sequence, for the binary cross entropy.
    cell : str
        "rnn", "gru" or "lstm".
    num_layers : int
    bidirectional : bool
    dropout : float
        After the embedding, between recurrent layers and before the read-out.
    pooling : str
        What of the last layer's states is read: "last" (the final state of each direction), "mean"
        or "max" over the valid steps, or "mean_max", both side by side.
    word_dropout : float
        Probability of dropping a whole word, in training: its vector is zero.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Examples
    --------
    >>> model = SequenceClassifier(10, 4, 5, num_classes=3, cell="gru", rng=0)  # V, D, H, K
    >>> tokens = np.array([[4, 7, 2], [9, 3, 0]])  # the second text has two tokens
    >>> model(tokens, np.array([3, 2])).shape
    (2, 3)
    """

    def __init__(
        self,
        vocab_size,
        embed_size,
        hidden_size,
        num_classes,
        cell="rnn",
        num_layers=1,
        bidirectional=False,
        dropout=0.0,
        pooling="last",
        word_dropout=0.0,
        *,
        dtype=np.float32,
        rng=None,
    ):
        expect.sizes(vocab_size=vocab_size, embed_size=embed_size, num_classes=num_classes)
        expect.one_of("cell", cell, LAYERS)
        expect.one_of("pooling", pooling, POOLINGS)
        super().__init__(dtype, rng)
        self.num_classes, self.pooling = num_classes, pooling
        given = {"dtype": dtype, "rng": self.rng}
        self.embedding = Embedding(vocab_size, embed_size, padding_idx=0, **given)
        self.word_dropout = Dropout1d(word_dropout, **given)
        self.rnn = LAYERS[cell](
            embed_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            **given,
        )
        self.dropout = Dropout(dropout, **given)
        pooled_size = hidden_size * self.rnn.directions * (2 if pooling == "mean_max" else 1)
        self.linear = Linear(pooled_size, num_classes, **given)

    def forward(self, tokens, lengths=None):
        """Score every sequence.

        Parameters
        ----------
        tokens : ndarray of int, (N, T)
            0 to V-1.
        lengths : ndarray of int, (N,), optional
            The length of each sequence, 1 to T; without it, padding is read as if it were text.

        Returns
        -------
        logits : ndarray, (N, K), or (N,) if K is 1
        cache

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, or a token or length is out of range.
        """
        tokens = np.asarray(tokens)
        expect.shape("tokens", tokens, ("N", "T"))
        expect.ids("tokens", tokens, self.embedding.num_embeddings)
        x, embedding_cache = self.embedding.forward(tokens)  # (N, T, D)
        x, word_mask = self.word_dropout.forward(x)
        logits, cache = self.forward_vectors(x, lengths)
        return logits, (embedding_cache, word_mask, cache)

    def backward(self, dlogits, cache):
        """Map ``dlogits``, in the shape of the logits, to every parameter's gradient."""
        embedding_cache, word_mask, cache = cache
        dx = self.backward_vectors(dlogits, cache)
        self.embedding.backward(self.word_dropout.backward(dx, word_mask), embedding_cache)

    def forward_vectors(self, x, lengths=None):
        """As :meth:`forward`, from the vectors ``x (N, T, D)`` of the tokens."""
        x, input_mask = self.dropout.forward(x)
        y, state, rnn_cache = self.rnn.forward(x, None, lengths)  # (N, T, H), (S, N, H)
        pooled, pool_cache = self._pool(y, state, lengths)
        pooled, pooled_mask = self.dropout.forward(pooled)
        logits, linear_cache = self.linear.forward(pooled)  # (N, K)
        cache = input_mask, rnn_cache, pool_cache, pooled_mask, linear_cache
        return (logits[:, 0] if self.num_classes == 1 else logits), cache

    def backward_vectors(self, dlogits, cache):
        """Map ``dlogits`` to ``dx (N, T, D)``; add to every gradient but that of the embedding."""
        input_mask, rnn_cache, pool_cache, pooled_mask, linear_cache = cache
        count = () if self.num_classes == 1 else (self.num_classes,)
        expect.shape("dlogits", dlogits, (len(linear_cache), *count))
        dpooled = self.linear.backward(dlogits.reshape(-1, self.num_classes), linear_cache)
        dpooled = self.dropout.backward(dpooled, pooled_mask)
        dy, dstate = self._pool_backward(dpooled, pool_cache)
        dx, _ = self.rnn.backward(dy, dstate, rnn_cache)
        return self.dropout.backward(dx, input_mask)

    def _pool(self, y, state, lengths):
        """Reduce the states over time to what is read; return it and a cache."""
        if self.pooling == "last":
            return final_states(self.rnn, state), (y.shape, state)
        if lengths is None:
            lengths = np.full(y.shape[0], y.shape[1])
        lengths = np.asarray(lengths)[:, None]  # (N, 1)
        pooled, peak = [], None
        if "mean" in self.pooling:
            pooled.append(y.sum(axis=1) / lengths.astype(y.dtype))
        if "max" in self.pooling:
            valid = np.arange(y.shape[1]) < lengths  # (N, T)
            peak = np.where(valid[:, :, None], y, -np.inf).argmax(axis=1, keepdims=True)
            pooled.append(np.take_along_axis(y, peak, axis=1)[:, 0])
        return np.concatenate(pooled, axis=1), (y.shape, (lengths, peak))

    def _pool_backward(self, dpooled, cache):
        """Spread ``dpooled`` over the states it came from; return (dy, dstate)."""
        shape, of_pooling = cache
        dy = np.zeros(shape, dpooled.dtype)
        if self.pooling == "last":
            return dy, final_states_backward(self.rnn, dpooled, of_pooling)
        lengths, peak = of_pooling
        parts = np.split(dpooled, dpooled.shape[1] // shape[2], axis=1)
        if "max" in self.pooling:
            np.put_along_axis(dy, peak, parts.pop()[:, None], axis=1)
        if "mean" in self.pooling:
            dy += (parts.pop() / lengths.astype(dy.dtype))[:, None]
        return dy, None


class SequencePredictor(Module):
    """Map sequences of vectors to numbers: recurrent layers and a linear read-out.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    output_size : int
        K.
    cell : str
        "rnn", "gru" or "lstm".
    num_layers : int
    bidirectional : bool
    dropout : float
        Between recurrent layers and before the read-out.
    every_step : bool
        Read the last layer's states at every step, instead of the final state of each direction.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Examples
    --------
    >>> x = np.ones((2, 24, 3), np.float32)  # N=2, T=24, D=3
    >>> SequencePredictor(3, 5, 1, cell="lstm", num_layers=2, rng=0)(x).shape
    (2, 1)
    >>> SequencePredictor(3, 5, 1, every_step=True, rng=0)(x).shape
    (2, 24, 1)
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        output_size,
        cell="rnn",
        num_layers=1,
        bidirectional=False,
        dropout=0.0,
        every_step=False,
        *,
        dtype=np.float32,
        rng=None,
    ):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        expect.one_of("cell", cell, LAYERS)
        super().__init__(dtype, rng)
        self.every_step = every_step
        given = {"dtype": dtype, "rng": self.rng}
        self.rnn = LAYERS[cell](
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            **given,
        )
        self.dropout = Dropout(dropout, **given)
        self.linear = Linear(hidden_size * self.rnn.directions, output_size, **given)

    def forward(self, x, lengths=None):
        """Predict for every sequence, or for every step of it.

        Parameters
        ----------
        x : ndarray, (N, T, D)
        lengths : ndarray of int, (N,), optional
            The length of each sequence, 1 to T. What stands in ``x`` behind it is never read.

        Returns
        -------
        prediction : ndarray, (N, K), or (N, T, K) if ``every_step``
            Behind the end of a sequence, every step's prediction is the bias of the read-out.
        cache

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, or a length is out of range.
        """
        y, state, rnn_cache = self.rnn.forward(x, None, lengths)  # (N, T, H), (S, N, H)
        features = y if self.every_step else final_states(self.rnn, state)
        features, mask = self.dropout.forward(features)
        prediction, linear_cache = self.linear.forward(features)
        return prediction, (y.shape, state, rnn_cache, mask, linear_cache)

    def backward(self, dprediction, cache):
        """Map ``dprediction``, in the shape of the prediction, to ``dx (N, T, D)``."""
        y_shape, state, rnn_cache, mask, linear_cache = cache
        dfeatures = self.linear.backward(dprediction, linear_cache)
        dfeatures = self.dropout.backward(dfeatures, mask)
        if self.every_step:
            return self.rnn.backward(dfeatures, None, rnn_cache)[0]
        dstate = final_states_backward(self.rnn, dfeatures, state)
        return self.rnn.backward(np.zeros(y_shape, dfeatures.dtype), dstate, rnn_cache)[0]


def final_states(rnn, state):
    """The last layer's final h, directions side by side: (N, directions * H)."""
    h = state[0] if rnn.states == 2 else state  # of an LSTM's (h, c), h is read
    return np.concatenate(h[-rnn.directions :], axis=1)


def final_states_backward(rnn, dfinal, state):
    """Gradient of a state, in its form, where ``dfinal`` is that of :func:`final_states`."""
    dh = np.zeros_like(state[0] if rnn.states == 2 else state)
    dh[-rnn.directions :] = np.split(dfinal, rnn.directions, axis=1)
    return (dh, np.zeros_like(dh)) if rnn.states == 2 else dh
