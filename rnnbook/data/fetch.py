"""Where a data file comes from: the user, ``$RNNBOOK_DATA``, the cache, or its official address."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

with warnings.catch_warnings():
    # pooch loads tqdm, which complains in every notebook where ipywidgets is not installed
    warnings.filterwarnings("ignore", message="IProgress not found")
    import pooch

TIMEOUT = 30  # seconds without a byte, after which a server counts as dead


class DataUnavailableError(OSError):
    """A data file is neither on this machine nor to be had from its official address.

    Examples
    --------
    >>> issubclass(DataUnavailableError, OSError)
    True
    """


@dataclass(frozen=True)
class DataFile:
    """One published file.

    Attributes
    ----------
    name : str
        Its place below ``$RNNBOOK_DATA`` and below the cache: ``"imdb/aclImdb_v1.tar.gz"``.
    url : str
        The official address.
    sha256 : str
        The published SHA-256 of the whole file, 64 hexadecimal digits.
    size : int
        Its size in bytes.
    title : str
        What it is, in words.

    Examples
    --------
    >>> from rnnbook.data import imdb
    >>> imdb.ARCHIVE.name, len(imdb.ARCHIVE.sha256)
    ('imdb/aclImdb_v1.tar.gz', 64)
    """

    name: str
    url: str
    sha256: str
    size: int
    title: str


def cache_folder():
    """The user's cache folder of this package (a Path; it need not exist yet).

    Examples
    --------
    >>> cache_folder().name
    'rnnbook'
    """
    return pooch.os_cache("rnnbook")


def locate(file, path=None):
    """Find ``file`` on this machine, or download it to the user's cache.

    Looks, in this order, at ``path``; at ``$RNNBOOK_DATA``; at the user's cache; and at the
    official address. What is in the cache or downloaded must have the published SHA-256; a
    download is complete and verified before it takes its final name. A copy that the user names
    (``path`` or ``$RNNBOOK_DATA``) is returned as it is: its reader checks what it holds.
    ``RNNBOOK_OFFLINE=1`` forbids the network.

    Parameters
    ----------
    file : DataFile
        What to look for.
    path : str or Path, optional
        The user's own copy.

    Returns
    -------
    Path
        An existing file (or folder, where ``path`` names one).

    Raises
    ------
    FileNotFoundError
        ``path`` does not exist.
    DataUnavailableError
        The file is nowhere on this machine, and the download failed or is forbidden.

    Examples
    --------
    A copy of your own is taken as it is:

    >>> import tempfile
    >>> from rnnbook.data import imdb
    >>> with tempfile.NamedTemporaryFile() as mine:
    ...     str(locate(imdb.ARCHIVE, path=mine.name)) == mine.name
    True
    """
    if path is not None:
        path = Path(path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"path={str(path)!r} does not exist: expected {file.title}")
        return path
    if folder := os.environ.get("RNNBOOK_DATA"):
        named = Path(folder).expanduser() / file.name
        if named.exists():
            return named
    cached = cache_folder() / file.name
    if cached.is_file() and pooch.file_hash(cached) == file.sha256:
        return cached
    _download(file, cached)
    return cached


def _download(file, target):
    if os.environ.get("RNNBOOK_OFFLINE", "0") not in ("", "0"):
        raise _unavailable(file, "RNNBOOK_OFFLINE is set, so the network is not used")
    # Asked to compress, a server may mark the archive itself as compressed on the way.
    downloader = pooch.HTTPDownloader(
        progressbar=True,
        chunk_size=2**16,
        headers={"Accept-Encoding": "identity"},
        timeout=TIMEOUT,
    )
    try:
        pooch.retrieve(
            file.url, f"sha256:{file.sha256}", target.name, target.parent, downloader=downloader
        )
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is not
        raise _unavailable(file, error) from error


def _unavailable(file, reason):
    folder = os.environ.get("RNNBOOK_DATA")
    now = f" (now {folder}, which does not)" if folder else ""
    return DataUnavailableError(
        f"{file.title} ({file.name}, {file.size:,} bytes) could not be downloaded from {file.url}: "
        f"{reason}. Nothing was kept. Try again, or get the file in another way and pass path=, "
        f"or set RNNBOOK_DATA to a folder that holds {file.name}{now}"
    )
