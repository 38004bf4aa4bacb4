"""The top of the ladder of chapter 5: a network that has read before it is asked for a judgement.

Run by imdb.py, into the same results file. First a language model learns to predict the next token
of 70,000 reviews, read from the start or from the end. Then a classifier of the same shape starts
from its vectors and recurrent layers. Meant for a GPU: ``--device cuda``.
"""

import sys
import time
from typing import NamedTuple

import numpy as np
import runs
from imdb_ladder import (
    READERS,
    WIDES,
    is_teacher,
    loss_of,
    reads_unlabelled,
    scores,
    shorten,
)

from rnnbook import training
from rnnbook.data.streams import StreamBatches
from rnnbook.data.text import PAD, TextBatches
from rnnbook.interop import get_weights, read_safetensors, save_weights, set_weights


class Reading(NamedTuple):
    """What a language model is, and how it is trained."""

    embed_size: int = 512
    hidden_size: int = 1024
    num_layers: int = 2
    dropout: float = 0.3
    batch_size: int = 256
    steps: int = 64
    lr: float = 0.003
    epochs: int = 6


class Judging(NamedTuple):
    """What a classifier adds to that, and how it is trained."""

    pooling: str = "mean_max"
    dropout: float = 0.4
    word_dropout: float = 0.1
    max_length: int = 800
    batch_size: int = 64
    lr: float = 0.0005
    epochs: int = 4
    teacher: tuple = ()  # names of the runs whose mean probability labels the unlabelled reviews
    move: float = 0.0  # how far a review's vectors are moved against it; then unlabelled ones join


READING, JUDGING = Reading(), Judging()
SHORT = READING._replace(epochs=5)
TAUGHT = JUDGING._replace(dropout=0.3, epochs=2, teacher=(*READERS[:2], *WIDES, "ngrams"))
ADVERSARIAL = Judging(dropout=0.3, max_length=400, batch_size=256, lr=0.001, epochs=6, move=15.0)
SAMPLE_READING = READING._replace(embed_size=8, hidden_size=8, batch_size=4, steps=16, epochs=2)
WARM_UP = 100  # updates
START = 0.1  # the largest of the read-out's initial weights
DIRECTIONS = ("forward", "backward")
SEEDS = (0, 1, 2)
PROTOCOL = [
    "Runs whose model is language model: vocabulary, training and unlabelled reviews as for the "
    "word vectors; the read-out's weights start uniform between -0.1 and 0.1. The reviews follow "
    "each other in random order, <pad> before each, cut into batch_size streams that are read in "
    "pieces of so many steps, the state carried, the gradient cut. Cross entropy, Adam, gradient "
    f"norm at most 1; the learning rate rises over {WARM_UP} updates to lr and falls linearly to "
    "zero at the end of the last epoch. backward: each review is read from its end. val_nats: "
    "cross entropy in nats per token on the validation part's reviews, which choose the epoch.",
    "Runs whose model is pretrained: a classifier that starts from such a language model's vectors "
    "and recurrent layers, all trained on; <pad> before each review, mean and maximum of the last "
    "layer's states, one logit. The same 20,000 reviews to train on and 5,000 to choose the epoch "
    "by; binary cross entropy, Adam, the rate falls linearly from lr to zero, gradient norm at "
    "most 1. Seeds set the read-out's initial weights, the order and dropout; the language model "
    "is one for all seeds.",
    "taught: such a classifier, from a language model of its own that was trained for five epochs; "
    "the unlabelled reviews join the training part, as for the students, with the mean probability "
    "of the runs named. Nothing about these settings was chosen on any part. One seed only.",
    "adversarial: such a classifier with move, last 400 tokens. Chosen by validation accuracy and "
    "loss after two epochs, seed 11, forward: rate 0.001, batches of 128, move 15: 0.9178 and "
    "0.217; rate 0.001, batches of 256, move 5: 0.9174 and 0.229; rate 0.001, batches of 256, "
    "move 40: 0.9078 and 0.226; rate 0.0005, batches of 128, move 5: 0.9088 and 0.244. Then rate "
    "0.001, move 15 and batches of 256, which take half the time, for six epochs and all seeds; "
    "this combination itself was not tried. For these runs the two language models of six epochs "
    "were trained once more, with equal settings: the entries of these two are of that second "
    "time, while the runs named pretrained started from the first.",
    "Runs whose model is language model or pretrained train on a GPU, in bfloat16 "
    "(torch.autocast, weights and updates in float32), and are scored in float32.",
]


class Language(NamedTuple):
    """A language model of reviews, read in one direction."""

    direction: str
    settings: Reading = READING

    @property
    def name(self):
        return f"language-{self.direction}" + ("-short" if self.settings == SHORT else "")

    def train(self, data, checkpoint, epochs):
        """Train; keep the weights for the classifiers; return what goes into the results file."""
        import torch

        from rnnbook import pytorch

        settings = SAMPLE_READING if data.small else self.settings
        texts = data.ladder(checkpoint.parent)
        train, valid = (streams(texts, part, self.direction, settings) for part in PARTS)
        torch.manual_seed(0)
        names = ("embed_size", "hidden_size", "num_layers", "dropout")
        chosen = {name: getattr(settings, name) for name in names}
        model = pytorch.LanguageModel(len(texts.large_vocab), **chosen).to(data.device)
        torch.nn.init.uniform_(model.linear.weight, -START, START)
        runs.train_in_bfloat16(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
        updates = settings.epochs * sum(1 for _ in train.batches())
        runs.rise_and_fall(optimizer, settings.lr, updates, WARM_UP)
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, train, valid, optimizer=optimizer, epochs=settings.epochs, clip=1.0,
            checkpoint=checkpoint, progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        save_weights(model, kept(checkpoint.parent, texts.kind, self.name))
        return {
            "model": "language model",
            "direction": self.direction,
            "twin": "pytorch",
            "seed": 0,
            **settings._asdict(),
            "vocab_size": len(texts.large_vocab),
            "tokens": len(train),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "history": history.round(5).reset_index().to_dict("records"),
            "best_epoch": int(history["val_loss"].idxmin()),
            "val_nats": round(history["val_loss"].min(), 5),
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


class Pretrained(NamedTuple):
    """A classifier that starts from a language model."""

    direction: str
    seed: int
    settings: Judging = JUDGING

    @property
    def name(self):
        taught, moved = self.settings.teacher, self.settings.move
        kind = "adversarial" if moved else "taught" if taught else "pretrained"
        return f"{kind}-{self.direction}-seed{self.seed}"

    def train(self, data, checkpoint, epochs):
        """Train, choose, test; return what goes into the results file."""
        import torch

        from rnnbook import pytorch

        texts, settings = data.ladder(checkpoint.parent), self.settings
        parts = ("train", "valid", "test", *(["unsup"] if is_teacher(self.name) else []))
        batches = {part: reviews(texts, part, self.direction, settings) for part in parts}
        language = Language(self.direction, SHORT if settings.teacher else READING)
        weights, _ = read_safetensors(kept(texts.cache, texts.kind, language.name))
        reading = SAMPLE_READING if data.small else READING
        torch.manual_seed(self.seed)
        model = pytorch.SequenceClassifier(
            len(texts.large_vocab), reading.embed_size, reading.hidden_size, 1, "lstm",
            reading.num_layers, dropout=settings.dropout, pooling=settings.pooling,
            word_dropout=settings.word_dropout,
        )  # fmt: skip
        learned = {name: a for name, a in weights.items() if name.startswith(("embedding", "rnn"))}
        set_weights(model, get_weights(model) | learned)
        model.to(data.device)
        runs.train_in_bfloat16(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
        updates = settings.epochs * -(-len(batches["train"]) // settings.batch_size)
        runs.rise_and_fall(optimizer, settings.lr, updates)
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, batches["train"], batches["valid"], optimizer=optimizer,
            loss=loss_of(model, settings), epochs=min(settings.epochs, epochs),
            metric="accuracy", clip=1.0, checkpoint=checkpoint, seed=self.seed,
            progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        logits = {part: in_order(model, batches[part]) for part in parts[1:]}
        runs.keep_predictions(checkpoint.parent, self.name, texts.kind, logits)
        return {
            "model": "pretrained",
            "direction": self.direction,
            "language_model": language.name,
            "twin": "pytorch",
            "seed": self.seed,
            **settings._asdict(),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "history": history.round(6).reset_index().to_dict("records"),
            "best_epoch": int(history["val_accuracy"].idxmax()),
            **scores(texts, logits),
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


PARTS = (("train", "unsup"), ("valid",))
RUNS = [
    *(Language(direction) for direction in DIRECTIONS),
    *(Pretrained(direction, 0) for direction in DIRECTIONS),
    Language("forward", SHORT),
    Pretrained("forward", 0, TAUGHT),
    *(Pretrained(direction, seed, ADVERSARIAL) for seed in SEEDS for direction in DIRECTIONS),
]


def directed(texts, part, direction):
    """The reviews of one part as ids, in the direction of reading."""
    ids = texts.ids(part, texts.large_vocab)
    return ids if direction == "forward" else [review[::-1] for review in ids]


def streams(texts, parts, direction, settings):
    """The reviews of some parts one after the other, <pad> before each, as streams."""
    ids = [review for part in parts for review in directed(texts, part, direction)]
    order = np.random.default_rng(0).permutation(len(ids))
    joined = np.concatenate([piece for i in order for piece in ([PAD], ids[i])])
    return StreamBatches(joined, settings.batch_size, settings.steps)


def reviews(texts, part, direction, settings):
    """Batches of one part, the last ``max_length`` tokens of each review, <pad> before them."""
    ids = directed(texts, part, direction)
    labels = np.zeros(len(ids)) if part == "unsup" else texts.labels(part)
    if part == "train" and reads_unlabelled(settings):
        ids = ids + directed(texts, "unsup", direction)
        labels = np.concatenate([labels, texts.in_place_of_labels(settings)])
    keep = "tail" if direction == "forward" else "head"  # of a review that is read from its end
    cut = [
        np.concatenate([[PAD], shorten(review, settings.max_length, keep)]).astype(np.int64)
        for review in ids
    ]
    return TextBatches(cut, labels.astype(np.float32), settings.batch_size)


def in_order(model, batches):
    """Predict for all examples, those of like length together; return it in their own order."""
    order = np.argsort(batches.lengths, kind="stable")
    by_length = TextBatches([batches.sequences[i] for i in order], batches.labels[order], 128)
    logits = np.empty(len(order), np.float32)
    logits[order] = training.predict(model, by_length)
    return logits


def kept(cache, kind, name):
    """Where the weights of a language model stay for the classifiers."""
    return cache / f"{kind}-{name}-weights.safetensors"
