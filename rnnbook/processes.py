"""Several processes that train one model: what :func:`rnnbook.training.fit` shares among them.

Every process holds the whole model and computes every n-th row of each batch. The gradients of the
processes are added up before each step, weighted by the rows. So all take the step that one process
would take on the whole batch, and their weights stay equal.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from . import expect
from .interop import get_weights, is_torch, set_weights


@runtime_checkable
class Fabric(Protocol):
    """What is used of a ``lightning_fabric.Fabric`` (or ``lightning.fabric.Fabric``)."""

    device: Any
    global_rank: int
    world_size: int
    strategy: Any

    def all_reduce(self, data, group=None, reduce_op="mean"): ...

    def to_device(self, obj): ...


class Processes:
    """This process alone, or the processes of a fabric.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric, optional

    Attributes
    ----------
    rank, count : int
        Which of how many processes this one is.

    Raises
    ------
    TypeError, ValueError
        If ``fabric`` is something else, is not launched, or asks for what would not be done: a
        strategy that cuts up the model, or another precision than the model's.
    """

    def __init__(self, fabric=None):
        self.fabric, self.rank, self.count = fabric, 0, 1
        if fabric is None:
            return
        if not isinstance(fabric, Fabric):
            raise TypeError(f"fabric={fabric!r}: expected a lightning_fabric.Fabric")
        strategy = type(fabric.strategy).__name__
        expect.one_of("fabric.strategy", strategy, ("SingleDeviceStrategy", "DDPStrategy"))
        precision = fabric.strategy.precision.precision
        if precision != "32-true":
            raise ValueError(
                f"fabric has precision={precision!r}: expected '32-true', its default, with which "
                f"fit computes in the dtype of the model. Build that with another dtype="
            )
        self.rank, self.count = fabric.global_rank, fabric.world_size
        if strategy == "DDPStrategy" and not _is_launched():
            raise ValueError("fabric is not launched: call fabric.launch() first")

    def place(self, model):
        """Move a torch model to the device of this process."""
        if self.fabric is not None and is_torch(model):
            self.fabric.to_device(model)

    def rows(self, inputs, target):
        """Return this process's rows of a batch, and how many they are.

        Where a batch has fewer rows than there are processes, the last ones get its first row and
        the number 0: they must take part, and what they find counts nothing.
        """
        if self.count == 1:
            return inputs, target, len(target)
        for x in inputs:
            if len(x) != len(target):
                raise ValueError(
                    f"an input has {len(x)} rows, the target {len(target)}: expected one row for "
                    f"each example, for the processes to share"
                )
        own = slice(self.rank, None, self.count) if self.rank < len(target) else slice(1)
        count = len(range(self.rank, len(target), self.count))
        return tuple(x[own] for x in inputs), target[own], count

    def spread(self, own, rows):
        """Put this process's rows of an output where they stand in the whole batch: zeros between.

        The :meth:`total` of what the processes get is the output for the whole batch.
        """
        if self.count == 1:
            return own
        whole = np.zeros((rows, *own.shape[1:]), own.dtype)
        if self.rank < rows:
            whole[self.rank :: self.count] = own
        return whole

    def mean(self, twin, loss, share):
        """Replace loss and gradients by their means over all processes, weighted by ``share``.

        Returns
        -------
        float
            The loss.
        """
        if self.count == 1:
            return loss
        import torch

        gradients = twin.gradients()
        flat = torch.cat([gradients[0].new_tensor([loss]), *(g.flatten() for g in gradients)])
        flat = self._sum(flat * share)
        loss, *parts = flat.split([1, *(g.numel() for g in gradients)])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return loss.item()

    def total(self, value):
        """Return the sum of a number or an array over the processes."""
        if self.count == 1:
            return value
        import torch

        return self._sum(torch.tensor(np.asarray(value))).cpu().numpy()[()]

    def of_first(self, array):
        """Return the number or array that the first process has."""
        return self.total(array if self.rank == 0 else np.zeros_like(array))

    def of_first_row(self, row):
        """Return the row of a history, ``{name: number}``, that the first process has."""
        if self.count == 1:
            return row
        return dict(zip(row, self.of_first(np.array([*row.values()], float)).tolist(), strict=True))

    def wait(self):
        """Return when all processes have come here."""
        self.total(0)

    def start_equal(self, model):
        """Give all processes the weights of the first."""
        if self.count > 1:
            set_weights(model, {k: self.of_first(array) for k, array in get_weights(model).items()})

    def expect_equal(self, name, value):
        """Raise ValueError if a number is not the same in all processes."""
        first = int(self.of_first(value))
        if self.total(abs(value - first)):
            raise ValueError(
                f"{name} is {value} in process {self.rank} and {first} in process 0: expected the "
                f"same data and, if any, the same checkpoint, on a disk that all machines see"
            )

    def _sum(self, tensor):
        try:
            return self.fabric.all_reduce(tensor.to(self.fabric.device), reduce_op="sum")
        except RuntimeError as error:
            raise RuntimeError(
                f"process {self.rank} of {self.count} cannot reach the others: one has ended, and "
                f"its own message says why, or the network has failed. Start the job again: with "
                f"checkpoint=, it goes on after the last whole epoch"
            ) from error


def _is_launched():
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()
