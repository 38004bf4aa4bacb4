"""How the one loop of :mod:`rnnbook.training` drives a model of either twin."""

import math
from contextlib import contextmanager

import numpy as np

from . import expect, scratch
from .interop import is_torch

LOSSES = ("cross_entropy", "binary_cross_entropy_with_logits", "mse_loss")


def twin_of(model, optimizer=None, loss="cross_entropy"):
    """Return what drives ``model``.

    Raises
    ------
    TypeError, ValueError
        If ``model`` is of neither twin, or ``loss`` is an unknown name.
    """
    if isinstance(loss, str):
        expect.one_of("loss", loss, LOSSES)
    if isinstance(model, scratch.Module):
        return ScratchTwin(model, optimizer, loss)
    if is_torch(model):
        return TorchTwin(model, optimizer, loss)
    raise TypeError(f"model={model!r}: expected a rnnbook.scratch.Module or a torch.nn.Module")


@contextmanager
def in_evaluation(model):
    """Run a model of either twin in evaluation mode; put back the modes of all its parts."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def left_as_it_was(model):
    """As :func:`in_evaluation`; put back the gradients of a scratch model, too."""
    ours = model.parameters() if isinstance(model, scratch.Module) else []
    gradients = [parameter.grad for parameter in ours]
    try:
        for parameter in ours:
            parameter.grad = np.zeros_like(parameter.grad)
        with in_evaluation(model):
            yield
    finally:
        for parameter, gradient in zip(ours, gradients, strict=True):
            parameter.grad = gradient


class ScratchTwin:
    """How the loop drives a scratch model."""

    def __init__(self, model, optimizer, loss):
        self.model, self.optimizer = model, optimizer
        self.loss = getattr(scratch, loss) if isinstance(loss, str) else loss
        self.of_classes = loss == "cross_entropy"  # of (N, K), or of every step: (N, T, K)

    def parameters(self):
        """Return those of the model and those of the optimizer."""
        if not isinstance(self.optimizer, scratch.optim.Optimizer):
            raise TypeError(f"optimizer={self.optimizer!r}: expected one of rnnbook.scratch")
        return self.model.parameters(), self.optimizer.params

    def seed(self, seed):
        self.model.seed(seed)

    def train(self, mode):
        self.model.train(mode)

    def forward_backward(self, inputs, target, state=()):
        """Fill the gradients; return the loss, and the state in a list: empty if there is none."""
        with np.errstate(over="ignore", invalid="ignore"):  # fit() checks loss and gradient itself
            self.optimizer.zero_grad()
            output, *state, cache = self.model.forward(*self._arrays(inputs), *state)
            loss, doutput = self._loss(output, target)
            self.model.backward(doutput, *(None for _ in state), cache)  # None: the cut
        return loss, state

    def evaluate(self, inputs, target, state=()):
        """Return (output, loss, state), the output where it was computed."""
        output, state = self.predict(inputs, state)
        return output, self._loss(output, target)[0], state

    def predict(self, inputs, state=()):
        """Return the output, and the state in a list: empty if there is none."""
        return _output_and_state(self.model(*self._arrays(inputs), *state))

    def _arrays(self, inputs):
        for x in inputs:
            yield x.astype(self.model.dtype) if np.issubdtype(x.dtype, np.floating) else x

    def _loss(self, output, target):
        if not self.of_classes or output.ndim < 3:
            return self.loss(output, target)
        loss, doutput = self.loss(*steps_as_examples(output, target))
        return loss, doutput.reshape(output.shape)

    def array(self, output):
        """An output as a NumPy array: it is one."""
        return output

    def carry(self, state, rows):
        """What of a state goes on to a batch of so many rows."""
        return _each_array(state, lambda part: part[:, :rows])

    def gradients(self):
        """Return them as torch tensors that share their memory."""
        import torch

        return [torch.from_numpy(parameter.grad) for parameter in self.model.parameters()]

    def step(self, clip):
        """Step the optimizer and return True; or False, if the gradient is not finite."""
        parameters = self.model.parameters()
        if not _are_finite([parameter.grad for parameter in parameters]):
            return False
        if clip is not None:
            scratch.clip_grad_norm(parameters, clip)
        self.optimizer.step()
        return True

    def optimizer_arrays(self):
        return self.optimizer.state_dict()

    def load_optimizer_arrays(self, arrays):
        self.optimizer.load_state_dict(arrays)


class TorchTwin:
    """How the loop drives a torch model, on whatever device its parameters are."""

    def __init__(self, model, optimizer, loss):
        import torch

        self.torch = torch
        self.model, self.optimizer = model, optimizer
        self.loss = getattr(torch.nn.functional, loss) if isinstance(loss, str) else loss
        self.of_classes = loss == "cross_entropy"  # of (N, K), or of every step: (N, T, K)
        self.of_probabilities = loss == "binary_cross_entropy_with_logits"
        self.of_equal_shapes = self.of_probabilities or loss == "mse_loss"
        self.like = next(model.parameters(), torch.zeros(()))

    def parameters(self):
        """Return those of the model and those of the optimizer."""
        if not isinstance(self.optimizer, self.torch.optim.Optimizer):
            raise TypeError(f"optimizer={self.optimizer!r}: expected one of torch.optim")
        groups = self.optimizer.param_groups
        return list(self.model.parameters()), [p for group in groups for p in group["params"]]

    def seed(self, seed):
        state = np.random.SeedSequence(seed).generate_state(2, np.uint32)
        self.torch.manual_seed(int(state[0]) << 32 | int(state[1]))

    def train(self, mode):
        self.model.train(mode)

    def forward_backward(self, inputs, target, state=()):
        """Fill the gradients; return the loss, and the state in a list: empty if there is none."""
        self.optimizer.zero_grad()
        output, state = self._forward(inputs, state)
        loss = self._loss(output, target)  # a loss of the caller's own may add gradients, too
        loss.backward()
        return loss.item(), state

    def evaluate(self, inputs, target, state=()):
        """Return (output, loss, state), the output where it was computed."""
        with self.torch.no_grad():
            output, state = self._forward(inputs, state)
            loss = self._loss(output, target)
        return output, loss.item(), state

    def predict(self, inputs, state=()):
        """Return the output, and the state in a list: empty if there is none."""
        with self.torch.no_grad():
            output, state = self._forward(inputs, state)
        return self.array(output), state

    def _forward(self, inputs, state):
        return _output_and_state(self.model(*map(self._tensor, inputs), *state))

    def _tensor(self, array):
        if isinstance(array, np.ndarray):  # torch reads no swapped bytes, nor backwards
            kind = np.int64 if array.dtype.kind == "u" else array.dtype.newbyteorder("=")
            array = np.require(array, kind, ("C", "W"))
        tensor = self.torch.as_tensor(array)
        dtype = self.like.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self.like.device, dtype)

    def _loss(self, output, target):
        target = self._target(output, target)
        if self.of_classes:
            if output.ndim == 3:
                output, target = steps_as_examples(output, target)
            expect.classes(output, target)  # torch itself would leave out class -100
            target = target.long()
        if self.of_equal_shapes:  # torch would stretch (N, 1) and (N,) to (N, N)
            expect.shape("target", target, tuple(output.shape))
        if self.of_probabilities:
            expect.probabilities("target", target)
        return self.loss(output, target)

    def _target(self, output, target):
        """Class numbers stay integers; whatever has the shape of the output becomes its dtype."""
        target = self._tensor(target)
        return target.to(output.dtype) if target.shape == output.shape else target

    def array(self, output):
        """An output as a NumPy array, brought from its device."""
        return output.cpu().numpy()

    def carry(self, state, rows):
        """What of a state goes on to a batch of so many rows: detached, the gradient is cut."""
        return _each_array(state, lambda part: part[:, :rows].detach().contiguous())

    def gradients(self):
        """Return those that there are."""
        return [p.grad for p in self.model.parameters() if p.grad is not None]

    def step(self, clip):
        """Step the optimizer and return True; or False, if the gradient is not finite."""
        if not _are_finite(self.gradients()):
            return False
        if clip is not None:
            self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimizer.step()
        return True

    def optimizer_arrays(self):
        state = self.optimizer.state_dict()["state"]
        return {
            f"{index}.{name}": self.torch.as_tensor(value).cpu().numpy()
            for index, values in state.items()
            for name, value in values.items()
            if value is not None
        }

    def load_optimizer_arrays(self, arrays):
        state = {}
        for key, array in arrays.items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = self.torch.tensor(array)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def steps_as_examples(logits, target):
    """Turn ``logits (N, T, K)`` and ``target (N, T)`` into (N T, K) and (N T,)."""
    expect.shape("target", target, logits.shape[:2])
    return logits.reshape(-1, logits.shape[2]), target.reshape(-1)


def _output_and_state(result):
    """Split what a model returns: an output, or a pair (output, state)."""
    output, *state = result if isinstance(result, tuple) else (result,)
    return output, state


def _each_array(state, function):
    """A list of states with a function applied to each array; an LSTM's state is a pair."""
    return [
        tuple(map(function, part)) if isinstance(part, tuple) else function(part) for part in state
    ]


def _are_finite(gradients):
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(sum(g.sum() for g in gradients))  # of huge numbers, it may overflow as well
    return math.isfinite(total) or all(
        -math.inf < g.min() and g.max() < math.inf for g in gradients
    )
