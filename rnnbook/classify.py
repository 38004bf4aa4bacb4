"""A text classifier for texts and labels of your own, kept in one file that either twin loads.

Vocabulary, classes and the name of the tokenizer travel with the weights. Nothing is pickled.
"""

import hashlib
import json
from dataclasses import KW_ONLY, dataclass
from reprlib import repr as short

import numpy as np

from . import expect, training
from .data.labels import Classes, hold_out
from .data.text import SPECIALS, TOKENIZER, TextBatches, Vocab, list_texts
from .kept import Kept, build, expect_finite, package
from .scratch.functional import softmax
from .scratch.models import LAYERS, POOLINGS

CHUNK, BATCH = 2048, 64  # texts that prediction holds as ids at once, and passes to the model


@dataclass(eq=False, frozen=True)  # a file tells the options that its weights were trained with
class TextClassifier(Kept):
    """Learn from texts and their labels, and label new texts.

    A SequenceClassifier of either twin, with a softmax over K classes. Both twins start from the
    same weights.

    Parameters
    ----------
    twin : {"pytorch", "scratch"}
        What trains and predicts; only "pytorch" imports torch.
    cell, embed_size, hidden_size, num_layers, bidirectional, dropout, pooling, word_dropout
        As in :class:`rnnbook.scratch.SequenceClassifier`, with other defaults.
    vocab_size : int
        V at most: the most frequent tokens of the training texts, and the two specials.
    min_count : int
        Rarer tokens become ``<unk>``. At 1 there may be no ``<unk>`` in training, and what unknown
        words then do to a prediction is left to chance.
    max_length : int
        T at most: tokens that are read of a text.
    truncate : {"both", "head", "tail"}
        What is read of a longer text, see :meth:`rnnbook.data.text.Vocab.encode`.
    seed : int
        Sets the first weights, the held-out part, order and dropout.

    Attributes
    ----------
    model : scratch or torch module
        The SequenceClassifier. ``None`` before :meth:`fit`, as ``vocab`` and ``classes`` are.
    vocab : rnnbook.data.text.Vocab
    classes : rnnbook.data.labels.Classes
        ``classes.labels`` are the K labels, sorted.

    Raises
    ------
    ValueError
        If an argument does not fit.
    ImportError
        If ``twin`` is "pytorch" and torch is not installed.

    Examples
    --------
    >>> texts, labels = ["a good film", "a bad film"] * 20, ["praise", "blame"] * 20
    >>> classifier = TextClassifier("scratch", embed_size=8, hidden_size=8)
    >>> _ = classifier.fit(texts, labels, epochs=8, lr=0.02, progress=False)
    >>> classifier.predict(["good", "bad"]).tolist()
    ['praise', 'blame']
    """

    twin: str = "pytorch"
    cell: str = "lstm"
    _: KW_ONLY
    vocab_size: int = 20_000
    embed_size: int = 64
    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = True
    dropout: float = 0.5
    pooling: str = "mean_max"
    word_dropout: float = 0.0
    min_count: int = 2
    max_length: int = 400
    truncate: str = "both"
    seed: int = 0

    header = {"format": "rnnbook.TextClassifier", "version": 1, "tokenizer": TOKENIZER}
    noun = "classifier"
    learns_by = "fit(texts, labels)"
    vocab = classes = None

    def __post_init__(self):
        expect.one_of("cell", self.cell, tuple(LAYERS))
        expect.one_of("bidirectional", self.bidirectional, (True, False))
        expect.one_of("pooling", self.pooling, POOLINGS)
        expect.one_of("truncate", self.truncate, ("both", "head", "tail"))
        sizes = ("vocab_size", "embed_size", "hidden_size", "num_layers", "min_count", "max_length")
        expect.sizes(**{name: getattr(self, name) for name in sizes})
        if self.vocab_size <= len(SPECIALS):
            raise ValueError(f"vocab_size={self.vocab_size}: expected at least 3, two for specials")
        expect.probability("dropout", self.dropout)
        expect.probability("word_dropout", self.word_dropout)
        expect.index("seed", self.seed, 2**63)
        package(self.twin)

    def fit(
        self,
        texts,
        labels,
        *,
        valid=None,
        valid_fraction=0.1,
        epochs=5,
        lr=0.003,
        batch_size=32,
        metric="accuracy",
        patience=None,
        checkpoint=None,
        progress=True,
    ):
        """Train from the start: Adam, cross entropy, gradient norm at most 1, float32.

        Parameters
        ----------
        texts : list of str
            N texts. One without any token becomes one ``<unk>``.
        labels : list of str, of int or of bool
            N labels, all of one kind. Whole floats count as int.
        valid : (texts, labels), optional
            Held-out texts that choose the best epoch, with labels of the same classes.
        valid_fraction : float
            Without ``valid``: the share of each class that is held out, at least one text of each.
            With 0 none is, and the weights of the last epoch stay.
        epochs, batch_size : int
        lr : float
            Learning rate.
        metric : {"accuracy", "loss"}
            What chooses the best epoch. Take "loss" where few texts are held out.
        patience, checkpoint, progress
            As in :func:`rnnbook.training.fit`. A checkpoint of other texts, labels or options is
            refused; more ``epochs`` continue it.

        Returns
        -------
        pandas.DataFrame
            One row an epoch, see :func:`rnnbook.training.fit`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, there are fewer than two classes, a class is too small to
            hold one out, or no token is frequent enough. The classifier is as it was before.
        """
        expect.sizes(epochs=epochs, batch_size=batch_size)
        expect.positive("lr", lr)
        expect.probability("valid_fraction", valid_fraction)
        expect.one_of("metric", metric, ("accuracy", "loss"))
        texts, classes = list_texts(texts), Classes(labels)
        targets = _targets(classes, texts, labels, "labels")  # (N,)
        if valid is not None:
            if not isinstance(valid, tuple | list) or len(valid) != 2:
                raise TypeError(f"valid={short(valid)}: expected a pair (texts, labels)")
            held_texts = list_texts(valid[0], "valid[0]")
            valid = held_texts, _targets(classes, held_texts, valid[1], "valid[1]")
        elif valid_fraction > 0:
            rest, held = hold_out(classes.decode(targets), valid_fraction, self.seed)
            valid = [texts[i] for i in held], targets[held]
            texts, targets = [texts[i] for i in rest], targets[rest]
        vocab = Vocab.build(texts, self.vocab_size, self.min_count)
        if len(vocab) == len(SPECIALS):
            raise ValueError(
                f"min_count={self.min_count}: no token is so frequent in the {len(texts)} training "
                f"texts. Pass a lower min_count, or more texts"
            )
        train = TextBatches(self._encode(vocab, texts), targets, batch_size)
        valid = valid and TextBatches(self._encode(vocab, valid[0]), valid[1], batch_size)
        model = self._build(len(vocab), len(classes))
        history = training.fit(
            model,
            train,
            valid,
            optimizer=package(self.twin).Adam(model.parameters(), lr=lr),
            epochs=epochs,
            metric=metric if valid else "loss",
            patience=patience,
            clip=1.0,
            checkpoint=checkpoint,
            tag=checkpoint and self._tag(vocab, classes, lr, train, valid),
            seed=self.seed,
            progress=progress,
        )
        vars(self).update(model=model, vocab=vocab, classes=classes)
        return history

    def predict(self, texts):
        """Return the most probable label of each text: an array (N,) of str, int64 or bool.

        Parameters and errors are those of :meth:`predict_proba`.
        """
        probabilities = self.predict_proba(texts)  # (N, K)
        return self.classes.decode(probabilities.argmax(axis=1))

    def predict_proba(self, texts):
        """Return the probability of each class for each text, whatever other texts there are.

        Parameters
        ----------
        texts : list of str
            N texts, or none.

        Returns
        -------
        ndarray of float32, (N, K)
            Rows in the order of ``texts``, columns in the order of ``classes.labels``.

        Raises
        ------
        RuntimeError
            Before :meth:`fit`.
        TypeError
            If ``texts`` is not a list of str.
        """
        self._expect_model()
        texts = list_texts(texts)
        logits = [np.zeros((0, len(self.classes)), np.float32)]
        for start in range(0, len(texts), CHUNK):
            ids = self._encode(self.vocab, texts[start : start + CHUNK])
            order = np.argsort([len(sequence) for sequence in ids], kind="stable")
            by_length = TextBatches([ids[i] for i in order], order, BATCH)
            logits.append(training.predict(self.model, by_length)[np.argsort(order)])
        return softmax(np.concatenate(logits))

    def _parts(self):
        return {"vocabulary": self.vocab.tokens, "classes": self.classes.labels}

    def _restore(self, arrays, content):
        vocab = Vocab(list_texts(content.get("vocabulary"), "vocabulary"))
        classes = Classes(content.get("classes"))
        if classes.labels != content["classes"]:
            raise ValueError(f"classes={short(content['classes'])}: expected {classes}")
        self._expect_weights(arrays, len(vocab))
        return self._build(len(vocab), len(classes)), {"vocab": vocab, "classes": classes}

    def _expect_weights(self, arrays, rows):
        """Check a file's weights before a model of the size that its header claims is built."""
        shape = np.shape(arrays.get("embedding.weight"))
        if shape != (rows, self.embed_size):
            raise ValueError(
                f"embedding.weight has shape {shape}, expected {rows, self.embed_size}: a row for "
                f"each token of the vocabulary"
            )
        if self.hidden_size**2 * self.num_layers > sum(array.size for array in arrays.values()):
            raise ValueError("it has too few weights for its hidden_size and num_layers")
        expect_finite(arrays)

    def _build(self, vocab_size, num_classes):
        """A model with its first weights, which NumPy draws for both twins."""
        options = self._options()
        for name in ("vocab_size", "min_count", "max_length", "truncate", "seed"):
            del options[name]
        options |= {"vocab_size": vocab_size, "num_classes": num_classes}
        return build(self.twin, "SequenceClassifier", seed=self.seed, **options)

    def _encode(self, vocab, texts):
        return [vocab.encode(text, self.max_length, self.truncate) for text in texts]

    def _tag(self, vocab, classes, lr, *parts):
        """A fingerprint of all that a run depends on, but its number of epochs."""
        settings = [self.twin, self._options(), vocab.tokens, classes.labels, lr]
        settings += [[part.batch_size, len(part)] for part in filter(None, parts)]
        digest = hashlib.sha256(json.dumps(settings, default=np.generic.item).encode())
        for part in filter(None, parts):
            for array in (part.lengths, part.labels, *part.sequences):
                digest.update(array)
        return digest.hexdigest()


def _targets(classes, texts, labels, name):
    """The number of each text's class, (N,)."""
    targets = classes.encode(labels, name)
    if len(targets) != len(texts) or not texts:
        wanted = f"{len(texts)}, one for each text" if texts else "at least one text with its label"
        raise ValueError(f"{name} holds {len(targets)} labels: expected {wanted}")
    return targets
