"""Optimisers that step all parameters of a module, and gradient clipping."""

import numpy as np

from rnnbook import expect


class Optimizer:
    """What both optimisers share: the parameters, and arrays of memory for each of them.

    Parameters
    ----------
    params : list of Parameter
    lr : float
        Learning rate, above 0.
    weight_decay : float
        L2 penalty: adds ``weight_decay * data`` to every gradient.
    """

    def __init__(self, params, lr, weight_decay):
        expect.positive("lr", lr)
        expect.non_negative("weight_decay", weight_decay)
        self.params = list(params)
        if not self.params:
            raise ValueError("params is empty: expected the parameters of a module")
        self.lr, self.weight_decay = lr, weight_decay
        self.state = [{} for _ in self.params]

    def zero_grad(self):
        """Set every gradient to zero."""
        for parameter in self.params:
            parameter.grad.fill(0)

    def step(self):
        """Change every parameter once, by its gradient."""
        for parameter, state in zip(self.params, self.state, strict=True):
            grad = parameter.grad
            if self.weight_decay:
                grad = grad + self.weight_decay * parameter.data
            self._update(parameter.data, grad, state)

    def state_dict(self):
        """Return ``{"index.name": array}``: the memory of every parameter, copied."""
        return {
            f"{index}.{name}": np.array(value)
            for index, state in enumerate(self.state)
            for name, value in state.items()
        }

    def load_state_dict(self, state_dict):
        """Take over the memory that :meth:`state_dict` returned for the same parameters.

        Raises
        ------
        ValueError
            If an entry is of no parameter, or of another shape; nothing was taken over.
        """
        state = [{} for _ in self.params]
        for key, value in state_dict.items():
            index, name = key.split(".")
            value = np.array(value)
            if int(index) >= len(state):
                raise ValueError(f"state_dict holds {key}: expected {len(state)} parameters")
            if value.ndim:
                expect.shape(f"state_dict[{key!r}]", value, self.params[int(index)].data.shape)
            state[int(index)][name] = value
        self.state = state


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v + g, then w -= lr v.

    Parameters
    ----------
    params, lr, weight_decay
        See :class:`Optimizer`.
    momentum : float
        0 for plain gradient descent.

    Raises
    ------
    ValueError
        If an argument is out of range, or ``params`` is empty.

    Examples
    --------
    >>> from rnnbook.scratch import Parameter
    >>> w = Parameter(np.array([1.0]))
    >>> w.grad += 2.0
    >>> SGD([w], lr=0.1).step()
    >>> w.data.tolist()
    [0.8]
    """

    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0):
        expect.non_negative("momentum", momentum)
        super().__init__(params, lr, weight_decay)
        self.momentum = momentum

    def _update(self, data, grad, state):
        if self.momentum:
            velocity = state.setdefault("momentum_buffer", np.zeros_like(data))
            velocity *= self.momentum
            velocity += grad
            grad = velocity
        data -= self.lr * grad


class Adam(Optimizer):
    """Adam: steps of about lr, whatever the scale of the gradient.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, then w -= lr m^ / (sqrt(v^) + eps), where
    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) after t steps.

    Parameters
    ----------
    params, lr, weight_decay
        See :class:`Optimizer`.
    betas : (float, float)
        b1 and b2, each in [0, 1).
    eps : float

    Raises
    ------
    ValueError
        If an argument is out of range, or ``params`` is empty.

    References
    ----------
    Kingma & Ba (2015), Adam: a method for stochastic optimization.

    Examples
    --------
    The first step is lr, for a small gradient as for a large one:

    >>> from rnnbook.scratch import Parameter
    >>> w = Parameter(np.array([1.0, 1.0]))
    >>> w.grad += [1000.0, 0.001]
    >>> Adam([w], lr=0.1).step()
    >>> w.data.round(3).tolist()
    [0.9, 0.9]
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        for beta in betas:
            expect.probability("betas", beta)
        super().__init__(params, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def _update(self, data, grad, state):
        beta1, beta2 = self.betas
        if not state:
            state.update(step=0, exp_avg=np.zeros_like(data), exp_avg_sq=np.zeros_like(data))
        state["step"] += 1
        m, v, t = state["exp_avg"], state["exp_avg_sq"], int(state["step"])
        m += (1 - beta1) * (grad - m)
        v *= beta2
        scratch = np.multiply(grad, grad)
        scratch *= 1 - beta2
        v += scratch
        np.sqrt(v, out=scratch)
        scratch *= (1 - beta2**t) ** -0.5
        scratch += self.eps
        np.divide(m, scratch, out=scratch)
        scratch *= self.lr / (1 - beta1**t)
        data -= scratch


def clip_grad_norm(parameters, max_norm):
    """Scale all gradients together so that their common L2 norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : list of Parameter
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    ValueError
        If ``max_norm`` is not above 0.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks.

    Examples
    --------
    >>> from rnnbook.scratch import Parameter
    >>> w = Parameter(np.zeros(2))
    >>> w.grad += [3.0, 4.0]
    >>> float(clip_grad_norm([w], max_norm=1.0)), w.grad.round(3).tolist()
    (5.0, [0.6, 0.8])
    """
    expect.positive("max_norm", max_norm)
    grads = [parameter.grad for parameter in parameters]
    norm = float(np.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads)))
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        for grad in grads:
            grad *= scale
    return norm
