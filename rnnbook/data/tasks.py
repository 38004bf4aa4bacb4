"""Generated tasks that test memory: what must be kept, for how long, and what must be ignored.

Every generator takes a :class:`numpy.random.Generator` and returns arrays (x, target), the
sequences as rows: a fresh sample is a call away, so nothing here can be learned by heart. Letters:
N sequences, T time steps, D inputs, K classes. Numbers are float32.
"""

import numpy as np

from rnnbook import expect

ADDING_BASELINE = 1 / 6  # mean squared error of predicting the mean, 1: twice a U(0, 1)'s variance


def adding(count, time, rng):
    """Sum the two marked numbers among T.

    Each step shows a number from U(0, 1) and a marker. The marker is 1 at one step of the first
    half and one step of the second, elsewhere 0. A model that remembers nothing can do no better
    than ``ADDING_BASELINE``, 1/6.

    Parameters
    ----------
    count, time : int
        N, and T of at least 2.
    rng : numpy.random.Generator

    Returns
    -------
    x : ndarray, (N, T, 2)
        Number and marker.
    target : ndarray, (N, 1)

    Raises
    ------
    ValueError
        If a size does not fit.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory, section 5.4; in the form of Le,
    Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear units.

    Examples
    --------
    >>> x, target = adding(4, 50, np.random.default_rng(0))
    >>> x.shape, target.shape
    ((4, 50, 2), (4, 1))
    >>> np.allclose((x[:, :, 0] * x[:, :, 1]).sum(axis=1), target[:, 0])  # number times marker
    True
    """
    expect.sizes(count=count, time=time)
    if time < 2:
        raise ValueError(f"time={time}: expected at least 2 steps, one for each marked number")
    rows = np.arange(count)
    x = np.zeros((count, time, 2), np.float32)
    x[:, :, 0] = rng.random((count, time))
    first, second = rng.integers(0, time // 2, count), rng.integers(time // 2, time, count)
    x[rows, first, 1] = x[rows, second, 1] = 1
    return x, x[rows, first, :1] + x[rows, second, :1]


def copy(count, lag, length, symbols, rng):
    """Read symbols, wait, and write them down again in the same order.

    The input is ``length`` symbols, then ``lag`` steps of which the last is the signal to
    answer and the others blank, then ``length`` blanks. The target is blank until the answer, which
    is the symbols. So T = lag + 2 length, and every symbol must be kept for ``lag + length`` steps.

    Parameters
    ----------
    count, lag, length, symbols : int
        N; the others as above, of at least 1.
    rng : numpy.random.Generator

    Returns
    -------
    x : ndarray, (N, T, symbols + 2)
        One-hot: the symbols, then the blank, then the signal.
    target : ndarray of int, (N, T)
        0 to ``symbols - 1``, and ``symbols`` for the blank: K = symbols + 1.

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    Hochreiter & Schmidhuber (1997); in the form of Arjovsky, Shah & Bengio (2016), Unitary
    evolution recurrent neural networks.

    Examples
    --------
    >>> x, target = copy(1, lag=3, length=2, symbols=4, rng=np.random.default_rng(0))
    >>> x.argmax(axis=2).tolist()  # two symbols, blanks (4), the signal (5), blanks
    [[3, 2, 4, 4, 5, 4, 4]]
    >>> target.tolist()
    [[4, 4, 4, 4, 4, 3, 2]]
    """
    expect.sizes(count=count, lag=lag, length=length, symbols=symbols)
    blank, signal = symbols, symbols + 1
    word = rng.integers(0, symbols, (count, length))
    ids = np.full((count, lag + 2 * length), blank)
    ids[:, :length] = word
    ids[:, length + lag - 1] = signal
    target = np.full(ids.shape, blank)
    target[:, -length:] = word
    return one_hot(ids, symbols + 2), target


def copy_baseline(lag, length, symbols):
    """Cross entropy of :func:`copy`, in nats a step, where nothing is remembered.

    Blank at every step until the answer, then each symbol with the same probability:
    length ln(symbols) / (lag + 2 length).

    Examples
    --------
    >>> round(float(copy_baseline(lag=100, length=10, symbols=8)), 3)
    0.173
    """
    return length * np.log(symbols) / (lag + 2 * length)


def recall(count, time, symbols, rng):
    """Name the symbol of the first step after T - 1 steps of noise.

    The first step shows one of the symbols, every later step noise from N(0, 0.1^2) in the same
    inputs. A model that remembers nothing is right once in ``symbols`` times.

    Parameters
    ----------
    count, time, symbols : int
        N, T and K.
    rng : numpy.random.Generator

    Returns
    -------
    x : ndarray, (N, T, K)
    target : ndarray of int, (N,)

    Raises
    ------
    ValueError
        If a size is not at least 1.

    References
    ----------
    After Bengio, Simard & Frasconi (1994), Learning long-term dependencies with gradient descent
    is difficult.

    Examples
    --------
    >>> x, target = recall(3, 100, 4, np.random.default_rng(0))
    >>> x.shape, bool((x[:, 0].argmax(axis=1) == target).all())
    ((3, 100, 4), True)
    """
    expect.sizes(count=count, time=time, symbols=symbols)
    target = rng.integers(0, symbols, count)
    x = rng.normal(0, 0.1, (count, time, symbols)).astype(np.float32)
    x[:, 0] = one_hot(target, symbols)
    return x, target


def latch(count, time, rng, write=0.1, read=0.3):
    """Keep the last value that was to be written, and say it whenever asked: a memory cell.

    Each step shows a value from U(-1, 1) and two flags. Where the flag "write" is on, the value is
    to be kept; where "read" is on, the target is the value kept (that of this very step if it is
    written now; 0 before the first); elsewhere the target is 0. An LSTM has a gate for each part
    of this: one lets values in, one keeps them, one lets them out.

    Parameters
    ----------
    count, time : int
        N and T.
    rng : numpy.random.Generator
    write, read : float
        The probability of each flag at a step.

    Returns
    -------
    x : ndarray, (N, T, 3)
        Value, write, read.
    target : ndarray, (N, T, 1)

    Raises
    ------
    ValueError
        If a size is not at least 1, or a probability is outside 0 <= p < 1.

    Examples
    --------
    >>> x, target = latch(2, 100, np.random.default_rng(0))
    >>> x.shape, target.shape, bool((target[x[:, :, 2] == 0] == 0).all())  # silent unless asked
    ((2, 100, 3), (2, 100, 1), True)
    """
    expect.sizes(count=count, time=time)
    expect.probability("write", write)
    expect.probability("read", read)
    x = np.empty((count, time, 3), np.float32)
    x[:, :, 0] = rng.uniform(-1, 1, (count, time))
    x[:, :, 1] = rng.random((count, time)) < write
    x[:, :, 2] = rng.random((count, time)) < read
    # The step of the last write so far, or -1.
    last = np.maximum.accumulate(np.where(x[:, :, 1] > 0, np.arange(time), -1), axis=1)
    kept = np.where(last < 0, 0, np.take_along_axis(x[:, :, 0], np.maximum(last, 0), axis=1))
    return x, (kept * x[:, :, 2])[:, :, None].astype(np.float32)


def one_hot(ids, size):
    """Turn ``ids (...)`` into vectors ``(..., size)`` of zeros with a one at the id.

    Examples
    --------
    >>> one_hot(np.array([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    vectors = np.zeros((*ids.shape, size), np.float32)
    np.put_along_axis(vectors, ids[..., None], 1, axis=-1)
    return vectors


class Fresh:
    """Batches that are generated when they are needed: no sequence comes twice.

    Parameters
    ----------
    make : callable
        ``make(count, rng) -> (x, target)``: a generator with its sizes filled in, such as
        ``lambda count, rng: adding(count, 50, rng)``.
    batches : int
        How many make an epoch of :func:`rnnbook.training.fit`.
    batch_size : int

    Raises
    ------
    ValueError
        If a size is not at least 1.

    Examples
    --------
    >>> data = Fresh(lambda count, rng: recall(count, 20, 4, rng), batches=5, batch_size=8)
    >>> [x.shape for (x,), target in data.batches()] == 5 * [(8, 20, 4)], len(data)
    (True, 40)
    """

    def __init__(self, make, batches, batch_size=32):
        expect.sizes(batches=batches, batch_size=batch_size)
        self.make, self.count, self.batch_size = make, batches, batch_size

    def __len__(self):
        return self.count * self.batch_size

    def batches(self, rng=None):
        """Yield ``((x,), target)``, drawn from ``rng``; without one, always the same."""
        rng = np.random.default_rng(0) if rng is None else rng
        for _ in range(self.count):
            x, target = self.make(self.batch_size, rng)
            yield (x,), target
