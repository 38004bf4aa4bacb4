"""Which words decided: a classifier's decision, attributed to the words it read.

It explains a :class:`~rnnbook.scratch.SequenceClassifier` of either twin. Explained is always one
number, the **margin** of a class, the target: its logit minus the mean of the logits of the other
classes. Of two classes that is z1 - z0 for class 1; of a single logit z (K = 1), z for class 1 and
-z for class 0. The class with the largest margin is the one that the model predicts.

A word with a score above 0 speaks for the target, one below 0 against it. Models run in evaluation
mode and are left as they were, gradients included.

Letters: T time, N batch, D size of the word vectors, V vocabulary, K classes.
"""

import contextlib
import sys

import numpy as np
import pandas as pd

from . import expect
from .highlighting import highlight as highlight
from .interop import is_torch
from .twins import left_as_it_was

STEPS = 2**15  # words of a batch, padding included: bounds the memory
PAD = 0
ORDERS = ("by score", "random", "reverse")


def margin(model, tokens, target=None):
    """Return what the scores explain: the target's logit minus the mean of the others.

    Parameters
    ----------
    model : rnnbook.scratch.SequenceClassifier or rnnbook.pytorch.SequenceClassifier
    tokens : array of int, (T,)
        One review, each id from 0 to V-1. Padding is read as if it were text: leave it out.
    target : int, optional
        The class that the scores speak for; of a single logit (K = 1), 0 or 1. If None, the class
        that the model predicts.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        If ``tokens`` is empty, has another shape or an id out of range, ``target`` is no class, or
        the model is another.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequenceClassifier(10, 4, 5, num_classes=2, rng=0).eval()
    >>> tokens = np.array([4, 7, 2])
    >>> bool(np.isclose(margin(model, tokens, target=0), -margin(model, tokens, target=1)))
    True
    """
    with _opened(model, tokens, target) as (tokens, target):
        return float(_margins(model, [tokens])[0, target])


def gradient_times_input(model, tokens, target=None):
    """Return the score of each word: x_t . dM/dx_t, of its vector x_t and the margin M.

    How fast the margin moves as this one vector grows. It costs one backward pass. Where units are
    saturated, the gradient is small and so is the score, however much the word decided.

    Parameters
    ----------
    model, tokens, target
        See :func:`margin`.

    Returns
    -------
    ndarray, (T,), float64

    Raises
    ------
    ValueError, TypeError
        As :func:`margin`.

    References
    ----------
    Shrikumar, Greenside, Shcherbina & Kundaje (2016), Not just a black box: learning important
    features through propagating activation differences.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequenceClassifier(10, 4, 5, num_classes=2, rng=0).eval()
    >>> gradient_times_input(model, np.array([4, 7, 2])).shape  # a number for each word
    (3,)
    """
    with _opened(model, tokens, target) as (tokens, target):
        x = _vectors(model, tokens)  # (T, D)
        gradient = _gradients(model, x[None], target)[0]
    return (x * gradient).sum(axis=1, dtype=np.float64)


def integrated_gradients(model, tokens, target=None, steps=64, baseline=0):
    """Return the score of each word: (x_t - b) . the mean of dM/dx_t on the way from b to x_t.

    All vectors move together, each in a straight line; the mean is taken at the middle of each of
    ``steps`` parts of the way. The scores are complete: but for an error that falls as
    1 / steps^2 where the model is smooth, they add up to ``margin(model, tokens, target)`` minus
    ``margin(model, np.full_like(tokens, baseline), target)``, with one target for all three.

    Parameters
    ----------
    model, tokens, target
        See :func:`margin`.
    steps : int
        At least 1. They run in batches of bounded memory.
    baseline : int
        The token whose vector is b. That of padding (0) is zero, unless you gave it another: what
        word dropout makes of a word. 1 is the unknown word.

    Returns
    -------
    ndarray, (T,), float64

    Raises
    ------
    ValueError, TypeError
        As :func:`margin`; or if ``steps`` is below 1, or ``baseline`` no token.

    References
    ----------
    Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequenceClassifier(10, 4, 5, 2, dtype=np.float64, rng=0).eval()
    >>> tokens = np.array([4, 7, 2])
    >>> scores = integrated_gradients(model, tokens, target=1)
    >>> change = margin(model, tokens, 1) - margin(model, np.zeros(3, int), 1)
    >>> bool(abs(scores.sum() - change) < 1e-3)  # they add up to what the words changed
    True
    """
    expect.sizes(steps=steps)
    with _opened(model, tokens, target) as (tokens, target):
        expect.index("baseline", baseline, model.embedding.num_embeddings)
        start = _vectors(model, np.full_like(tokens, baseline))
        way = _vectors(model, tokens) - start  # (T, D)
        places = (np.arange(steps, dtype=way.dtype) + 0.5) / steps
        total, rows = np.zeros(way.shape), max(1, STEPS // len(tokens))
        for first in range(0, steps, rows):
            x = start + places[first : first + rows, None, None] * way  # (rows, T, D)
            total += _gradients(model, x, target).sum(axis=0, dtype=np.float64)
    return (way * total / steps).sum(axis=1)


def sentiment_by_word(model, tokens, target=1):
    """Return the margin after each word: what the model would say if the review ended there.

    Entry t-1 is the margin of the first t words, read as a review of their own; so it holds for a
    bidirectional model too, whose states know what is still to come. The prefixes run in batches of
    bounded memory; they take the time of T^2 / 2 steps.

    Parameters
    ----------
    model, tokens
        See :func:`margin`.
    target : int
        The class above zero; with the classes 0 (blame) and 1 (praise), praise.

    Returns
    -------
    ndarray, (T,), float64
        The last entry is ``margin(model, tokens, target)``.

    Raises
    ------
    ValueError, TypeError
        As :func:`margin`.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequenceClassifier(10, 4, 5, num_classes=2, rng=0).eval()
    >>> tokens = np.array([4, 7, 2])
    >>> bool(np.isclose(sentiment_by_word(model, tokens)[-1], margin(model, tokens, 1)))
    True
    """
    with _opened(model, tokens, target) as (tokens, target):
        return _margins(model, [tokens[:t] for t in range(1, len(tokens) + 1)])[:, target]


def deletion_test(model, sequences, attribute, fractions=(0, 0.05, 0.1, 0.2, 0.3, 0.5), *, rng=0):
    """Return how far decisions fall when the words that decided are deleted.

    Words are taken out of the review, which becomes shorter: an unknown word in their place would
    be one more to read. They are ranked once, by their scores in the whole review. Where scores
    mean something, decisions fall faster "by score", highest first, than at "random", and stand in
    "reverse", lowest first.

    Parameters
    ----------
    model
        See :func:`margin`.
    sequences : list of arrays of int, (T_i,)
        Reviews, as ``tokens`` in :func:`margin`.
    attribute : function
        ``attribute(model, tokens)`` to scores (T,) for the predicted class, such as
        :func:`gradient_times_input`.
    fractions : sequence of float
        Shares of the words of a review, from 0 to below 1; rounded to whole words, of which one
        at least is left.
    rng : int or numpy.random.Generator
        Draws one random order of the words of each review.

    Returns
    -------
    DataFrame
        A row for each fraction. ``table["kept"]`` has the share of reviews whose predicted class is
        still the same, ``table["margin"]`` the mean margin of the class predicted at first; each
        with the columns "by score", "random" and "reverse".

    Raises
    ------
    ValueError, TypeError
        As :func:`margin`; or if ``sequences`` or ``fractions`` is empty, a fraction out of range,
        or what ``attribute`` returns of another shape.

    References
    ----------
    DeYoung et al. (2020), ERASER: a benchmark to evaluate rationalized NLP models, call this fall
    comprehensiveness.

    Examples
    --------
    >>> from rnnbook import scratch
    >>> model = scratch.SequenceClassifier(10, 4, 5, num_classes=2, rng=0).eval()
    >>> reviews = np.random.default_rng(0).integers(1, 10, (6, 8))
    >>> table = deletion_test(model, list(reviews), gradient_times_input, (0, 0.5))
    >>> table["kept"].loc[0].tolist()  # nothing deleted, nothing changed
    [1.0, 1.0, 1.0]
    """
    sequences, fractions = list(sequences), list(fractions)
    for name, values in (("sequences", sequences), ("fractions", fractions)):
        if not values:
            raise ValueError(f"{name} is empty: expected at least one")
    for fraction in fractions:
        expect.probability("fraction", fraction)
    rng = np.random.default_rng(rng)
    with _evaluated(model):
        sequences = [_ids(f"sequences[{i}]", s, model) for i, s in enumerate(sequences)]
        targets = _margins(model, sequences).argmax(axis=1)
        rankings = [_rankings(model, tokens, attribute, rng) for tokens in sequences]
        rows = []
        for fraction in fractions:
            cells = []
            for k in range(len(ORDERS)):
                pairs = zip(sequences, rankings, strict=True)
                left = _margins(model, [_without(s, places[k], fraction) for s, places in pairs])
                kept = left.argmax(axis=1) == targets
                cells.append((kept.mean(), left[np.arange(len(left)), targets].mean()))
            rows.append(np.transpose(cells).ravel())
    columns = pd.MultiIndex.from_product([("kept", "margin"), ORDERS])
    return pd.DataFrame(rows, pd.Index(fractions, name="fraction"), columns)


def _rankings(model, tokens, attribute, rng):
    """The places of a review's words in each of ``ORDERS``, the first to be deleted first."""
    scores = _array(attribute(model, tokens))
    expect.shape("what attribute returned", scores, (len(tokens),))
    falling = np.argsort(-scores, kind="stable")
    return falling, rng.permutation(len(tokens)), falling[::-1]


def _without(tokens, ranking, fraction):
    """The tokens without the first ``fraction`` of their ranking; one at least is left."""
    count = min(round(fraction * len(tokens)), len(tokens) - 1)
    return tokens[np.sort(ranking[count:])]


@contextlib.contextmanager
def _evaluated(model):
    """Check the model; run it in evaluation mode; put back its modes and its gradients."""
    if is_torch(model):
        from .pytorch import SequenceClassifier
    else:
        from .scratch import SequenceClassifier
    if not isinstance(model, SequenceClassifier):
        raise TypeError(
            f"model is {type(model).__name__}: expected a SequenceClassifier of rnnbook.scratch or "
            f"rnnbook.pytorch. Of a wrapped model, hand over the one inside"
        )
    with left_as_it_was(model):
        yield


@contextlib.contextmanager
def _opened(model, tokens, target):
    """As :func:`_evaluated`; yield the checked tokens (T,) and target, by default the predicted."""
    with _evaluated(model):
        tokens = _ids("tokens", tokens, model)
        if target is None:
            target = int(_margins(model, [tokens])[0].argmax())
        expect.index("target", target, max(model.num_classes, 2))
        yield tokens, target


def _array(value):
    """An ndarray from an array or a tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value)


def _ids(name, tokens, model):
    """The ids of one review as int64 (T,), checked."""
    tokens = _array(tokens)
    expect.shape(name, tokens, ("T",))
    if tokens.size == 0:
        raise ValueError(f"{name} is empty: expected at least one token, as Vocab.encode gives")
    expect.ids(name, tokens, model.embedding.num_embeddings)
    return tokens.astype(np.int64)


def _directions(model):
    """What each class's margin is of the logits: margins = logits @ directions.T, (classes, K)."""
    count = model.num_classes
    if count == 1:
        return np.array([[-1.0], [1.0]])
    return (count * np.eye(count) - 1) / (count - 1)


def _margins(model, sequences):
    """The margin of every class for reviews of any lengths, (N, classes), in float64."""
    lengths = np.array([len(tokens) for tokens in sequences])
    order = np.argsort(-lengths, kind="stable")  # a batch is as wide as its first row
    logits, first = np.empty((len(sequences), model.num_classes)), 0
    while first < len(order):
        width = lengths[order[first]]
        chosen = order[first : first + max(1, STEPS // width)]
        tokens = np.full((len(chosen), width), PAD, np.int64)
        for row, i in zip(tokens, chosen, strict=True):
            row[: lengths[i]] = sequences[i]
        logits[chosen] = _logits(model, tokens, lengths[chosen]).reshape(len(chosen), -1)
        first += len(chosen)
    return logits @ _directions(model).T


def _logits(model, tokens, lengths):
    if not is_torch(model):
        return model(tokens, lengths)
    import torch

    with torch.no_grad():
        tokens = torch.tensor(tokens, device=model.embedding.weight.device)
        return model(tokens, torch.tensor(lengths)).cpu().numpy()


def _vectors(model, tokens):
    """The vectors (T, D) of the tokens (T,)."""
    if not is_torch(model):
        return model.embedding(tokens)
    import torch

    tokens = torch.tensor(tokens, device=model.embedding.weight.device)
    return model.embedding(tokens).detach().cpu().numpy()


def _gradients(model, x, target):
    """The gradients (N, T, D) of the target's margin with respect to vectors x (N, T, D)."""
    dlogits = np.tile(_directions(model)[target].astype(x.dtype), (len(x), 1))  # (N, K)
    if not is_torch(model):
        logits, cache = model.forward_vectors(x)
        return model.backward_vectors(dlogits.reshape(logits.shape), cache)
    import torch

    leaf = torch.tensor(x, device=model.embedding.weight.device, requires_grad=True)
    # cuDNN has no backward in evaluation mode
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        logits = model.forward_vectors(leaf)
        dlogits = torch.tensor(dlogits, device=leaf.device).reshape(logits.shape)
        return torch.autograd.grad(logits, leaf, dlogits)[0].cpu().numpy()
