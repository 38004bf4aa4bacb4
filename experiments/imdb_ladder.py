"""The ladder of chapter 5: what each idea is worth. Run by imdb.py, into the same results file.

Every rung is a short list of settings that differ from the rung below in one idea. What a later
run needs of an earlier one (word vectors, predictions) is kept in the folder of the checkpoints and
computed again where it is missing.
"""

import math
import sys
import time
from functools import cached_property
from typing import NamedTuple

import numpy as np
import runs
import safetensors.numpy
from adversarial import virtual_adversarial_loss
from scipy.special import expit

from rnnbook import scratch, training
from rnnbook.data import imdb
from rnnbook.data.text import TextBatches, Vocab
from rnnbook.files import write_atomically
from rnnbook.interop import get_weights, read_safetensors, set_weights
from rnnbook.metrics import accuracy

PROTOCOL = [
    "Runs whose model is ladder: the same 20,000 reviews to train on and 5,000 to choose by. One "
    "logit and the binary cross entropy, Adam with learning rate lr (0.001 where no rule says "
    "otherwise), batches of 32, gradient norm at most 1; at most the epochs given, without decay "
    "stopped after two without a better validation accuracy, weights of the best epoch. Seeds 0, "
    "1, 2 set initial weights, order and dropout. The test part is scored once a run, after "
    "training; where other runs had been scored there before a setting was chosen, the rule says "
    "so.",
    "decay: the learning rate, lr, falls linearly to zero over all epochs, and none is left out.",
    "vectors: the embedding starts from Word2Vec vectors (skip-gram, window 5, 5 negative "
    "samples), learned with gensim from the text of the 20,000 training and the 50,000 "
    "unlabelled reviews; no validation and no test text. They are scaled to standard deviation 1. "
    "frozen: they are not trained on.",
    "Frozen vectors, their rate and dropout were chosen by validation accuracy after three epochs "
    "among four settings, seed 11, 200 tokens: frozen, rate 0.003, dropout 0.2: 0.900; trained on, "
    "rate 0.003, word dropout 0.3: 0.885; trained on, rate 0.001, dropout 0.2 and word dropout "
    "0.2: 0.885; trained on, rate 0.001, word dropout 0.3: 0.879. Before, three runs with vectors "
    "trained on and dropout 0.5 had been scored on the test part: 200 tokens, 0.900 (kept as "
    "tuned-seed0; its other two seeds were run last); 400 tokens, 0.902; 400 tokens with decay, "
    "0.893.",
    "student: its vectors are trained on, with rate 0.001. After the first of three epochs, seed "
    "0, with other teachers, that was ahead of frozen vectors with rate 0.003: validation loss "
    "0.217 to 0.220, accuracy 0.9126 to 0.9116.",
    "teacher: the 50,000 unlabelled reviews join the training part, with the probability that the "
    "named runs give them on average as their label.",
    "move: virtual adversarial training (experiments/adversarial.py) with steps of this length; "
    "the unlabelled reviews join the training part, without a teacher, and the mean over "
    "the reviews of a batch with a label and that over those without are added. "
    "vectors-adversarial: two runs with move 7, about the share of a vector's initial length that "
    "15 is for the classifiers from language models, had been scored on the test part "
    "before (0.890, 0.891; validation 0.885, 0.888). Then 2 was tried by validation accuracy, seed "
    "11: 0.902.",
    "Runs whose model is n-grams: logistic regression on the presence of n-grams of 1 to 3 tokens, "
    "each scaled by its log-count ratio (Wang and Manning, 2012), C chosen on the validation part.",
    "Runs whose model is ensemble: the mean of its members' logits; where n-grams are a member, "
    "their weight is chosen on the validation part.",
]
LOSS = "binary_cross_entropy_with_logits"
TEST_POLICY = "scored once, after training, with what the validation part had chosen"


class Settings(NamedTuple):
    """What a rung may change."""

    cell: str = "lstm"
    embed_size: int = 64
    hidden_size: int = 64
    pooling: str = "mean_max"
    bidirectional: bool = False
    max_length: int = 200
    truncate: str = "tail"
    lengths: bool = True  # False: padding is read as if it were text
    dropout: float = 0.0
    word_dropout: float = 0.0
    weight_decay: float = 0.0
    vectors: bool = False
    frozen: bool = False  # the embedding stays as it is
    lr: float = 0.001
    decay: bool = False  # the learning rate falls linearly to zero
    teacher: tuple = ()  # names of the runs whose mean probability labels the unlabelled reviews
    move: float = 0.0  # how far a review's vectors are moved against it; then unlabelled ones join
    epochs: int = 8


LSTM = Settings()
BOTH = LSTM._replace(bidirectional=True)
VECTORS = BOTH._replace(
    vectors=True, embed_size=100, frozen=True, dropout=0.2, lr=0.003, decay=True, epochs=4
)
LONG = VECTORS._replace(max_length=400)
WIDE = LONG._replace(hidden_size=96)
WIDES = ("wide-seed0", "wide-seed1", "wide-seed2")
READERS = ("pretrained-forward-seed0", "pretrained-backward-seed0", "taught-forward-seed0")
TEACHERS = (*READERS, *WIDES, "ngrams")
STUDENT = WIDE._replace(teacher=TEACHERS, frozen=False, lr=0.001, epochs=3)
WHOLE = LSTM._replace(max_length=400, lr=0.003, decay=True, epochs=4)
RUNGS = {
    "rnn-last": Settings(cell="rnn", pooling="last"),
    "rnn-mean": Settings(cell="rnn", pooling="mean"),
    "gru-padding": Settings(cell="gru", pooling="last", lengths=False),
    "gru-last": Settings(cell="gru", pooling="last"),
    "lstm-last": LSTM._replace(pooling="last"),
    "lstm-mean": LSTM._replace(pooling="mean"),
    "lstm": LSTM,
    "head": LSTM._replace(truncate="head"),
    "both": LSTM._replace(truncate="both"),
    "bidirectional": BOTH,
    "l2": BOTH._replace(weight_decay=1e-4),
    "dropout": BOTH._replace(dropout=0.5),
    "word-dropout": BOTH._replace(dropout=0.5, word_dropout=0.2),
    "tuned": BOTH._replace(vectors=True, embed_size=100, dropout=0.5),
    "vectors": VECTORS,
    "vectors-adversarial": VECTORS._replace(move=2.0),
    "long": LONG,
    "wide": WIDE,
    "student": STUDENT,
}
SEEDS = (0, 1, 2)


class Rung(NamedTuple):
    """One recurrent classifier in PyTorch, from one seed."""

    rung: str
    seed: int

    @property
    def name(self):
        return f"{self.rung}-seed{self.seed}"

    def train(self, data, checkpoint, epochs):
        """Train, choose, test; return what goes into the results file."""
        settings, texts = RUNGS[self.rung], data.ladder(checkpoint.parent)
        train, valid, test = (texts.batches(part, settings) for part in ("train", "valid", "test"))
        model, optimizer = build(settings, texts, self.seed)
        if settings.decay:
            updates = settings.epochs * math.ceil(len(train) / train.batch_size)
            runs.rise_and_fall(optimizer, settings.lr, updates)
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, train, valid, optimizer=optimizer, loss=loss_of(model, settings),
            epochs=min(settings.epochs, epochs), metric="accuracy", clip=1.0,
            patience=None if settings.decay else 2, checkpoint=checkpoint, seed=self.seed,
            progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        best = history["val_accuracy"].idxmax()
        logits = {"valid": training.predict(model, valid), "test": training.predict(model, test)}
        if is_teacher(self.name):
            logits["unsup"] = training.predict(model, texts.batches("unsup", settings))
        runs.keep_predictions(checkpoint.parent, self.name, texts.kind, logits)
        return {
            "model": "ladder",
            "rung": self.rung,
            "twin": "pytorch",
            "seed": self.seed,
            **settings._asdict(),
            "vocab_size": len(texts.vocab(settings)),
            "parameters": sum(array.size for array in get_weights(model).values()),
            "history": history.round(6).reset_index().to_dict("records"),
            "best_epoch": int(best),
            **scores(texts, logits),
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


class Ngrams(NamedTuple):
    """A linear model on n-grams, with the weights of naive Bayes: the strongest baseline."""

    name: str = "ngrams"

    def train(self, data, checkpoint, epochs):
        """Fit once for each penalty, choose on the validation part, test the chosen one."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        texts, start, cpu = data.ladder(checkpoint.parent), time.perf_counter(), time.process_time()
        counter = CountVectorizer(
            analyzer=ngrams, binary=True, min_df=1 if data.small else 2, dtype=np.float32
        )
        labels = texts.labels("train")
        present = counter.fit_transform(texts.tokens("train"))
        ratio = log_count_ratio(present, labels)
        fitted = {}
        for penalty in (1.0, 4.0, 16.0):
            model = LogisticRegression(C=penalty, solver="liblinear", random_state=0)
            fitted[penalty] = model.fit(present.multiply(ratio).tocsr(), labels)
        parts = {
            part: counter.transform(texts.tokens(part)).multiply(ratio).tocsr()
            for part in ("valid", "test", "unsup")
        }
        valid = {c: m.score(parts["valid"], texts.labels("valid")) for c, m in fitted.items()}
        best = max(valid, key=valid.get)
        logits = {part: fitted[best].decision_function(rows) for part, rows in parts.items()}
        runs.keep_predictions(checkpoint.parent, self.name, texts.kind, logits)
        return {
            "model": "n-grams",
            "features": present.shape[1],
            "val_accuracy_by_C": {str(c): round(score, 6) for c, score in valid.items()},
            "C": best,
            **scores(texts, logits),
            "seconds": round(time.perf_counter() - start, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }


class Ensemble(NamedTuple):
    """The mean of the logits of finished runs."""

    name: str
    members: tuple

    def train(self, data, checkpoint, epochs):
        """Combine what the members predicted; nothing is trained."""
        texts = data.ladder(checkpoint.parent)
        given = runs.predictions(checkpoint.parent, self.members, texts.kind)
        linear = given.pop("ngrams", None)
        logits = {
            part: np.mean([member[part] for member in given.values()], axis=0)
            for part in ("valid", "test")
        }
        weight = None
        if linear is not None:
            mixed = {w: (1 - w) * logits["valid"] + w * linear["valid"] for w in WEIGHTS}
            weight = max(mixed, key=lambda w: accuracy(mixed[w], texts.labels("valid")))
            logits = {p: (1 - weight) * logits[p] + weight * linear[p] for p in logits}
        return {
            "model": "ensemble",
            "members": list(self.members),
            "weight_of_ngrams": weight,
            **scores(texts, logits),
        }


WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)
STUDENTS = tuple(f"student-seed{seed}" for seed in SEEDS)
PAIRS = [(f"adversarial-forward-seed{seed}", f"adversarial-backward-seed{seed}") for seed in SEEDS]
LADDER = [
    *(Rung(rung, seed) for rung in RUNGS if rung != "student" for seed in SEEDS),
    Ngrams(),
    Ensemble("ensemble-wide", WIDES),
    Ensemble("ensemble-wide-ngrams", (*WIDES, "ngrams")),
]
TOP = [  # after the runs of imdb_pretrained, which it needs
    Ensemble("ensemble-pair", READERS[:2]),
    Ensemble("ensemble-readers", READERS),
    Ensemble("ensemble-teachers", TEACHERS),
    *(Rung("student", seed) for seed in SEEDS),
    *(Ensemble(f"{student}-ngrams", (student, "ngrams")) for student in STUDENTS),
    Ensemble("ensemble-students", STUDENTS),
    Ensemble("ensemble-students-ngrams", (*STUDENTS, "ngrams")),
    Ensemble("ensemble-all", (*STUDENTS, *TEACHERS)),
    *(Ensemble(f"ensemble-adversarial-seed{seed}", PAIRS[seed]) for seed in SEEDS),
    *(
        Ensemble(f"ensemble-adversarial-seed{seed}-ngrams", (*PAIRS[seed], "ngrams"))
        for seed in SEEDS
    ),
    Ensemble("ensemble-adversarial-forward", tuple(forward for forward, _ in PAIRS)),
    Ensemble("ensemble-adversarial-backward", tuple(backward for _, backward in PAIRS)),
    Ensemble("ensemble-adversarial", sum(PAIRS, ())),
    Ensemble("ensemble-adversarial-ngrams", (*sum(PAIRS, ()), "ngrams")),
]


class Texts:
    """The reviews of every part as token ids, each part encoded once."""

    def __init__(self, data, cache):
        self.parts = {"train": data.train, "valid": data.valid, "test": data.test}
        self.small, self.cache, self.small_vocab = data.small, cache, data.vocab
        self.kind = "imdb-sample" if data.small else "imdb"
        self.encoded = {}

    @cached_property
    def unsup(self):
        return imdb.sample(100, seed=2) if self.small else imdb.load("unsup")

    @cached_property
    def large_vocab(self):
        """The tokens of the training and the unlabelled reviews that occur five times or more."""
        texts = [*self.parts["train"].texts, *self.unsup.texts]
        return Vocab.build(texts, max_size=30_000, min_count=5)

    def vocab(self, settings):
        return self.large_vocab if settings.vectors else self.small_vocab

    def labels(self, part):
        return self.parts[part].labels

    def ids(self, part, vocab):
        """Whole reviews as ids."""
        key = part, len(vocab)
        if key not in self.encoded:
            reviews = self.unsup if part == "unsup" else self.parts[part]
            self.encoded[key] = [vocab.encode(t).astype(np.int32) for t in reviews.texts]
        return self.encoded[key]

    def tokens(self, part):
        """Yield the tokens of each review, without those that are too rare for a vocabulary."""
        names = np.array(self.large_vocab.tokens, dtype=object)
        return (names[ids].tolist() for ids in self.ids(part, self.large_vocab))

    def batches(self, part, settings):
        """Batches of one part, cut as the settings say."""
        vocab = self.vocab(settings)
        ids = self.ids(part, vocab)
        if part == "unsup":
            labels = np.zeros(len(ids), np.float32)
        else:
            labels = self.labels(part).astype(np.float32)
        if part == "train" and reads_unlabelled(settings):
            ids = ids + self.ids("unsup", vocab)
            labels = np.concatenate([labels, self.in_place_of_labels(settings)])
        cut = [shorten(review, settings.max_length, settings.truncate) for review in ids]
        if settings.lengths:
            return TextBatches(cut, labels)
        return WithoutLengths(TextBatches(cut, labels, bucket=False))

    def in_place_of_labels(self, settings):
        """Of the unlabelled reviews: the teachers' mean probability, or NaN without teachers."""
        if not settings.teacher:
            return np.full(len(self.unsup), np.nan, np.float32)
        given = runs.predictions(self.cache, settings.teacher, self.kind).values()
        return np.mean([expit(found["unsup"]) for found in given], axis=0).astype(np.float32)

    @cached_property
    def vectors(self):
        """Word2Vec vectors of the large vocabulary, (V, 100), with standard deviation 1."""
        path = self.cache / f"{self.kind}-vectors.safetensors"
        if not path.exists():
            from gensim.models import Word2Vec

            reviews = [
                [self.large_vocab.tokens[i] for i in ids]
                for part in ("train", "unsup")
                for ids in self.ids(part, self.large_vocab)
            ]
            model = Word2Vec(reviews, vector_size=100, window=5, min_count=1, sg=1, negative=5,
                             sample=1e-4, epochs=1 if self.small else 4, seed=0,
                             workers=1)  # fmt: skip
            table = np.zeros((len(self.large_vocab), 100), np.float32)
            for i, token in enumerate(self.large_vocab.tokens):
                if i and token in model.wv:  # padding stays zero
                    table[i] = model.wv[token]
            table /= table[1:].std()
            write_atomically(path, safetensors.numpy.save({"vectors": table}))
        return read_safetensors(path)[0]["vectors"]


class WithoutLengths:
    """Batches that do not tell the network where a review ends."""

    def __init__(self, batches):
        self.inner, self.labels = batches, batches.labels

    def __len__(self):
        return len(self.inner)

    def batches(self, rng=None):
        for (tokens, _), labels in self.inner.batches(rng):
            yield (tokens,), labels


def build(settings, texts, seed):
    """Return ``(model, optimizer)``."""
    import torch

    from rnnbook import pytorch

    torch.manual_seed(seed)
    model = pytorch.SequenceClassifier(**arguments(settings, texts))
    if settings.vectors:
        set_weights(model, get_weights(model) | {"embedding.weight": texts.vectors})
    model.embedding.weight.requires_grad_(not settings.frozen)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decay = settings.weight_decay
    return model, torch.optim.Adam(learned, lr=settings.lr, weight_decay=decay)


def arguments(settings, texts):
    """Those of a SequenceClassifier."""
    names = ("embed_size", "hidden_size", "cell", "bidirectional", "dropout", "pooling")
    chosen = {name: getattr(settings, name) for name in (*names, "word_dropout")}
    return {"vocab_size": len(texts.vocab(settings)), "num_classes": 1, **chosen}


def scratch_twin(settings, texts):
    return scratch.SequenceClassifier(**arguments(settings, texts))


def is_teacher(name):
    """Whether a run labels the unlabelled reviews for others."""
    return any(name in rung.teacher for rung in RUNGS.values())


def reads_unlabelled(settings):
    """Whether the unlabelled reviews join the training part."""
    return bool(settings.teacher or settings.move)


def loss_of(model, settings):
    """The loss, as :func:`rnnbook.training.fit` takes it."""
    return virtual_adversarial_loss(model, settings.move) if settings.move else LOSS


def shorten(ids, length, keep):
    """As the argument ``truncate`` of :meth:`Vocab.encode`, for ids."""
    if len(ids) <= length:
        return ids
    last = {"head": 0, "tail": length, "both": length // 2}[keep]
    return np.concatenate([ids[: length - last], ids[len(ids) - last :]])


def ngrams(tokens):
    """List the n-grams of 1 to 3 tokens."""
    return [" ".join(tokens[i : i + n]) for n in (1, 2, 3) for i in range(len(tokens) - n + 1)]


def log_count_ratio(present, labels):
    """How much more often each n-gram occurs in praise than in blame, as a logarithm: (1, V)."""
    positive, negative = (1 + present[labels == y].sum(axis=0) for y in (1, 0))
    return np.asarray(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))


def scores(texts, logits):
    """The entries of a result that say how good a run is."""
    return {
        "val_accuracy": round(accuracy(logits["valid"], texts.labels("valid")), 6),
        "test_accuracy": round(accuracy(logits["test"], texts.labels("test")), 6),
        "test_policy": TEST_POLICY,
    }
