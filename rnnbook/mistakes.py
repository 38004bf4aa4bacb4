"""The usual mistakes, planted: what :mod:`rnnbook.check` compares a wrong answer with.

Here a step and its backward are written once more, with a switch for each mistake. If a reader's
numbers equal those of a planted mistake on random inputs, to nine digits, the reader made it.
Without switches these functions equal :mod:`rnnbook.scratch`, and a test says so.

Letters: T time, N batch, D input size, H hidden size, G gates. A state is a list ``[h]`` or
``[h, c]`` of arrays (N, H); ``w`` holds the weights of a cell by torch's names.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from .scratch.functional import NONLINEARITIES, identity, sigmoid, sigmoid_slope, tanh_slope

GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn"}


class Mistake(NamedTuple):
    """A mistake, or two at once, and how to plant it.

    ``says`` are the diagnoses; ``switches`` are read by the functions below; ``changes`` map the
    weights to those that the mistaken model computes with.
    """

    says: tuple
    switches: tuple
    changes: tuple


def one(says, switches=(), change=None):
    """A single :class:`Mistake`."""
    return Mistake((says,), switches, () if change is None else (change,))


def both(a, b):
    """Two mistakes at once."""
    return Mistake(*(x + y for x, y in zip(a, b, strict=True)))


# One step forward: the new state, and what backward needs.


def _rnn(x, state, w, options, wrong):
    (h,) = state
    names = [name for name in NONLINEARITIES if f"f is {name}" in wrong]
    f = NONLINEARITIES[names[0] if names else options["nonlinearity"]].f
    h_new = f(x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"])
    return [h_new], (x, h, h_new)


def _lstm(x, state, w, options, wrong):
    h, c = state
    a = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    gate = np.tanh if "tanh gates" in wrong else sigmoid
    i, f, g, o = np.split(a, 4, axis=1)
    i, f, g, o = gate(i), gate(f), _candidate(wrong)(g), gate(o)
    i = 1 - f if "i is 1-f" in wrong else 1 if "no i" in wrong else i
    f = 1 - i if "f is 1-i" in wrong else 1 if "no f" in wrong else f
    o = 1 if "no o" in wrong else o
    c_new = f * c + i * g
    squashed = identity if "no tanh of c" in wrong else np.tanh
    h_new = o * squashed(c if "h from old c" in wrong else c_new)
    if "tanh of o*c" in wrong:
        h_new = np.tanh(o * c_new)
    return [h_new, c_new], (x, h, c, i, f, g, o, c_new, h_new)


def _gru(x, state, w, options, wrong):
    (h,) = state
    after = options["reset_after"] != ("other reset" in wrong)
    W_r, W_z, W_n = np.split(w["weight_hh"], 3)
    b_r, b_z, b_n = np.split(w["bias_hh"], 3)
    a_r, a_z, a_n = np.split(x @ w["weight_ih"].T + w["bias_ih"], 3, axis=1)
    r, z = sigmoid(a_r + h @ W_r.T + b_r), sigmoid(a_z + h @ W_z.T + b_z)
    reset = 1 if "no r" in wrong else r
    if after and "b_hn outside r" in wrong:
        a_n = a_n + reset * (h @ W_n.T) + b_n
    elif after:
        a_n = a_n + reset * (h @ W_n.T + b_n)
    else:
        a_n = a_n + (reset * h) @ W_n.T + b_n
    n = _candidate(wrong)(a_n)
    keep = 1 - z if "z is 1-z" in wrong else z
    write = 1 if "n unweighted" in wrong else 1 - keep
    h_new = write * n + (0 if "h not kept" in wrong else keep * h)
    return [h_new], (x, h, r, z, n, h @ W_n.T + b_n, h_new)


def _candidate(wrong):
    if "sigmoid candidate" in wrong:
        return sigmoid
    return identity if "linear candidate" in wrong else np.tanh


# One step backward: dL/d(W_ih x), dL/d(W_hh h), what each gate's W_hh was multiplied with, and the
# gradient of the state that does not pass through W_hh.


def _rnn_backward(d, cache, w, options, wrong):
    x, h, h_new = cache
    f, slope = NONLINEARITIES[options["nonlinearity"]]
    at = h if "slope at old h" in wrong else f(h_new) if "f twice in slope" in wrong else h_new
    da = d[0] * (1 if "no slope" in wrong else slope(at))
    return da, da, [h], [np.zeros_like(h)]


def _lstm_backward(d, cache, w, options, wrong):
    x, h, c, i, f, g, o, c_new, _ = cache
    dh, dc = d
    tanh_c = np.tanh(c_new)
    if "no dc from dh" not in wrong:
        dc = dc + dh * o * (1 if "no slope of tanh c" in wrong else tanh_slope(tanh_c))
    dgates = {
        "i": dc * g,
        "f": dc * (c_new if "df from new c" in wrong else c),
        "g": dc * i,
        "o": dh * (c_new if "do without tanh" in wrong else tanh_c),
    }
    for (name, dgate), value in zip(dgates.items(), (i, f, g, o), strict=True):
        slope = (tanh_slope if name == "g" else sigmoid_slope)(value)
        dgates[name] = dgate * (1 if f"no slope of {name}" in wrong else slope)
    da = np.concatenate(list(dgates.values()), axis=1)
    dc_old = dc * (i if "dc times i" in wrong else 1 if "dc without f" in wrong else f)
    return da, da, [h] * 4, [np.zeros_like(h), dc_old]


def _gru_backward(d, cache, w, options, wrong):
    x, h, r, z, n, a_hn, _ = cache
    (dh,) = d
    W_n = np.split(w["weight_hh"], 3)[2]
    dn = dh * (1 - z) * (1 if "no slope of n" in wrong else tanh_slope(n))
    dz = dh * (n - h if "dz sign" in wrong else h - n)
    dz = dz * (1 if "no slope of z" in wrong else sigmoid_slope(z))
    dhn = dn if "dn without r" in wrong else dn * r
    reset_h = dn @ W_n  # dL/d(r * h), if the reset comes before
    dr = dn * a_hn if options["reset_after"] else reset_h * h
    dr = dr * (0 if "no dr" in wrong else 1 if "no slope of r" in wrong else sigmoid_slope(r))
    direct = np.zeros_like(h) if "no z path" in wrong else dh * z
    da_x = np.concatenate([dr, dz, dn], axis=1)
    if options["reset_after"]:
        return da_x, np.concatenate([dr, dz, dhn], axis=1), [h] * 3, [direct]
    direct = direct + reset_h * (1 if "dn without r" in wrong else r)
    return da_x, da_x, [h, h, h if "dW_hn without r" in wrong else r * h], [direct]


STEPS = {"rnn": _rnn, "lstm": _lstm, "gru": _gru}
STEPS_BACKWARD = {"rnn": _rnn_backward, "lstm": _lstm_backward, "gru": _gru_backward}


def forward(kind, options, w, x, state, wrong=()):
    """Run over ``x (T, N, D)``; return ``({"y", "h", "c"}, what backward needs)``."""
    x = x[::-1] if "time reversed" in wrong else x
    states, caches = [state], []
    for t, x_t in enumerate(x):
        before = list(state if "stuck" in wrong else states[-1])
        for k, name in enumerate("hc"[: len(before)]):
            if f"{name} not carried" in wrong or (t == 0 and f"{name}_0 ignored" in wrong):
                before[k] = np.zeros_like(before[k])
        after, cache = STEPS[kind](x_t, before, w, options, wrong)
        states.append(after)
        caches.append(cache)
    emitted = states[:-1] if "lag" in wrong else states[1:]
    y = np.stack([s[-1 if "y is c" in wrong else 0] for s in emitted])
    final = state if "start returned" in wrong else states[1 if "first returned" in wrong else -1]
    h, c = final[0], final[-1]
    outputs = {"y": y[::-1] if "y reversed" in wrong else y}
    outputs["h"] = c if "h is c" in wrong else h
    outputs["c"] = h if "c is h" in wrong else c
    return outputs, caches


def backward(kind, options, w, x, state, dy, dstate, wrong=()):
    """Return every gradient: "dx", "dh", "dc" and those of the weights, by name."""
    _, caches = forward(kind, options, w, x, state)
    d = list(dstate)
    for k, name in enumerate("hc"[: len(d)]):
        d[k] = d[k] * (f"d{name}_n ignored" not in wrong)
    dx, steps = np.zeros_like(x), []
    order = range(len(x)) if "forward in time" in wrong else range(len(x))[::-1]
    for t in order:
        if t == len(x) - 1 or "early dy ignored" not in wrong:
            d[0] = d[0] + dy[t] * ("dy ignored" not in wrong)
        da_x, da_h, seen, d = STEPS_BACKWARD[kind](d, caches[t], w, options, wrong)
        if "dW of new h" in wrong:
            seen = [caches[t][-1]] * len(seen)
        blocks = np.split(da_h, len(seen), axis=1)
        dx[t] = da_x @ w["weight_ih"]
        steps.append(
            {
                "weight_ih": da_x.T @ caches[t][0],
                "weight_hh": np.concatenate([a.T @ s for a, s in zip(blocks, seen, strict=True)]),
                "bias_ih": da_x.sum(axis=0),
                "bias_hh": da_h.sum(axis=0),
            }
        )
        d[0] = d[0] + _through_weight_hh(kind, options, w, blocks, wrong)
        if t or ("start cut" in wrong and len(x) > 1):
            d = [part * (f"d{name} cut" not in wrong) for name, part in zip("hc", d, strict=False)]
    if "only first executed" in wrong or "only last executed" in wrong:
        steps = steps[:1] if "only first executed" in wrong else steps[-1:]
    gradients = {name: sum(step[name] for step in steps) for name in steps[0]}
    return {"dx": dx, "dh": d[0], "dc": d[-1], **gradients}


def _through_weight_hh(kind, options, w, blocks, wrong):
    """da_h W_hh, gate by gate; a reset before the product has its own way to h."""
    matrices = np.split(w["weight_hh"], len(blocks))
    if kind == "gru" and not options["reset_after"]:
        blocks, matrices = blocks[:2], matrices[:2]
    if "no path through W_hh" in wrong:
        return 0
    turn = "W_hh transposed in backward" in wrong
    return sum(a @ (m.T if turn else m) for a, m in zip(blocks, matrices, strict=True))


# The tables. Where two mistakes give the same numbers, the first is named.


def in_forward(kind, options):
    """List the mistakes of a forward pass, the likeliest first."""
    own = {"rnn": _in_rnn, "lstm": _in_lstm, "gru": _in_gru}[kind](options)
    return own + _in_gates(kind) + _in_state(kind) + _in_biases(kind) + _in_time()


def _in_rnn(options):
    return [
        one(f"The nonlinearity is {name}. Use {options['nonlinearity']}.", (f"f is {name}",))
        for name in NONLINEARITIES
        if name != options["nonlinearity"]
    ]


def _in_lstm(options):
    candidate = "The candidate g is {}. Use g = tanh(a_g)."
    return [
        one("tanh is missing on the cell state. Use h' = o * tanh(c').", ("no tanh of c",)),
        one("h' is tanh(o * c'). Use h' = o * tanh(c').", ("tanh of o*c",)),
        one("h' reads the old cell state. Use the new one: h' = o * tanh(c').",
            ("h from old c",)),
        one(candidate.format("squashed by a sigmoid"), ("sigmoid candidate",)),
        one(candidate.format("not squashed at all"), ("linear candidate",)),
        one("The gates i, f, o go through tanh. Use a sigmoid: a gate lies between 0 and 1.",
            ("tanh gates",)),
        one("tanh and sigmoid are exchanged. Gates i, f, o take the sigmoid, the candidate g "
            "takes tanh.", ("tanh gates", "sigmoid candidate")),
        one("The output gate is not applied. Use h' = o * tanh(c').", ("no o",)),
        one("The forget gate is not applied. Use c' = f * c + i * g.", ("no f",)),
        one("The input gate is not applied. Use c' = f * c + i * g.", ("no i",)),
        one("The forget gate is 1 - i. Here f has weights of its own.", ("f is 1-i",)),
        one("The input gate is 1 - f. Here i has weights of its own.", ("i is 1-f",)),
        one("1 is added to the bias of the forget gate. That belongs into the initial weights, "
            "not into the step.", change=_forget_bias),
    ]  # fmt: skip


def _in_gru(options):
    after = "after W_hn's product: n = tanh(W_in x + b_in + r * (W_hn h + b_hn))"
    before = "before W_hn's product: n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)"
    here, there = (after, before) if options["reset_after"] else (before, after)
    option = f"reset_after={options['reset_after']}"
    return [
        one("z and 1 - z are exchanged. Use h' = (1 - z) * n + z * h: a z of 1 keeps the old "
            "state. (Some papers write it the other way round.)", ("z is 1-z",)),
        one(f"The reset gate acts {there}. Here ({option}) it acts {here}.", ("other reset",)),
        one("b_hn stands outside the reset gate. Use n = tanh(W_in x + b_in + r * (W_hn h + "
            "b_hn)).", ("b_hn outside r",)),
        one("The reset gate r is not applied in the candidate n.", ("no r",)),
        one("The candidate n is squashed by a sigmoid. Use tanh.", ("sigmoid candidate",)),
        one("The candidate n is not squashed. Use tanh.", ("linear candidate",)),
        one("The candidate is added with weight 1. Use h' = (1 - z) * n + z * h.",
            ("n unweighted",)),
        one("The old state is not kept: z * h is missing. Use h' = (1 - z) * n + z * h.",
            ("h not kept",)),
    ]  # fmt: skip


KNOWN_ORDERS = {"zrn": " (Keras and ONNX have it)", "iofg": " (ONNX has it)"}


def _in_gates(kind):
    ours = GATES[kind]
    return [
        one(
            f"The gates stand in the order {' '.join(order)}{KNOWN_ORDERS.get(order, '')}. The "
            f"rows of the weights and biases are {' '.join(ours)}, in blocks of H.",
            change=_reordered(places),
        )
        for order, places in orders(ours)
    ]


def orders(gates):
    """List every other order of the gates, and where in it ours are: (order, places)."""
    return [
        (order, [order.index(gate) for gate in gates])
        for order in map("".join, permutations(gates))
        if order != gates
    ]


def _in_biases(kind):
    def without(*names):
        return lambda w: w | {name: np.zeros_like(w[name]) for name in names}

    def without_block(name, k):
        def change(w):
            blocks = np.split(w[name].copy(), len(GATES[kind]))
            blocks[k] *= 0
            return w | {name: np.concatenate(blocks)}

        return change

    both = "Both biases are forgotten. Add b_ih to W_ih x and b_hh to W_hh h."
    return [
        one(both, change=without("bias_ih", "bias_hh")),
        one("b_ih is forgotten. Add it to W_ih x.", change=without("bias_ih")),
        one("b_hh is forgotten. Add it to W_hh h.", change=without("bias_hh")),
        one("b_ih stands where b_hh belongs.", change=lambda w: w | {"bias_hh": w["bias_ih"]}),
        one("b_hh stands where b_ih belongs.", change=lambda w: w | {"bias_ih": w["bias_hh"]}),
        one("W_hh is transposed. For rows of states, the product is h @ W_hh.T, gate by gate.",
            change=lambda w: w | {"weight_hh": transposed(w["weight_hh"])}),
        one("W_hh h is missing: the step does not look at the state through W_hh.",
            change=lambda w: w | {"weight_hh": np.zeros_like(w["weight_hh"])}),
        one("W_ih x is missing: the step does not look at its input.",
            change=lambda w: w | {"weight_ih": np.zeros_like(w["weight_ih"])}),
        *(one(f"The {gate} rows of {name} are forgotten.", change=without_block(name, k))
          for name in ("bias_ih", "bias_hh") for k, gate in enumerate(GATES[kind])),
    ]  # fmt: skip


def _in_state(kind):
    parts = "hc" if kind == "lstm" else "h"
    whole = tuple(f"{name}_0 ignored" for name in parts)
    ignored = "The initial {} is ignored: zeros stand for it. Start from the state that is given."
    table = [one(ignored.format("state"), whole)]
    if kind == "lstm":
        table += [one(ignored.format(name), (f"{name}_0 ignored",)) for name in parts]
        table += [
            one("h and c are exchanged in the state that is returned. Return (h, c).",
                ("h is c", "c is h")),
            one("c is returned where h belongs. The state is the pair (h, c).", ("h is c",)),
            one("h is returned where c belongs. The state is the pair (h, c).", ("c is h",)),
            one("The outputs y are the cell states c. The output of a step is its h.",
                ("y is c",)),
        ]  # fmt: skip
    table += [
        one("The state is not carried: each step starts from zeros. Hand the new state to the "
            "next step." + " (Without W_hh h, it looks the same.)" * (kind == "rnn"),
            tuple(f"{name} not carried" for name in parts)),
        one("The state is not carried: each step starts from the initial state again. Hand "
            "the new state to the next step.", ("stuck",)),
    ]  # fmt: skip
    if kind == "lstm":
        table += [
            one(f"{name} is not carried: each step starts from a {name} of zeros.",
                (f"{name} not carried",))
            for name in parts
        ]  # fmt: skip
    return table


def _in_time():
    return [
        one("Time is reversed: the last input is read first. Go through x from t=0 on.",
            ("time reversed",)),
        one("Time is reversed: the sequence is read from its end (as a reverse direction "
            "does). Go through x from t=0 on.", ("time reversed", "y reversed")),
        one("The outputs are right, but in reversed order of time.", ("y reversed",)),
        one("The outputs lag by one step: y[t] is the state before step t. Store the state "
            "after the step.", ("lag",)),
        one("The initial state is returned as the final one. Return the state after the last "
            "step.", ("start returned",)),
        one("The state after the first step is returned as the final one.",
            ("first returned",)),
    ]  # fmt: skip


def in_backward(kind):
    """List the mistakes of a backward pass whose forward pass is right, the likeliest first."""
    own = {"rnn": _in_rnn_backward, "lstm": _in_lstm_backward, "gru": _in_gru_backward}[kind]()
    return _in_bptt("hc" if kind == "lstm" else "h") + own


def _in_bptt(parts):
    cut = tuple(f"d{name} cut" for name in parts)
    stops = (
        "The gradient does not travel back in time: each step sees its own dy only. Hand dL/dh "
        + "and dL/dc " * (parts == "hc")
        + "of step t to step t-1, and add dy[t-1]."
    )
    table = [
        one(stops, cut),
        one(stops + " (Is the state detached, or the way through W_hh missing?)",
            (*cut, "start cut")),
        one("The gradient of a parameter is that of the last step only. Sum over all steps.",
            ("only first executed",)),
        one("The gradient of a parameter is that of the first step only: each step of the "
            "backward loop overwrites it. Add with +=.", ("only last executed",)),
        one("dL/dy is ignored: only the gradient of the final state is used. Add dy[t] at each "
            "step.", ("dy ignored",)),
        one("Only the last step's dy is used. Add dy[t] to dL/dh at each step.",
            ("early dy ignored",)),
        one("The backward loop runs forward in time. Go from the last step to the first.",
            ("forward in time",)),
        one("The gradient of W_hh uses the state after the step. W_hh was multiplied with the "
            "state before it.", ("dW of new h",)),
        one("W_hh is transposed in the backward pass. With h @ W_hh.T forward, it is "
            "da @ W_hh backward.", ("W_hh transposed in backward",)),
        one("The gradient does not go through W_hh to the state before.",
            ("no path through W_hh",)),
        one("dL/dstate is ignored. Start the backward loop from the gradient of the final "
            "state.", tuple(f"d{name}_n ignored" for name in parts)),
    ]  # fmt: skip
    if parts == "hc":
        for name in parts:
            table += [
                one(f"The gradient of the final {name} is ignored. Start from both parts of "
                    "dstate.", (f"d{name}_n ignored",)),
                one(f"dL/d{name} is not handed from step to step.", (f"d{name} cut",)),
                one(f"dL/d{name} is not handed from step to step.",
                    (f"d{name} cut", "start cut")),
            ]  # fmt: skip
    return table


def _in_rnn_backward():
    return [
        one("The slope of the nonlinearity is forgotten. Use da = dh' * f'(a); for tanh, "
            "f'(a) = 1 - h'^2.", ("no slope",)),
        one("The slope is taken at the state before the step. Use the new state h'.",
            ("slope at old h",)),
        one("f is applied twice in the slope: h' is already f(a). For tanh, f'(a) = 1 - h'^2.",
            ("f twice in slope",)),
    ]  # fmt: skip


def _in_lstm_backward():
    slope = "The slope of {} is forgotten: {}."
    table = [
        one("The slope of tanh(c') is missing. Use dc' += dh' * o * (1 - tanh(c')^2).",
            ("no slope of tanh c",)),
        one("c' gets no gradient from h'. Use dc' += dh' * o * (1 - tanh(c')^2).",
            ("no dc from dh",)),
        one("The forget gate is missing on the way back to c. Use dc = dc' * f.",
            ("dc without f",)),
        one("The way back to c is multiplied with i. Use dc = dc' * f.", ("dc times i",)),
        one("The forget gate's gradient uses the new c'. Use df = dc' * c, the c before the "
            "step.", ("df from new c",)),
        one("The output gate's gradient lacks tanh. Use do = dh' * tanh(c').",
            ("do without tanh",)),
        one("The slopes of the sigmoids are forgotten. Use da = d * s * (1 - s) for i, f, o.",
            tuple(f"no slope of {gate}" for gate in "ifo")),
        one("The slopes of all gates are forgotten: s * (1 - s) for i, f, o and 1 - g^2 for g.",
            tuple(f"no slope of {gate}" for gate in "ifgo")),
    ]  # fmt: skip
    for gate in "ifgo":
        right = "1 - g^2" if gate == "g" else f"{gate} * (1 - {gate})"
        right = f"da_{gate} = d{gate} * {right}"
        table.append(one(slope.format(gate, right), (f"no slope of {gate}",)))
    return table


def _in_gru_backward():
    return [
        one("The way z * h is missing. Use dh = dh' * z + ....", ("no z path",)),
        one("r is missing on the way from n to h. The gradient of W_hn's product is da_n * r "
            "(with the reset before it: of h, r * (da_n W_hn)).", ("dn without r",)),
        one("The gradient of W_hn uses h. With the reset before the product, W_hn was "
            "multiplied with r * h.", ("dW_hn without r",)),
        one("The reset gate gets no gradient. n depends on r.", ("no dr",)),
        one("The sign of dL/dz is wrong. From h' = (1 - z) * n + z * h: dz = dh' * (h - n).",
            ("dz sign",)),
        one("The slope of n is forgotten: da_n = dn * (1 - n^2).", ("no slope of n",)),
        one("The slope of z is forgotten: da_z = dz * z * (1 - z).", ("no slope of z",)),
        one("The slope of r is forgotten: da_r = dr * r * (1 - r).", ("no slope of r",)),
        one("The slopes of the sigmoids are forgotten: s * (1 - s) for r and z.",
            ("no slope of r", "no slope of z")),
        one("The slopes of all gates are forgotten: s * (1 - s) for r and z, 1 - n^2 for n.",
            ("no slope of r", "no slope of z", "no slope of n")),
    ]  # fmt: skip


def transposed(weight_hh):
    """Transpose each gate's square block (H, H)."""
    size = weight_hh.shape[1]
    return np.concatenate([block.T for block in np.split(weight_hh, len(weight_hh) // size)])


def reorder(array, places):
    """Put the block that stands at ``places[k]`` at place k, along the first axis."""
    blocks = np.split(array, len(places))
    return np.concatenate([blocks[place] for place in places])


def _reordered(places):
    return lambda w: {name: reorder(array, places) for name, array in w.items()}


def _forget_bias(w):
    i, f, g, o = np.split(w["bias_ih"], 4)
    return w | {"bias_ih": np.concatenate([i, f + 1, g, o])}
