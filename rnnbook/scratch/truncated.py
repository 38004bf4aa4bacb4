"""Backpropagation through time in chunks: long sequences at the cost of short ones."""

from rnnbook import expect


def truncated_bptt(layer, x, loss, steps, state=None):
    """Run over long sequences in chunks: the state is carried on, the gradient is cut.

    After each chunk's backward the generator pauses, so that the caller may step the optimiser
    and clear the gradients. ``list(truncated_bptt(...))`` adds up the gradients of all chunks.

    Memory grows with ``steps``, not with T. The price is a bias: the gradient of the loss at step
    t reaches back to the start of its own chunk and no further, between 1 step (the first of a
    chunk) and ``steps`` (the last). What an earlier chunk did to this loss is not counted, so no
    dependence is *learned* across a cut, although the state carries it. With ``steps >= T`` there
    is one chunk and the gradient is exact.

    Parameters
    ----------
    layer : Module
        A recurrent layer of one direction: RNN, GRU, LSTM or :class:`Unrolled`.
    x : ndarray, (T, N, D), or (N, T, D) if the layer is batch_first
        Data: no gradient is returned for it.
    loss : callable
        ``loss(y, where) -> (value, dy)``: ``y`` is the layer's output on one chunk, with time where
        ``x`` has it, ``where`` the slice of its time steps (for the targets), ``dy`` is dL/dy.
        For one gradient of the whole sequence, the chunks' losses must add up to its loss: divide
        by T, not by the chunk's length.
    steps : int
        Time steps in a chunk; the last one holds what is left of T.
    state : in the form of the layer's state, optional
        The state before the first step; zeros if None.

    Yields
    ------
    value : as ``loss`` returned it
        For this chunk; its gradients have been added to ``Parameter.grad``.
    state : in the form of the layer's state
        After the chunk's last step; the next chunk, or another call, starts from it.

    Raises
    ------
    ValueError, TypeError
        At the call, if ``steps`` is not at least 1, the layer is bidirectional (it reads the
        future, which no chunk has), or ``x`` does not have three axes and a time step; while it
        runs, if ``dy`` does not have the shape and dtype of ``y``.

    References
    ----------
    Williams & Peng (1990), An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories; on the bias, Tallec & Ollivier (2017), Unbiasing truncated
    backpropagation through time.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnbook.scratch import RNN
    >>> layer = RNN(3, 5, rng=0)
    >>> x = np.ones((10, 2, 3), np.float32)  # T=10
    >>> def loss(y, where):  # half the mean square of the outputs of this chunk
    ...     return float((y * y).mean()) / 2, y / y.size
    >>> chunks = list(truncated_bptt(layer, x, loss, steps=4))  # 4 + 4 + 2 steps
    >>> len(chunks), chunks[-1][1].shape
    (3, (1, 2, 5))
    """
    if layer.bidirectional:
        raise ValueError(
            "layer.bidirectional=True: expected a layer of one direction, for the other reads the "
            "future, which lies in later chunks. Use bidirectional=False, or full backpropagation"
        )
    expect.shape("x", x, ("N", "T", "D") if layer.batch_first else ("T", "N", "D"))
    time = x.shape[1 if layer.batch_first else 0]
    expect.sizes(T=time, steps=steps)
    return _chunks(layer, x, loss, time, steps, state)


def _chunks(layer, x, loss, time, steps, state):
    for start in range(0, time, steps):
        where = slice(start, min(start + steps, time))
        chunk = x[:, where] if layer.batch_first else x[where]
        y, state, cache = layer.forward(chunk, state)
        value, dy = loss(y, where)
        expect.shape("dy", dy, y.shape)
        expect.dtype("dy", dy, y.dtype)
        layer.backward(dy, None, cache)  # None: no gradient comes from later chunks
        yield value, state
