"""Data for the book's projects: found or downloaded, checked, and cut into batches.

Nothing here imports torch: batches are NumPy arrays that both twins take.
"""

from rnnbook.data import characters, fetch, imdb, labels, series, shakespeare, streams, tasks, text

__all__ = [
    "characters",
    "fetch",
    "imdb",
    "labels",
    "series",
    "shakespeare",
    "streams",
    "tasks",
    "text",
]
