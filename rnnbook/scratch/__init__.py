"""Recurrent networks from scratch: NumPy, and backward passes written by hand."""

from .cells import GRUCell, LSTMCell, RNNCell
from .gradcheck import gradcheck
from .language import LanguageModel
from .layers import Dropout, Dropout1d, Embedding, LayerNorm, Linear
from .losses import binary_cross_entropy_with_logits, cross_entropy, mse_loss, pinball_loss
from .models import SequenceClassifier, SequencePredictor
from .module import Module, Parameter
from .optim import SGD, Adam, clip_grad_norm
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
    "Module",
    "Parameter",
    "RNNCell",
    "SegRNN",
    "SequenceClassifier",
    "SequencePredictor",
    "Unrolled",
    "binary_cross_entropy_with_logits",
    "clip_grad_norm",
    "cross_entropy",
    "gradcheck",
    "mse_loss",
    "pinball_loss",
    "truncated_bptt",
]
