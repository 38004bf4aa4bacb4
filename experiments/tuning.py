"""Search for good hyper-parameters of a sentiment classifier, and measure which of them matter.

    OMP_NUM_THREADS=1 python experiments/tuning.py    all runs, one after the other
    python experiments/tuning.py --list               what is done, begun, waiting
    python experiments/tuning.py --only 'trial-*'     some runs
    python experiments/tuning.py --sample             all of it, very small: a minute

Finished runs stand in the results file and are skipped. Each trial of the search is drawn from the
results of all trials before it and a seed of its own, so a search that was stopped goes on as if it
had not been. Run one such process at a time: they share the results file.
"""

import sys
import time
from typing import NamedTuple

import numpy as np
import optuna
import runs
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rnnbook import scratch, training
from rnnbook.data import imdb
from rnnbook.data.text import TextBatches, Vocab
from rnnbook.metrics import accuracy

SPACE = {
    "cell": CategoricalDistribution(("rnn", "gru", "lstm")),
    "pooling": CategoricalDistribution(("last", "mean", "max")),
    "lr": FloatDistribution(1e-4, 0.1, log=True),
    "hidden_size": IntDistribution(8, 64, log=True),
    "embed_size": IntDistribution(8, 64, log=True),
    "batch_size": IntDistribution(8, 128, log=True),
    "max_length": IntDistribution(25, 100, log=True),
    "dropout": FloatDistribution(0.0, 0.6),
    "clip": FloatDistribution(0.1, 10.0, log=True),
}
DEFAULT = {
    "cell": "gru", "pooling": "last", "lr": 0.001, "hidden_size": 64, "embed_size": 64,
    "batch_size": 32, "max_length": 100, "dropout": 0.0, "clip": 1.0,
}  # fmt: skip
CHANGES = {  # of one setting of the winner, each to both ends of what is sensible
    "cell": ("rnn", "gru", "lstm"),
    "pooling": ("last", "mean", "max"),
    "lr": (0.0003, 0.03),
    "hidden_size": (8, 64),
    "embed_size": (8, 64),
    "batch_size": (8, 128),
    "max_length": (25, 100),
    "dropout": (0.0, 0.6),
    "clip": (0.1, 10.0),
}
TRIALS, RANDOM = 32, 20
TRIAL_SEED, CHANGE_SEED, SEEDS = 0, 1, (1, 2, 3)
SIZES = {"train": 2500, "valid": 2000, "test": 5000}
VOCAB = 5000
EPOCHS, PATIENCE = 6, 2
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)

PROTOCOL = [
    f"Data: Large Movie Review Dataset v1.0 (Maas et al., 2011). {SIZES['train']:,} reviews to "
    f"train on and {SIZES['valid']:,} to choose by, drawn from the two parts into which the other "
    f"experiments split the training reviews; {SIZES['test']:,} test reviews, drawn at random. "
    f"Vocabulary: the {VOCAB:,} most frequent tokens of the {SIZES['train']:,}.",
    "Model: SequenceClassifier from scratch, one layer, float32; Adam; the binary cross entropy. "
    f"At most {EPOCHS} epochs, stopped after {PATIENCE} without a better validation accuracy; "
    "value: the best validation accuracy, 0.5 where the loss became infinite.",
    f"Search: Optuna's TPE sampler, {TRIALS} trials, the first {RANDOM} drawn at random; all with "
    f"seed {TRIAL_SEED} for initial weights, order and dropout. Trial k is drawn with seed k.",
    f"winner: the settings of the best trial, trained again from seeds {SEEDS}; default: settings "
    "written down before the search, from the same seeds. Both are scored on the test reviews, "
    "once a run; no choice used that score.",
    f"change: the winner's settings with one of them changed, seed {CHANGE_SEED}; not tested.",
    "baseline: logistic regression on the counts of the last 100 tokens, its penalty chosen on the "
    "validation reviews.",
    "cpu_seconds: processor time of training and validation.",
]


class Trial(NamedTuple):
    """One trial of the search."""

    number: int

    @property
    def name(self):
        return f"trial-{self.number:02}"

    def train(self, data, done):
        before = [done_or_exit(done, Trial(k).name) for k in range(self.number)]
        settings = study_of(before, seed=self.number).ask(SPACE).params
        return fit(data, settings, TRIAL_SEED)


class Final(NamedTuple):
    """The winner of the search, or the default, from a seed of its own; tested."""

    which: str
    seed: int

    @property
    def name(self):
        return f"{self.which}-seed{self.seed}"

    def train(self, data, done):
        settings = winner(done) if self.which == "winner" else DEFAULT
        return fit(data, settings, self.seed, test=True)


class Change(NamedTuple):
    """The winner with one setting changed."""

    what: str
    value: object

    @property
    def name(self):
        return f"change-{self.what}-{self.value}"

    def train(self, data, done):
        settings = winner(done) | {self.what: self.value}
        return {"change": self.what} | fit(data, settings, CHANGE_SEED)


class Baseline(NamedTuple):
    """A linear model that knows no order."""

    name: str = "baseline"

    def train(self, data, done):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        counter = CountVectorizer(analyzer=lambda tokens: tokens)
        texts = {part: data.last_tokens(part, 100) for part in SIZES}
        train = counter.fit_transform(texts["train"])
        labels = {part: data.parts[part].labels for part in SIZES}
        models = [
            LogisticRegression(C=penalty, solver="liblinear").fit(train, labels["train"])
            for penalty in PENALTIES
        ]
        valid, test = (counter.transform(texts[part]) for part in ("valid", "test"))
        scores = [model.score(valid, labels["valid"]) for model in models]
        best = int(np.argmax(scores))
        return {
            "C": PENALTIES[best],
            "value": round(scores[best], 6),
            "test_accuracy": round(models[best].score(test, labels["test"]), 6),
        }


RUNS = [
    Baseline(),
    *(Trial(number) for number in range(TRIALS)),
    *(Final(which, seed) for which in ("winner", "default") for seed in SEEDS),
    *(Change(what, value) for what in CHANGES for value in CHANGES[what]),
]


class Data:
    """The reviews: three parts, tokenised once."""

    def __init__(self, sample=False):
        self.small = sample
        if sample:
            whole, test = imdb.sample(300, seed=0), imdb.sample(60, seed=1)
        else:
            whole, test = imdb.load("train"), imdb.load("test")
        train, valid = imdb.split(whole, fraction=0.2, seed=0)
        whole = {"train": train, "valid": valid, "test": test}
        self.parts = {part: some(reviews, SIZES[part]) for part, reviews in whole.items()}
        self.vocab = Vocab.build(self.parts["train"].texts, max_size=VOCAB)
        self.source = train.source

    def batches(self, part, max_length, batch_size):
        """Return the last ``max_length`` tokens of every review, in batches."""
        reviews = self.parts[part]
        ids = [self.vocab.encode(text, max_length, truncate="tail") for text in reviews.texts]
        return TextBatches(ids, reviews.labels, batch_size)

    def last_tokens(self, part, max_length):
        """The same as lists of token numbers."""
        return [list(ids) for ids in self.batches(part, max_length, 32).sequences]


def some(reviews, count):
    """Draw ``count`` reviews, always the same; all of them if there are fewer."""
    rows = np.random.default_rng(0).permutation(len(reviews))[:count]
    return reviews.take(np.sort(rows))


def fit(data, settings, seed, test=False):
    """Train with these settings; return what goes into the results file."""
    batch_size, max_length = settings["batch_size"], settings["max_length"]
    train, valid = (data.batches(part, max_length, batch_size) for part in ("train", "valid"))
    model = scratch.SequenceClassifier(
        len(data.vocab), settings["embed_size"], settings["hidden_size"], 1, settings["cell"],
        dropout=settings["dropout"], pooling=settings["pooling"], rng=seed,
    )  # fmt: skip
    optimizer = scratch.Adam(model.parameters(), lr=settings["lr"])
    result, cpu = {"seed": seed, "settings": settings}, time.process_time()
    try:
        history = training.fit(
            model, train, valid, optimizer=optimizer, loss="binary_cross_entropy_with_logits",
            epochs=1 if data.small else EPOCHS, metric="accuracy", patience=PATIENCE,
            clip=settings["clip"], seed=seed, progress=False,
        )  # fmt: skip
    except FloatingPointError:
        result |= {"value": 0.5, "loss": None, "val_loss": None, "val_accuracy": None}
    else:
        result["value"] = round(history["val_accuracy"].max(), 6)
        for column in ("loss", "val_loss", "val_accuracy"):
            result[column] = history[column].round(4).tolist()
    result["cpu_seconds"] = round(time.process_time() - cpu, 1)
    if test:
        logits = training.predict(model, data.batches("test", max_length, batch_size))
        result["test_accuracy"] = round(accuracy(logits, data.parts["test"].labels), 6)
    return result


def study_of(trials, seed):
    """Return an Optuna study, kept in memory, that holds these finished trials."""
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params=trial["settings"], distributions=SPACE, value=trial["value"]
            )
        )
    return study


def winner(done):
    """The settings of the best trial; the first of them, if several are equally good."""
    trials = [done_or_exit(done, Trial(number).name) for number in range(TRIALS)]
    return max(trials, key=lambda trial: trial["value"])["settings"]


def done_or_exit(done, name):
    """A finished run that another one is built on."""
    if name not in done:
        sys.exit(f"This run is built on {name}, which is missing: run the trials first, in order")
    return done[name]


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def prepare(args):
        data = Data(args.sample)
        return lambda run, checkpoint, done: run.train(data, done) | {"data": data.source}

    return runs.main("tuning", runs.parser(__doc__), RUNS, PROTOCOL, prepare, argv,
                     report=("value", "test_accuracy", "cpu_seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
