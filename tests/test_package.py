"""What the package promises as a package: light, lazy, and shown as it is."""

import subprocess
import sys

import numpy as np
import pytest

import rnnbook
from rnnbook import scratch, show

BLOCK_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is not installed here")
sys.meta_path.insert(0, NoTorch())
"""


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_loads_neither_torch_nor_numpy():
    loaded = (
        "import sys, rnnbook; print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    )
    assert run(loaded) == "[]"


def test_scratch_and_its_training_work_where_torch_is_not_installed(tmp_path):
    code = (
        BLOCK_TORCH
        + f"""
import numpy as np
from rnnbook import interop, scratch, training
model = scratch.SequenceClassifier(9, 3, 4, 2, rng=0)
x, y = np.random.default_rng(0).integers(1, 9, (20, 5)), np.arange(20) % 2
history = training.fit(model, (x, y), (x, y), optimizer=scratch.Adam(model.parameters()),
                       epochs=2, metric="accuracy", progress=False,
                       checkpoint={str(tmp_path / "c")!r})
interop.save_weights(model, {str(tmp_path / "w")!r})
interop.load_weights(model, {str(tmp_path / "w")!r})
assert "torch" not in sys.modules
print(len(history))
"""
    )
    assert run(code) == "2"


def test_texts_are_classified_where_torch_is_not_installed(tmp_path):
    code = (
        BLOCK_TORCH
        + f"""
from rnnbook.classify import TextClassifier
classifier = TextClassifier("scratch", embed_size=3, hidden_size=4)
classifier.fit(["good film", "bad film"] * 10, ["yes", "no"] * 10, epochs=1, progress=False,
               checkpoint={str(tmp_path / "c")!r})
classifier.save({str(tmp_path / "f")!r})
print(len(TextClassifier.load({str(tmp_path / "f")!r}, twin="scratch").predict(["good", "bad"])))
try:
    TextClassifier("pytorch")
except ImportError as error:
    print(error)
assert "torch" not in sys.modules
"""
    )
    message = "torch is not installed here: install torch, or pass twin='scratch'"
    assert run(code) == f"2\n{message}"


def test_a_series_is_forecast_where_torch_is_not_installed(tmp_path):
    code = (
        BLOCK_TORCH
        + f"""
import numpy as np, pandas as pd
from rnnbook.anomalies import scores
from rnnbook.forecaster import Forecaster
index = pd.date_range("2026-01-01", periods=60, freq="h")
frame = pd.DataFrame({{"a": np.sin(np.arange(60.0))}}, index)
forecaster = Forecaster(2, 6, "scratch", hidden_size=4)
forecaster.fit(frame, epochs=1, progress=False, checkpoint={str(tmp_path / "c")!r})
forecaster.save({str(tmp_path / "f")!r})
loaded = Forecaster.load({str(tmp_path / "f")!r}, twin="scratch")
print(len(loaded.predict(2, frame)), len(scores(loaded, frame, 6)))
try:
    Forecaster(2, 6)
except ImportError as error:
    print(error)
assert "torch" not in sys.modules
"""
    )
    message = "torch is not installed here: install torch, or pass twin='scratch'"
    assert run(code) == f"2 54\n{message}"


def test_a_language_model_learns_and_writes_where_torch_is_not_installed():
    code = (
        BLOCK_TORCH
        + """
from rnnbook import scratch, training
from rnnbook.data.characters import CharVocab
from rnnbook.data.streams import StreamBatches
from rnnbook.generate import generate
vocab = CharVocab.build("ab ba\\n")
model = scratch.LanguageModel(len(vocab), 3, 5, rng=0)
data = StreamBatches(vocab.encode("ab ba\\n" * 9), 2, 5)
optimizer = scratch.Adam(model.parameters())
training.fit(model, data, data, optimizer=optimizer, epochs=2, progress=False)
assert "torch" not in sys.modules
print(len([character for character, _ in generate(model, vocab, "a", 7)]))
"""
    )
    assert run(code) == "7"


def test_importing_the_classifier_loads_no_torch():
    code = "import sys, rnnbook; rnnbook.classify.TextClassifier; print('torch' in sys.modules)"
    assert run(code) == "False"


def test_unknown_attributes_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'scrach'"):
        rnnbook.scrach  # noqa: B018
    assert "scratch" in dir(rnnbook)


def test_show_gives_the_source_itself_under_the_name_of_its_file():
    shown = show(scratch.RNNCell.step).data
    assert shown.startswith("```python\n# rnnbook/scratch/cells.py\n@staticmethod\ndef step(")
    assert "np.matmul(h, weight, out=h_new)" in shown and '"""' not in shown
    assert '"""h\' = f(a_x + W_hh h)' in show(scratch.RNNCell.step, docstring=True).data


def test_show_leaves_out_docstrings_and_nothing_else():
    shown = show(scratch.Dropout).data
    assert "Srivastava" not in shown and "def backward" in shown
    namespace = {"Module": scratch.Module, "np": np, "expect": __import__("rnnbook.expect").expect}
    exec(shown.removeprefix("```python\n").removesuffix("```"), namespace)
    layer = namespace["Dropout"](0.5, rng=0)
    assert layer(np.ones((3, 4), np.float32)).shape == (3, 4)


def test_show_keeps_comments():
    assert "a block of steps at once" in show(scratch.RNN._unroll).data


@pytest.mark.parametrize("other", [np.linalg.norm, len, 3, subprocess.run])
def test_show_refuses_what_is_not_the_books_code(other):
    with pytest.raises(ValueError, match="obj="):
        show(other)
