"""A language model in PyTorch: at every step of a text, how probable is each token as the next?"""

import torch
from torch import nn

from rnnbook import expect

from .models import LAYERS


class LanguageModel(nn.Module):
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
    dtype : torch.dtype

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

    >>> model = LanguageModel(10, 4, 5)  # V=10
    >>> text = torch.tensor([[3, 1, 4, 1, 5, 9]])
    >>> whole, _ = model(text)  # (N, T, V)
    >>> first, state = model(text[:, :2])
    >>> second, _ = model(text[:, 2:], state)
    >>> torch.allclose(whole, torch.cat([first, second], dim=1), atol=1e-6)
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
        dtype=None,
    ):
        expect.sizes(vocab_size=vocab_size, hidden_size=hidden_size)
        if embed_size is not None:
            expect.sizes(embed_size=embed_size)
        if tied:
            expect.tied(embed_size, hidden_size)
        expect.one_of("cell", cell, LAYERS)
        expect.probability("dropout", dropout)
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = embed_size and nn.Embedding(vocab_size, embed_size, dtype=dtype)  # or None
        self.rnn = LAYERS[cell](
            embed_size or vocab_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            dtype=dtype,
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, vocab_size, dtype=dtype)
        if tied:
            self.embedding.weight = self.linear.weight  # one Parameter: both uses add to its grad

    def forward(self, tokens, state=None):
        """Score every token of the vocabulary as the next one, at every step.

        Parameters
        ----------
        tokens : Tensor of int, (N, T)
            0 to V-1.
        state : Tensor, (L, N, H), or for an LSTM a pair of them, optional
            After what was read before; zeros if None.

        Returns
        -------
        logits : Tensor, (N, T, V)
            Their softmax at step t is the distribution of token t + 1, given tokens 0 to t.
        state : as given
            After the last step.

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, T is 0, or a token is out of range.
        """
        tokens = torch.as_tensor(tokens)
        expect.shape("tokens", tokens, ("N", "T"))
        expect.ids("tokens", tokens, self.vocab_size)
        y, state = self.rnn(self.dropout(self._vectors(tokens)), state)  # (N, T, H)
        return self.linear(self.dropout(y)), state

    def _vectors(self, tokens):
        """What enters at each step, (N, T, D)."""
        if self.embedding is not None:
            return self.embedding(tokens)
        one_hot = nn.functional.one_hot(tokens.long(), self.vocab_size)  # (N, T, V)
        return one_hot.to(self.linear.weight.dtype)
