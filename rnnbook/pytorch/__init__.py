"""The same models on torch.nn: what torch has is torch's own, the rest is built on it."""

from torch.nn import Dropout, Dropout1d, Embedding, LayerNorm, Linear
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.nn.utils import clip_grad_norm_ as clip_grad_norm
from torch.optim import SGD, Adam

from .cells import GRUCell, LSTMCell, RNNCell
from .language import LanguageModel
from .losses import pinball_loss
from .models import SequenceClassifier, SequencePredictor
from .recurrent import GRU, LSTM, RNN
from .segrnn import SegRNN
from .truncated import truncated_bptt
from .variants import ConcatCell, JordanCell, LayerNormCell, Unrolled

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "ConcatCell",
    "Dropout",
    "Dropout1d",
    "Embedding",
    "GRUCell",
    "JordanCell",
    "LSTMCell",
    "LanguageModel",
    "LayerNorm",
    "LayerNormCell",
    "Linear",
    "RNNCell",
    "SegRNN",
    "SequenceClassifier",
    "SequencePredictor",
    "Unrolled",
    "binary_cross_entropy_with_logits",
    "clip_grad_norm",
    "cross_entropy",
    "mse_loss",
    "pinball_loss",
    "truncated_bptt",
]
