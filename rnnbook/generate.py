"""Text from a language model of either twin, one character at a time.

Each character is drawn from the distribution that the model gives after all characters before it.
Their trace is the state, which is carried: a character costs one step of the model, however long
the text has become.
"""

import numpy as np

from . import expect
from .interop import is_torch
from .scratch.functional import softmax


def generate(
    model,
    vocab,
    prompt,
    length,
    temperature=1.0,
    top_k=None,
    top_p=None,
    greedy=False,
    seed=0,
    state=None,
):
    """Read a prompt, then write character by character.

    The draws are NumPy's, in float64: with equal weights, both twins write the same text. The model
    is left in evaluation mode.

    Parameters
    ----------
    model : scratch.LanguageModel or pytorch.LanguageModel
    vocab : rnnbook.data.characters.CharVocab
        Of V characters, those that the model was trained on.
    prompt : str
        What the model reads first, at least one character: it has no distribution before that. A
        line break is a neutral beginning.
    length : int
        Characters to write.
    temperature, top_k, top_p
        As in :func:`next_probabilities`.
    greedy : bool
        Write the most probable character each time, as with ``top_k=1``. Then nothing depends on
        temperature, ``top_p`` and seed.
    seed : int or numpy.random.Generator
        A Generator goes on where it stopped.
    state : in the form of the model's state, for one sequence, optional
        What the model has read before the prompt; None for nothing.

    Yields
    ------
    character : str
    state : in the form of the model's state
        Before the model reads this character. To go on with a text, pass its last character as the
        prompt, and this state.

    Raises
    ------
    ValueError, TypeError
        At the call, before the model is used, if an argument does not fit, the prompt is empty or
        has characters that are not in ``vocab``, or ``vocab`` has another size than the model; at
        the first character, if ``state`` is not of the model.

    Examples
    --------
    >>> for character, state in generate(model, vocab, "The ", 200):  # doctest: +SKIP
    ...     print(character, end="")
    """
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"vocab has {len(vocab)} characters: expected {model.vocab_size}, as many as the model"
        )
    if prompt == "":
        raise ValueError(
            "prompt='': expected at least one character, for the model has no distribution before "
            "it has read one. Pass a line break, or any character to begin with"
        )
    ids = vocab.encode(prompt, "prompt")
    expect.sizes(length=length)
    top_k = 1 if greedy else top_k
    _check(temperature, top_k, top_p, len(vocab))
    rng = np.random.default_rng(seed)
    return _characters(model, vocab, ids, length, (temperature, top_k, top_p), rng, state)


def _characters(model, vocab, ids, length, how, rng, state):
    model.eval()
    for _ in range(length):
        logits, state = _read(model, ids, state)
        drawn = rng.choice(len(vocab), p=next_probabilities(logits, *how))
        ids = np.array([drawn])
        yield vocab.tokens[drawn], state


def _read(model, ids, state):
    """Let the model read ``ids (T,)``: the logits (V,) of what comes next, and its state."""
    tokens = ids[None]  # (1, T)
    if not is_torch(model):
        logits, state = model(tokens, state)
        return logits[0, -1], state
    import torch

    with torch.no_grad():
        device = next(model.parameters()).device
        logits, state = model(torch.as_tensor(tokens, device=device), state)
        return logits[0, -1].cpu().numpy(), state


def next_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Turn logits into the distribution that the next token is drawn from.

    p = softmax(logits / temperature); then all but the ``top_k`` most probable tokens are left out;
    then all but the nucleus: the smallest set of most probable tokens whose share of what is left
    is at least ``top_p``. What remains is scaled to sum to 1. Among equals, the lower id is first.

    Parameters
    ----------
    logits : ndarray, (V,)
    temperature : float
        Above 0. Below 1 the distribution is sharper than the model's, above 1 flatter.
    top_k : int, optional
        1 to V; None leaves all.
    top_p : float, optional
        0 < top_p <= 1; None leaves all, and so does 1.

    Returns
    -------
    ndarray of float64, (V,)

    Raises
    ------
    ValueError
        If an argument does not fit.

    References
    ----------
    Fan, Lewis & Dauphin (2018), Hierarchical neural story generation, on the top k; Holtzman et al.
    (2020), The curious case of neural text degeneration, on the nucleus.

    Examples
    --------
    >>> next_probabilities(np.log([0.5, 0.3, 0.2]), top_k=2).round(3).tolist()
    [0.625, 0.375, 0.0]
    """
    logits = np.asarray(logits, np.float64)
    expect.shape("logits", logits, ("V",))
    _check(temperature, top_k, top_p, len(logits))
    order = np.argsort(-logits, kind="stable")[:top_k]  # most probable first
    p = np.zeros_like(logits)
    p[order] = softmax(logits[order] / temperature)
    if top_p is not None and top_p < 1:
        before = np.append(0, np.cumsum(p[order])[:-1])  # the share of all more probable tokens
        p[order[before >= top_p]] = 0
        p /= p.sum()
    return p


def _check(temperature, top_k, top_p, size):
    expect.positive("temperature", temperature)
    if top_k is not None:
        expect.sizes(top_k=top_k)
        if top_k > size:
            raise ValueError(f"top_k={top_k}: expected at most {size}, the size of the vocabulary")
    if top_p is not None:
        expect.share("top_p", top_p)
