"""Fingerprints of everything that learns, for tests/test_reproducible.py: one line each.

python fits.py
"""

import hashlib

import numpy as np

from rnnbook import forecasting, pytorch, scratch, training
from rnnbook.classify import TextClassifier
from rnnbook.data.characters import CharVocab
from rnnbook.data.series import WindowBatches
from rnnbook.data.streams import StreamBatches
from rnnbook.generate import generate
from rnnbook.interop import copy_weights, get_weights

TEXTS = [
    f"{mood} {thing} number {n}" for n in range(6) for mood in ("good", "bad") for thing in "xyz"
]
LABELS = [text.split()[0] for text in TEXTS]


def start(twin, seed, name, *size, **options):
    """A model of either twin whose first weights NumPy draws."""
    ours = getattr(scratch, name)(*size, **options, rng=seed)
    if twin is scratch:
        return ours
    theirs = getattr(pytorch, name)(*size, **options)
    copy_weights(ours, theirs)
    return theirs


def classifier(twin, seed):
    name = "scratch" if twin is scratch else "pytorch"
    model = TextClassifier(name, embed_size=4, hidden_size=4, word_dropout=0.2, seed=seed)
    history = model.fit(TEXTS, LABELS, epochs=2, progress=False)
    return [history.drop(columns="seconds"), model.predict_proba(TEXTS), *weights(model.model)]


def language(twin, seed):
    text = "abba cab " * 12
    vocab = CharVocab.build(text)
    model = start(twin, seed, "LanguageModel", len(vocab), 3, 5, num_layers=2, dropout=0.3)
    data = StreamBatches(vocab.encode(text), 4, 5)
    history = fit(twin, model, data, seed)
    written = "".join(c for c, _ in generate(model, vocab, "a", 20, seed=seed))
    return [history, np.frombuffer(written.encode(), np.uint8), *weights(model)]


def series(twin, seed):
    values = np.sin(np.arange(60.0))[:, None]
    model = start(twin, seed, "SequencePredictor", 1, 4, 1, cell="gru", num_layers=2, dropout=0.3)
    return [fit(twin, model, Last(WindowBatches(values, 6, 1, 8)), seed), *weights(model)]


class Last:
    """Windows whose target is one step, (N, C)."""

    def __init__(self, windows):
        self.windows = windows

    def __len__(self):
        return len(self.windows)

    def batches(self, rng=None):
        return ((x, y[:, 0]) for x, y in self.windows.batches(rng))


def fit(twin, model, data, seed):
    loss = "mse_loss" if isinstance(data, Last) else "cross_entropy"
    history = training.fit(
        model, data, data, optimizer=twin.Adam(model.parameters(), lr=0.01), loss=loss, epochs=2,
        clip=1.0, seed=seed, progress=False,
    )  # fmt: skip
    return history.drop(columns="seconds")


def linear(seed):
    values = np.random.default_rng(seed).standard_normal((50, 2))
    fitted = forecasting.Linear(6, 3).fit(values)
    return [fitted.weight, fitted.bias]


def weights(model):
    return list(get_weights(model).values())


def fingerprint(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def fingerprints(seed):
    for twin in (scratch, pytorch):
        for learn in (classifier, language, series):
            yield f"{twin.__name__.split('.')[-1]} {learn.__name__}", fingerprint(learn(twin, seed))
    yield "linear forecast", fingerprint(linear(seed))


if __name__ == "__main__":
    for name, value in fingerprints(seed=0):
        print(name, value)
