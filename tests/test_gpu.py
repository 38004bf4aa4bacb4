"""On a GPU everything computes what it computes on a CPU. Skipped where there is none."""

import copy

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from rnnbook import pytorch, training
from rnnbook.data.streams import StreamBatches
from rnnbook.data.text import TextBatches
from rnnbook.interop import get_weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

CELLS = ("rnn", "gru", "lstm")
DOUBLE = {"dtype": torch.float64}


def texts(seed=0):
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, 11, rng.integers(1, 9)) for _ in range(19)]
    return TextBatches(tokens, np.array([1 in t for t in tokens]).astype(int), batch_size=8)


def stream(seed=0):
    return StreamBatches(np.random.default_rng(seed).integers(0, 11, 60), batch_size=5, steps=4)


def windows(seed=0):
    rng = np.random.default_rng(seed)
    return training.ArrayBatches(rng.standard_normal((9, 8, 2)), rng.standard_normal((9, 4, 2)), 4)


def cases():
    for cell in CELLS:
        for pooling in ("last", "mean_max"):
            model = pytorch.SequenceClassifier(
                11, 3, 5, 2, cell, 2, bidirectional=True, pooling=pooling, **DOUBLE
            )
            yield f"{cell}-{pooling}", model, texts, "cross_entropy"
        yield f"language-{cell}", pytorch.LanguageModel(11, 3, 5, cell, **DOUBLE), stream, None
    yield "segments", pytorch.SegRNN(8, 4, 2, 4, 6, dropout=0.0, **DOUBLE), windows, "mse_loss"


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case[0])
def test_training_on_a_gpu_is_training_on_a_cpu(case, tmp_path):
    _, model, data, loss = case
    found = []
    for accelerator in ("cpu", "cuda"):
        twin = copy.deepcopy(model)
        fabric = Fabric(accelerator=accelerator, devices=1)
        history = training.fit(
            twin, data(), data(1), optimizer=pytorch.Adam(twin.parameters(), lr=0.01),
            loss=loss or "cross_entropy", clip=0.3, epochs=2, progress=False, fabric=fabric,
            checkpoint=tmp_path / accelerator,
        )  # fmt: skip
        found.append((history.drop(columns="seconds").to_numpy(), get_weights(twin)))
    (ours, weights), (theirs, moved) = found
    np.testing.assert_allclose(theirs, ours, rtol=1e-10)
    for name, array in weights.items():
        np.testing.assert_allclose(moved[name], array, rtol=0, atol=1e-9, err_msg=name)
