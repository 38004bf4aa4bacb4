"""The loss that torch lacks."""

import torch

from rnnbook import expect


def pinball_loss(prediction, target, levels):
    """Mean of max(q e, (q - 1) e) over all entries and levels q, with e = target - prediction.

    It is least where a share q of the targets lies below the prediction for q. At q = 0.5 it is
    half the absolute error.

    Parameters
    ----------
    prediction : Tensor, (..., Q)
        A number for each level.
    target : Tensor, (...)
    levels : sequence of float, (Q,)
        Each between 0 and 1.

    Returns
    -------
    Tensor, ()
        In the target's unit.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a level is not between 0 and 1.

    References
    ----------
    Koenker & Bassett (1978), Regression quantiles.

    Examples
    --------
    At level 0.9 it is nine times as bad to be too low as to be too high:

    >>> low = pinball_loss(torch.tensor([[0.0]]), torch.tensor([1.0]), [0.9])
    >>> high = pinball_loss(torch.tensor([[2.0]]), torch.tensor([1.0]), [0.9])
    >>> round(low.item(), 3), round(high.item(), 3)
    (0.9, 0.1)
    """
    expect.levels("levels", levels)
    expect.shape("prediction", prediction, (*target.shape, len(levels)))
    levels = prediction.new_tensor(levels)
    error = target[..., None] - prediction
    return (torch.where(error >= 0, levels, levels - 1) * error).mean()
