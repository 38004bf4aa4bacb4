"""One long text as parallel streams, read piece by piece: what truncated training feeds on."""

import numpy as np

from rnnbook import expect


class StreamBatches:
    """Cut one long text into streams side by side, and yield them in pieces, in order.

    Each token but the last is read once an epoch, and each but the first is predicted once, from
    what its stream has shown so far. The M - 1 pairs (token, next token) of a text of M are cut
    into N streams that follow each other in the text. Where N does not divide M - 1, the first
    streams have one pair more. Then the last piece is a step of these streams alone.

    :func:`rnnbook.training.fit` carries the model's state from piece to piece, since ``stateful``
    is True. One example is one prediction: ``len`` is M - 1.

    Parameters
    ----------
    ids : array of int, shape (M,)
        The text, M >= 2.
    batch_size : int
        N streams, at most M - 1. More are faster; each starts from an empty state, so more start
        in the dark.
    steps : int
        T, the length of a piece; the last one holds what is left. The gradient reaches no further.

    Raises
    ------
    ValueError
        A size does not fit, ``ids`` is not one-dimensional, or an id is negative.
    TypeError
        ``ids`` holds no integers.

    References
    ----------
    Mikolov et al. (2010), Recurrent neural network based language model; on truncation, Williams &
    Peng (1990), see :func:`rnnbook.scratch.truncated_bptt`.

    Examples
    --------
    Eight letters and the one that follows each, as two streams in pieces of two steps:

    >>> data = StreamBatches(np.arange(9), batch_size=2, steps=2)
    >>> [(tokens.tolist(), target.tolist()) for (tokens,), target in data.batches()][0]
    ([[0, 1], [4, 5]], [[1, 2], [5, 6]])
    """

    stateful = True

    def __init__(self, ids, batch_size=32, steps=64):
        expect.sizes(batch_size=batch_size, steps=steps)
        ids = np.asarray(ids)
        expect.shape("ids", ids, ("M",))
        if len(ids) < 2:
            raise ValueError(f"ids has M={len(ids)} tokens: expected at least 2, one to predict")
        expect.integers("ids", ids)
        if ids.min() < 0:
            raise ValueError(f"ids contains {ids.min()}: expected ids of at least 0")
        if batch_size > len(ids) - 1:
            raise ValueError(
                f"batch_size={batch_size}: expected at most {len(ids) - 1} streams, one for each "
                f"prediction of the {len(ids)} tokens"
            )
        self.ids = ids.astype(np.int64, copy=False)
        self.batch_size, self.steps = batch_size, steps

    def __len__(self):
        return len(self.ids) - 1

    def batches(self, rng=None):
        """Yield ``((tokens,), target)``, each piece going on where the one before stopped.

        Parameters
        ----------
        rng : numpy.random.Generator, optional
            Not used: the order is that of the text.

        Yields
        ------
        tokens : array of int64, shape (N, T)
            In a last piece of the longer streams alone, fewer rows: the first ones.
        target : array of int64, shape (N, T)
            ``target[n, t]`` is the token after ``tokens[n, t]``.
        """
        length, longer = divmod(len(self), self.batch_size)
        n = np.arange(self.batch_size)
        starts = n * length + np.minimum(n, longer)  # (N,)
        for step in range(0, length, self.steps):
            yield self._piece(starts + step, min(self.steps, length - step))
        if longer:
            yield self._piece(starts[:longer] + length, 1)

    def _piece(self, starts, steps):
        where = starts[:, None] + np.arange(steps)  # (N, T)
        return (self.ids[where],), self.ids[where + 1]
