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
    layer : torch.nn.Module
        A recurrent layer of one direction: RNN, GRU, LSTM (torch's own too) or :class:`Unrolled`.
    x : Tensor, (T, N, D), or (N, T, D) if the layer is batch_first
        Data: no gradient is computed for it.
    loss : callable
        ``loss(y, where) -> scalar Tensor``: ``y`` is the layer's output on one chunk, with time
        where ``x`` has it, ``where`` the slice of its time steps (for the targets). For one
        gradient of the whole sequence, the chunks' losses must add up to its loss: divide by T,
        not by the chunk's length.
    steps : int
        Time steps in a chunk; the last one holds what is left of T.
    state : in the form of the layer's state, optional
        The state before the first step, detached; zeros if None.

    Yields
    ------
    value : float
        The chunk's loss; its gradients have been added to ``Parameter.grad``.
    state : in the form of the layer's state
        After the chunk's last step, detached; the next chunk, or another call, starts from it.

    Raises
    ------
    ValueError
        At the call, if ``steps`` is not at least 1, the layer is bidirectional (it reads the
        future, which no chunk has), ``x`` does not have three axes and a time step, or ``x``
        requires a gradient.

    References
    ----------
    Williams & Peng (1990), An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories; on the bias, Tallec & Ollivier (2017), Unbiasing truncated
    backpropagation through time.

    Examples
    --------
    >>> import torch
    >>> from rnnbook.pytorch import RNN
    >>> layer, x = RNN(3, 5), torch.ones(10, 2, 3)  # T=10
    >>> def loss(y, where):
    ...     return y.square().mean() / 2
    >>> chunks = list(truncated_bptt(layer, x, loss, steps=4))  # 4 + 4 + 2 steps
    >>> len(chunks), chunks[-1][1].shape
    (3, torch.Size([1, 2, 5]))
    """
    if layer.bidirectional:
        raise ValueError(
            "layer.bidirectional=True: expected a layer of one direction, for the other reads the "
            "future, which lies in later chunks. Use bidirectional=False, or full backpropagation"
        )
    expect.shape("x", x, ("N", "T", "D") if layer.batch_first else ("T", "N", "D"))
    time = x.shape[1 if layer.batch_first else 0]
    expect.sizes(T=time, steps=steps)
    if x.requires_grad:
        raise ValueError(
            "x.requires_grad=True: expected data, for the layer's input gets no gradient here. "
            "Pass x.detach()"
        )
    return _chunks(layer, x, loss, time, steps, detach(state))


def _chunks(layer, x, loss, time, steps, state):
    for start in range(0, time, steps):
        where = slice(start, min(start + steps, time))
        chunk = x[:, where] if layer.batch_first else x[where]
        y, state = layer(chunk, state)
        value = loss(y, where)
        value.backward()
        state = detach(state)  # the cut: no gradient comes from later chunks
        yield value.item(), state


def detach(state):
    """A state without its history: None, a tensor, or the pair of an LSTM."""
    if state is None:
        return None
    return (
        tuple(part.detach() for part in state)
        if isinstance(state, tuple | list)
        else state.detach()
    )
