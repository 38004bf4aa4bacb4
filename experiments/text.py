"""Models of the characters of Tiny Shakespeare: the loss against the seconds that it took.

    OMP_NUM_THREADS=1 python experiments/text.py    all runs, one after the other
    python experiments/text.py --list               what is done, begun, waiting
    python experiments/text.py --only 'lstm-*'      some runs
    python experiments/text.py --sample             all of it, very small, on generated text

Finished runs stand in the results file and are skipped. A run that was interrupted goes on from
its last checkpoint. Run one such process at a time: they share the results file.
"""

import json
import sys
import time
from typing import NamedTuple

import numpy as np
import runs
import torch

from rnnbook import pytorch, scratch, training
from rnnbook.data import shakespeare
from rnnbook.data.characters import CharVocab, split
from rnnbook.data.streams import StreamBatches
from rnnbook.generate import generate
from rnnbook.interop import copy_weights, get_weights, save_weights

PROTOCOL = [
    "Data: Tiny Shakespeare (Karpathy, 2015), 1,115,394 characters, 65 different ones. The first "
    "90 % are trained on, the last 10 % are the validation part. As in the references, there is no "
    "test part: the epoch with the lowest validation loss is kept, and it is this loss that is "
    "reported.",
    "Training: the text is cut into batch_size streams that follow each other in it; each is read "
    "in pieces of so many steps, the state carried from piece to piece, the gradient cut between "
    "them. Every character but the first is predicted once an epoch. Adam, gradient norm at most "
    "1; the learning rate rises over the first 50 updates to lr, and falls linearly to zero at the "
    "end of the last epoch.",
    "val_loss: mean cross entropy in nats per character over the validation part, every character "
    "but the first predicted once. In the history, the part is read as 16 streams that start from "
    "an empty state each; nats, the result, is that of one stream from start to end.",
    "seconds: training and validation together; cpu_seconds: the same in processor time of one "
    "thread, which other jobs on the machine prolong less. The runs rnn, gru, lstm, transformer "
    "have as many epochs as take about 150 of these on the machine named; nothing else about "
    "them was chosen cell by cell, but for the learning rate of the rnn, 0.002, half the others'.",
    "transformer: a causal one in PyTorch, of the size that nanoGPT publishes for a CPU: 4 layers "
    "of 4 heads, width 128, context 64, batches of 12, no dropout, learning rate 0.001. An epoch "
    "is 200 updates on windows from random places. It is validated on windows of 64 that overlap "
    "by half, and scored on their second halves: every character is predicted once, from 33 to 64 "
    "characters, but for the first 32 of the part.",
    "scratch: the same model, in NumPy, from the same initial weights, trained in the same way.",
    "bfloat16: while training, matrix products and recurrent layers compute in bfloat16 "
    "(torch.autocast), weights and updates in float32. Results are those of float32.",
    "sample: 300 characters that the chosen weights write after a line break, temperature 0.8, "
    "seed 0.",
    "Seeds 0, 1, 2 set the initial weights, drawn by the twin from scratch, and dropout.",
]


class Settings(NamedTuple):
    """What a run may change."""

    cell: str = "lstm"
    twin: str = "pytorch"
    num_layers: int = 1
    embed_size: int = 64
    hidden_size: int = 256
    dropout: float = 0.0
    batch_size: int = 32
    steps: int = 64
    lr: float = 0.004
    updates: int = 200  # an epoch, of the transformer
    epochs: int = 6
    bfloat16: bool = False


LSTM = Settings()
KINDS = {
    "rnn": LSTM._replace(cell="rnn", lr=0.002, epochs=8),
    "gru": LSTM._replace(cell="gru", epochs=3),
    "lstm": LSTM,
    "scratch": LSTM._replace(twin="scratch"),
    "transformer": LSTM._replace(
        cell="transformer", num_layers=4, embed_size=128, hidden_size=512, batch_size=12, lr=0.001,
        epochs=6
    ),
    "large": LSTM._replace(
        num_layers=2, embed_size=128, hidden_size=384, dropout=0.4, batch_size=64, lr=0.003,
        epochs=24, bfloat16=True,
    ),
}  # fmt: skip
SEEDS = (0, 1, 2)
WARM_UP = 50  # updates
KEPT = "lstm-seed0"  # its weights are written beside the results
PROMPT, WRITTEN, TEMPERATURE = "\n", 300, 0.8


class Run(NamedTuple):
    """One training: a kind of model and a seed."""

    kind: str
    seed: int

    @property
    def name(self):
        return f"{self.kind}-seed{self.seed}"

    def train(self, data, checkpoint, shrink):
        """Train, choose; return what goes into the results file, and the model."""
        settings = shrink(KINDS[self.kind])
        train, valid, whole = parts(settings, data)
        model, optimizer = build(settings, len(data.vocab), self.seed)
        updates = settings.epochs * sum(1 for _ in train.batches(np.random.default_rng(0)))
        runs.rise_and_fall(optimizer, settings.lr, updates, WARM_UP)
        resumed, cpu = checkpoint.exists(), time.process_time()
        history = training.fit(
            model, train, valid, optimizer=optimizer, epochs=settings.epochs, clip=1.0,
            checkpoint=checkpoint, seed=self.seed, progress=sys.stdout.isatty(),
        )  # fmt: skip
        cpu = time.process_time() - cpu
        return model, {
            "model": type(model).__name__,
            "kind": self.kind,
            "seed": self.seed,
            **settings._asdict(),
            "vocab_size": len(data.vocab),
            "parameters": sum(array.size for array in get_weights(model).values()),
            "history": history.round(5).reset_index().to_dict("records"),
            "best_epoch": int(history["val_loss"].idxmin()),
            "nats": round(training.evaluate(model, whole)["loss"], 5),
            "sample": sample(model, data.vocab) if settings.cell != "transformer" else None,
            "seconds": round(history["seconds"].sum(), 1),
            "cpu_seconds": None if resumed else round(cpu, 1),
        }


RUNS = [
    *(Run(kind, seed) for kind in ("lstm", "gru", "rnn", "transformer") for seed in SEEDS),
    Run("scratch", 0),
    Run("large", 0),
]


class Data(NamedTuple):
    """The ids of both parts, and the characters they stand for."""

    vocab: CharVocab
    train: np.ndarray
    valid: np.ndarray
    name: str

    @classmethod
    def load(cls, sample):
        text = split(generated(2000)) if sample else shakespeare.load()
        vocab = CharVocab.build("".join(text))
        name = "generated sample, not real data" if sample else shakespeare.FILE.title
        return cls(vocab, *map(vocab.encode, text), name)


def generated(count):
    """Lines of a made-up language, for the sample."""
    rng = np.random.default_rng(0)
    words = ["to", "be", "or", "not", "that", "is", "the", "question"]
    lines = (" ".join(rng.choice(words, 6)) + "\n" for _ in range(count // 20))
    return "".join(lines)


def parts(settings, data):
    """What is trained on, what is validated after each epoch, and what scores the end."""
    if settings.cell == "transformer":
        valid = Overlapping(data.valid, settings.steps)
        train = Windows(data.train, settings.batch_size, settings.steps, settings.updates)
        return train, valid, valid
    train = StreamBatches(data.train, settings.batch_size, settings.steps)
    valid = StreamBatches(data.valid, 16, 256)
    return train, valid, StreamBatches(data.valid, 1, 1024)


class Windows(NamedTuple):
    """Windows of a text from random places."""

    ids: np.ndarray
    batch_size: int
    steps: int
    updates: int

    def __len__(self):
        return self.updates * self.batch_size

    def batches(self, rng):
        for _ in range(self.updates):
            starts = rng.integers(len(self.ids) - self.steps, size=self.batch_size)
            where = starts[:, None] + np.arange(self.steps)
            yield (self.ids[where],), self.ids[where + 1]


class Overlapping(NamedTuple):
    """Windows that overlap by half; the target of what the window before has scored is left out.

    The first half of the first window, which none has scored, is left out too.
    """

    ids: np.ndarray
    steps: int

    def __len__(self):
        return (len(self.ids) - 1) // (self.steps // 2) - 1

    def batches(self, rng=None):
        half = self.steps // 2
        for first in range(0, len(self), 64):
            starts = half * np.arange(first, min(first + 64, len(self)))
            where = starts[:, None] + np.arange(self.steps)
            yield (self.ids[where],), self.ids[where + 1][:, half:]


class Transformer(torch.nn.Module):
    """A small causal Transformer, for comparison: the logits of the next token at every step.

    In evaluation mode, those of the second half of the steps.
    """

    def __init__(self, vocab_size, width, feedforward, num_layers, steps, heads=4):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocab_size, width)
        self.position = torch.nn.Parameter(0.02 * torch.randn(steps, width))
        layer = torch.nn.TransformerEncoderLayer(
            width, heads, feedforward, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = torch.nn.TransformerEncoder(
            layer, num_layers, torch.nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.linear = torch.nn.Linear(width, vocab_size)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(steps)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, tokens):
        y = self.layers(self.embedding(tokens) + self.position, self.mask, is_causal=True)
        logits = self.linear(y)  # (N, T, V)
        return logits if self.training else logits[:, logits.shape[1] // 2 :]


def sample(model, vocab):
    """What a model writes."""
    drawn = generate(model, vocab, PROMPT, WRITTEN, TEMPERATURE)
    return "".join(character for character, _ in drawn)


def build(settings, vocab_size, seed):
    """Return ``(model, optimizer)``, from the weights that the twin from scratch draws."""
    if settings.cell == "transformer":
        torch.manual_seed(seed)
        sizes = settings.embed_size, settings.hidden_size, settings.num_layers, settings.steps
        model = Transformer(vocab_size, *sizes)
        return model, torch.optim.Adam(model.parameters(), lr=settings.lr)
    names = ("embed_size", "hidden_size", "cell", "num_layers", "dropout")
    arguments = {"vocab_size": vocab_size} | {name: getattr(settings, name) for name in names}
    model = scratch.LanguageModel(**arguments, rng=seed)
    if settings.twin == "scratch":
        return model, scratch.Adam(model.parameters(), lr=settings.lr)
    twin = pytorch.LanguageModel(**arguments)
    copy_weights(model, twin)
    if settings.bfloat16:
        runs.train_in_bfloat16(twin)
    return twin, pytorch.Adam(twin.parameters(), lr=settings.lr)


def keep(model, settings, vocab, path):
    """Write a model for the chapter: its weights, its arguments, its characters."""
    arguments = {name: settings[name] for name in ("embed_size", "hidden_size", "cell")}
    save_weights(model, path, {"arguments": json.dumps(arguments), "vocab": "".join(vocab.tokens)})


def main(argv=None):
    """Run what the command line asks for; return the number of runs that were trained."""

    def prepare(args):
        data = Data.load(args.sample)

        def shrink(settings):
            if not args.sample:
                return settings
            return settings._replace(
                embed_size=4, hidden_size=8, batch_size=4, updates=20, epochs=2
            )

        def train(run, checkpoint, done):
            model, result = run.train(data, checkpoint, shrink)
            if run.name == KEPT:
                beside = args.results or runs.ROOT / "book" / "results" / "text.json"
                folder = args.cache if args.sample else beside.parent
                keep(model, result, data.vocab, folder / "text-lstm.safetensors")
            return result | {"data": data.name}

        return train

    return runs.main("text", runs.parser(__doc__), RUNS, PROTOCOL, prepare, argv,
                     report=("nats", "best_epoch", "seconds"))  # fmt: skip


if __name__ == "__main__":
    main()
