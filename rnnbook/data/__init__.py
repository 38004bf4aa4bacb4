"""Data for the book's projects: found or downloaded, checked, and cut into batches.

Nothing here imports torch: batches are NumPy arrays that both twins take.
"""

from rnnbook.data import fetch, imdb, labels, tasks, text

__all__ = ["fetch", "imdb", "labels", "tasks", "text"]
