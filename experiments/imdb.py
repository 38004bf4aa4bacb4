"""Train sentiment classifiers on the IMDB reviews, and write down what came out.

First the articles' own models in both twins, then the ladder of imdb_ladder.py and
imdb_pretrained.py.

    OMP_NUM_THREADS=1 python experiments/imdb.py      all runs, one after the other
    python experiments/imdb.py --list                 what is done, begun, waiting
    python experiments/imdb.py --only '004-*'         some runs
    python experiments/imdb.py --sample               all of it in a minute, on generated reviews

Finished runs stand in the results file and are skipped. A run that was interrupted goes on from
the checkpoint of its last epoch. Run one such process at a time: they share the results file.
"""

import sys
import time
from typing import NamedTuple

import imdb_ladder
import imdb_pretrained
import numpy as np
import runs

from rnnbook import scratch, training
from rnnbook.data import imdb
from rnnbook.data.text import TextBatches, Vocab
from rnnbook.interop import get_weights, set_weights
from rnnbook.metrics import accuracy, predicted_classes

PROTOCOL = [
    "Data: Large Movie Review Dataset v1.0 (Maas et al., 2011); 20 % of the 25,000 training "
    "reviews, drawn at random, the same in every run, are held out for validation "
    "(rnnbook.data.imdb.split, seed 0).",
    "The vocabulary, at most 10,000 tokens with <pad> and <unk>, is built from the other 20,000 "
    "alone. Of a long review the last tokens are kept, as Keras does by default.",
    "Article 004: embedding 64, hidden 100, two classes, last 100 tokens, batches of 32. Article "
    "000: embedding 128, hidden 128, one logit, batches of 128; it names neither vocabulary nor "
    "length: 10,000 tokens and the last 200 are our choice.",
    "Adam, learning rate 0.001, 10 epochs, no dropout. The seed sets the initial weights and the "
    "order of the examples.",
    "Initial weights are PyTorch's in both twins; in runs named keras they are Keras's: uniform "
    "embeddings, Glorot uniform matrices, an orthogonal recurrent matrix, zero biases.",
    "The gradient is not clipped; in runs named clip its norm is scaled down to 1.0 where it is "
    "larger.",
    "Runs named bag are logistic regressions on token counts, with the C that is best on the "
    "validation part.",
    "Each finished run was scored on the 25,000 test reviews once, with the weights of its best "
    "validation epoch; no choice used that score (two later rules name runs that were scored "
    "before a setting was chosen). Runs named clip were added after the others had shown "
    "jumps on the training part, runs named bag and twins last.",
    "Seconds are wall-clock time of training and validation on a machine that did other work as "
    "well: upper bounds. cpu_seconds: processor time over all threads; null where a run was "
    "interrupted.",
    "whole, beside the ladder: an LSTM of 64 units, mean and maximum of its states, the last 400 "
    "tokens, on all 25,000 training reviews, both twins from equal weights. Rate, decay and "
    "epochs: the best by validation accuracy of three settings, trained on 20,000 reviews, seed "
    "11: rate 0.003 falling to zero over four epochs, 0.894; 0.002 likewise, 0.887; 0.001 "
    "throughout, six epochs, 0.880.",
    *imdb_ladder.PROTOCOL,
    *imdb_pretrained.PROTOCOL,
]
TEST_POLICY = "scored once, after training, with what the validation part had chosen"


class Article(NamedTuple):
    """A model as one article gives it."""

    embed_size: int
    hidden_size: int
    num_classes: int
    max_length: int
    batch_size: int
    loss: str


ARTICLES = {
    "004": Article(64, 100, 2, 100, 32, "cross_entropy"),
    "000": Article(128, 128, 1, 200, 128, "binary_cross_entropy_with_logits"),
}


class Run(NamedTuple):
    """One training: an article's model, a twin, a seed, and at most one change of the recipe."""

    article: str
    twin: str
    seed: int
    change: str = ""  # "keras": Keras's initial weights; "clip": gradient norm at most 1

    @property
    def name(self):
        change = f"-{self.change}" if self.change else ""
        return f"{self.article}-{self.twin}{change}-seed{self.seed}"

    def train(self, data, checkpoint, epochs):
        """Train, choose, test; return what goes into the results file."""
        article = ARTICLES[self.article]
        train, valid, test = data.batches(article.max_length, article.batch_size)
        vocab_size = len(data.vocab)
        model, optimizer = build(article, vocab_size, self.twin, self.seed)
        clip = 1.0 if self.change == "clip" else None
        if self.change == "keras":
            set_weights(model, keras_weights(get_weights(model), np.random.default_rng(self.seed)))
        resumed = checkpoint.exists()
        cpu = time.process_time()
        history = training.fit(
            model, train, valid, optimizer=optimizer, loss=article.loss, epochs=epochs,
            metric="accuracy", clip=clip, checkpoint=checkpoint, seed=self.seed,
            progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        logits = training.predict(model, test)
        best = history["val_accuracy"].idxmax()
        return {
            "model": f"article {self.article}",
            "twin": self.twin,
            "initial_weights": "keras" if self.change == "keras" else "torch",
            "clip": clip,
            "seed": self.seed,
            "parameters": sum(array.size for array in get_weights(model).values()),
            "vocab_size": vocab_size,
            **article._asdict(),
            "history": history.round(6).reset_index().to_dict("records"),
            "best_epoch": int(best),
            "val_accuracy": round(history["val_accuracy"][best], 6),
            "test_accuracy": round(accuracy(logits, test.labels), 6),
            "test_confusion": confusion(test.labels, predicted_classes(logits)),
            "test_policy": TEST_POLICY,
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


class Twins(NamedTuple):
    """One epoch of article 004 in both twins, from equal weights, over the same batches.

    The weights are drawn in float32 and cast, so that they are equal for every dtype, too.
    """

    dtype: str

    @property
    def name(self):
        return f"twins-{self.dtype}"

    def train(self, data, checkpoint, epochs):
        """Train both; return their losses step by step. Short, so no checkpoint is kept."""
        article = ARTICLES["004"]
        train, valid, _ = data.batches(article.max_length, article.batch_size)
        start, _ = build(article, len(data.vocab), "pytorch", seed=0)
        losses, scores, weights = {}, {}, {}
        for twin in ("pytorch", "scratch"):
            model, optimizer = build(article, len(data.vocab), twin, seed=0, dtype=self.dtype)
            set_weights(model, {k: w.astype(self.dtype) for k, w in get_weights(start).items()})
            loss = recorded(article.loss, twin, losses.setdefault(twin, []))
            training.fit(model, train, optimizer=optimizer, loss=loss, epochs=1, progress=False)
            scores[twin] = training.evaluate(model, valid, metric="accuracy")["accuracy"]
            weights[twin] = get_weights(model)
        apart = np.abs(np.subtract(losses["scratch"], losses["pytorch"]))
        distances = [
            np.abs(array - weights["pytorch"][name]).max()
            for name, array in weights["scratch"].items()
        ]
        return {
            "model": "article 004",
            "seed": 0,
            "dtype": self.dtype,
            "loss": {twin: np.round(values, 6).tolist() for twin, values in losses.items()},
            "loss_difference": [float(f"{value:.3g}") for value in apart],
            "largest_weight_difference": float(f"{max(distances):.3g}"),
            "val_accuracy": {twin: round(score, 6) for twin, score in scores.items()},
        }


class Whole(NamedTuple):
    """An LSTM on all 25,000 training reviews, in one twin; from equal weights, over equal batches.

    Nothing is held out; the settings are those that the validation part had chosen before.
    """

    twin: str
    seed: int

    @property
    def name(self):
        return f"whole-{self.twin}-seed{self.seed}"

    def train(self, data, checkpoint, epochs):
        """Train; test the last epoch. Keep the mean loss of every 25 steps."""
        texts, settings = data.ladder(checkpoint.parent), imdb_ladder.WHOLE
        train, valid, test = (texts.batches(part, settings) for part in ("train", "valid", "test"))
        everything = TextBatches(
            train.sequences + valid.sequences, np.concatenate([train.labels, valid.labels])
        )
        start, optimizer = imdb_ladder.build(settings, texts, self.seed)
        model = start
        if self.twin == "scratch":
            model = imdb_ladder.scratch_twin(settings, texts)
            set_weights(model, get_weights(start))
            optimizer = scratch.Adam(model.parameters(), lr=settings.lr)
        updates = settings.epochs * -(-len(everything) // everything.batch_size)
        runs.rise_and_fall(optimizer, settings.lr, updates)
        losses = []
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, everything, optimizer=optimizer, epochs=min(settings.epochs, epochs), clip=1.0,
            loss=recorded("binary_cross_entropy_with_logits", self.twin, losses), seed=self.seed,
            checkpoint=checkpoint, progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        logits = training.predict(model, test)
        means = [np.mean(losses[i : i + 25]) for i in range(0, len(losses), 25)]
        return {
            "model": "lstm on the whole training part",
            "twin": self.twin,
            "seed": self.seed,
            **settings._asdict(),
            "examples": len(everything),
            "epoch_loss": history["loss"].round(6).tolist(),
            "loss": None if resumed else np.round(means, 4).tolist(),
            "test_accuracy": round(accuracy(logits, test.labels), 6),
            "test_policy": TEST_POLICY,
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


class Bag(NamedTuple):
    """Logistic regression on the counts of the last tokens: a model that knows no order."""

    max_length: int | None  # None: the whole review

    @property
    def name(self):
        return f"bag-{self.max_length or 'whole'}"

    def train(self, data, checkpoint, epochs):
        """Fit once for each penalty, choose on the validation part, test the chosen one."""
        from sklearn.linear_model import LogisticRegression

        train, valid, test = data.batches(self.max_length)
        counts = [token_counts(part.sequences, len(data.vocab)) for part in (train, valid, test)]
        fitted = {
            c: LogisticRegression(C=c, solver="liblinear").fit(counts[0], train.labels)
            for c in PENALTIES
        }
        scores = {c: model.score(counts[1], valid.labels) for c, model in fitted.items()}
        best = max(scores, key=scores.get)
        predicted = fitted[best].predict(counts[2])
        return {
            "model": "bag of words",
            "vocab_size": len(data.vocab),
            "max_length": self.max_length,
            "val_accuracy_by_C": {str(c): round(score, 6) for c, score in scores.items()},
            "C": best,
            "val_accuracy": round(scores[best], 6),
            "test_accuracy": round(float(np.mean(predicted == test.labels)), 6),
            "test_confusion": confusion(test.labels, predicted),
            "test_policy": TEST_POLICY,
        }


PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)  # C of the logistic regression: small is a strong penalty
SEEDS = (0, 1, 2)
TWINS = ("scratch", "pytorch")
RUNS = [
    *(Run("004", twin, seed) for twin in TWINS for seed in SEEDS),
    *(Bag(max_length) for max_length in (100, 200, None)),
    *(Twins(dtype) for dtype in ("float32", "float64")),
    *(Run("004", "scratch", seed, change) for change in ("clip", "keras") for seed in SEEDS),
    *(Run("000", twin, seed) for twin in TWINS for seed in SEEDS),
    *(Run("000", "scratch", seed, change) for change in ("clip", "keras") for seed in SEEDS),
    *imdb_ladder.LADDER,
    *imdb_pretrained.RUNS,
    *imdb_ladder.TOP,
    *(Whole(twin, seed) for seed in SEEDS for twin in TWINS),
]


class Data:
    """The reviews, split and encoded once."""

    def __init__(self, sample=False):
        self.small, self.texts = sample, None
        if sample:
            whole, self.test = imdb.sample(400, seed=0), imdb.sample(100, seed=1)
        else:
            whole, self.test = imdb.load("train"), imdb.load("test")
        self.train, self.valid = imdb.split(whole, fraction=0.2, seed=0)
        self.source = whole.source
        self.vocab = Vocab.build(self.train.texts, max_size=10_000)

    def batches(self, max_length, batch_size=32):
        """Return ``(train, valid, test)``, the reviews cut to their last ``max_length`` tokens."""

        def encode(part):
            ids = [self.vocab.encode(t, max_length, truncate="tail") for t in part.texts]
            return TextBatches(ids, part.labels, batch_size)

        return tuple(map(encode, (self.train, self.valid, self.test)))

    def ladder(self, cache):
        """The same reviews for the ladder; ``cache`` is for its vectors and predictions."""
        self.texts = self.texts or imdb_ladder.Texts(self, cache)
        return self.texts


def build(article, vocab_size, twin, seed, dtype="float32"):
    """Return ``(model, optimizer)`` of one twin."""
    sizes = (vocab_size, article.embed_size, article.hidden_size, article.num_classes)
    if twin == "scratch":
        model = scratch.SequenceClassifier(*sizes, dtype=dtype, rng=seed)
        return model, scratch.Adam(model.parameters(), lr=0.001)
    import torch

    from rnnbook import pytorch

    torch.manual_seed(seed)
    model = pytorch.SequenceClassifier(*sizes, dtype=getattr(torch, dtype))
    return model, torch.optim.Adam(model.parameters(), lr=0.001)


def token_counts(sequences, vocab_size):
    """Return how often each token occurs in each sequence: (N, V), sparse."""
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0] + [len(sequence) for sequence in sequences])
    flat = np.concatenate(sequences)
    return csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(sequences), vocab_size))


def confusion(labels, predicted):
    """Return the counts of both classes: rows are true, columns predicted."""
    return [
        [int(((labels == true) & (predicted == said)).sum()) for said in (0, 1)] for true in (0, 1)
    ]


def keras_weights(weights, rng):
    """Draw weights as Keras starts Embedding, SimpleRNN and Dense; row 0, padding, stays zero."""
    drawn = {}
    for name, array in weights.items():
        if name == "embedding.weight":
            drawn[name] = rng.uniform(-0.05, 0.05, array.shape)
            drawn[name][0] = 0
        elif name.startswith("rnn.weight_hh"):
            q, r = np.linalg.qr(rng.standard_normal(array.shape))
            drawn[name] = q * np.sign(np.diag(r))
        elif array.ndim == 2:
            bound = (6 / sum(array.shape)) ** 0.5  # Glorot & Bengio (2010)
            drawn[name] = rng.uniform(-bound, bound, array.shape)
        else:
            drawn[name] = np.zeros(array.shape)
    return {name: drawn[name].astype(array.dtype) for name, array in weights.items()}


def recorded(name, twin, values):
    """Return a loss function of one twin that also appends each value to ``values``."""
    if twin == "scratch":
        function = getattr(scratch, name)
    else:
        from rnnbook import pytorch

        function = getattr(pytorch, name)

    def loss(output, target):
        result = function(output, target)
        values.append(result[0] if twin == "scratch" else result.item())
        return result

    return loss


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""

    def prepare(args):
        data = Data(args.sample)
        data.device = args.device

        def train(run, checkpoint, done):
            result = run.train(data, checkpoint, epochs=2 if args.sample else 10)
            return result | {"data": data.source}

        return train

    return runs.main("imdb", runs.parser(__doc__, gpu=True), RUNS, PROTOCOL, prepare, argv,
                     report=("test_accuracy", "best_epoch", "seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
