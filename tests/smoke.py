"""What an installed package must do without this repository: train, save, load, predict.

python smoke.py [scratch|pytorch]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import rnnbook
from rnnbook import interop, scratch, training
from rnnbook.classify import TextClassifier


def classify(twin, folder):
    """Tell praise from blame, in a classifier that goes through a file."""
    texts, labels = ["a good film", "a bad film", "good", "bad"] * 8, ["yes", "no"] * 16
    classifier = TextClassifier(twin, embed_size=8, hidden_size=8)
    classifier.fit(texts, labels, epochs=15, lr=0.03, progress=False, checkpoint=folder / "run")
    classifier.save(folder / "classifier.safetensors")
    loaded = TextClassifier.load(folder / "classifier.safetensors", twin=twin)
    assert loaded.predict(["good", "bad"]).tolist() == ["yes", "no"]


def forecast(twin, folder):
    """Continue a sine, with weights that go through a file."""
    package = scratch if twin == "scratch" else rnnbook.pytorch
    wave = np.sin(np.arange(120) / 3)
    x = np.lib.stride_tricks.sliding_window_view(wave, 12)[:-1, :, None]  # (N, T, 1)
    y = wave[12:, None]
    model = package.SequencePredictor(1, 8, 1, cell="gru")
    optimizer = package.Adam(model.parameters(), lr=0.02)
    training.fit(model, (x, y), optimizer=optimizer, loss="mse_loss", epochs=30, progress=False)
    interop.save_weights(model, folder / "weights.safetensors")
    again = package.SequencePredictor(1, 8, 1, cell="gru")
    interop.load_weights(again, folder / "weights.safetensors")
    assert np.abs(training.predict(again, x) - y).mean() < 0.2


if __name__ == "__main__":
    twins = sys.argv[1:] or ["scratch", "pytorch"]
    for twin in twins:
        with tempfile.TemporaryDirectory() as folder:
            classify(twin, Path(folder))
            forecast(twin, Path(folder))
    if twins == ["scratch"]:
        assert "torch" not in sys.modules
    print(f"{', '.join(twins)}: rnnbook {rnnbook.__version__} in {Path(rnnbook.__file__).parent}")
