"""Cells unrolled over time: layers, directions, and batches of sequences of unequal length.

Letters: T time, N batch, D input size, H hidden size, L layers, S = L times the directions.
"""

import warnings
from itertools import repeat
from typing import NamedTuple

import numpy as np

from rnnbook import expect

from .cells import GRUCell, LSTMCell, RNNCell, transposed
from .functional import NONLINEARITIES
from .layers import Dropout
from .module import Module

BLOCK = 2**18  # numbers: a megabyte in float32, which a processor's cache holds
ROWS = 2**10  # of a matrix product that is worth its overhead

# Having freed one array of nearly 32 MB, glibc's malloc keeps what is freed later for reuse; before
# that, it hands it back to the system and fetches it again, page by page, at every training step.
np.empty(31 * 2**20, np.uint8)


class Ragged(NamedTuple):
    """How a batch of unequal lengths is laid out: longest sequence first.

    ``order (N,)`` is the caller's row that stands at each place; ``alive (T,)`` says how many
    sequences reach step t, and these come first; ``valid (T, N, 1)`` is False on padding.
    """

    order: np.ndarray
    alive: np.ndarray
    valid: np.ndarray

    @classmethod
    def from_lengths(cls, lengths, time):
        """Lay out sequences of ``lengths (N,)`` on ``time`` steps."""
        order = np.argsort(-lengths, kind="stable")
        valid = np.arange(time)[:, None] < lengths[order]  # (T, N)
        return cls(order, valid.sum(axis=1), valid[:, :, None])

    def sort(self, array):
        """Bring ``array (?, N, ?)`` into this order."""
        return array[:, self.order]

    def unsort(self, array):
        """Bring ``array (?, N, ?)`` back into the caller's order."""
        unsorted = np.empty_like(array)
        unsorted[:, self.order] = array
        return unsorted


class Recurrent(Module):
    """What all recurrent layers share; a subclass says how one cell unrolls over time.

    Abstract. A subclass defines

    - ``_unroll(cell, x, state, alive, keep) -> (y, state, cache)`` from ``x (T, N, D)``, and
    - ``_unroll_backward(cell, dy, dstate, alive, cache) -> (dx, dstate0)``.

    There, a state is a tuple of arrays (N, H): ``(h,)``, and ``(h, c)`` where ``states`` is 2; the
    backward may write into those of ``dstate``. Outside, a state of one array stands bare. Without
    ``keep``, no backward will follow. Gated cells compute with a sequence as a column; see
    :class:`GatedCell`.

    Sequences come sorted by length, so that step t concerns the first ``alive[t]`` of them only;
    ``alive`` is None where all are of full length. The reverse direction is the same computation
    on flipped time.

    What has no order in time is done for a block of steps at once: as many as the processor's
    cache holds.
    """

    states = 1

    def __init__(self, cells, batch_first, dropout, bidirectional, *, dtype, rng):
        super().__init__(dtype, rng)
        self.cells = cells  # one for each layer and direction, as the state is ordered
        self.batch_first, self.bidirectional = batch_first, bidirectional
        self.input_size, self.hidden_size = cells[0].input_size, cells[0].hidden_size
        self.directions = 2 if bidirectional else 1
        self.num_layers = len(cells) // self.directions
        if dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers, and num_layers=1 has nothing between",
                stacklevel=3,
            )
        self.dropout = Dropout(dropout, dtype=dtype, rng=self.rng)
        self._places = {}  # name of a parameter here: (its cell, its name there)
        for k, cell in enumerate(cells):
            suffix = f"_l{k // self.directions}" + ("_reverse" if k % self.directions else "")
            for name, parameter in cell.named_parameters():
                self._places[name + suffix] = cell, name
                setattr(self, name + suffix, parameter)

    def __setattr__(self, name, value):
        """Hand a parameter that is replaced to its cell, too, which computes with it."""
        super().__setattr__(name, value)
        if name in vars(self).get("_places", ()):
            setattr(*self._places[name], value)

    def __call__(self, x, state=None, lengths=None):
        """As :meth:`forward`, without a cache: lighter, for inference."""
        return self._run(x, state, lengths, keep=False)[:2]

    def forward(self, x, state=None, lengths=None):
        """Run over whole sequences.

        Parameters
        ----------
        x : ndarray, (T, N, D), or (N, T, D) if batch_first
        state : ndarray, (S, N, H), or for an LSTM a pair (h, c) of them, optional
            The initial state of each layer and direction; zeros if None.
        lengths : ndarray of int, (N,), optional
            The length of each sequence, 1 to T. What stands in ``x`` behind it is never read.

        Returns
        -------
        y : ndarray, (T, N, H), twice as wide if bidirectional; (N, T, ...) if batch_first
            The last layer's state at each step; zero on padding.
        state : as given
            The state of each layer and direction after its last valid step.
        cache
            For :meth:`backward`. It may share memory with ``x`` and ``y``: change neither in place
            before.

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, T is 0, or a length is outside 1 to T.
        """
        return self._run(x, state, lengths, keep=True)

    def _run(self, x, state, lengths, keep):
        y, state, ragged = self._enter(x, state, lengths)
        final, caches = [np.empty_like(part) for part in state], []
        for layer in range(self.num_layers):
            y, mask = self.dropout.forward(y) if layer else (y, None)
            outputs = []
            for flip, k in self._directions(layer):
                start = tuple(part[k] for part in state)
                alive = ragged.alive[flip] if ragged else None
                out, end, cache = self._unroll(self.cells[k], y[flip], start, alive, keep)
                outputs.append(self._on_valid(out[flip], ragged))
                for part, value in zip(final, end, strict=True):
                    part[k] = value
                caches.append(cache if keep else None)
            y = np.concatenate(outputs, axis=2) if self.bidirectional else outputs[0]
            caches.append(mask)
        y, state = self._leave(y, final, ragged)
        return y, state, (y.shape, ragged, caches)

    def backward(self, dy, dstate, cache):
        """Backpropagation through time.

        Parameters
        ----------
        dy : ndarray
            dL/dy, in the shape of ``y``. What stands on padding is not read.
        dstate : in the form of ``state``, or None
            dL/dstate of the final state; None for zeros.
        cache
            From :meth:`forward`.

        Returns
        -------
        dx : ndarray, in the shape of ``x``; zero on padding
        dstate0 : in the form of ``state``
            Gradient of the initial state. Those of the parameters are added to ``grad``.

        Raises
        ------
        ValueError, TypeError
            If ``dy`` or ``dstate`` has another shape.
        """
        shape, ragged, caches = cache
        expect.shape("dy", dy, shape)
        caches = list(caches)
        dy = dy.swapaxes(0, 1) if self.batch_first else dy
        dstate = self._parts(dstate, dy.shape[1])
        if ragged:
            dy, dstate = ragged.sort(dy), [ragged.sort(part) for part in dstate]
        dstate0 = [np.empty_like(part) for part in dstate]
        for layer in reversed(range(self.num_layers)):
            mask = caches.pop()
            dys = np.split(dy, self.directions, axis=2)
            dx = None
            for flip, k in reversed(self._directions(layer)):
                end = tuple(part[k].copy() for part in dstate)
                alive = ragged.alive[flip] if ragged else None
                dpart, start = self._unroll_backward(
                    self.cells[k], dys.pop()[flip], end, alive, caches.pop()
                )
                dx = dpart[flip] if dx is None else dx + dpart[flip]
                for part, value in zip(dstate0, start, strict=True):
                    part[k] = value
            dy = self.dropout.backward(dx, mask)
        return self._leave(dy, dstate0, ragged)

    def _directions(self, layer):
        """List (how to flip time, index of the cell and its state) for each direction."""
        flips = (slice(None), slice(None, None, -1))
        return [(flips[d], layer * self.directions + d) for d in range(self.directions)]

    def _enter(self, x, state, lengths):
        """Check the arguments and bring them to (T, N, D), longest sequence first."""
        letters = ("N", "T") if self.batch_first else ("T", "N")
        expect.shape("x", x, (*letters, self.input_size))
        expect.dtype("x", x, self.dtype)
        x = x.swapaxes(0, 1) if self.batch_first else x
        time, batch, _ = x.shape
        expect.steps("x", x, time)
        state = self._parts(state, batch)
        if lengths is None:
            return x, state, None
        lengths = np.asarray(lengths)
        expect.lengths(lengths, time, batch)
        ragged = Ragged.from_lengths(lengths, time)
        return self._on_valid(ragged.sort(x), ragged), [ragged.sort(part) for part in state], ragged

    def _on_valid(self, y, ragged):
        """Put zeros on padding, where NaN may stand, which times zero is still NaN."""
        return np.where(ragged.valid, y, self.dtype.type(0)) if ragged else y

    def _leave(self, y, state, ragged):
        """Bring outputs and states (or their gradients) back into the caller's order and form."""
        if ragged:
            y, state = ragged.unsort(y), [ragged.unsort(part) for part in state]
        y = y.swapaxes(0, 1) if self.batch_first else y
        return y, (state[0] if self.states == 1 else tuple(state))

    def _parts(self, state, batch):
        """The arrays (S, N, H) of a state as the caller gives it, checked; zeros for None."""
        shape = (len(self.cells), batch, self.hidden_size)
        if state is None:
            return [np.zeros(shape, self.dtype) for _ in range(self.states)]
        parts = [state] if self.states == 1 else list(state)
        expect.state(parts, self.states, shape, self.dtype)
        return parts


class RNN(Recurrent):
    """The simple (Elman) recurrent layer: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers : int
        Layers stacked on each other; each reads the states of the one below.
    nonlinearity : str
        f: "tanh", "relu", "sigmoid" or "identity".
    bias : bool
    batch_first : bool
        ``x`` and ``y`` are (N, T, ...) instead of (T, N, ...). States stay (S, N, H).
    dropout : float
        Probability of dropping an entry between layers, in training.
    bidirectional : bool
        A second set of weights reads each sequence from its end; outputs stand side by side.
    dtype, rng
        See :class:`Module`.

    Raises
    ------
    ValueError
        If a size or an option does not fit.

    References
    ----------
    Elman (1990), Finding structure in time. Names and layouts are those of :class:`torch.nn.RNN`.

    Examples
    --------
    >>> layer = RNN(3, 5, num_layers=2, rng=0)
    >>> x = np.ones((7, 2, 3), np.float32)  # T=7, N=2, D=3
    >>> y, state, cache = layer.forward(x)
    >>> dx, dstate0 = layer.backward(np.ones_like(y), None, cache)
    >>> y.shape, state.shape, dx.shape  # all steps of the last layer; the end of both layers
    ((7, 2, 5), (2, 2, 5), (7, 2, 3))
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        nonlinearity="tanh",
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        dtype=np.float32,
        rng=None,
    ):
        rng = np.random.default_rng(rng)
        cells = [
            RNNCell(width, hidden_size, bias, nonlinearity, dtype=dtype, rng=rng)
            for width in widths(input_size, hidden_size, num_layers, bidirectional)
        ]
        super().__init__(cells, batch_first, dropout, bidirectional, dtype=dtype, rng=rng)
        self.nonlinearity = nonlinearity

    def _unroll(self, cell, x, state, alive, keep):
        f = NONLINEARITIES[self.nonlinearity].f
        weight = np.ascontiguousarray(cell.weight_hh.data.T)
        h = over_time(alive, state[0], len(x))  # h[t] enters step t, h[t+1] leaves it
        for block in blocks(len(x), *h[0].shape):
            a_x = cell.project(x[block])  # (steps, N, H): a block of steps at once
            for a_t, h_t, h_next in steps(alive, block, a_x, h[:-1][block], h[1:][block]):
                cell.step(a_t, h_t, h_next, weight, f)
        carry(alive, h)
        return h[1:], h[-1:], (x, h)

    def _unroll_backward(self, cell, dy, dstate, alive, cache):
        x, h = cache
        (dh,) = dstate
        slope = NONLINEARITIES[self.nonlinearity].slope
        da = room(alive, len(x), dh.shape, dh.dtype)
        for block in blocks(len(x), *dh.shape, backwards=True):
            given = dy[block], repeat(dh), slope(h[1:][block]), da[block]
            for dy_t, dh_t, slope_t, da_t in steps(alive, block, *given):
                dh_t += dy_t
                cell.step_backward(dh_t, slope_t, da_t, cell.weight_hh.data)
        cell.recur_backward(da, h[:-1])
        return cell.project_backward(da, x), (dh,)


class Gated(Recurrent):
    """What LSTM and GRU share: the way back. Abstract; see :class:`GatedCell`."""

    def _unroll_backward(self, cell, dy, dstate, alive, cache):
        hx, slopes, *others = cache
        dstate = [transposed(part) for part in dstate]
        (time, batch, size), dtype = dy.shape, hx.dtype
        weight_hh = cell.weight_hh.data
        dx = np.empty((time, batch, cell.input_size), dtype)
        for block in blocks(time, batch, 4 * size, backwards=True):
            da = room(alive, len(dy[block]), (4 * size, batch), dtype)
            by_gate = da.reshape(len(da), 4, size, batch)
            given = transposed(dy[block]), *map(repeat, dstate), *cell.parts(slopes[block])
            for dy_t, dh_t, *views in columns(alive, block, *given, da, by_gate):
                dh_t += dy_t
                cell.step_backward(dh_t, *views, weight_hh)
            dx[block] = cell.weight_backward(da, hx[:-1][block], *[part[block] for part in others])
        return dx, tuple(part.T for part in dstate)


class LSTM(Gated):
    """Long short-term memory over time; see :class:`LSTMCell` for the equations of a step.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers, bias, batch_first, dropout, bidirectional, dtype, rng
        See :class:`RNN`.

    Notes
    -----
    The state is a pair ``(h, c)``, each (S, N, H).

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory. Names and layouts are those of
    :class:`torch.nn.LSTM`.

    Examples
    --------
    Two directions side by side in y, one after the other in the state:

    >>> layer = LSTM(3, 5, bidirectional=True, rng=0)
    >>> y, (h, c) = layer(np.ones((7, 2, 3), np.float32))
    >>> y.shape, h.shape
    ((7, 2, 10), (2, 2, 5))
    """

    states = 2

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        dtype=np.float32,
        rng=None,
    ):
        rng = np.random.default_rng(rng)
        cells = [
            LSTMCell(width, hidden_size, bias, dtype=dtype, rng=rng)
            for width in widths(input_size, hidden_size, num_layers, bidirectional)
        ]
        super().__init__(cells, batch_first, dropout, bidirectional, dtype=dtype, rng=rng)

    def _unroll(self, cell, x, state, alive, keep):
        (time, batch, _), size, dtype = x.shape, self.hidden_size, x.dtype
        weight = cell.weight()
        hx = inputs(alive, state[0], x)  # hx[t] is what step t reads: h, 1 and x, as columns
        h, c_last = hx[:, :size], state[1].T  # h[t] enters step t, h[t+1] leaves it
        slopes = np.empty((time if keep else 0, 6, size, batch), dtype)
        cuts = blocks(time, batch, 4 * size)
        length = min(cuts[0].stop, time)  # of the longest block; all write into the same arrays
        a = room(alive, length, (4 * size, batch), dtype)
        gates = a.reshape(length, 4, size, batch)
        tanh_c = room(alive, length, (size, batch), dtype)
        for block in cuts:
            n = len(x[block])
            c = over_time(alive, c_last, n)
            given, filled = (hx[:-1][block], c[:-1]), (h[1:][block], c[1:], a, gates, tanh_c)
            for views in columns(alive, block, *given, *filled):
                cell.step(*views, weight, cell.half)
            carry(alive, c.swapaxes(1, 2), block)
            if keep:
                cell.slopes(gates[:n], c[:-1], tanh_c[:n], h[1:][block], slopes[block])
            c_last = c[-1]
        carry(alive, h.swapaxes(1, 2))
        y = h[1:].swapaxes(1, 2)
        return y, (y[-1], c_last.T), (hx, slopes)


class GRU(Gated):
    """The gated recurrent unit over time; see :class:`GRUCell` for the equations of a step.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    num_layers, bias, batch_first, dropout, bidirectional, dtype, rng
        See :class:`RNN`.
    reset_after : bool
        True, as in torch, or False, as in the original paper; see :class:`GRUCell`.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder. Names and
    layouts are those of :class:`torch.nn.GRU`.

    Examples
    --------
    What stands behind the end of a sequence is not read:

    >>> layer = GRU(3, 5, batch_first=True, rng=0)
    >>> x = np.ones((2, 7, 3), np.float32)
    >>> x[1, 4:] = np.nan
    >>> y, state = layer(x, lengths=[7, 4])
    >>> bool((y[1, 4:] == 0).all()), np.array_equal(state[0, 1], y[1, 3])
    (True, True)
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        reset_after=True,
        dtype=np.float32,
        rng=None,
    ):
        rng = np.random.default_rng(rng)
        cells = [
            GRUCell(width, hidden_size, bias, reset_after=reset_after, dtype=dtype, rng=rng)
            for width in widths(input_size, hidden_size, num_layers, bidirectional)
        ]
        super().__init__(cells, batch_first, dropout, bidirectional, dtype=dtype, rng=rng)
        self.reset_after = reset_after

    def _unroll(self, cell, x, state, alive, keep):
        (time, batch, _), size, dtype = x.shape, self.hidden_size, x.dtype
        weight_h, weight_x = cell.weights()
        hx = inputs(alive, state[0], x)  # hx[t] is what step t reads: h, 1 and x, as columns
        h = hx[:, :size]  # h[t] enters step t, h[t+1] leaves it
        slopes = np.empty((time if keep else 0, 5, size, batch), dtype)
        resets = np.empty((0 if self.reset_after or not keep else time, size, batch), dtype)
        for block in blocks(time, batch, 4 * size):
            a_x = np.matmul(weight_x, hx[:-1, size:][block])  # (steps, 3H, N)
            a_x, n = a_x[:, : 2 * size], a_x[:, 2 * size :]
            a = room(alive, len(n), (3 * size, batch), dtype)
            gates = a.reshape(len(n), 3, size, batch)
            filled = h[1:][block], a, gates, a_x, n
            for views in columns(alive, block, hx[:-1, : size + 1][block], *filled):
                cell.step(*views, weight_h, cell.half)
            if keep:
                cell.slopes(gates, n, h[:-1][block], slopes[block])
            if len(resets):
                resets[block] = gates[:, 2]  # r * h, which W_hn reads
        carry(alive, h.swapaxes(1, 2))
        y = h[1:].swapaxes(1, 2)
        return y, (y[-1],), (hx, slopes, resets)


def widths(input_size, hidden_size, num_layers, bidirectional):
    """List the input size of every cell, in the order of the states."""
    expect.sizes(num_layers=num_layers)
    directions = 2 if bidirectional else 1
    return [input_size] * directions + [hidden_size * directions] * directions * (num_layers - 1)


def blocks(time, batch, width, backwards=False):
    """Slices that cut ``time`` steps, each ``batch`` times ``width`` numbers, into blocks.

    A block holds BLOCK numbers, or ROWS steps, each sequence's counted, if that is more. Backwards,
    the last block comes first and every slice runs from its last step to its first.
    """
    batch = max(batch, 1)
    length = max(BLOCK // (batch * width), ROWS // batch, 1)
    starts = range(0, time, length)
    if not backwards:
        return [slice(start, start + length) for start in starts]
    return [
        slice(min(start + length, time) - 1, start - 1 if start else None, -1)
        for start in reversed(starts)
    ]


def steps(alive, block, *arrays):
    """Yield, for each step of a block, its view of every array ``(steps, N, H)``.

    Of ragged sequences, the view holds those that reach this step. ``repeat(array)`` gives the
    same array to every step.
    """
    if alive is None:
        return zip(*arrays, strict=False)
    counted = zip(alive[block], *arrays, strict=False)
    return ([view[:n] for view in views] for n, *views in counted)


def columns(alive, block, *arrays):
    """As :func:`steps` for arrays ``(steps, ..., H, N)``, where a sequence is a column."""
    if alive is None:
        return zip(*arrays, strict=False)
    counted = zip(alive[block], *arrays, strict=False)
    return ([view[..., :n] for view in views] for n, *views in counted)


def room(alive, time, shape, dtype):
    """An array ``(time, *shape)`` to be filled in; what ragged sequences leave out is zero."""
    return (np.empty if alive is None else np.zeros)((time, *shape), dtype)


def over_time(alive, state, time):
    """Room for a state before, between and after ``time`` steps; the first is set."""
    states = room(alive, time + 1, state.shape, state.dtype)
    states[0 if alive is None else slice(None)] = state  # ragged, some begin late
    return states


def inputs(alive, h, x):
    """What the steps of a gated cell read, ``(T+1, H+1+D, N)``: h, 1 and x; all x are set.

    The first state is set, from ``h (N, H)``; in a ragged batch all are, as some begin late.
    """
    (time, batch, width), size = x.shape, h.shape[1]
    hx = room(alive, time + 1, (size + 1 + width, batch), x.dtype)
    hx[0 if alive is None else slice(None), :size] = h.T
    hx[:, size] = 1
    hx[:-1, size + 1 :] = x.swapaxes(1, 2)
    return hx


def carry(alive, states, block=slice(None)):
    """Let a sequence that is over keep its state, ``(steps+1, N, H)``: no step wrote there."""
    if alive is not None:
        for t, n in enumerate(alive[block]):
            states[t + 1, n:] = states[t, n:]
