"""Models for a task in PyTorch: what the chapters train."""

import torch
from torch import nn

from rnnbook import expect

from .recurrent import GRU, LSTM, RNN

LAYERS: dict[str, type] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
POOLINGS = ("last", "mean", "max", "mean_max")


class SequenceClassifier(nn.Module):
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
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Examples
    --------
    >>> model = SequenceClassifier(10, 4, 5, num_classes=3, cell="gru")  # V, D, H, K
    >>> tokens = torch.tensor([[4, 7, 2], [9, 3, 0]])  # the second text has two tokens
    >>> model(tokens, torch.tensor([3, 2])).shape
    torch.Size([2, 3])
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
        dtype=None,
    ):
        expect.sizes(vocab_size=vocab_size, embed_size=embed_size, num_classes=num_classes)
        expect.one_of("cell", cell, LAYERS)
        expect.one_of("pooling", pooling, POOLINGS)
        expect.probability("dropout", dropout)
        expect.probability("word_dropout", word_dropout)
        super().__init__()
        self.num_classes, self.pooling = num_classes, pooling
        self.embedding = nn.Embedding(vocab_size, embed_size, padding_idx=0, dtype=dtype)
        self.word_dropout = nn.Dropout1d(word_dropout)
        self.rnn = LAYERS[cell](
            embed_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            dtype=dtype,
        )
        self.dropout = nn.Dropout(dropout)
        pooled_size = hidden_size * self.rnn.directions * (2 if pooling == "mean_max" else 1)
        self.linear = nn.Linear(pooled_size, num_classes, dtype=dtype)

    def forward(self, tokens, lengths=None):
        """Score every sequence.

        Parameters
        ----------
        tokens : Tensor of int, (N, T)
            0 to V-1.
        lengths : Tensor of int, (N,), optional
            The length of each sequence, 1 to T; without it, padding is read as if it were text.

        Returns
        -------
        Tensor, (N, K), or (N,) if K is 1
            The logits.

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, or a token or length is out of range.
        """
        tokens = torch.as_tensor(tokens)
        expect.shape("tokens", tokens, ("N", "T"))
        expect.ids("tokens", tokens, self.embedding.num_embeddings)
        x = self.word_dropout(self.embedding(tokens))  # (N, T, D)
        return self.forward_vectors(x, lengths)

    def forward_vectors(self, x, lengths=None):
        """As :meth:`forward`, from the vectors ``x (N, T, D)`` of the tokens."""
        y, state = self.rnn(self.dropout(x), None, lengths)  # (N, T, H), (S, N, H)
        logits = self.linear(self.dropout(self._pool(y, state, lengths)))  # (N, K)
        return logits[:, 0] if self.num_classes == 1 else logits

    def _pool(self, y, state, lengths):
        """Reduce the states over time to what is read."""
        if self.pooling == "last":
            return final_states(self.rnn, state)
        if lengths is None:
            lengths = torch.full((y.shape[0],), y.shape[1])
        lengths = torch.as_tensor(lengths).to(y.device)[:, None]  # (N, 1)
        pooled = []
        if "mean" in self.pooling:
            pooled.append(y.sum(dim=1) / lengths)
        if "max" in self.pooling:
            valid = torch.arange(y.shape[1], device=y.device) < lengths  # (N, T)
            pooled.append(torch.where(valid[:, :, None], y, -torch.inf).max(dim=1).values)
        return torch.cat(pooled, dim=1)


class SequencePredictor(nn.Module):
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
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    Examples
    --------
    >>> x = torch.ones(2, 24, 3)  # N=2, T=24, D=3
    >>> SequencePredictor(3, 5, 1, cell="lstm", num_layers=2)(x).shape
    torch.Size([2, 1])
    >>> SequencePredictor(3, 5, 1, every_step=True)(x).shape
    torch.Size([2, 24, 1])
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
        dtype=None,
    ):
        expect.sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        expect.one_of("cell", cell, LAYERS)
        expect.probability("dropout", dropout)
        super().__init__()
        self.every_step = every_step
        self.rnn = LAYERS[cell](
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            dtype=dtype,
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size * self.rnn.directions, output_size, dtype=dtype)

    def forward(self, x, lengths=None):
        """Predict for every sequence, or for every step of it.

        Parameters
        ----------
        x : Tensor, (N, T, D)
        lengths : Tensor of int, (N,), optional
            The length of each sequence, 1 to T. What stands in ``x`` behind it is never read.

        Returns
        -------
        Tensor, (N, K), or (N, T, K) if ``every_step``
            Behind the end of a sequence, every step's prediction is the bias of the read-out.

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, or a length is out of range.
        """
        y, state = self.rnn(x, None, lengths)  # (N, T, H), (S, N, H)
        features = y if self.every_step else final_states(self.rnn, state)
        return self.linear(self.dropout(features))


def final_states(rnn, state):
    """The last layer's final h, directions side by side: (N, directions * H)."""
    h = state[0] if rnn.states == 2 else state  # of an LSTM's (h, c), h is read
    return torch.cat(list(h[-rnn.directions :]), dim=1)
