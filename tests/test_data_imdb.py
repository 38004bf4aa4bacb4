"""The film reviews: tiny archives made here, hostile ones, the real files, the generated sample."""

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from rnnbook.data import fetch, imdb
from rnnbook.data.text import tokenize

COUNTS = {"neg": 12, "pos": 12, "unsup": 5}


def tree():
    """A tiny data set in the shape of the real one: ``{member name: content}``."""
    files = {"aclImdb/README": b"read me", "aclImdb/imdb.vocab": b"the\na\n"}
    for part in ("train", "test"):
        for i in range(COUNTS["neg"]):
            files[f"aclImdb/{part}/neg/{i}_{1 + i % 4}.txt"] = f"{part} dull {i}<br />é".encode()
        for i in range(COUNTS["pos"]):
            files[f"aclImdb/{part}/pos/{i}_{7 + i % 4}.txt"] = f"{part} good {i} 很好".encode()
    for i in range(COUNTS["unsup"]):
        files[f"aclImdb/train/unsup/{i}_0.txt"] = f"some film {i}".encode()
    return files


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def tar_bytes(files, extra=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            archive.addfile(*member(name, content))
        for info, content in extra:
            archive.addfile(info, content)
    return buffer.getvalue()


def write_archive(path, files, extra=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(tar_bytes(files, extra), compresslevel=1))
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(fetch, "cache_folder", lambda: folder)
    monkeypatch.setattr(imdb, "_COUNTS", COUNTS)
    monkeypatch.delenv("RNNBOOK_DATA", raising=False)
    monkeypatch.setenv("RNNBOOK_OFFLINE", "1")
    return folder


@pytest.fixture
def archive(cache, tmp_path):
    return write_archive(tmp_path / "own" / "reviews.tar.gz", tree())


def kept(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


def assert_equal(a, b):
    assert a.texts == b.texts
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.ratings, b.ratings)
    assert a.labels.dtype == b.labels.dtype == a.ratings.dtype == b.ratings.dtype == np.int64


@pytest.mark.parametrize("part", ["train", "test"])
def test_labelled_reviews_come_negative_first_then_by_number(archive, part):
    reviews = imdb.load(part, archive)
    assert len(reviews) == 24
    assert reviews.texts[0] == f"{part} dull 0<br />é"
    assert reviews.texts[2] == f"{part} dull 2<br />é"  # not "10", as names would sort
    assert reviews.texts[23] == f"{part} good 11 很好"
    np.testing.assert_array_equal(reviews.labels, [0] * 12 + [1] * 12)
    np.testing.assert_array_equal(reviews.ratings, [1, 2, 3, 4] * 3 + [7, 8, 9, 10] * 3)
    assert reviews.labels.dtype == reviews.ratings.dtype == np.int64
    assert reviews.source == imdb.REAL


def test_unlabelled_reviews_are_marked_as_such(archive):
    reviews = imdb.load("unsup", archive)
    assert reviews.texts == [f"some film {i}" for i in range(5)]
    assert set(reviews.labels) == {-1}
    assert set(reviews.ratings) == {0}


def test_the_order_in_the_archive_does_not_matter(archive, tmp_path):
    files = dict(reversed(tree().items()))
    other = write_archive(tmp_path / "other.tar.gz", files)
    assert_equal(imdb.load("train", archive), imdb.load("train", other))


@pytest.mark.parametrize("part", ["train", "test", "unsup"])
def test_an_unpacked_folder_holds_the_same_reviews(archive, part, tmp_path):
    for name, content in tree().items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    expected = imdb.load(part, archive)
    assert_equal(imdb.load(part, tmp_path / "unpacked" / "aclImdb"), expected)
    assert_equal(imdb.load(part, tmp_path / "unpacked"), expected)


def test_an_incomplete_folder_is_refused(cache, tmp_path):
    for kind in ("neg", "pos"):
        (tmp_path / "aclImdb" / "train" / kind).mkdir(parents=True)
    with pytest.raises(ValueError, match="train/neg holds 0 reviews: expected 12"):
        imdb.load("train", tmp_path)
    with pytest.raises(ValueError, match="holds no folder test/neg"):
        imdb.load("test", tmp_path)


def test_one_pass_keeps_every_split_and_the_second_load_reads_no_archive(
    archive, cache, monkeypatch
):
    first = imdb.load("train", archive)
    assert [name.split("-")[0] for name in kept(cache)] == ["test", "train", "unsup"]

    def unread(*args):
        raise AssertionError("the archive was read again")

    monkeypatch.setattr(imdb, "_read_archive", unread)
    assert_equal(imdb.load("train", archive), first)
    assert len(imdb.load("test", archive)) == 24


def test_another_archive_of_the_same_name_is_not_confused_with_it(archive, cache):
    imdb.load("train", archive)
    status = archive.stat()
    files = tree()
    files["aclImdb/train/neg/0_1.txt"] = b"train DULL 0<br />\xc3\xa9"
    write_archive(archive, files)
    os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert imdb.load("train", archive).texts[0] == "train DULL 0<br />é"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other", "swapped"])
def test_a_damaged_compact_file_is_rebuilt(archive, cache, damage):
    good = imdb.load("train", archive)
    (compact,) = cache.rglob("train-*")
    content = bytearray(compact.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "cut":
        del content[-7:]
    elif damage == "empty":
        content.clear()
    elif damage == "other":
        content[:] = b"not safetensors at all"
    else:
        (test,) = cache.rglob("test-*")
        files = tree()
        files["aclImdb/train/neg/0_1.txt"] = b"of another archive"
        imdb.load("train", write_archive(archive.with_name("b.tar.gz"), files))
        (other,) = set(cache.rglob("train-*")) - {compact}
        content[:] = other.read_bytes()
    compact.write_bytes(content)
    assert_equal(imdb.load("train", archive), good)
    key = imdb.hashlib.sha256(archive.read_bytes()).hexdigest()
    assert imdb._read_compact(compact, key) is not None


def test_without_a_writable_cache_the_reviews_load_with_a_warning(archive, cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="could not be kept"):
        assert len(imdb.load("train", archive)) == 24


def test_two_processes_may_build_the_cache_at_once(archive, cache):
    script = f"""
from pathlib import Path
from rnnbook.data import fetch, imdb
imdb._COUNTS = {COUNTS}
fetch.cache_folder = lambda: Path({str(cache)!r})
for _ in range(20):
    for compact in Path({str(cache)!r}).rglob("t*-*"):
        compact.unlink(missing_ok=True)
    assert len(imdb.load("train", {str(archive)!r})) == 24
"""
    command = [sys.executable, "-W", "error", "-c", script]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    imdb.load("train", archive)
    assert len(kept(cache)) == 3  # no temporary file is left


# --- refused archives ---------------------------------------------------------------------------


def refused(path, cache, part="train"):
    """The message with which the archive is refused, after a look at the cache."""
    with pytest.raises(ValueError) as caught:
        imdb.load(part, path)
    assert str(path) in str(caught.value)
    assert kept(cache) == []
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused_and_leaves_no_cache(archive, cache, share):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    refused(archive, cache)


def test_an_archive_without_its_last_bytes_is_refused(archive, cache):
    archive.write_bytes(archive.read_bytes()[:-4])
    refused(archive, cache)


def test_a_flipped_bit_is_found_by_the_checksum(archive, cache):
    content = gzip.compress(tar_bytes(tree()), compresslevel=0)  # stored: the bit reaches the text
    place = content.index(b"train good 3")
    archive.write_bytes(content[:place] + b"T" + content[place + 1 :])
    assert "CRC" in refused(archive, cache)


@pytest.mark.parametrize("content", [b"<html>Not found</html>", b"PK\x03\x04", b"\x1f\x8b\x08\x00"])
def test_another_kind_of_file_is_refused(archive, cache, content):
    archive.write_bytes(content)
    refused(archive, cache)


def test_a_gzip_file_that_is_no_tar_is_refused(archive, cache):
    archive.write_bytes(gzip.compress(b"some text " * 1000))
    refused(archive, cache)


def test_some_other_tar_is_refused_with_what_was_expected(archive, cache):
    write_archive(archive, {"photos/cat.jpg": b"cat"})
    assert "aclImdb/train/neg/0_1.txt" in refused(archive, cache)


def test_an_archive_without_the_unlabelled_part_says_so(archive, cache):
    files = {name: content for name, content in tree().items() if "unsup" not in name}
    write_archive(archive, files)
    assert "aclImdb/train/unsup/0_0.txt" in refused(archive, cache, "unsup")
    assert len(imdb.load("train", archive)) == 24


HOSTILE = {
    "absolute name": member("/etc/passwd", b"x"),
    "parent folder": member("aclImdb/../../evil.txt", b"x"),
    "parent at the start": member("../evil.txt", b"x"),
    "Windows drive": member("C:evil.txt", b"x"),
    "backslash": member("aclImdb\\..\\evil.txt", b"x"),
    "symbolic link": member("aclImdb/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "symbolic link as review": member(
        "aclImdb/train/pos/99_9.txt", type=tarfile.SYMTYPE, linkname="/etc/passwd"
    ),
    "hard link": member("aclImdb/hard", type=tarfile.LNKTYPE, linkname="aclImdb/README"),
    "character device": member("aclImdb/dev", type=tarfile.CHRTYPE),
    "block device": member("aclImdb/dev", type=tarfile.BLKTYPE),
    "pipe": member("aclImdb/pipe", type=tarfile.FIFOTYPE),
    "review of another number": member("aclImdb/train/pos/99_9.txt", b"one too many"),
    "review twice": member("aclImdb/train/pos/0_7.txt", b"again"),
    "review with two ratings": member("aclImdb/train/pos/0_9.txt", b"again"),
    "not text": member("aclImdb/test/pos/12_9.txt", b"\xff\xfe"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_is_refused_by_name(archive, cache, tmp_path, what):
    before = sorted(tmp_path.parent.iterdir())
    write_archive(archive, tree(), [HOSTILE[what]])
    message = refused(archive, cache)
    review = re.search(r"(\w+)/(\d+)_", HOSTILE[what][0].name)
    named = review[1] if review else HOSTILE[what][0].name.replace("\\", "\\\\")
    assert named in message
    assert sorted(tmp_path.parent.iterdir()) == before


def test_a_file_too_long_for_a_review_is_refused(archive, cache):
    files = tree()
    files["aclImdb/train/pos/0_7.txt"] = bytes(2**20 + 1)
    write_archive(archive, files)
    assert "too many for a review" in refused(archive, cache)


@pytest.mark.parametrize("size", [2**33 - 1, 2**40, -512, -1024])
def test_a_member_that_claims_an_absurd_size_is_refused(archive, cache, size):
    header = tarfile.TarInfo("aclImdb/big.bin")
    header.size = size
    claim = header.tobuf(tarfile.GNU_FORMAT)
    archive.write_bytes(gzip.compress(claim + tar_bytes(tree())))
    refused(archive, cache)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_small_archive_that_unpacks_without_end_is_refused(archive, cache, monkeypatch, kind):
    monkeypatch.setattr(imdb, "_MAX_UNPACKED", 2**20)
    header = tarfile.TarInfo("long")
    header.size, header.type = 2**22, kind
    archive.write_bytes(gzip.compress(header.tobuf() + bytes(2**22)))
    assert "unpacks to more than" in refused(archive, cache)
    write_archive(archive, tree(), [member(f"aclImdb/{i}", bytes(2**19)) for i in range(4)])
    assert "unpacks to more than" in refused(archive, cache)


def test_a_long_chain_of_headers_is_refused(archive, cache):
    header = tarfile.TarInfo("x")
    header.size, header.type = 5, tarfile.GNUTYPE_LONGNAME
    link = header.tobuf() + b"name\0".ljust(512, b"\0")
    archive.write_bytes(gzip.compress(link * 5000))
    refused(archive, cache)


@pytest.mark.parametrize(
    ("gone", "new", "message"),
    [
        ("train/neg/7_4.txt", None, "train/neg holds 11 reviews: expected 12.*number 7 is missing"),
        ("test/pos/0_7.txt", None, "test/pos holds 11 reviews"),
        ("train/unsup/4_0.txt", None, "train/unsup holds 4 reviews: expected 5"),
        ("train/neg/7_4.txt", "train/neg/7_5.txt", "7_5.txt has rating 5: expected 1 to 4"),
        ("train/neg/7_4.txt", "train/neg/7_0.txt", "rating 0"),
        ("train/pos/0_7.txt", "train/pos/0_6.txt", "rating 6: expected 7 to 10"),
        ("train/pos/0_7.txt", "train/pos/0_11.txt", "rating 11"),
        ("train/unsup/4_0.txt", "train/unsup/4_1.txt", "rating 1: expected 0 to 0"),
    ],
)
def test_missing_reviews_and_impossible_ratings_are_refused(archive, cache, gone, new, message):
    files = tree()
    content = files.pop(f"aclImdb/{gone}")
    if new is not None:
        files[f"aclImdb/{new}"] = content
    write_archive(archive, files)
    assert re.search(message, refused(archive, cache))


def test_random_damage_gives_the_right_reviews_or_a_refusal(archive, cache, tmp_path):
    expected = imdb.load("train", archive)
    intact = tar_bytes({name: text for name, text in tree().items() if "/unsup/" not in name})
    rng = np.random.default_rng(0)
    for i in range(300):
        content = bytearray(intact)
        header = 512 * int(rng.integers(len(content) // 512))
        for place in header + rng.integers(0, 300, size=rng.integers(1, 4)):
            content[place % len(content)] = rng.integers(256)
        path = tmp_path / f"damaged{i}.tar.gz"
        path.write_bytes(gzip.compress(bytes(content), compresslevel=1))
        try:
            reviews = imdb.load("train", path)
        except ValueError as error:
            assert str(path) in str(error)
        else:  # the damage hit a date or an owner, or the text itself
            assert len(reviews) == len(expected)
            np.testing.assert_array_equal(reviews.labels, expected.labels)
        path.unlink()


def test_random_damage_to_the_compressed_bytes_gives_the_same_reviews_or_a_refusal(
    archive, cache, tmp_path
):
    rng = np.random.default_rng(0)
    files = tree()
    files["aclImdb/train/neg/0_1.txt"] = rng.integers(32, 127, 50_000, dtype=np.uint8).tobytes()
    intact = write_archive(archive, files).read_bytes()
    expected = imdb.load("train", archive)
    for i in range(100):
        content = bytearray(intact)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path = tmp_path / f"damaged{i}.tar.gz"
        path.write_bytes(content)
        try:
            assert_equal(imdb.load("train", path), expected)  # the damage hit the time stamp
        except ValueError as error:
            assert str(path) in str(error)


# --- arguments, and where the archive is looked for ---------------------------------------------


@pytest.mark.parametrize("part", ["valid", "Train", None, 0])
def test_an_unknown_split_is_refused_before_any_work(cache, part):
    with pytest.raises(ValueError, match="split=.*'train', 'test', 'unsup'"):
        imdb.load(part)


def test_a_path_that_does_not_exist_is_an_error(cache, tmp_path):
    with pytest.raises(FileNotFoundError):
        imdb.load("train", tmp_path / "none.tar.gz")
    with pytest.raises(FileNotFoundError):
        imdb.load_or_sample(tmp_path / "none.tar.gz")


def test_the_data_folder_may_keep_the_unlabelled_part_apart(cache, tmp_path, monkeypatch):
    labelled = {name: text for name, text in tree().items() if "unsup" not in name}
    unlabelled = {name: text for name, text in tree().items() if "unsup" in name}
    write_archive(tmp_path / "imdb" / "aclImdb_v1.tar.gz", labelled)
    write_archive(tmp_path / "imdb" / "aclImdb_unsup.tar.gz", unlabelled)
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    assert [len(imdb.load(part)) for part in ("train", "test", "unsup")] == [24, 24, 5]


def test_the_data_folder_may_hold_the_official_archive(cache, tmp_path, monkeypatch):
    write_archive(tmp_path / "imdb" / "aclImdb_v1.tar.gz", tree())
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    assert [len(imdb.load(part)) for part in ("train", "test", "unsup")] == [24, 24, 5]


def test_real_data_is_preferred_and_not_announced(archive, capsys):
    train, test = imdb.load_or_sample(archive)
    assert train.source == test.source == imdb.REAL
    assert capsys.readouterr().out == ""


def test_where_there_is_no_data_samples_stand_in_and_say_so(cache, capsys):
    train, test = imdb.load_or_sample()
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "generated" in line
    assert train.source == test.source == imdb.GENERATED
    assert not set(train.texts) & set(test.texts)


def test_a_damaged_copy_is_never_replaced_by_a_sample(archive, cache):
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a usable copy"):
        imdb.load_or_sample(archive)


# --- reviews: take, split, sample ---------------------------------------------------------------


def test_take_keeps_texts_labels_and_ratings_together():
    reviews = imdb.sample(20)
    some = reviews.take([19, 0, 0])
    assert some.texts == [reviews.texts[19], reviews.texts[0], reviews.texts[0]]
    np.testing.assert_array_equal(some.labels, [1, 0, 0])
    np.testing.assert_array_equal(some.ratings, reviews.ratings[[19, 0, 0]])
    assert some.source == reviews.source
    assert len(reviews.take([])) == 0


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([20], ValueError),
        ([-1], ValueError),
        ([[1]], ValueError),
        (3, ValueError),
        ([0.5], TypeError),
        (np.ones(20, dtype=bool), TypeError),
    ],
)
def test_take_refuses_what_is_no_index(indices, error):
    with pytest.raises(error, match="indices"):
        imdb.sample(20).take(indices)


def test_reviews_print_in_one_short_line():
    assert repr(imdb.sample(20)) == "Reviews(20 reviews, generated sample, not real reviews)"


def test_split_holds_out_the_same_share_of_each_label():
    reviews = imdb.sample(200)
    rest, held_out = imdb.split(reviews, fraction=0.25, seed=1)
    assert (len(rest), len(held_out)) == (150, 50)
    assert rest.labels.mean() == held_out.labels.mean() == 0.5
    assert rest.texts == [text for text in reviews.texts if text not in held_out.texts]
    assert held_out.texts == [text for text in reviews.texts if text not in rest.texts]
    assert imdb.split(reviews, 0.25, seed=1)[1].texts == held_out.texts
    assert imdb.split(reviews, 0.25, seed=2)[1].texts != held_out.texts


def test_split_refuses_a_part_without_some_label():
    reviews = imdb.sample(100)
    rare, common = (np.flatnonzero(reviews.labels == label) for label in (1, 0))
    few = reviews.take(np.concatenate([rare[:3], common]))
    with pytest.raises(ValueError, match="leaves the held-out part without reviews of some label"):
        imdb.split(few, 0.1)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 50, "half"])
def test_split_refuses_an_impossible_share(fraction):
    with pytest.raises(ValueError, match="fraction="):
        imdb.split(imdb.sample(20), fraction)


def test_the_sample_is_balanced_distinct_and_the_same_every_time():
    reviews = imdb.sample(401, seed=3)
    assert len(reviews) == len(set(reviews.texts)) == 401
    assert abs(reviews.labels.mean() - 0.5) < 0.01
    assert_equal(reviews, imdb.sample(401, seed=3))
    assert imdb.sample(401, seed=4).texts != reviews.texts
    assert imdb.sample(1).texts


def test_the_sample_has_ratings_and_lengths_like_reviews():
    reviews = imdb.sample(400)
    for label, stars in ((0, {1, 2, 3, 4}), (1, {7, 8, 9, 10})):
        assert set(reviews.ratings[reviews.labels == label]) == stars
    sentences = [len(re.findall(r"[.!]", text)) for text in reviews.texts]
    assert set(sentences) == {1, 2, 3, 4, 5, 6}
    assert not any("{" in text for text in reviews.texts)


def test_no_single_word_tells_the_label_of_a_sample_but_word_pairs_do():
    train, test = imdb.sample(2_000, seed=0), imdb.sample(500, seed=1)
    assert best_single_word(test) < 0.65
    assert bag_accuracy(train, test, longest=1) < 0.75
    assert bag_accuracy(train, test, longest=3) > 0.9


def best_single_word(reviews):
    bags = [set(tokenize(text)) for text in reviews.texts]
    hits = [
        np.mean([(word in bag) == label for bag, label in zip(bags, reviews.labels, strict=True)])
        for word in set().union(*bags)
    ]
    return max(max(share, 1 - share) for share in hits)


def bag_accuracy(train, test, longest):
    """Test accuracy of logistic regression on counts of 1 to ``longest`` words in a row."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = CountVectorizer(analyzer=lambda text: list(ngrams(tokenize(text), longest)))
    model = LogisticRegression(max_iter=2_000).fit(counts.fit_transform(train.texts), train.labels)
    return model.score(counts.transform(test.texts), test.labels)


def ngrams(tokens, longest):
    for size in range(1, longest + 1):
        for start in range(len(tokens) - size + 1):
            yield " ".join(tokens[start : start + size])


@pytest.mark.parametrize("n", [0, -3, 2.5])
def test_a_sample_of_no_reviews_is_refused(n):
    with pytest.raises(ValueError, match="n="):
        imdb.sample(n)


def test_the_data_modules_import_no_torch():
    script = "import sys, rnnbook.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


# --- the real files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real data with an empty cache, all in one module: the archive is read once."""
    folder = os.environ.get("RNNBOOK_DATA", "")
    if not (Path(folder) / imdb.ARCHIVE.name).is_file():
        pytest.skip(f"RNNBOOK_DATA={folder!r} holds no {imdb.ARCHIVE.name}")
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("real")
        patch.setattr(fetch, "cache_folder", lambda: cache)
        yield {"cold": imdb.load("train"), "train": imdb.load("train"), "test": imdb.load("test")}


def test_the_real_data_has_its_published_size_and_ratings(real):
    sizes = {part: sum(len(t.encode()) for t in real[part].texts) for part in ("train", "test")}
    assert sizes == {"train": 33_132_823, "test": 32_350_685}
    stars = np.bincount(np.concatenate([real["train"].ratings, real["test"].ratings])).tolist()
    assert stars == [0, 10_122, 4_586, 4_961, 5_331, 0, 0, 4_803, 5_859, 4_607, 9_731]
    for part in ("train", "test"):
        assert np.bincount(real[part].labels).tolist() == [12_500, 12_500]


def test_the_real_data_is_the_same_from_the_archive_and_from_the_cache(real):
    assert_equal(real["cold"], real["train"])


def test_every_real_review_has_tokens(real):
    assert all(tokenize(text) for text in real["test"].texts[::50])


def test_loading_the_real_data_takes_less_than_a_gigabyte(real, tmp_path):
    resource = pytest.importorskip("resource", reason="only Unix measures memory this way")
    script = f"""
import resource
from pathlib import Path
from rnnbook.data import fetch, imdb
fetch.cache_folder = lambda: Path({str(tmp_path)!r})
reviews = imdb.load("train"), imdb.load("test")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(output.stdout) * unit < 1e9, output.stderr
    assert resource


def test_the_real_unlabelled_reviews_are_fifty_thousand(real):
    if not (Path(os.environ["RNNBOOK_DATA"]) / "imdb" / "aclImdb_unsup.tar.gz").is_file():
        pytest.skip("RNNBOOK_DATA holds no aclImdb_unsup.tar.gz")
    reviews = imdb.load("unsup")
    assert len(reviews) == 50_000
    assert sum(len(text.encode()) for text in reviews.texts) == 66_506_794
    assert set(reviews.labels.tolist()) == {-1}
