"""Virtual adversarial training of a classifier of one logit, labels known or not.

In training, each batch is read twice. The first reading gives the gradient of the loss with respect
to the vectors of the words. In the second, the vectors of each sequence are moved a given distance
along its gradient, the way in which the loss rises fastest, and the answer should stay the same.

Where a label is unknown, the answer is what the model itself says in the first reading. The loss of
the first reading is then the entropy of what it says, and the move is one towards doubt.

Miyato, Dai & Goodfellow (2017) find the direction for a review without a label by one pass of power
iteration, one more reading and backward pass. For a single logit it is that of the logit's
gradient, up to its sign, so the first reading has it. The four kinds of loss are those of Sachan,
Zaheer & Salakhutdinov (2019).
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy


def virtual_adversarial_loss(model, size):
    """Return a loss for :func:`rnnbook.training.fit`, in one process.

    Parameters
    ----------
    model : rnnbook.pytorch.SequenceClassifier
        With one logit. Hooks are added to it and to its embedding. Each reading draws its own
        dropout.
    size : float
        How far the vectors of a sequence are moved: the Euclidean norm over all of them. Where an
        answer is so sure that its entropy has no gradient (a logit above 17), they stay.

    Returns
    -------
    callable
        ``loss(logits (N,), labels (N,))``; a label NaN is unknown. The mean over known labels plus
        the mean over unknown ones, both readings added. In training it adds the gradient of the
        first reading by itself. In evaluation mode, the binary cross entropy; there all labels
        are known.
    """
    kept = {}

    def keep_inputs(_, inputs):
        kept["inputs"] = inputs

    def keep_or_move(embedding, _, vectors):
        if "move" in kept:
            return vectors + kept.pop("move")
        if not embedding.training:
            return vectors
        if not vectors.requires_grad:  # the embedding is frozen
            vectors.requires_grad_()
        vectors.retain_grad()
        kept["vectors"] = vectors
        return vectors

    model.register_forward_pre_hook(keep_inputs)
    model.embedding.register_forward_hook(keep_or_move)

    def loss(logits, labels):
        if not model.training:
            return cross_entropy(logits, labels)
        known = ~labels.isnan()
        answers = torch.where(known, labels, logits.sigmoid())
        first = mean_of_both(logits, answers, known)
        first.backward()
        gradient = kept.pop("vectors").grad  # (N, T, D)
        norm = gradient.norm(dim=(1, 2), keepdim=True)
        kept["move"] = size * gradient / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        again = model(*kept.pop("inputs"))
        return first.detach() + mean_of_both(again, answers.detach(), known)

    return loss


def mean_of_both(logits, answers, known):
    """The mean cross entropy of the known plus that of the unknown."""
    losses = cross_entropy(logits, answers, reduction="none")
    return sum(losses[rows].sum() / rows.sum().clamp(min=1) for rows in (known, ~known))
