"""Cells unrolled over time: layers, directions, and batches of sequences of unequal length.

Letters: T time, N batch, D input size, H hidden size, L layers, S = L times the directions.
"""

import warnings
from typing import NamedTuple

import numpy as np

from rnnbook import expect

from .cells import RNNCell
from .functional import NONLINEARITIES
from .layers import Dropout
from .module import Module


class Ragged(NamedTuple):
    """How a batch of unequal lengths is laid out: longest sequence first.

    ``order (N,)`` is the caller's row that stands at each place; ``alive (T,)`` says how many
    sequences reach step t, and these are the first rows; ``valid (T, N, 1)`` is False on padding.
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

    - ``_unroll(cell, x, h0, alive) -> (y, h, cache)`` from ``x (T, N, D)`` and ``h0 (N, H)``, and
    - ``_unroll_backward(cell, dy, dh, alive, cache) -> (dx, dh0)``, which may write into ``dh``.

    Sequences come sorted by length, so that step t concerns the first ``alive[t]`` rows only. The
    reverse direction is the same computation on flipped time.
    """

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
        for k, cell in enumerate(cells):
            suffix = f"_l{k // self.directions}" + ("_reverse" if k % self.directions else "")
            for name, parameter in cell.named_parameters():
                setattr(self, name + suffix, parameter)

    def __call__(self, x, state=None, lengths=None):
        """As :meth:`forward`, without a cache: lighter, for inference."""
        return self._run(x, state, lengths, keep=False)[:2]

    def forward(self, x, state=None, lengths=None):
        """Run over whole sequences.

        Parameters
        ----------
        x : ndarray, (T, N, D), or (N, T, D) if batch_first
        state : ndarray, (S, N, H), optional
            The initial state of each layer and direction; zeros if None.
        lengths : ndarray of int, (N,), optional
            The length of each sequence, 1 to T. What stands in ``x`` behind it is never read.

        Returns
        -------
        y : ndarray, (T, N, H), twice as wide if bidirectional; (N, T, ...) if batch_first
            The last layer's state at each step; zero on padding.
        state : ndarray, (S, N, H)
            The state of each layer and direction after its last valid step.
        cache
            For :meth:`backward`.

        Raises
        ------
        ValueError, TypeError
            If a shape or dtype does not fit, T is 0, or a length is outside 1 to T.
        """
        return self._run(x, state, lengths, keep=True)

    def _run(self, x, state, lengths, keep):
        y, state, ragged = self._enter(x, state, lengths)
        alive = ragged.alive if ragged else np.full(len(y), y.shape[1])
        states, caches = [], []
        for layer in range(self.num_layers):
            y, mask = self.dropout.forward(y) if layer else (y, None)
            outputs = []
            for flip, k in self._directions(layer):
                out, h, cache = self._unroll(self.cells[k], y[flip], state[k], alive[flip])
                out = out[flip]
                outputs.append(out * ragged.valid if ragged else out)
                states.append(h)
                caches.append(cache if keep else None)
            y = np.concatenate(outputs, axis=2) if self.bidirectional else outputs[0]
            caches.append(mask)
        state = np.stack(states)  # (S, N, H)
        if ragged:
            y, state = ragged.unsort(y), ragged.unsort(state)
        return (y.swapaxes(0, 1) if self.batch_first else y), state, (ragged, alive, caches)

    def backward(self, dy, dstate, cache):
        """Backpropagation through time.

        Parameters
        ----------
        dy : ndarray
            dL/dy, in the shape of ``y``. What stands on padding is not read.
        dstate : ndarray, (S, N, H), or None
            dL/dstate of the final state; None for zeros.
        cache
            From :meth:`forward`.

        Returns
        -------
        dx : ndarray, in the shape of ``x``; zero on padding
        dstate0 : ndarray, (S, N, H)
            Gradient of the initial state. Those of the parameters are added to ``grad``.
        """
        ragged, alive, caches = cache
        caches = list(caches)
        dy = dy.swapaxes(0, 1) if self.batch_first else dy
        if dstate is None:
            dstate = np.zeros((len(self.cells), dy.shape[1], self.hidden_size), self.dtype)
        if ragged:
            dy, dstate = ragged.sort(dy), ragged.sort(dstate)
        dstate0 = np.empty_like(dstate)
        for layer in reversed(range(self.num_layers)):
            mask = caches.pop()
            dys = np.split(dy, self.directions, axis=2)
            dx = 0
            for flip, k in reversed(self._directions(layer)):
                dpart, dstate0[k] = self._unroll_backward(
                    self.cells[k], dys.pop()[flip], dstate[k].copy(), alive[flip], caches.pop()
                )
                dx = dx + dpart[flip]
            dy = self.dropout.backward(dx, mask)
        if ragged:
            dy, dstate0 = ragged.unsort(dy), ragged.unsort(dstate0)
        return (dy.swapaxes(0, 1) if self.batch_first else dy), dstate0

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
        if time == 0:
            raise ValueError(f"x has T=0 steps (shape {x.shape}): expected at least one")
        if state is None:
            state = np.zeros((len(self.cells), batch, self.hidden_size), self.dtype)
        expect.shape("state", state, (len(self.cells), batch, self.hidden_size))
        expect.dtype("state", state, self.dtype)
        if lengths is None:
            return x, state, None
        lengths = np.asarray(lengths)
        expect.lengths(lengths, time, batch)
        ragged = Ragged.from_lengths(lengths, time)
        x = np.where(ragged.valid, ragged.sort(x), self.dtype.type(0))  # padding may hold NaN
        return x, ragged.sort(state), ragged


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

    References
    ----------
    Elman (1990), Finding structure in time. Names and layouts are those of ``torch.nn.RNN``.
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
        expect.sizes(num_layers=num_layers)
        rng = np.random.default_rng(rng)
        widths = [input_size] + [hidden_size * (1 + bidirectional)] * (num_layers - 1)
        cells = [
            RNNCell(width, hidden_size, bias, nonlinearity, dtype=dtype, rng=rng)
            for width in widths
            for _ in range(1 + bidirectional)
        ]
        super().__init__(cells, batch_first, dropout, bidirectional, dtype=dtype, rng=rng)
        self.bias, self.nonlinearity = bias, nonlinearity

    def _unroll(self, cell, x, h0, alive):
        f = NONLINEARITIES[self.nonlinearity].f
        a_x = cell.project(x)  # (T, N, H), all steps at once
        h = np.empty((len(x) + 1, *h0.shape), self.dtype)  # h[t] enters step t, h[t+1] leaves it
        h[0] = h0
        for t, n in enumerate(alive):
            cell.step(a_x[t, :n], h[t, :n], cell.weight_hh.data, f, out=h[t + 1, :n])
            h[t + 1, n:] = h[t, n:]  # a sequence that is over keeps its state
        return h[1:], h[-1], (x, h)

    def _unroll_backward(self, cell, dy, dh, alive, cache):
        x, h = cache
        slope = NONLINEARITIES[self.nonlinearity].slope(h[1:])  # (T, N, H), all steps at once
        da = np.zeros_like(slope)
        for t in reversed(range(len(x))):
            n = alive[t]
            dh[:n] += dy[t, :n]
            da[t, :n], dh[:n] = cell.step_backward(dh[:n], slope[t, :n], cell.weight_hh.data)
        return cell.project_backward(da, x, h[:-1]), dh


class Unrolled(Module):
    """A layer made of any cell that emits an output: y_t, s_t = cell(x_t, s_{t-1}).

    Parameters
    ----------
    cell : Module
        ``forward(x, state) -> (y, state, cache)`` and ``backward(dy, dstate, cache) ->
        (dx, dstate)``, as :class:`ConcatCell` and :class:`JordanCell` have them.
    """

    def __init__(self, cell):
        super().__init__(cell.dtype, cell.rng)
        self.cell = cell

    def __call__(self, x, state=None):
        return self.forward(x, state)[:2]

    def forward(self, x, state=None):
        """Map ``x (T, N, D)`` to ``(y (T, N, K), final state, cache)``."""
        expect.shape("x", x, ("T", "N", self.cell.input_size))
        outputs, caches = [], []
        for x_t in x:
            y, state, cache = self.cell.forward(x_t, state)
            outputs.append(y)
            caches.append(cache)
        return np.stack(outputs), state, caches

    def backward(self, dy, dstate, cache):
        """Map ``dy (T, N, K)`` and the final ``dstate`` (None: zeros) to ``(dx, dstate0)``."""
        dx = []
        for dy_t, step_cache in zip(dy[::-1], cache[::-1], strict=True):
            dx_t, dstate = self.cell.backward(dy_t, dstate, step_cache)
            dx.append(dx_t)
        return np.stack(dx[::-1]), dstate
