"""Each figure shows what it was handed, as a picture that a notebook displays."""

import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from rnnbook import plots
from rnnbook.probe import saturation

LABELS = {"xlabel": "step", "ylabel": "loss (nats)"}
HISTORY = pd.DataFrame({"loss": [3.0, 2.0], "val_loss": [3.5, 2.5]})
FLOW = np.array([[0.0, 0.0], [1e-4, 1e-6], [1.0, 1.0]])  # (T+1, N)
GATE = np.linspace(0, 1, 24).reshape(4, 2, 3)  # (T, N, H)
LOGS = np.log([[[10.0, 1.0, 0.1]], [[100.0, 1.0, np.nan]]])  # (T, N, F)
ERRORS = pd.DataFrame({"mse": [1.0, 4.0]}, index=pd.RangeIndex(1, 3))
TRUTH = pd.Series([1.0, 2, 3, 4], pd.date_range("2026-01-01", periods=4))
FORECASTS = pd.DataFrame(
    {
        "origin": TRUTH.index[[0, 0, 1, 1]],
        "time": TRUTH.index[[1, 2, 2, 3]],
        "forecast": [2.5, 3.5, 3.6, 4.6],
    }
)
QUANTILES = {0.1: [1, 0], 0.25: [2, 1], 0.5: [3, 3], 0.75: [4, 5], 0.9: [5, 6]}

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
    "scaling": lambda: plots.scaling(
        {"ms": pd.DataFrame({"a": [1, 2]}, pd.Index([1, 2], name="T"))}
    ),
    "growth": lambda: plots.growth({"p": {"a": np.array([[1, 10.0]] * 3), "b": [2, 4]}}, **LABELS),
    "rows_of_points": lambda: plots.rows_of_points(
        {"p": {"a": {"x": [1, 2], "y": []}, "b": {"x": [3], "y": [4]}}}, xlabel="share"
    ),
    "every_run": lambda: plots.every_run({"p": {"a": [[1, 2], [3, np.nan]]}}, xlabel="step"),
    "every_path": lambda: plots.every_path(
        {"a": [([1, 2], [4, 3]), ([2, 4], [5, 3])]}, **LABELS, references={"counting": 3.5}
    ),
    "points": lambda: plots.points({"a": ([1, 2], [3, 4])}, **LABELS, references={"b": 3.5}),
    "gradient_flow": lambda: plots.gradient_flow({"a": FLOW, "b": FLOW**2}),
    "gate_activity": lambda: plots.gate_activity({"f": GATE, "c": 4 * GATE - 2}, 1),
    "saturation": lambda: plots.saturation({"f": saturation(GATE)}),
    "singular_values": lambda: plots.singular_values({"a": LOGS}, reference=("b", [0, -1])),
    "against_length": lambda: plots.against_length(
        {"error": {"a": {10: [1, 2], 30: [3]}}}, xlabel="length", references={"error": 2.5}
    ),
    "yes_no": lambda: plots.yes_no({"p": np.eye(3) > 0}, xlabel="in", ylabel="out", border=2),
    "traces": lambda: plots.traces({"f": {"a": [1, 2]}}, {"write": [0]}, xlabel="step"),
    "error_by_step": lambda: plots.error_by_step({"a": ERRORS, "b": 2 * ERRORS}),
    "rolling_forecasts": lambda: plots.rolling_forecasts(TRUTH, {"a": FORECASTS}, ylabel="°C"),
    "fan": lambda: plots.fan([3, 2], QUANTILES, [2, 3], ylabel="°C"),
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
    public = {name for name in own if not name.startswith("_")}
    assert public - {"Figure", "new_figure"} == set(FIGURES)


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


def test_growth_dashes_theory_and_draws_a_band_of_runs():
    runs, theory = FIGURES["growth"]().axes[0].lines
    assert (runs.get_linestyle(), theory.get_linestyle()) == ("-", "--")
    np.testing.assert_array_equal(theory.get_xydata(), [[1, 2], [2, 4]])
    axes = plots.growth({"p": {"a": np.array([[1.0], [2], [9]])}}, **LABELS).axes[0]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert axes.lines[0].get_ydata() == 2 and (band.min(), band.max()) == (1, 9)


def test_rows_of_points_stand_in_their_order_from_the_top():
    axes = FIGURES["rows_of_points"]().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()
    x, y = axes.lines
    np.testing.assert_array_equal(x.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(np.round(x.get_ydata()), [0, 0, 1])
    np.testing.assert_array_equal(y.get_xdata(), [4])


def test_a_run_that_overflows_ends_in_a_cross():
    whole, short, cross = FIGURES["every_run"]().axes[0].lines
    np.testing.assert_array_equal(whole.get_ydata(), [1, 2])
    np.testing.assert_array_equal(short.get_ydata(), [3])
    assert cross.get_marker() == "x" and cross.get_xydata().tolist() == [[1, 3]]


def test_each_path_has_its_own_axis_and_its_name_once():
    axes = FIGURES["every_path"]().axes[0]
    first, second, reference = axes.lines
    assert second.get_xdata().tolist() == [2, 4] and second.get_ydata().tolist() == [5, 3]
    assert first.get_color() == second.get_color()
    assert [text.get_text() for text in axes.get_legend().texts] == ["a"]
    assert reference.get_ydata()[0] == 3.5 and axes.texts[0].get_text() == "counting"


def test_a_gradient_flow_is_the_geometric_mean_and_leaves_out_zeros():
    axes = FIGURES["gradient_flow"]().axes[0]
    assert axes.get_yscale() == "log" and len(axes.get_legend().get_texts()) == 2
    steps, values = axes.lines[0].get_data()
    np.testing.assert_array_equal(steps, [0, 1, 2])
    np.testing.assert_allclose(values, [np.nan, 1e-5, 1])


def test_gates_are_coloured_from_zero_to_one_and_states_around_zero():
    gate, state = (axes.images[0] for axes in FIGURES["gate_activity"]().axes[:2])
    np.testing.assert_array_equal(gate.get_array(), GATE[:, 1].T)
    assert gate.get_clim() == (0, 1)
    np.testing.assert_allclose(state.cmap(state.norm(0.0))[:3], 1, atol=0.01)


def test_saturation_puts_shut_units_to_the_right_and_open_units_up():
    shares = saturation(np.array([[[0.0, 1.0]]]))
    points = plots.saturation({"f": shares}).axes[0].lines[1]
    np.testing.assert_array_equal(points.get_xydata(), [[1, 0], [0, 1]])


def test_singular_values_are_drawn_in_powers_of_ten():
    largest, median, bound = FIGURES["singular_values"]().axes[0].lines
    np.testing.assert_allclose(largest.get_xydata(), [[1, 1], [2, 2]])
    np.testing.assert_allclose(median.get_ydata(), [0, 0], atol=1e-12)
    np.testing.assert_allclose(bound.get_ydata(), [0, -1 / np.log(10)])


def test_errors_stand_above_the_step_that_they_belong_to():
    axes = FIGURES["error_by_step"]().axes[0]
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[1, 2], [2, 8]])
    assert axes.get_ylim()[0] == 0 and axes.get_ylabel() == "MSE"


def test_each_origin_has_its_forecast_and_a_dotted_line():
    axes = FIGURES["rolling_forecasts"]().axes[0]
    truth, *others = axes.lines
    forecasts, origins = others[::2], others[1::2]
    assert [line.get_ydata().tolist() for line in forecasts] == [[2.5, 3.5], [3.6, 4.6]]
    assert [line.get_linestyle() for line in origins] == [":", ":"]
    assert [pd.Timestamp(line.get_xdata()[0]) for line in origins] == list(TRUTH.index[:2])
    assert forecasts[0].get_color() == forecasts[1].get_color() != truth.get_color()


def test_a_fan_has_a_band_for_each_pair_of_levels_around_the_median():
    axes = FIGURES["fan"]().axes[0]
    wide, narrow = (band.get_paths()[0].vertices[:, 1] for band in axes.collections)
    assert (wide.min(), wide.max(), narrow.min(), narrow.max()) == (0, 6, 1, 5)
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["history", "bands of 80%, 50%", "median", "truth"]
    history, median, truth = axes.lines
    np.testing.assert_array_equal(history.get_xydata(), [[-1, 3], [0, 2]])
    np.testing.assert_array_equal(median.get_xydata(), [[1, 3], [2, 3]])
    assert truth.get_linestyle() == "--"


@pytest.mark.parametrize("name", plots.COLORS)
def test_every_color_stands_out_from_the_page(name):
    """WCAG 2.2 asks graphics for a contrast of 3, on white and as the site inverts them."""

    def luminance(red, green, blue):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                  for c in (red, green, blue)]  # fmt: skip
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    def inverted(rgb):  # invert(0.93) hue-rotate(180deg), as in book/_static
        rotate = np.full((3, 3), [0.426, 1.43, 0.144]) - np.eye(3)
        return np.clip(rotate @ (0.93 - 0.86 * np.asarray(rgb)), 0, 1)

    color = to_rgb(plots.COLORS[name])
    assert 1.05 / (luminance(*color) + 0.05) >= 3
    assert (luminance(*inverted(color)) + 0.05) / (luminance(*inverted((1, 1, 1))) + 0.05) >= 3


def test_nothing_that_was_handed_over_is_left_out_silently():
    many = {f"line {k}": [([1, 2], [k, k])] for k in range(len(plots.COLORS) + 1)}
    with pytest.raises(ValueError, match="8 names: expected 7 at most"):
        plots.every_path(many, **LABELS)
    with pytest.raises(ValueError, match="marks names 3 kinds of event: expected 2"):
        plots.traces({"a": {"a": [1]}}, {"x": [0], "y": [0], "z": [0]}, xlabel="step")


def test_a_fan_has_the_bands_that_its_levels_make():
    only = plots.fan([1, 2], {0.5: [2, 3]}, ylabel="sold")
    assert len(only.axes[0].collections) == 0
    with pytest.raises(ValueError, match="expected 0.5, and pairs such as 0.1 and 0.9"):
        plots.fan([1, 2], {0.1: [1], 0.5: [2], 0.8: [3]}, ylabel="sold")


def test_a_heatmap_that_is_not_symmetric_uses_the_range_of_its_values():
    figure = plots.heatmap(np.array([[-9.0, 1.0]]), **LABELS, symmetric=False)
    assert figure.axes[0].images[0].get_clim() == (-9, 1)
