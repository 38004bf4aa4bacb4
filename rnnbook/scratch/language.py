"""A language model: at every step of a text, how probable is each token as the next one?"""

import numpy as np

from rnnbook import expect

from .layers import Dropout, Embedding, Linear
from .models import LAYERS
from .module import Module


class LanguageModel(Module):
    """Score the next token at every step: input vectors, recurrent layers, linear read-out.

    It reads in one direction, and what it has read is in its state: a text may come in pieces, or
    token by token, each call going on from the state of the one before. Every token is an ordinary
    one, token 0 too: there is no padding.

    Parameters
    ----------
    vocab_size : int
        V.
    embed_size : int or None
        D. With None, a token enters as a one-hot vector (V,), and nothing is learned about it
        before the recurrent layer.
    hidden_size : int
        H.
    cell : str
        "rnn", "gru" or "lstm".
    num_layers : int
    dropout : float
        On the input vectors, between recurrent layers and before the read-out.
    tied : bool
        One table (V, H) is both: its rows are the input vectors and the weights of the read-out.
        Needs ``embed_size == hidden_size``. It starts as a read-out does, and stands in
        ``state_dict`` under both names.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Mikolov et al. (2010), Recurrent neural network based language model; on tied weights, Press &
    Wolf (2017), Using the output embedding to improve language models.

    Examples
    --------
    A text may be read in one piece, or in two with the state carried on:

    >>> model = LanguageModel(10, 4, 5, rng=0)  # V=10
    >>> text = np.array([[3, 1, 4, 1, 5, 9]])
    >>> whole, _ = model(text)  # (N, T, V)
    >>> first, state = model(text[:, :2])
    >>> second, _ = model(text[:, 2:], state)
    >>> np.allclose(whole, np.concatenate([first, second], axis=1), atol=1e-6)
    True
    """

    def __init__(
        self,
        vocab_size,
        embed_size,
        hidden_size,
        cell="lstm",
        num_layers=1,
        dropout=0.0,
        tied=False,
        *,
        dtype=np.float32,
        rng=None,
    ):
        expect.sizes(vocab_size=vocab_size, hidden_size=hidden_size)
        if embed_size is not None:
            expect.sizes(embed_size=embed_size)
        if tied:
            expect.tied(embed_size, hidden_size)
        expect.one_of("cell", cell, LAYERS)
        expect.probability("dropout", dropout)
        super().__init__(dtype, rng)
        self.vocab_size = vocab_size
        given = {"dtype": dtype, "rng": self.rng}
        self.embedding = embed_size and Embedding(vocab_size, embed_size, **given)  # or None
        self.rnn = LAYERS[cell](
            embed_size or vocab_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            **given,
        )
        self.dropout = Dropout(dropout, **given)
        self.linear = Linear(hidden_size, vocab_size, **given)
        if tied:
            self.embedding.weight = self.linear.weight  # one Parameter: both uses add to its grad

    def __call__(self, tokens, state=None):
        """As :meth:`forward`, without a cache: lighter, for inference."""
        x, _ = self._vectors(tokens)
        y, state = self.rnn(self.dropout(x), state)
        return self.linear(self.dropout(y)), state

    def forward(self, tokens, state=None):
        """Score every token of the vocabulary as the next one, at every step.

        Parameters
        ----------
        tokens : ndarray of int, (N, T)
            0 to V-1.
        state : ndarray, (L, N, H), or for an LSTM a pair of them, optional
            After what was read before; zeros if None.

        Returns
        -------
        logits : ndarray, (N, T, V)
            Their softmax at step t is the distribution of token t + 1, given tokens 0 to t.
        state : as given
            After the last step.
        cache

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, T is 0, or a token is out of range.
        """
        x, embedding_cache = self._vectors(tokens)  # (N, T, D)
        x, input_mask = self.dropout.forward(x)
        y, state, rnn_cache = self.rnn.forward(x, state)  # (N, T, H)
        y, output_mask = self.dropout.forward(y)
        logits, linear_cache = self.linear.forward(y)  # (N, T, V)
        return logits, state, (embedding_cache, input_mask, rnn_cache, output_mask, linear_cache)

    def backward(self, dlogits, dstate, cache):
        """Backpropagation through time; adds to every parameter's gradient.

        Parameters
        ----------
        dlogits : ndarray, (N, T, V)
        dstate : in the form of ``state``, or None
            dL/dstate of the final state; None for zeros.
        cache
            From :meth:`forward`.

        Returns
        -------
        dstate0 : in the form of ``state``
            Gradient of the initial state.
        """
        embedding_cache, input_mask, rnn_cache, output_mask, linear_cache = cache
        dy = self.linear.backward(dlogits, linear_cache)
        dy = self.dropout.backward(dy, output_mask)
        dx, dstate0 = self.rnn.backward(dy, dstate, rnn_cache)
        if self.embedding is not None:
            self.embedding.backward(self.dropout.backward(dx, input_mask), embedding_cache)
        return dstate0

    def _vectors(self, tokens):
        """What enters at each step, (N, T, D), and a cache."""
        tokens = np.asarray(tokens)
        expect.shape("tokens", tokens, ("N", "T"))
        expect.ids("tokens", tokens, self.vocab_size)
        if self.embedding is not None:
            return self.embedding.forward(tokens)
        return np.eye(self.vocab_size, dtype=self.dtype)[tokens], None  # (N, T, V)
