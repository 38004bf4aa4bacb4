"""Models for a task: what the chapters train."""

import numpy as np

from rnnbook import expect

from .layers import Dropout, Embedding, Linear
from .module import Module
from .recurrent import GRU, LSTM, RNN

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
POOLINGS = ("last", "mean", "max")


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
        or "max" over the valid steps.
    dtype, rng
        See :class:`Module`.
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
        self.linear = Linear(hidden_size * self.rnn.directions, num_classes, **given)

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
        x, input_mask = self.dropout.forward(x)
        y, state, rnn_cache = self.rnn.forward(x, None, lengths)  # (N, T, H), (S, N, H)
        h = state[0] if self.rnn.states == 2 else state  # of an LSTM's (h, c), h is read
        pooled, pool_cache = self._pool(y, h, lengths)
        pooled, pooled_mask = self.dropout.forward(pooled)
        logits, linear_cache = self.linear.forward(pooled)  # (N, K)
        masks = input_mask, pooled_mask
        cache = embedding_cache, rnn_cache, pool_cache, linear_cache, masks
        return (logits[:, 0] if self.num_classes == 1 else logits), cache

    def backward(self, dlogits, cache):
        """Map ``dlogits``, in the shape of the logits, to every parameter's gradient."""
        embedding_cache, rnn_cache, pool_cache, linear_cache, (input_mask, pooled_mask) = cache
        dpooled = self.linear.backward(dlogits.reshape(-1, self.num_classes), linear_cache)
        dpooled = self.dropout.backward(dpooled, pooled_mask)
        dy, dstate = self._pool_backward(dpooled, pool_cache)
        if self.rnn.states == 2 and dstate is not None:
            dstate = dstate, np.zeros_like(dstate)
        dx, _ = self.rnn.backward(dy, dstate, rnn_cache)
        self.embedding.backward(self.dropout.backward(dx, input_mask), embedding_cache)

    def _pool(self, y, state, lengths):
        """Reduce the states over time to (N, directions * H); return it and a cache."""
        if self.pooling == "last":
            final = state[-self.rnn.directions :]  # (directions, N, H)
            return np.concatenate(final, axis=1), (y.shape, state.shape)
        if lengths is None:
            lengths = np.full(y.shape[0], y.shape[1])
        lengths = np.asarray(lengths, dtype=y.dtype)[:, None]  # (N, 1)
        if self.pooling == "mean":
            return y.sum(axis=1) / lengths, (y.shape, lengths)
        valid = np.arange(y.shape[1]) < lengths  # (N, T)
        peak = np.where(valid[:, :, None], y, -np.inf).argmax(axis=1, keepdims=True)
        return np.take_along_axis(y, peak, axis=1)[:, 0], (y.shape, peak)

    def _pool_backward(self, dpooled, cache):
        """Spread ``dpooled`` over the states it came from; return (dy, dstate)."""
        shape, of_pooling = cache
        if self.pooling == "mean":
            return np.broadcast_to((dpooled / of_pooling)[:, None], shape), None
        dy = np.zeros(shape, dpooled.dtype)
        if self.pooling == "max":
            np.put_along_axis(dy, of_pooling, dpooled[:, None], axis=1)
            return dy, None
        dstate = np.zeros(of_pooling, dpooled.dtype)
        dstate[-self.rnn.directions :] = np.split(dpooled, self.rnn.directions, axis=1)
        return dy, dstate
