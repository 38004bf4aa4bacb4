"""Film reviews and what their writers thought: the Large Movie Review Dataset (Maas et al., 2011).

A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng, C. Potts: *Learning Word Vectors for
Sentiment Analysis*, ACL 2011. The archive is read as a stream, and nothing is unpacked: of its
100,000 small files one compact file for each split stays in the user's cache.

Where the data cannot be had, :func:`sample` stands in: reviews from a small grammar of ours.
"""

import gzip
import hashlib
import os
import random
import re
import tarfile
import warnings
import zlib
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path, PurePosixPath

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rnnbook import expect
from rnnbook.data import fetch
from rnnbook.files import write_atomically

ARCHIVE = fetch.DataFile(
    name="imdb/aclImdb_v1.tar.gz",
    url="http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
    size=84_125_825,
    title="the Large Movie Review Dataset v1.0",
)
REAL = "Large Movie Review Dataset v1.0"
GENERATED = "generated sample, not real reviews"

_UNLABELLED = "aclImdb_unsup.tar.gz"  # some copies keep this part in an archive of its own
_FOLDERS = {
    "train": ("train/neg", "train/pos"),
    "test": ("test/neg", "test/pos"),
    "unsup": ("train/unsup",),
}
_COUNTS = {"neg": 12_500, "pos": 12_500, "unsup": 50_000}
_RATINGS = {"neg": range(1, 5), "pos": range(7, 11), "unsup": range(1)}
_FILE = re.compile(r"([0-9]{1,6})_([0-9]{1,2})\.txt")  # id_rating.txt
_MEMBER = re.compile(r"(?:\./)?aclImdb/(train/(?:neg|pos|unsup)|test/(?:neg|pos))/([^/]+)")
_MAX_REVIEW = 2**20  # bytes; the longest real one has 13,704
_MAX_UNPACKED = 2**29  # bytes; the official archive unpacks to about half of that
_FORMAT = "rnnbook.imdb 1"


@dataclass(frozen=True, eq=False, repr=False)
class Reviews:
    """Reviews with what their writers thought of the film.

    Attributes
    ----------
    texts : list of str
        N texts, as written; line breaks are ``<br />``.
    labels : array of int64, shape (N,)
        0 negative, 1 positive, -1 unlabelled.
    ratings : array of int64, shape (N,)
        Stars from 1 to 10 (negative: 1-4, positive: 7-10); 0 unlabelled.
    source : str
        Where the reviews come from: ``imdb.REAL`` or ``imdb.GENERATED``.

    Examples
    --------
    >>> reviews = sample(4)
    >>> reviews.take([0, 3]).labels.tolist(), reviews.source == GENERATED
    ([0, 1], True)
    """

    texts: list
    labels: np.ndarray
    ratings: np.ndarray
    source: str

    def __len__(self):
        return len(self.texts)

    def __repr__(self):
        return f"Reviews({len(self):,} reviews, {self.source})"

    def take(self, indices):
        """The reviews of the given indices, in their order.

        Parameters
        ----------
        indices : array of int, shape (M,)
            From 0 to N - 1.

        Returns
        -------
        Reviews
            M reviews.

        Raises
        ------
        ValueError
            An index is out of range, or ``indices`` is not one-dimensional.
        TypeError
            ``indices`` holds no integers.
        """
        indices = np.asarray(indices)
        expect.shape("indices", indices, ("M",))
        if indices.size == 0:
            indices = indices.astype(np.int64)
        expect.ids("indices", indices, len(self))
        return Reviews(
            [self.texts[i] for i in indices.tolist()],
            self.labels[indices],
            self.ratings[indices],
            self.source,
        )


def load(split="train", path=None):
    """Read one split of the real data: 25,000 reviews (12,500 of each label), or 50,000 unlabelled.

    The order is fixed: all negative reviews, then all positive ones, each by its number in the
    archive. Shuffle before you train on a part.

    Parameters
    ----------
    split : {"train", "test", "unsup"}
    path : str or Path, optional
        The archive, or the folder ``aclImdb`` that it unpacks to. Without it the archive is looked
        for as :func:`rnnbook.data.fetch.locate` says; the unlabelled reviews may also lie beside
        it, in ``aclImdb_unsup.tar.gz``.

    Returns
    -------
    Reviews

    Raises
    ------
    FileNotFoundError
        ``path`` does not exist.
    rnnbook.data.fetch.DataUnavailableError
        The data is not on this machine and cannot be downloaded.
    ValueError
        ``split`` is none of the three; or the archive or folder is damaged, incomplete, unsafe or
        something else. Then nothing of it is kept.

    Examples
    --------
    >>> train, test = load("train"), load("test")  # doctest: +SKIP
    >>> len(train.texts), train.ratings[:3]  # doctest: +SKIP
    (25000, array([3, 4, 3]))
    """
    expect.one_of("split", split, tuple(_FOLDERS))
    source = fetch.locate(ARCHIVE, path)
    if path is None and split == "unsup" and source.with_name(_UNLABELLED).is_file():
        source = source.with_name(_UNLABELLED)
    try:
        part = _from_folder(source, split) if source.is_dir() else _from_archive(source, split)
    except _DAMAGE as error:
        raise ValueError(
            f"{source} is not a usable copy of {ARCHIVE.title}: {error}. Nothing of it was kept. "
            f"Get it again from {ARCHIVE.url}"
        ) from error
    text, offsets, ratings = part
    blob = text.tobytes()
    texts = [blob[start:stop].decode() for start, stop in pairwise(offsets.tolist())]
    labels = np.where(ratings == 0, -1, ratings >= 7).astype(np.int64)
    return Reviews(texts, labels, ratings, REAL)


# What gzip, tarfile and the checks below raise on a damaged or hostile archive. Any other OSError
# is the machine's trouble (no permission, disk failure) and passes through as it is.
_DAMAGE = (ValueError, EOFError, RecursionError, zlib.error, gzip.BadGzipFile, tarfile.TarError)


def _from_archive(source, split):
    """The split's part, from the compact file if there is a sound one, else from the archive."""
    if not source.is_file():
        raise ValueError("it is neither a file nor a folder")
    with open(source, "rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()
        part = _read_compact(_compact_path(split, key), key)
        if part is not None:
            return part
        file.seek(0)
        folders = _read_archive(file)
    present = [s for s in _FOLDERS if any(folder in folders for folder in _FOLDERS[s])]
    if split not in present:
        raise ValueError(
            f"it holds no file such as aclImdb/{_FOLDERS[split][0]}/0_{_example_rating(split)}.txt"
        )
    parts = {s: _part(folders, s) for s in present}  # one pass serves all: keep every split
    try:
        for name, content in parts.items():
            _write_compact(_compact_path(name, key), key, content)
    except OSError as error:
        warnings.warn(
            f"The reviews could not be kept in {fetch.cache_folder()} ({error}), so they are read "
            f"from the archive each time",
            stacklevel=3,
        )
    return parts[split]


def _example_rating(split):
    return _RATINGS[_FOLDERS[split][0].split("/")[1]][0]


def _read_archive(file):
    """``{folder: {number: (rating, text as bytes)}}`` of a .tar.gz, read once, front to back."""
    folders = {}
    unpacked = _Bounded(gzip.GzipFile(fileobj=file))
    with tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for member in archive:
            _check_member(member)
            match = _MEMBER.fullmatch(member.name)
            if match is None or not member.isreg():
                continue
            if member.size > _MAX_REVIEW:
                raise ValueError(
                    f"{member.name!r} has {member.size:,} bytes, too many for a review"
                )
            content = archive.extractfile(member).read()
            _add(folders, *match.groups(), content)
    while unpacked.read(2**16):  # gzip's checksum stands at the very end
        pass
    return folders


class _Bounded:
    """A stream that stops a small archive from unpacking to more than memory holds."""

    def __init__(self, stream):
        self.stream = stream
        self.left = _MAX_UNPACKED

    def read(self, size):
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {_MAX_UNPACKED:,} bytes")
        return data


def _check_member(member):
    """Nothing is unpacked, so no member could do harm; but no honest archive holds such ones."""
    name = member.name
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise ValueError(f"{name!r} is a link, a device or another special file")
    if ".." in PurePosixPath(name).parts or re.match(r"/|[A-Za-z]:|.*\\", name):
        raise ValueError(f"{name!r} points outside the archive's own folder")
    if not 0 <= member.size <= _MAX_UNPACKED:
        raise ValueError(f"{name!r} claims to have {member.size:,} bytes")


def _from_folder(folder, split):
    """The split's part, from the unpacked tree (already fast, so no compact file is kept)."""
    root = folder / "aclImdb" if (folder / "aclImdb").is_dir() else folder
    folders = {}
    for name in _FOLDERS[split]:
        if not (root / name).is_dir():
            raise ValueError(f"it holds no folder {name}")
        for entry in os.scandir(root / name):
            if not _FILE.fullmatch(entry.name):
                continue
            if not entry.is_file() or entry.stat().st_size > _MAX_REVIEW:
                raise ValueError(f"{name}/{entry.name} is no file, or too long for a review")
            _add(folders, name, entry.name, Path(entry).read_bytes())
    return _part(folders, split)


def _add(folders, folder, file, content):
    match = _FILE.fullmatch(file)
    if match is None:
        return
    number, rating = map(int, match.groups())
    reviews = folders.setdefault(folder, {})
    if number in reviews:
        raise ValueError(f"{folder} holds review {number} twice")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{folder}/{file} is not UTF-8 text ({error})") from error
    reviews[number] = (rating, content)


def _part(folders, split):
    """One split as ``(text (B,) uint8, offsets (N+1,) int64, ratings (N,) int64)``, verified."""
    reviews = []
    for folder in _FOLDERS[split]:
        kind = folder.split("/")[1]
        found, count = folders.get(folder, {}), _COUNTS[kind]
        if sorted(found) != list(range(count)):
            missing = next((i for i in range(count) if i not in found), None)
            raise ValueError(
                f"{folder} holds {len(found):,} reviews: expected {count:,}, numbered from 0"
                + ("" if missing is None else f"; number {missing} is missing")
            )
        for number in range(count):
            rating, _ = found[number]
            if rating not in _RATINGS[kind]:
                allowed = _RATINGS[kind]
                raise ValueError(
                    f"{folder}/{number}_{rating}.txt has rating {rating}: "
                    f"expected {allowed[0]} to {allowed[-1]}"
                )
            reviews.append(found[number])
    text = np.frombuffer(b"".join(content for _, content in reviews), dtype=np.uint8)
    ends = accumulate((len(content) for _, content in reviews), initial=0)
    ratings = np.array([rating for rating, _ in reviews], dtype=np.int64)
    return text, np.fromiter(ends, dtype=np.int64), ratings


def _compact_path(split, key):
    return fetch.cache_folder() / "imdb" / f"{split}-{key[:16]}.safetensors"


def _read_compact(path, key):
    """The part kept in ``path``, or None where it is absent, damaged or of another archive."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            part = tuple(file.get_tensor(name) for name in ("text", "offsets", "ratings"))
    except (OSError, SafetensorError):
        return None
    return part if metadata == _metadata(key, part) else None


def _write_compact(path, key, part):
    tensors = dict(zip(("text", "offsets", "ratings"), part, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(tensors, metadata=_metadata(key, part)))


def _metadata(key, part):
    digest = hashlib.sha256()
    for array in part:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array)
    return {"format": _FORMAT, "archive": key, "content": digest.hexdigest()}


def split(reviews, fraction=0.2, seed=0):
    """Hold out a part for validation, with the same share of each label as in the whole.

    In the real data, train and test have no film in common, but the training part has up to 30
    reviews of one film. A random validation part therefore shares films (names of actors, of
    characters) with what is trained on: use it to choose between models and to stop training; as
    a promise for new films it is a little too kind. That is what the test part measures.

    Parameters
    ----------
    reviews : Reviews
        N reviews.
    fraction : float
        Share to hold out, between 0 and 1.
    seed : int

    Returns
    -------
    rest, held_out : Reviews
        Together all reviews, each in the original order.

    Raises
    ------
    ValueError
        ``fraction`` is not between 0 and 1, or leaves a part without reviews of some label.

    Examples
    --------
    >>> rest, held_out = split(sample(100), fraction=0.2)
    >>> len(rest.texts), len(held_out.texts), float(held_out.labels.mean())
    (80, 20, 0.5)
    """
    from sklearn.model_selection import train_test_split  # 1 s to import: only where it is used

    expect.positive("fraction", fraction)
    expect.probability("fraction", fraction)
    rest, held_out = train_test_split(
        np.arange(len(reviews)), test_size=fraction, stratify=reviews.labels, random_state=seed
    )
    for name, part in ("rest", rest), ("held-out part", held_out):
        if not set(reviews.labels) <= set(reviews.labels[part]):
            raise ValueError(
                f"fraction={fraction} leaves the {name} without reviews of some label: expected "
                f"both in each. Pass more reviews, or another fraction"
            )
    return reviews.take(np.sort(rest)), reviews.take(np.sort(held_out))


# The grammar of the generated reviews. {mine} is a word of the reviewer's own opinion, {theirs}
# one of the opposite: a review that praises says "good" and "not dull", one that blames says "dull"
# and "not good". So each word alone says little, and the words around it decide.
_GRAMMAR = {
    "sentence": ["{claim}", "{claim}", "{denial}", "{denial}", "{contrast}", "{verdict}"],
    "claim": [
        "The {part} was {degree}{mine}.",
        "I found the {part} {degree}{mine}.",
        "What a {mine} {film}!",
        "This is a {degree}{mine} {film}.",
        "{who} called the {part} {mine}, and I agree.",
    ],
    "denial": [
        "The {part} was not {theirs}.",
        "This is not a {theirs} {film}.",
        "I would never call the {part} {theirs}.",
        "There is nothing {theirs} about the {part}.",
        "{who} called the {part} {theirs}, but I disagree.",
    ],
    "contrast": [
        "The {part} was {theirs}, but the {other} was {degree}{mine}.",
        "Although the {part} was {theirs}, the {other} was {mine}.",
        "People say the {film} is {theirs}, yet to me it was {degree}{mine}.",
        "It could have been {theirs}, but in the end it was {mine}.",
        "The {part} was {mine}, even if the {other} was {theirs}.",
    ],
    "aside": [
        "I saw it {when} with {who_low}.",
        "It runs for about {minutes} minutes.",
        "The story takes place in {place}.",
        "It was shown {when} in {place}.",
        "{who} chose the {film}, not me.",
    ],
    "part": ["acting", "plot", "script", "music", "ending", "dialogue", "camera work", "pace"],
    "other": ["humour", "lighting", "opening", "final scene", "leading actor", "sound", "mood"],
    "film": ["film", "movie", "picture"],
    "degree": ["", "", "", "very ", "really ", "rather ", "so "],
    "who": ["My sister", "A friend", "My neighbour", "One critic", "My father", "A colleague"],
    "who_low": ["my sister", "a friend", "my neighbour", "two colleagues", "my father"],
    "when": ["last night", "on Friday", "on a long flight", "years ago", "on a rainy day"],
    "minutes": ["80", "90", "100", "110", "120", "135", "150"],
    "place": ["Paris", "a small town", "Madrid", "the mountains", "New York", "a village", "Rome"],
}
_OPINIONS = {
    1: {
        "mine": ["good", "great", "wonderful", "funny", "clever", "moving", "fresh", "lovely"],
        "verdict": [
            "I would watch it again.",
            "You should see it.",
            "It was not a waste of time.",
            "I was not bored for a minute.",
            "Do not miss it.",
        ],
    },
    0: {
        "mine": ["bad", "dull", "weak", "boring", "clumsy", "tired", "flat", "awful"],
        "verdict": [
            "I would not watch it again.",
            "You should not see it.",
            "It was a waste of time.",
            "I was bored every minute.",
            "Miss it.",
        ],
    },
}


def sample(n=400, seed=0):
    """Reviews from a small grammar of ours: praise and blame, with negation and contrast.

    They stand in where the real data cannot be had, and say so in ``source``. Scores on them say
    nothing about real reviews. Half are negative, half positive, in the order of :func:`load`;
    each has 1 to 6 sentences, and no two are equal.

    Parameters
    ----------
    n : int
        Number of reviews.
    seed : int

    Returns
    -------
    Reviews

    Raises
    ------
    ValueError
        ``n`` is not positive.

    Examples
    --------
    >>> reviews = sample(6)
    >>> len(reviews.texts), reviews.labels.tolist()
    (6, [0, 0, 0, 1, 1, 1])
    """
    expect.sizes(n=n)
    return _generate(n, seed, taken=set())


def load_or_sample(path=None):
    """The real training and test parts, or two generated samples where the data cannot be had.

    Prints one line where it hands out samples, and nothing otherwise. The samples share no text.

    Parameters
    ----------
    path : str or Path, optional
        As for :func:`load`.

    Returns
    -------
    train, test : Reviews

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load`: a copy that is there but unusable is never replaced silently.

    Examples
    --------
    >>> train, test = load_or_sample()  # doctest: +SKIP
    >>> train.source == REAL  # doctest: +SKIP
    True
    """
    try:
        return load("train", path), load("test", path)
    except fetch.DataUnavailableError:
        train = sample(2_000, seed=0)
        test = _generate(1_000, seed=1, taken=set(train.texts))
        print(
            f"The IMDB reviews cannot be had here, so {len(train):,} + {len(test):,} reviews "
            f"generated by a small grammar stand in: the numbers below are not about real reviews."
        )
        return train, test


def _generate(n, seed, taken):
    """``n`` reviews, none of them in the set ``taken`` and no two equal."""
    rng = random.Random(seed)
    reviews = []
    for label in sorted(i % 2 for i in range(n)):
        text, rating = _review(label, rng)
        while text in taken:
            text, rating = _review(label, rng)
        taken.add(text)
        reviews.append((text, label, rating))
    texts, labels, ratings = zip(*reviews, strict=True)
    return Reviews(list(texts), np.array(labels, np.int64), np.array(ratings, np.int64), GENERATED)


def _review(label, rng):
    """One review: ``(text, rating)``. Strong words give the extreme ratings."""
    rules = _GRAMMAR | _OPINIONS[label] | {"theirs": _OPINIONS[1 - label]["mine"]}

    def expand(text):
        return re.sub(r"\{(\w+)\}", lambda match: expand(rng.choice(rules[match[1]])), text)

    sentences = [expand("{sentence}")]
    for _ in range(rng.randint(0, 5)):
        sentence = expand(rng.choice(["{sentence}", "{sentence}", "{aside}"]))
        if sentence not in sentences:
            sentences.append(sentence)
    rng.shuffle(sentences)
    text = " ".join(sentences)
    strong = "very " in text or "really " in text
    extreme, mild = ((1, 2), (3, 4)) if label == 0 else ((9, 10), (7, 8))
    return text, rng.choice(extreme if strong else mild)
