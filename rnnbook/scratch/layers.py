"""Layers without memory: Linear, Embedding, Dropout, Dropout1d, LayerNorm."""

import numpy as np

from rnnbook import expect

from .module import Module, Parameter


class Linear(Module):
    """y = x W^T + b.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Notes
    -----
    ``weight (out, in)`` and ``bias (out,)`` start from U(-1/sqrt(in), 1/sqrt(in)), as in torch.

    Examples
    --------
    >>> layer = Linear(3, 2, rng=0)
    >>> y, cache = layer.forward(np.ones((7, 4, 3), np.float32))  # any axes before the last
    >>> layer.backward(np.ones_like(y), cache).shape, layer.bias.grad.tolist()
    ((7, 4, 3), [28.0, 28.0])
    """

    def __init__(self, in_features, out_features, bias=True, *, dtype=np.float32, rng=None):
        expect.sizes(in_features=in_features, out_features=out_features)
        super().__init__(dtype, rng)
        self.in_features, self.out_features = in_features, out_features
        bound = in_features**-0.5
        self.weight = self.uniform(bound, out_features, in_features)
        self.bias = self.uniform(bound, out_features) if bias else None

    def forward(self, x):
        """Map ``x (..., in)`` to ``y (..., out)``; return ``(y, cache)``."""
        expect.shape("x", x, (*"." * (np.ndim(x) - 1), self.in_features))
        expect.dtype("x", x, self.dtype)
        y = x @ self.weight.data.T  # (..., out)
        if self.bias is not None:
            y += self.bias.data
        return y, x

    def backward(self, dy, cache):
        """Map ``dy (..., out)`` to ``dx (..., in)``; add to the gradients of weight and bias."""
        x = cache
        rows_x, rows_dy = x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        self.weight.grad += rows_dy.T @ rows_x
        if self.bias is not None:
            self.bias.grad += rows_dy.sum(axis=0)
        return dy @ self.weight.data


class Embedding(Module):
    """A table of vectors, one row for each id: y = weight[ids].

    Parameters
    ----------
    num_embeddings : int
        V, the number of ids.
    embedding_dim : int
        D, the size of each vector.
    padding_idx : int, optional
        The row of padding: starts at zero and receives no gradient.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size is not at least 1, or ``padding_idx`` is no row.

    Notes
    -----
    ``weight (V, D)`` starts from a standard normal distribution, as in torch.

    Examples
    --------
    >>> table = Embedding(10, 3, padding_idx=0, rng=0)  # V=10, D=3
    >>> vectors = table(np.array([[4, 7, 0]]))
    >>> vectors.shape, vectors[0, 2].tolist()  # padding is zero
    ((1, 3, 3), [0.0, 0.0, 0.0])
    """

    def __init__(
        self, num_embeddings, embedding_dim, padding_idx=None, *, dtype=np.float32, rng=None
    ):
        expect.sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            expect.index("padding_idx", padding_idx, num_embeddings)
        super().__init__(dtype, rng)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        table = self.rng.standard_normal((num_embeddings, embedding_dim))
        self.weight = Parameter(table.astype(self.dtype))
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, ids):
        """Map ``ids (...)`` of integers to ``y (..., D)``; return ``(y, cache)``."""
        ids = np.asarray(ids)
        expect.ids("ids", ids, self.num_embeddings)
        return self.weight.data[ids], ids

    def backward(self, dy, cache):
        """Add ``dy (..., D)`` to the gradient of each row that was read. Ids have no gradient."""
        ids = cache.reshape(-1)
        if ids.size == 0:
            return
        # Sorted, the uses of one row lie side by side and add up in one vectorised call.
        order = np.argsort(ids, kind="stable")
        rows, starts = np.unique(ids[order], return_index=True)
        sums = np.add.reduceat(dy.reshape(-1, self.embedding_dim)[order], starts)
        if self.padding_idx is not None:
            sums[rows == self.padding_idx] = 0
        self.weight.grad[rows] += sums


class Dropout(Module):
    """In training, zero each entry with probability p and divide the rest by 1 - p.

    Parameters
    ----------
    p : float
        0 <= p < 1.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If ``p`` is not from 0 to below 1.

    References
    ----------
    Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting.

    Examples
    --------
    >>> layer = Dropout(0.5, rng=0)
    >>> x = np.ones((2, 4), np.float32)
    >>> sorted(set(layer(x).ravel().tolist()))  # in training: dropped, or doubled
    [0.0, 2.0]
    >>> layer.eval()(x) is x
    True
    """

    def __init__(self, p=0.5, *, dtype=np.float32, rng=None):
        expect.probability("p", p)
        super().__init__(dtype, rng)
        self.p = p

    def forward(self, x):
        """Return ``(y, cache)`` with ``y`` of the shape of ``x``; in evaluation, ``y`` is ``x``."""
        if not self.training or self.p == 0:
            return x, None
        keep = (self.rng.random(self._drawn(x), dtype=np.float32) >= self.p).astype(x.dtype)
        keep /= 1 - self.p
        return x * keep, keep

    def backward(self, dy, cache):
        """Return ``dx``: the gradient passes where the entry did."""
        keep = cache
        return dy if keep is None else dy * keep

    def _drawn(self, x):
        """The shape of what is drawn: one number for each entry."""
        return x.shape


class Dropout1d(Dropout):
    """As :class:`Dropout`, for whole vectors ``x[..., :]``: of a text (N, T, D), whole words.

    Parameters
    ----------
    p : float
        0 <= p < 1.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If ``p`` is not from 0 to below 1.

    References
    ----------
    Gal & Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural
    networks, drop words by their embeddings.

    Examples
    --------
    >>> words = Dropout1d(0.5, rng=1)(np.ones((1, 6, 3), np.float32))  # N=1, T=6, D=3
    >>> {tuple(word) for word in words[0].tolist()} == {(0, 0, 0), (2, 2, 2)}  # a word as a whole
    True
    """

    def _drawn(self, x):
        return *x.shape[:-1], 1


class LayerNorm(Module):
    """Bring each vector to mean 0 and variance 1, then scale and shift: y = w (x - m) / s + b.

    m = mean(x) and s = sqrt(mean((x - m)^2) + eps), over the last axis: each sequence and each
    step for itself, in training and in evaluation alike.

    Parameters
    ----------
    normalized_shape : int
        D, the size of the last axis.
    eps : float
        Keeps s above 0.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If the size is not at least 1, or ``eps`` not above 0.

    Notes
    -----
    ``weight (D,)`` starts at 1 and ``bias (D,)`` at 0, as in torch.

    References
    ----------
    Ba, Kiros & Hinton (2016), Layer normalization.

    Examples
    --------
    >>> y = LayerNorm(4, dtype=np.float64)(np.array([[1.0, 2.0, 3.0, 4.0]]))
    >>> y.round(2).tolist(), round(float(y.var()), 3)
    ([[-1.34, -0.45, 0.45, 1.34]], 1.0)
    """

    def __init__(self, normalized_shape, eps=1e-5, *, dtype=np.float32, rng=None):
        expect.sizes(normalized_shape=normalized_shape)
        expect.positive("eps", eps)
        super().__init__(dtype, rng)
        self.normalized_shape, self.eps = normalized_shape, eps
        self.weight = Parameter(np.ones(normalized_shape, self.dtype))
        self.bias = Parameter(np.zeros(normalized_shape, self.dtype))

    def forward(self, x):
        """Map ``x (..., D)`` to ``y (..., D)``; return ``(y, cache)``."""
        expect.shape("x", x, (*"." * (np.ndim(x) - 1), self.normalized_shape))
        expect.dtype("x", x, self.dtype)
        unit = x - x.mean(axis=-1, keepdims=True)
        s = np.sqrt((unit * unit).mean(axis=-1, keepdims=True) + self.dtype.type(self.eps))
        unit /= s
        return unit * self.weight.data + self.bias.data, (unit, s)

    def backward(self, dy, cache):
        """Map ``dy (..., D)`` to ``dx (..., D)``; add to the gradients of weight and bias.

        m and s see every entry of x, so dx has no part along a shift or a scaling of x.
        """
        unit, s = cache
        self.weight.grad += (dy * unit).reshape(-1, self.normalized_shape).sum(axis=0)
        self.bias.grad += dy.reshape(-1, self.normalized_shape).sum(axis=0)
        dunit = dy * self.weight.data
        through_m = dunit.mean(axis=-1, keepdims=True)
        through_s = unit * (dunit * unit).mean(axis=-1, keepdims=True)
        return (dunit - through_m - through_s) / s
