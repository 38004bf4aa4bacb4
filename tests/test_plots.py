"""Each figure shows what it was handed, as a picture that a notebook displays."""

import sys

import numpy as np
import pandas as pd
import pytest

from rnnbook import plots

LABELS = {"xlabel": "step", "ylabel": "loss (nats)"}
HISTORY = pd.DataFrame({"loss": [3.0, 2.0], "val_loss": [3.5, 2.5]})

FIGURES = {
    "curves": lambda: plots.curves({"a": [3, 2, 1], "b (dashed)": [4, 3, 2]}, **LABELS),
    "learning_curve": lambda: plots.learning_curve({"RNN": HISTORY}),
    "bars": lambda: plots.bars({"a": 0.5, "b": 0.7}, ylabel="accuracy", reference=("coin", 0.5)),
    "confusion_matrix": lambda: plots.confusion_matrix(np.array([[8, 2], [1, 9]]), ["no", "yes"]),
    "heatmap": lambda: plots.heatmap(np.arange(-3.0, 3).reshape(2, 3), **LABELS),
    "bands": lambda: plots.bands({"a": np.ones((3, 5))}, **LABELS, logx=True),
    "curve_panels": lambda: plots.curve_panels({"p": {"a": [1, 2]}}, [0, 1], xlabel="x"),
    "grouped_points": lambda: plots.grouped_points({"g": {"a": [1, 2]}}, ylabel="accuracy"),
    "histogram": lambda: plots.histogram([1, 2, 2], bins=[0, 1, 2, 3], xlabel="x", ylabel="n"),
    "paired_curves": lambda: plots.paired_curves({"a": {"x": [1, 2], "y": [2, 1]}}, **LABELS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_shows_the_figure_as_a_sharp_picture(name):
    figure = FIGURES[name]()
    data, size = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    width = int.from_bytes(data[16:20], "big")
    assert width == pytest.approx(1.6 * size["width"], abs=2)


def test_every_public_function_is_in_the_table_above():
    own = {n for n, f in vars(plots).items() if getattr(f, "__module__", "") == plots.__name__}
    assert own - {"Figure", "new_figure"} == set(FIGURES)


def test_drawing_leaves_pyplot_alone():
    for draw in FIGURES.values():
        draw()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_curves_draw_the_values_under_their_names():
    axes = FIGURES["curves"]().axes[0]
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[1, 4], [2, 3], [3, 2]])
    assert axes.get_xlabel() == "step"


def test_a_logarithmic_axis_holds_all_values():
    axes = plots.curves({"a": [1e-6, 1e3]}, **LABELS, logy=True).axes[0]
    low, high = axes.get_ylim()
    assert axes.get_yscale() == "log" and 0 < low <= 1e-6 and high >= 1e3


def test_learning_curves_dash_what_was_held_out():
    lines = FIGURES["learning_curve"]().axes[0].lines
    styles = {line.get_label(): line.get_linestyle() for line in lines}
    assert styles == {"RNN": "-", "RNN, held out": "--"}


def test_bands_reach_from_the_lowest_to_the_highest_run():
    axes = plots.bands({"a": np.array([[1.0, 2.0], [3.0, 6.0]])}, **LABELS).axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2, 4])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == 1 and band.max() == 6


def test_heatmaps_are_white_at_zero():
    axes = FIGURES["heatmap"]().axes[0]
    image = axes.images[0]
    np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], 1, atol=0.01)


def test_confusion_matrices_print_counts_and_shares_of_the_true_class():
    texts = [text.get_text() for text in FIGURES["confusion_matrix"]().axes[0].texts]
    assert texts == ["8\n80%", "2\n20%", "1\n10%", "9\n90%"]


def test_paired_curves_share_a_colour_and_the_second_is_dashed():
    solid, dashed = FIGURES["paired_curves"]().axes[0].lines
    assert solid.get_color() == dashed.get_color()
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
