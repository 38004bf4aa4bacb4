"""What a number on a page is computed by."""

import numpy as np


def predicted_classes(logits):
    """Return the most probable class of each row of ``logits (N, K)``; 0 or 1 for ``(N,)``."""
    logits = np.asarray(logits)
    return (logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(axis=-1)


def accuracy(logits, target):
    """Return the share of ``target (N,)`` that ``logits (N, K)`` or ``(N,)`` predict."""
    return float((predicted_classes(logits) == np.asarray(target)).mean())
