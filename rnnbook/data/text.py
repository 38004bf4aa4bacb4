"""From text to padded batches: tokens, a vocabulary, and batches of similar length."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from reprlib import repr as short
from typing import ClassVar

import numpy as np

from rnnbook import expect
from rnnbook.files import write_atomically

PAD, UNK = 0, 1
SPECIALS = ("<pad>", "<unk>")
# What a saved model was trained behind. Raise the version when tokenize cuts any text differently.
TOKENIZER = {"name": "rnnbook.data.text.tokenize", "version": 1}

_BREAK = re.compile(r"<br\s*/?>")
# A number with a point or comma inside; a Chinese character; a word; a punctuation mark.
_TOKEN = re.compile(
    r"\d+(?:[.,]\d+)+|[\u4e00-\u9fff]"
    r"|[^\W_\u4e00-\u9fff]+(?:'[^\W_\u4e00-\u9fff]+)*|[.,!?。，！？]"
)


def tokenize(text):
    """Cut ``text`` into lower-case words, numbers and punctuation marks.

    A word keeps its apostrophes (``don't``), a number its point (``3.5``), a Chinese character is
    a token of its own, and so is each of ``. , ! ?``. Line breaks of HTML and everything else
    separate tokens.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Empty where the text holds no token.

    Examples
    --------
    >>> tokenize("Don't miss it!<br />9.5 of 10, really.")
    ["don't", 'miss', 'it', '!', '9.5', 'of', '10', ',', 'really', '.']
    """
    return _TOKEN.findall(_BREAK.sub(" ", text.lower().replace("’", "'")))


def list_texts(texts, name="texts"):
    """Return ``texts`` as a list, once each is known to be a str.

    Parameters
    ----------
    texts : list, array or Series of str
    name : str
        What messages call them.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        ``texts`` is a single string, is no list, or holds something else than a str: at which
        index.

    Examples
    --------
    >>> list_texts("one text")
    Traceback (most recent call last):
        ...
    TypeError: texts='one text': expected a list of str. Put one text in a list
    """
    expect.listed(name, texts, "str. Put one text in a list")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{i}]={short(text)}: expected a str. Leave it out, or write ''")
    return texts


class Tokens:
    """What every vocabulary is: a list of tokens, each with its id, and a file that holds it.

    Abstract. A subclass names its ``format`` and the ``noun`` for one token, and checks the tokens
    before they are handed over.

    Parameters
    ----------
    tokens : list of str
        All different.

    Raises
    ------
    ValueError
        A token comes twice.

    Examples
    --------
    >>> vocab = Vocab(["<pad>", "<unk>", "film"])
    >>> len(vocab), "film" in vocab, vocab
    (3, True, Vocab(3 tokens))
    """

    format: ClassVar[str]
    noun: ClassVar[str] = "token"

    def __init__(self, tokens):
        self.tokens = tokens
        self._ids = {token: i for i, token in enumerate(tokens)}
        if len(self._ids) < len(tokens):
            twice = next(t for i, t in enumerate(tokens) if self._ids[t] != i)
            raise ValueError(f"tokens names {twice!r} twice: expected each {self.noun} once")

    def __len__(self):
        return len(self.tokens)

    def __contains__(self, token):
        return token in self._ids

    def __eq__(self, other):
        return type(other) is type(self) and self.tokens == other.tokens

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} {self.noun}s)"

    def save(self, path):
        """Write the vocabulary to ``path`` as JSON, whole or not at all.

        Raises
        ------
        OSError
            The file cannot be written; an older one is untouched.
        """
        content = json.dumps({"format": self.format, "version": 1, "tokens": self.tokens})
        write_atomically(path, content.encode())

    @classmethod
    def load(cls, path):
        """Read a vocabulary that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is something else, or damaged.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("format") != cls.format:
                raise ValueError("it is some other JSON file")
            if content.get("version") != 1:
                raise ValueError(f"version {content.get('version')!r} is unknown, 1 expected")
            tokens = content.get("tokens")
            if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
                raise ValueError("its tokens are not a list of strings")
            return cls(tokens)
        except ValueError as error:  # so are errors of JSON and of UTF-8
            raise ValueError(
                f"path={str(path)!r} is not a vocabulary that {cls.__name__}.save wrote: {error}"
            ) from error


class Vocab(Tokens):
    """The tokens a model knows, each with its id: its place in the list.

    Parameters
    ----------
    tokens : list of str
        All different; the first two are ``"<pad>"`` (id 0, padding) and ``"<unk>"`` (id 1, every
        token that is not in the list).

    Attributes
    ----------
    tokens : list of str
        ``tokens[i]`` is the token of id ``i``.

    Raises
    ------
    ValueError
        The list does not start with the two specials, or names a token twice.

    Examples
    --------
    >>> vocab = Vocab.build(["a bad film", "a good film"], max_size=6)
    >>> vocab.tokens
    ['<pad>', '<unk>', 'a', 'film', 'bad', 'good']
    >>> vocab.encode("a good book").tolist(), vocab.decode([2, 5, 1, 0])
    ([2, 5, 1], 'a good <unk>')
    """

    format = "rnnbook.Vocab"

    def __init__(self, tokens):
        tokens = list(tokens)
        if tuple(tokens[:2]) != SPECIALS:
            raise ValueError(f"tokens starts with {tokens[:2]}: expected {list(SPECIALS)}")
        super().__init__(tokens)

    @classmethod
    def build(cls, texts, max_size, min_count=1):
        """Take the most frequent tokens of ``texts``; among equals, in alphabetical order.

        Parameters
        ----------
        texts : list of str, or list of lists of str
            Texts, or texts already cut into tokens. Only training texts: the vocabulary is learned.
        max_size : int
            Size of the vocabulary at most, the two specials included.
        min_count : int
            Leave out tokens that are rarer than this.

        Returns
        -------
        Vocab

        Raises
        ------
        ValueError
            ``max_size`` is below 3, or ``min_count`` below 1.
        TypeError
            ``texts`` is a single string.
        """
        expect.sizes(max_size=max_size, min_count=min_count)
        if max_size <= len(SPECIALS):
            raise ValueError(
                f"max_size={max_size}: expected at least 3, since {SPECIALS[0]} and "
                f"{SPECIALS[1]} count as well"
            )
        if isinstance(texts, str):
            raise TypeError(f"texts={texts[:40]!r}: expected a list of texts, not one string")
        counts = Counter()
        for text in texts:
            counts.update(_tokens(text))
        for special in SPECIALS:
            del counts[special]
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        known = [token for token, count in ranked if count >= min_count]
        return cls([*SPECIALS, *known[: max_size - len(SPECIALS)]])

    def encode(self, text, max_length=None, truncate="head"):
        """Turn a text into the ids of its tokens.

        Parameters
        ----------
        text : str or list of str
            A text, or its tokens.
        max_length : int, optional
            Number of ids at most; ``None`` keeps all.
        truncate : {"head", "tail", "both"}
            What is kept of a longer text: its first tokens, its last ones, or its first and last
            halves (of an odd ``max_length`` the first half is the larger).

        Returns
        -------
        array of int64, shape (T,)
            T >= 1: a text without any token becomes one ``<unk>``.

        Raises
        ------
        ValueError
            ``max_length`` is not positive, or ``truncate`` is none of the three.
        """
        expect.one_of("truncate", truncate, ("head", "tail", "both"))
        tokens = _tokens(text)
        if max_length is not None:
            expect.sizes(max_length=max_length)
            if len(tokens) > max_length:
                last = {"head": 0, "tail": max_length, "both": max_length // 2}[truncate]
                tokens = tokens[: max_length - last] + tokens[len(tokens) - last :]
        ids = [self._ids.get(token, UNK) for token in tokens]
        return np.array(ids or [UNK], dtype=np.int64)

    def decode(self, ids):
        """Turn ids back into a text: the tokens with spaces between them, padding left out.

        Parameters
        ----------
        ids : array of int, shape (T,)

        Returns
        -------
        str

        Raises
        ------
        ValueError
            An id is negative or not below ``len(vocab)``.
        """
        ids = np.asarray(ids)
        if ids.size == 0:
            return ""
        expect.ids("ids", ids, len(self))
        return " ".join(self.tokens[i] for i in ids.tolist() if i != PAD)


def _tokens(text):
    return tokenize(text) if isinstance(text, str) else list(text)


class TextBatches:
    """Padded batches of token ids, as :func:`rnnbook.training.fit` reads them.

    Parameters
    ----------
    sequences : list of arrays of int, each of shape (T_i,)
        One array of ids for each example, T_i >= 1.
    labels : array, shape (N,) or (N, ...)
        One label for each example; its dtype is kept (int64 for classes, float32 for one logit).
    batch_size : int
        Examples in a batch; the last batch may hold fewer, and none is left out.
    bucket : bool
        Put examples of similar length into the same batch, where the order is shuffled: less
        padding, so less work.

    Raises
    ------
    ValueError
        A sequence is empty or not one-dimensional, an id is negative, or ``labels`` has another
        length than ``sequences``.
    TypeError
        A sequence does not hold integers, or ``labels`` no numbers.

    Examples
    --------
    >>> ids = [np.array([4, 7, 2]), np.array([9])]
    >>> data = TextBatches(ids, labels=np.array([1, 0]), batch_size=2)
    >>> (tokens, lengths), labels = next(iter(data.batches()))
    >>> tokens.tolist(), lengths.tolist(), labels.tolist()
    ([[4, 7, 2], [9, 0, 0]], [3, 1], [1, 0])
    """

    POOL = 50  # batches that are shuffled together, then sorted by length

    def __init__(self, sequences, labels, batch_size=32, bucket=True):
        expect.sizes(batch_size=batch_size)
        self.batch_size = batch_size
        self.bucket = bucket
        self.labels = np.asarray(labels)
        if self.labels.ndim == 0 or len(self.labels) != len(sequences):
            raise ValueError(
                f"labels has shape {self.labels.shape}: expected {len(sequences)} labels, "
                f"one for each of the sequences"
            )
        if len(sequences) == 0:
            raise ValueError("sequences is empty: expected at least one sequence")
        if self.labels.dtype.kind not in "iuf":
            raise TypeError(f"labels has dtype {self.labels.dtype}: expected integers or floats")
        self.sequences = [_ids(i, sequence) for i, sequence in enumerate(sequences)]
        self.lengths = np.array([len(s) for s in self.sequences], dtype=np.int64)

    def __len__(self):
        return len(self.sequences)

    def batches(self, rng=None):
        """Yield ``((tokens, lengths), labels)`` for one pass over the examples.

        Parameters
        ----------
        rng : numpy.random.Generator, optional
            Shuffles. ``None`` keeps the order of the examples, so that predictions can be matched
            to them.

        Yields
        ------
        tokens : array of int64, shape (N, T)
            Padded at the end with 0 to the longest of the batch.
        lengths : array of int64, shape (N,)
        labels : array, shape (N, ...)
        """
        for chosen in self._order(rng):
            lengths = self.lengths[chosen]
            tokens = np.full((len(chosen), lengths.max()), PAD, dtype=np.int64)  # (N, T)
            filled = np.arange(tokens.shape[1]) < lengths[:, None]  # (N, T)
            tokens[filled] = np.concatenate([self.sequences[i] for i in chosen])
            yield (tokens, lengths), self.labels[chosen]

    def padding_share(self, rng=None):
        """The share of padding among all positions of ``batches(rng)``, from 0 to 1."""
        padded = sum(len(chosen) * self.lengths[chosen].max() for chosen in self._order(rng))
        return 1 - float(self.lengths.sum() / padded)

    def _order(self, rng):
        """The indices of the examples, cut into batches."""
        if rng is None:
            return _cut(np.arange(len(self)), self.batch_size)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng={rng!r}: expected a numpy Generator (np.random.default_rng(0))")
        order = rng.permutation(len(self))
        if not self.bucket:
            return _cut(order, self.batch_size)
        pools = _cut(order, self.POOL * self.batch_size)
        by_length = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
        batches = [batch for pool in by_length for batch in _cut(pool, self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]


def _cut(order, size):
    """Consecutive parts of ``order``, each of ``size`` but the last."""
    bounds = [*range(0, len(order), size), len(order)]
    return [order[start:stop] for start, stop in pairwise(bounds)]


def _ids(index, sequence):
    ids = np.asarray(sequence)
    if ids.ndim != 1 or ids.size == 0:
        raise ValueError(
            f"sequences[{index}] has shape {ids.shape}: expected (T,) with T >= 1. Leave the "
            f"example out, or stand in one <unk> (1) as Vocab.encode does"
        )
    if ids.dtype.kind not in "iu":
        raise TypeError(f"sequences[{index}] has dtype {ids.dtype}: expected integers")
    if ids.min() < 0:
        raise ValueError(f"sequences[{index}] contains {ids.min()}: expected ids of at least 0")
    return ids.astype(np.int64, copy=False)
