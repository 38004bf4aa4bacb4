"""The examiner finds every planted mistake, and finds none where there is none.

The students below are written out by themselves, each with a switch for every mistake; nothing is
taken from the mistaken references that the examiner compares with.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import rnnbook
from rnnbook import mistakes, pytorch, scratch
from rnnbook.check import check

LIKES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# Students in NumPy, as a class: one step forward, one step backward, and the loop over time.


class Student:
    """A layer, or with ``layer = False`` a cell. ``bugs`` are the mistakes that it makes."""

    layer, bugs = True, ()

    def __init__(self, weights):
        self.grads = {name: np.zeros_like(w) for name, w in weights.items()}
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.names = [name + ("_l0" if self.layer else "") for name in names]
        self.W, self.U, self.b, self.d = (weights[name] for name in self.names)
        if "no b_ih" in self.bugs:
            self.b = 0 * self.b
        if "no b_hh" in self.bugs:
            self.d = 0 * self.d
        if "U transposed" in self.bugs:
            self.U = np.concatenate([u.T for u in np.split(self.U, len(self.U) // self.U.shape[1])])

    def state_in(self, state):
        state = state if isinstance(state, tuple) else (state,)
        return tuple(part[0] for part in state) if self.layer else state

    def state_out(self, state):
        state = tuple(part[None] for part in state) if self.layer else tuple(state)
        if "swapped state" in self.bugs:
            state = state[::-1]
        if "c as h" in self.bugs:
            state = (state[1], state[1])
        if "h as c" in self.bugs:
            state = (state[0], state[0])
        return state if len(state) == 2 else state[0]

    def forward(self, x, state):
        start = before = self.state_in(state)
        if "ignores the start" in self.bugs:
            start = before = tuple(0 * part for part in before)
        if "ignores c_0" in self.bugs:
            before = (before[0], 0 * before[1])
        if not self.layer:
            after, cache = self.step(x, before)
            return self.state_out(after), [(x, before, cache)]
        ys, caches, all_states = [], [], [before]
        backwards = "reads backwards" in self.bugs or "reverse direction" in self.bugs
        for x_t in x[::-1] if backwards else x:
            if "from zeros" in self.bugs:
                before = tuple(0 * part for part in before)
            if "from the start" in self.bugs:
                before = start
            if "c from zeros" in self.bugs:
                before = (before[0], 0 * before[1])
            after, cache = self.step(x_t, before)
            caches.append((x_t, before, cache))
            ys.append(before[0] if "lags" in self.bugs else after[0])
            if "emits c" in self.bugs:
                ys[-1] = after[1]
            before = after
            all_states.append(after)
        if "returns the start" in self.bugs:
            before = start
        if "returns the first" in self.bugs:
            before = all_states[1]
        if "reversed y" in self.bugs or "reverse direction" in self.bugs:
            ys = ys[::-1]
        return np.stack(ys), self.state_out(before), caches

    def backward(self, *arguments):
        *dy, dstate, cache = arguments
        d = [part.copy() for part in self.state_in(dstate)]
        if "no dstate" in self.bugs:
            d = [0 * part for part in d]
        if "no dh_n" in self.bugs:
            d[0] = 0 * d[0]
        if "no dc_n" in self.bugs:
            d[1] = 0 * d[1]
        dxs, last = [], len(cache) - 1
        order = range(len(cache)) if "forward in time" in self.bugs else reversed(range(len(cache)))
        old = {name: grad.copy() for name, grad in self.grads.items()}
        for t in order:
            x, before, kept = cache[t]
            dh = d[0]
            if dy and "no dy" not in self.bugs and ("last dy" not in self.bugs or t == last):
                dh = dh + dy[0][t]
            da, dU_in, d = self.step_back([dh, *d[1:]], x, before, kept)
            da_x, da_h = da
            new = [da_x.T @ x, dU_in, da_x.sum(0), da_h.sum(0)]
            if "overwrites" in self.bugs:
                self.grads.update({n: old[n] + g for n, g in zip(self.names, new, strict=True)})
            elif "last step only" not in self.bugs or t == last:
                for name, g in zip(self.names, new, strict=True):
                    self.grads[name] += g
            if "overwrites dU" in self.bugs:
                self.grads[self.names[1]] = old[self.names[1]] + new[1]
            dxs.append(da_x @ self.W)
            if "cut" in self.bugs and t:
                d = [0 * part for part in d]
            if "cut h" in self.bugs and t:
                d[0] = 0 * d[0]
            if "cut c" in self.bugs and t:
                d[1] = 0 * d[1]
        self.finish(old)
        if "dx reversed" not in self.bugs:
            dxs = dxs[::-1]
        if "dstate swapped" in self.bugs:
            d = d[::-1]
        d = tuple(part[None] for part in d) if self.layer else tuple(d)
        d = d if len(d) == 2 else d[0]
        return (np.stack(dxs) if self.layer else dxs[0]), d

    def finish(self, old):
        """What goes wrong with the gradients of the weights after the loop."""
        N = 4
        for name in self.names:
            new = self.grads[name] - old[name]
            if "mean" in self.bugs:
                self.grads[name] = old[name] + new / N
            if "no +=" in self.bugs:
                self.grads[name] = new
        U, d, b = self.names[1], self.names[3], self.names[2]
        if "dU transposed" in self.bugs:
            new = self.grads[U] - old[U]
            blocks = np.split(new, len(new) // new.shape[1])
            self.grads[U] = old[U] + np.concatenate([block.T for block in blocks])
        if "no d" in self.bugs:
            self.grads[d] = 0 * self.grads[d]
        if "d as b" in self.bugs:
            self.grads[d] = self.grads[b].copy()
        if "negative" in self.bugs:
            self.grads = {name: -grad for name, grad in self.grads.items()}

    def through_U(self, da, U):
        if "no way through U" in self.bugs:
            return 0
        if "backward U transposed" in self.bugs:
            U = np.concatenate([u.T for u in np.split(U, len(U) // U.shape[1])])
        return da @ U


class RNNStudent(Student):
    def step(self, x, state):
        a = x @ self.W.T + self.b + state[0] @ self.U.T + self.d
        if "relu" in self.bugs:
            return (np.maximum(a, 0),), a
        if "linear" in self.bugs:
            return (a,), a
        return (np.tanh(a),), np.tanh(a)

    def step_back(self, d, x, state, h_new):
        slope = 1 - h_new**2
        if "no slope" in self.bugs:
            slope = 1
        if "slope twice" in self.bugs:
            slope = 1 - np.tanh(h_new) ** 2
        if "old slope" in self.bugs:
            slope = 1 - state[0] ** 2
        da = d[0] * slope
        seen = h_new if "new h" in self.bugs else state[0]
        return (da, da), da.T @ seen, [self.through_U(da, self.U) + 0 * da]


class LSTMStudent(Student):
    order = "ifgo"

    def step(self, x, state):
        h, c = state
        a = x @ self.W.T + self.b + h @ self.U.T + self.d
        gates = dict(zip(self.order, np.split(a, 4, axis=1), strict=True))
        squash = np.tanh if "tanh gates" in self.bugs else sigmoid
        i, f, o = squash(gates["i"]), squash(gates["f"]), squash(gates["o"])
        g = np.tanh(gates["g"])
        if "sigmoid g" in self.bugs:
            g = sigmoid(gates["g"])
        if "linear g" in self.bugs:
            g = gates["g"]
        if "forget bias" in self.bugs:
            f = sigmoid(gates["f"] + 1)
        if "coupled" in self.bugs:
            f = 1 - i
        if "no f" in self.bugs:
            c_new = c + i * g
        elif "no i" in self.bugs:
            c_new = f * c + g
        else:
            c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        if "no tanh c" in self.bugs:
            h_new = o * c_new
        if "tanh of all" in self.bugs:
            h_new = np.tanh(o * c_new)
        if "old c" in self.bugs:
            h_new = o * np.tanh(c)
        if "no o" in self.bugs:
            h_new = np.tanh(c_new)
        return (h_new, c_new), (i, f, g, o, h_new, c_new)

    def step_back(self, d, x, state, kept):
        i, f, g, o, h_new, c_new = kept
        (h, c), (dh, dc) = state, d
        tc = np.tanh(c_new)
        if "dc misses slope" in self.bugs:
            dc = dc + dh * o
        elif "dc misses dh" not in self.bugs:
            dc = dc + dh * o * (1 - tc**2)
        slopes = {"i": i * (1 - i), "f": f * (1 - f), "g": 1 - g**2, "o": o * (1 - o)}
        if "no slope of f" in self.bugs:
            slopes["f"] = 1
        if "no slope of g" in self.bugs:
            slopes["g"] = 1
        if "no sigmoid slopes" in self.bugs:
            slopes.update(i=1, f=1, o=1)
        if "no slopes" in self.bugs:
            slopes.update(i=1, f=1, g=1, o=1)
        df = dc * (c_new if "df new c" in self.bugs else c)
        do = dh * (c_new if "do no tanh" in self.bugs else tc)
        da = np.concatenate(
            [
                dc * g * slopes["i"],
                df * slopes["f"],
                dc * i * slopes["g"],
                do * slopes["o"],
            ],
            axis=1,
        )
        dc_old = dc if "dc misses f" in self.bugs else dc * (i if "dc times i" in self.bugs else f)
        seen = h_new if "new h" in self.bugs else h
        return (da, da), da.T @ seen, [self.through_U(da, self.U) + 0 * h, dc_old]


class GRUStudent(Student):
    order, after = "rzn", True

    def step(self, x, state):
        (h,) = state
        blocks = [np.split(w, 3) for w in (self.W, self.U, self.b, self.d)]
        W, U, b, d = (dict(zip(self.order, block, strict=True)) for block in blocks)
        r = sigmoid(x @ W["r"].T + b["r"] + h @ U["r"].T + d["r"])
        z = sigmoid(x @ W["z"].T + b["z"] + h @ U["z"].T + d["z"])
        a_hn = h @ U["n"].T + d["n"]
        used = 1 if "no r" in self.bugs else r
        if "d_n outside" in self.bugs:
            a_n = x @ W["n"].T + b["n"] + used * (h @ U["n"].T) + d["n"]
        elif self.after:
            a_n = x @ W["n"].T + b["n"] + used * a_hn
        else:
            a_n = x @ W["n"].T + b["n"] + (used * h) @ U["n"].T + d["n"]
        n = sigmoid(a_n) if "sigmoid n" in self.bugs else np.tanh(a_n)
        h_new = (1 - z) * n + z * h
        if "z flipped" in self.bugs:
            h_new = z * n + (1 - z) * h
        if "n unweighted" in self.bugs:
            h_new = n + z * h
        if "h dropped" in self.bugs:
            h_new = (1 - z) * n
        return (h_new,), (r, z, n, a_hn, h_new)

    def step_back(self, d, x, state, kept):
        (dh,), (h,) = d, state
        r, z, n, a_hn, h_new = kept
        U_rz, U_n = self.U[: 2 * h.shape[1]], self.U[2 * h.shape[1] :]
        da_n = dh * (1 - z) * (1 if "no slope of n" in self.bugs else 1 - n**2)
        dz = dh * (n - h if "dz sign" in self.bugs else h - n)
        da_z = dz * (1 if "no slope of z" in self.bugs else z * (1 - z))
        dn_r = da_n if "no r in dn" in self.bugs else da_n * r
        dr = da_n * a_hn if self.after else (da_n @ U_n) * h
        da_r = 0 * dr if "no dr" in self.bugs else dr * r * (1 - r)
        keep = 0 * h if "no z path" in self.bugs else dh * z
        da_x = np.concatenate([da_r, da_z, da_n], axis=1)
        if self.after:
            da_h = np.concatenate([da_r, da_z, dn_r], axis=1)
            seen = h_new if "new h" in self.bugs else h
            return (da_x, da_h), da_h.T @ seen, [self.through_U(da_h, self.U) + keep]
        d_rh = da_n @ U_n
        seen = h if "dU_n sees h" in self.bugs else r * h
        dU = np.concatenate([da_x[:, : 2 * h.shape[1]].T @ h, da_n.T @ seen])
        dh = self.through_U(da_x[:, : 2 * h.shape[1]], U_rz) + d_rh * r + keep
        return (da_x, da_x), dU, [dh]


STUDENTS = {"rnn": RNNStudent, "lstm": LSTMStudent, "gru": GRUStudent}


def student(kind, *bugs, **attributes):
    """A class that makes these mistakes."""
    return type("Mine", (STUDENTS[kind],), {"bugs": bugs, **attributes})


IN_ALL_FORWARD = {
    "no b_ih": "b_ih is forgotten",
    "no b_hh": "b_hh is forgotten",
    "U transposed": "W_hh is transposed. For rows",
    "ignores the start": "The initial state is ignored",
    "from zeros": "each step starts from zeros",
    "from the start": "each step starts from the initial state",
    "lags": "lag by one step",
    "returns the start": "The initial state is returned as the final one",
    "returns the first": "The state after the first step is returned",
    "reads backwards": "the last input is read first",
    "reverse direction": "read from its end",
    "reversed y": "in reversed order of time",
}
FORWARD = {
    "rnn": {"relu": "The nonlinearity is relu", "linear": "The nonlinearity is identity"},
    "lstm": {
        "no tanh c": "tanh is missing on the cell state",
        "tanh of all": "h' is tanh(o * c')",
        "old c": "reads the old cell state",
        "sigmoid g": "The candidate g is squashed by a sigmoid",
        "linear g": "The candidate g is not squashed",
        "tanh gates": "The gates i, f, o go through tanh",
        "no o": "The output gate is not applied",
        "no f": "The forget gate is not applied",
        "no i": "The input gate is not applied",
        "coupled": "The forget gate is 1 - i",
        "forget bias": "1 is added to the bias of the forget gate",
        "ignores c_0": "The initial c is ignored",
        "c from zeros": "c is not carried",
        "swapped state": "h and c are exchanged",
        "c as h": "c is returned where h belongs",
        "h as c": "h is returned where c belongs",
        "emits c": "The outputs y are the cell states",
    },
    "gru": {
        "z flipped": "z and 1 - z are exchanged",
        "d_n outside": "b_hn stands outside the reset gate",
        "no r": "The reset gate r is not applied",
        "sigmoid n": "The candidate n is squashed by a sigmoid",
        "n unweighted": "The candidate is added with weight 1",
        "h dropped": "The old state is not kept",
    },
}
FORWARD_CASES = [
    (kind, bug, says)
    for kind, table in FORWARD.items()
    for bug, says in {**IN_ALL_FORWARD, **table}.items()
]


@pytest.mark.parametrize(("kind", "bug", "says"), FORWARD_CASES)
def test_a_mistake_in_the_forward_pass_is_named(kind, bug, says):
    report = check(student(kind, bug), like=kind)
    assert not report.ok
    assert says in report.diagnosis[0], report
    assert "Repair the outputs first" in report.diagnosis[1] and len(report.diagnosis) == 2
    assert report.verdicts["dL/dx"] == "not checked"


ORDERS = [("lstm", "ifog"), ("lstm", "igfo"), ("lstm", "figo"), ("lstm", "ogfi"), ("gru", "zrn")]


@pytest.mark.parametrize(("kind", "order"), ORDERS)
@pytest.mark.parametrize("layer", [True, False])
def test_gates_in_another_order_are_told_with_that_order(kind, order, layer):
    mine = student(kind, order=order, layer=layer)
    report = check(mine, like=kind if layer else f"{kind}_cell")
    assert f"in the order {' '.join(order)}" in report.diagnosis[0]


@pytest.mark.parametrize("after", [True, False])
def test_reset_before_and_after_the_product_are_told_apart(after):
    report = check(student("gru", after=after), like="gru", reset_after=not after)
    where = "after" if after else "before"
    assert f"The reset gate acts {where} W_hn's product" in report.diagnosis[0]


IN_CELLS = [
    ("rnn", "linear", "The nonlinearity is identity"),
    ("rnn", "no b_ih", "b_ih is forgotten"),
    ("lstm", "no tanh c", "tanh is missing"),
    ("lstm", "swapped state", "h and c are exchanged"),
    ("lstm", "ignores c_0", "The initial c is ignored"),
    ("gru", "z flipped", "z and 1 - z"),
    ("gru", "U transposed", "W_hh is transposed"),
]


@pytest.mark.parametrize(("kind", "bug", "says"), IN_CELLS)
def test_a_mistake_in_a_cell_is_named(kind, bug, says):
    report = check(student(kind, bug, layer=False), like=f"{kind}_cell")
    assert says in report.diagnosis[0]


IN_CELLS_BACKWARD = [
    ("rnn", "no slope", "The slope of the nonlinearity is forgotten"),
    ("rnn", "no way through U", "does not go through W_hh"),
    ("lstm", "dc misses slope", "The slope of tanh(c') is missing"),
    ("lstm", "no dc_n", "The gradient of the final c is ignored"),
    ("gru", "no r in dn", "r is missing on the way from n to h"),
    ("gru", "no +=", "A second backward overwrites"),
]


@pytest.mark.parametrize(("kind", "bug", "says"), IN_CELLS_BACKWARD)
def test_a_mistake_in_the_backward_pass_of_a_cell_is_named(kind, bug, says):
    report = check(student(kind, bug, layer=False), like=f"{kind}_cell")
    assert says in report.diagnosis[0] and report.verdicts["h'"] == "right"


IN_PAIRS = [
    ("lstm", ("no tanh c", "no b_hh"), ("tanh is missing", "b_hh is forgotten")),
    ("gru", ("z flipped", "lags"), ("z and 1 - z", "lag by one step")),
    ("rnn", ("relu", "ignores the start"), ("relu", "The initial state is ignored")),
    ("lstm", ("no b_ih", "no b_hh"), ("Both biases are forgotten",)),
]


@pytest.mark.parametrize(("kind", "bugs", "says"), IN_PAIRS)
def test_two_mistakes_at_once_are_both_named(kind, bugs, says):
    report = check(student(kind, *bugs), like=kind)
    for text, diagnosis in zip(says, report.diagnosis, strict=False):
        assert text in diagnosis


IN_ALL_BACKWARD = {
    "cut": "does not travel back in time",
    "overwrites": "first step only",
    "overwrites dU": "dL/dweight_hh_l0: The gradient of a parameter is that of the first step only",
    "last step only": "last step only",
    "no dy": "dL/dy is ignored",
    "last dy": "Only the last step's dy",
    "no dstate": "dL/dstate is ignored",
    "forward in time": "runs forward in time",
    "backward U transposed": "W_hh is transposed in the backward pass",
    "dx reversed": "dL/dx: Right, but in reversed order of time",
    "dU transposed": "dL/dweight_hh_l0: It is transposed",
    "mean": "It is 1/N (a mean where a sum belongs) times the right one",
    "negative": "It is -1 times the right one",
    "no d": "dL/dbias_hh_l0: It is zero everywhere",
    "new h": "uses the state after the step",
    "no +=": "A second backward overwrites",
}
BACKWARD = {
    "rnn": {
        "no way through U": "or the way through W_hh missing?",
        "no slope": "The slope of the nonlinearity is forgotten",
        "slope twice": "f is applied twice",
        "old slope": "The slope is taken at the state before",
    },
    "lstm": {
        "no way through U": "does not go through W_hh",
        "dc misses slope": "The slope of tanh(c') is missing",
        "dc misses dh": "c' gets no gradient from h'",
        "dc misses f": "The forget gate is missing on the way back",
        "dc times i": "multiplied with i",
        "no slope of f": "The slope of f is forgotten",
        "no slope of g": "The slope of g is forgotten",
        "no sigmoid slopes": "The slopes of the sigmoids",
        "no slopes": "The slopes of all gates",
        "df new c": "The forget gate's gradient uses the new c'",
        "do no tanh": "The output gate's gradient lacks tanh",
        "cut h": "dL/dh is not handed",
        "cut c": "dL/dc is not handed",
        "no dh_n": "The gradient of the final h is ignored",
        "no dc_n": "The gradient of the final c is ignored",
        "dstate swapped": "These are the numbers of dL/dc_0",
    },
    "gru": {
        "no way through U": "does not go through W_hh",
        "no z path": "The way z * h is missing",
        "no r in dn": "r is missing on the way from n to h",
        "no dr": "The reset gate gets no gradient",
        "dz sign": "The sign of dL/dz",
        "no slope of n": "The slope of n is forgotten",
        "no slope of z": "The slope of z is forgotten",
        "d as b": "dL/dbias_hh_l0: These are the numbers of dL/dbias_ih_l0",
    },
}
BACKWARD_CASES = [
    (kind, bug, says)
    for kind, table in BACKWARD.items()
    for bug, says in {**IN_ALL_BACKWARD, **table}.items()
]


@pytest.mark.parametrize(("kind", "bug", "says"), BACKWARD_CASES)
def test_a_mistake_in_the_backward_pass_is_named(kind, bug, says):
    report = check(student(kind, bug), like=kind)
    assert not report.ok and report.verdicts["y"] == "right"
    assert says in report.diagnosis[0], report


def test_w_hn_of_a_reset_before_the_product_needs_r_times_h():
    mine = student("gru", "dU_n sees h", after=False)
    report = check(mine, like="gru", reset_after=False)
    assert "W_hn was multiplied with r * h" in report.diagnosis[0]


def test_two_mistakes_in_two_gradients_are_told_apart():
    report = check(student("lstm", "overwrites dU", "dx reversed"), like="lstm")
    assert any(text.startswith("dL/dweight_hh_l0: ") for text in report.diagnosis)
    assert any(text.startswith("dL/dx: Right, but in rev") for text in report.diagnosis)


# Those who are right


@pytest.mark.parametrize("layer", [True, False])
@pytest.mark.parametrize("kind", LIKES)
def test_right_implementations_pass_whatever_they_are(kind, layer):
    like = kind if layer else f"{kind}_cell"
    name = LIKES[kind] + ("" if layer else "Cell")
    for mine in (
        student(kind, layer=layer),
        getattr(nn, name)(3, 5),
        getattr(nn, name)(4, 6),
        getattr(pytorch, name)(2, 3),
        getattr(scratch, name)(3, 5, dtype=np.float64),
    ):
        report = check(mine, like=like)
        assert report.ok and not report.diagnosis, report
        assert set(report.verdicts.values()) == {"right"}
        assert max(report.errors.values()) < 1e-12


@pytest.mark.parametrize(
    ("like", "options"),
    [
        ("rnn", {"nonlinearity": "relu"}),
        ("rnn_cell", {"bias": False, "nonlinearity": "sigmoid"}),
        ("lstm", {"bias": False}),
        ("gru", {"reset_after": False}),
        ("gru_cell", {"reset_after": False, "bias": False}),
    ],
)
def test_options_are_those_of_the_books_class(like, options):
    name = LIKES[like.removesuffix("_cell")] + ("Cell" if like.endswith("_cell") else "")
    for mine in (
        getattr(scratch, name)(3, 5, dtype=np.float64, **options),
        getattr(pytorch, name)(3, 5, **options),
    ):
        report = check(mine, like, **options)
        assert report.ok and set(report.verdicts.values()) == {"right"}, report


@pytest.mark.parametrize("layer", [True, False])
@pytest.mark.parametrize("kind", LIKES)
def test_functions_pass_with_and_without_a_backward(kind, layer):
    cls = student(kind, layer=layer)

    def with_cache(x, state, weights):
        return cls(weights).forward(x, state)

    def without_cache(x, state, weights):
        *outputs, _ = cls(weights).forward(x, state)
        return tuple(outputs) if layer else outputs[0]

    def backward(*arguments):
        *cotangents, cache, weights = arguments
        mine = cls(weights)
        return *mine.backward(*cotangents, cache), mine.grads

    like = kind if layer else f"{kind}_cell"
    for mine in (with_cache, without_cache):
        report = check(mine, like=like)
        assert report.ok and "What was checked is right." in str(report)
        assert report.verdicts["dL/dx"] == "not checked"
    report = check(with_cache, like=like, backward=backward)
    assert report.ok and set(report.verdicts.values()) == {"right"}
    report = check(without_cache, like=like, backward=backward)
    assert not report.ok and "cache)" in report.diagnosis[0]


def test_the_planted_models_without_a_mistake_are_ours():
    from rnnbook.check import _ours
    from rnnbook.exam import Exam, Form

    for like in ("rnn", "lstm", "gru", "rnn_cell", "lstm_cell", "gru_cell"):
        for options in ({}, {"reset_after": False}) if like[0] == "g" else ({},):
            exam = Exam(Form(like, options), 3, 5)
            arguments = exam.form.kind, exam.form.options, exam.weights, exam.x, exam.state
            outputs, gradients = _ours(exam)
            planted, _ = mistakes.forward(*arguments)
            planted |= mistakes.backward(*arguments, exam.dy, exam.dstate)
            for key, array in {**outputs, **gradients}.items():
                np.testing.assert_allclose(planted[key], array, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", LIKES)
def test_every_known_mistake_changes_something(kind):
    """A switch that is misspelt would never be read."""
    from rnnbook.check import _gradients_with, _ours, _outputs_with, same
    from rnnbook.exam import Exam, Form

    seen, known = set(), set()
    for options in ({}, {"reset_after": False}) if kind == "gru" else ({},):
        exam = Exam(Form(kind, options), 3, 5)
        tables = mistakes.in_forward(kind, exam.form.options), mistakes.in_backward(kind)
        plants = _outputs_with, _gradients_with
        for table, plant, truth in zip(tables, plants, _ours(exam), strict=True):
            for mistake in table:
                planted = plant(exam, mistake)
                known.add(mistake)
                if not all(same(planted[key], truth[key]) for key in truth):
                    seen.add(mistake[:2])
    assert not [mistake.says for mistake in known if mistake[:2] not in seen]


# torch modules


class TorchLSTM(nn.Module):
    """A layer of one's own, with names of its own and one bias."""

    def __init__(self, bug=None):
        super().__init__()
        self.x2h, self.h2h = nn.Linear(3, 20), nn.Linear(5, 20, bias=False)
        self.bug = bug

    def forward(self, x, state):
        h, c = (part[0] for part in state)
        ys = []
        for x_t in x.flip(0) if self.bug == "reversed" else x:
            if self.bug == "detached":
                h, c = h.detach(), c.detach()
            if self.bug == "detached c":
                c = c.detach()
            i, f, g, o = (self.x2h(x_t) + self.h2h(h)).chunk(4, dim=1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f * c + i * g
            h = o * (c if self.bug == "no tanh" else c.tanh())
            ys.append(h)
        y = torch.stack(ys)
        if self.bug == "no_grad":
            y, h, c = y.detach(), h.detach(), c.detach()
        return y, (h[None], c[None])


NAMES = {"x2h.weight": "weight_ih_l0", "x2h.bias": "bias_ih_l0", "h2h.weight": "weight_hh_l0"}


def test_a_torch_module_with_other_names_and_one_bias_passes_and_stays_as_it_was():
    mine = TorchLSTM()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    report = check(mine, like="lstm", names=NAMES)
    assert report.ok and "bias_hh_l0 = 0" in str(report)
    assert "dL/dbias_hh_l0" not in report.errors
    for name, tensor in mine.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, before[name])
    assert mine.training and all(p.grad is None for p in mine.parameters())


@pytest.mark.parametrize(
    ("bug", "says"),
    [
        ("no tanh", "tanh is missing on the cell state"),
        ("reversed", "the last input is read first"),
        ("detached", "Is the state detached"),
        ("detached c", "dL/dc is not handed"),
        ("no_grad", "The outputs carry no gradient"),
    ],
)
def test_a_mistake_in_a_torch_module_is_named(bug, says):
    assert says in check(TorchLSTM(bug), like="lstm", names=NAMES).diagnosis[0]


def test_a_torch_gru_held_against_the_papers_form_is_told_where_its_reset_acts():
    report = check(nn.GRU(3, 5), like="gru", reset_after=False)
    assert "The reset gate acts after W_hn's product" in report.diagnosis[0]
    report = check(nn.RNN(3, 5, nonlinearity="relu"), like="rnn")
    assert "The nonlinearity is relu" in report.diagnosis[0]


def test_missing_parameters_are_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"no weight_ih_l0; .*x2h.weight \(20, 3\).*names="):
        check(TorchLSTM(), like="lstm")
    with pytest.raises(ValueError, match=r"weight_ih has shape \(20, 3\), expected \(15, 3\)"):
        check(nn.LSTMCell(3, 5), like="gru_cell")
    with pytest.raises(ValueError, match="names has w, which mine has not"):
        check(TorchLSTM(), like="lstm", names=NAMES | {"w": "bias_hh_l0"})


# Wrong shapes, exceptions, wrong questions


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y, h: (y.swapaxes(0, 1), h), "Time and batch are exchanged"),
        (lambda y, h: (y[-1], h), "(4, 5): expected (6, 4, 5). Is that the last step alone?"),
        (lambda y, h: (y, h[0]), "return h[None]"),
        (lambda y, h: (y[:, None], h), "take state[0]"),
        (lambda y, h: y, "mine returned array (6, 4, 5): expected (y, state)"),
        (lambda y, h: (y, (h, h)), "(2, 1, 4, 5)"),
        (lambda y, h: (None, h), "y is None: expected an array (6, 4, 5)"),
        (lambda y, h: (np.full_like(y, np.nan), h), "NaN"),
    ],
)
def test_wrong_shapes_are_told_in_words(change, says):
    def mine(x, state, weights):
        y, h, _ = student("rnn")(weights).forward(x, state)
        return change(y, h)

    report = check(mine, like="rnn")
    assert not report.ok and says in report.diagnosis[0], report


def test_a_bias_gradient_that_is_not_summed_is_told():
    class Mine(student("rnn")):
        def backward(self, dy, dstate, cache):
            result = super().backward(dy, dstate, cache)
            self.grads["bias_ih_l0"] = np.zeros((4, 5))
            return result

    report = check(Mine, like="rnn")
    assert "gradient of bias_ih_l0 has shape (4, 5): expected (5,). Sum over" in str(report)
    assert report.verdicts["dL/dbias_ih_l0"] == "wrong shape"
    assert report.verdicts["dL/dweight_ih_l0"] == "right"


def test_an_exception_is_told_with_the_call_and_the_readers_line():
    def mine(x, state, weights):
        return x @ weights["weight_ih"]  # not transposed

    report = check(mine, like="rnn_cell")
    assert not report.ok
    text = report.diagnosis[0]
    assert "mine(x array (4, 3), state array (4, 5), weights) raised ValueError" in text
    assert "(in mine, line" in text and 'x @ weights["weight_ih"]' in text


@pytest.mark.parametrize("method", ["__init__", "forward", "backward"])
def test_an_exception_in_a_class_is_told_too(method):
    def broken(*arguments):
        raise KeyError("W")

    report = check(type("Mine", (LSTMStudent,), {method: broken}), like="lstm")
    assert "raised KeyError: 'W' (in broken, line" in report.diagnosis[0]


def test_a_program_that_ends_itself_is_told_too():
    report = check(lambda x, h, w: sys.exit("done"), like="rnn_cell")
    assert "raised SystemExit: done" in report.diagnosis[0]


def test_a_class_without_forward_is_told():
    report = check(type("Mine", (), {"__init__": lambda self, weights: None}), like="rnn")
    assert report.diagnosis == ["Mine has no method forward(x, state)."]


def test_a_torch_module_that_autograd_cannot_follow_is_told():
    class InPlace(nn.RNNCell):
        def forward(self, x, h):
            h = super().forward(x, h)
            loud = h.exp()
            loud.mul_(0)  # exp needs its own output to go back
            return h + loud

    class Numbers(nn.RNNCell):
        def forward(self, x, h):
            return super().forward(x, h).detach().numpy()

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(context, h):
            return h.clone()

        @staticmethod
        def backward(context, dh):
            raise ValueError("not written yet")

    class Custom(nn.RNNCell):
        def forward(self, x, h):
            return Broken.apply(super().forward(x, h))

    assert "not written yet" in check(Custom(3, 5), like="rnn_cell").diagnosis[0]
    report = check(InPlace(3, 5), like="rnn_cell")
    assert report.verdicts["h'"] == "right" and not report.ok
    assert "modified by an inplace operation" in report.diagnosis[0]
    assert "The outputs are not tensors" in check(Numbers(3, 5), like="rnn_cell").diagnosis[0]


def test_what_was_not_compared_is_listed():
    def forward(x, h, w):
        return np.tanh(x @ w["weight_ih"].T + h @ w["weight_hh"].T)

    report = check(forward, like="rnn_cell", bias=False)
    assert report.ok
    assert report.unchecked == ["dL/dx", "dL/dh", "dL/dweight_ih", "dL/dweight_hh"]
    assert check(nn.RNNCell(3, 5), like="rnn_cell").unchecked == []


def test_an_exception_inside_torch_is_told_with_the_readers_line():
    class Mine(nn.RNNCell):
        def forward(self, x, h):
            return torch.tanh(x @ self.weight_ih)

    report = check(Mine(3, 5), like="rnn_cell")
    assert "(in forward, line" in report.diagnosis[0]
    assert "x @ self.weight_ih" in report.diagnosis[0]


def test_arguments_changed_in_place_are_told():
    def mine(x, h, w):
        a = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
        h[...] = np.tanh(a)
        return h

    report = check(mine, like="rnn_cell")
    assert not report.ok
    assert report.diagnosis == ["mine changes its argument state in place. Work on a copy."]


def test_float32_inside_is_told_from_a_mistake():
    def mine(x, state, weights):
        *outputs, _ = student("gru")(weights).forward(x.astype(np.float32), state)
        return tuple(outputs)

    report = check(mine, like="gru")
    assert not report.ok and "float32" in report.diagnosis[0]


def test_an_unknown_mistake_is_located():
    def mine(x, state, weights):
        weights = weights | {"bias_ih_l0": 2 * weights["bias_ih_l0"]}
        *outputs, _ = student("lstm")(weights).forward(x, state)
        return tuple(outputs)

    report = check(mine, like="lstm")
    assert "differs first at t=0" in report.diagnosis[0]
    assert any("With zeros for the biases all is right" in text for text in report.diagnosis)

    class Mine(student("lstm")):
        def finish(self, old):
            self.grads["weight_ih_l0"][5:10] *= 3

    report = check(Mine, like="lstm")
    assert "dL/dweight_ih_l0: it differs in the rows of f; those of i, g, o are right" in " ".join(
        report.diagnosis
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((len, "lstmm"), "like='lstmm': expected one of"),
        ((LSTMStudent({f"{n}_l0": np.zeros((2, 2)) for n in
                       ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}), "lstm"),
         "not an instance"),
        ((nn.LSTM, "lstm"), "hand in an instance"),
        ((scratch.LSTM, "lstm"), "hand in an instance"),
        ((scratch.LSTM(3, 5), "lstm"), "dtype=np.float64"),
    ],
)  # fmt: skip
def test_wrong_questions_are_errors(arguments, says):
    with pytest.raises((ValueError, TypeError), match=says):
        check(*arguments)


def test_options_and_arguments_that_do_not_belong_are_errors():
    with pytest.raises(ValueError, match="option='reset_after'"):
        check(nn.LSTM(3, 5), "lstm", reset_after=True)
    with pytest.raises(ValueError, match="backward= goes with a function"):
        check(nn.LSTM(3, 5), "lstm", backward=len)
    with pytest.raises(ValueError, match="names= goes with a module"):
        check(LSTMStudent, "lstm", names={})


def test_a_report_shows_the_same_table_everywhere():
    lines = str(check(student("rnn", "relu", layer=False), like="rnn_cell")).splitlines()
    assert lines[0] == "Held against RNNCell(3, 5) with N=4, in float64"
    assert lines[2].split()[0] == "h'" and lines[2].endswith("wrong")
    assert lines[3].split(maxsplit=1) == ["dL/dx", "not checked"]
    right = str(check(student("rnn"), like="rnn"))
    assert right.endswith("All of it is right.") and "e-1" not in right.replace("e-9", "")


def test_the_function_is_reached_by_both_spellings():
    assert rnnbook.check(nn.RNNCell(3, 5), "rnn_cell").ok
    assert rnnbook.check.check is check


def test_the_examiner_needs_no_torch_for_numpy():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np, rnnbook
def mine(x, h, w):
    return np.tanh(x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"])
assert rnnbook.check(mine, like="rnn_cell").ok
"""
    subprocess.run([sys.executable, "-c", code], check=True)
