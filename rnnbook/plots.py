"""Every figure that the chapters share. Each function draws what it is handed and returns a Figure.

One look: colours in a fixed order, near those of Okabe & Ito (2008), told apart by colour-blind
readers and each with a contrast of 3 or more to the page, light or dark; thin axes without a box; a
white background, which the site inverts on dark pages.
"""

import io

import matplotlib as mpl
import matplotlib.colors
import matplotlib.dates
import matplotlib.figure
import numpy as np

COLORS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "purple": "#AA4499",
    "brown": "#661A00",
    "sky": "#3B9BD9",
    "grey": "#666666",
}

# From below zero (blue) over zero (white) to above (orange).
DIVERGING = mpl.colors.LinearSegmentedColormap.from_list(
    "rnnbook", [COLORS["blue"], "white", COLORS["orange"]]
)

STYLE = {
    "axes.prop_cycle": mpl.cycler(color=list(COLORS.values())),  # type: ignore[attr-defined]
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
}


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that a notebook shows when it is a cell's last value.

    It does not pass through pyplot, so nothing is drawn twice and no global state is touched.

    Examples
    --------
    >>> figure, axes = new_figure()
    >>> isinstance(figure, Figure)
    True
    """

    def _repr_png_(self):
        data = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.savefig(data, format="png", metadata={"Software": None})
        width, height = (round(100 * inches) for inches in self.get_size_inches())
        return data.getvalue(), {"width": width, "height": height}


def _colored(named):
    """Pair the colours with the entries of a dict: (colour, (name, value)) ..."""
    if len(named) > len(COLORS):
        raise ValueError(f"{len(named)} names: expected {len(COLORS)} at most, one for each colour")
    return zip(COLORS.values(), named.items(), strict=False)


def new_figure(width=6.4, height=3.4, rows=1, columns=1, **kwargs):
    """Return ``(figure, axes)`` in the book's style, without touching pyplot's global state.

    Parameters
    ----------
    width, height : float
        Inches.
    rows, columns : int
        Of axes; one axes is returned bare, more as an array.
    **kwargs
        For ``Figure.subplots``: ``sharex``, ``width_ratios`` ...

    Examples
    --------
    >>> figure, (left, right) = new_figure(columns=2, sharey=True)
    >>> _ = left.plot([1, 2, 4])
    >>> figure
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        return figure, figure.subplots(rows, columns, **kwargs)


def curves(lines, x=None, *, xlabel, ylabel, title=None, logy=False, ymin=None, ymax=None):
    """Draw named lines over a common axis.

    Parameters
    ----------
    lines : dict of str to sequence of float
        Legend entry to values. Entries that end in " (dashed)" are dashed, without these words.
    x : sequence of float, optional
        Where the values stand; 1, 2, 3 ... if None.
    xlabel, ylabel, title : str
        With units.
    logy : bool
        Logarithmic vertical axis.
    ymin, ymax : float, optional
        Limits of the vertical axis.

    Examples
    --------
    >>> curves({"RNN": [0.7, 0.6, 0.6], "LSTM": [0.7, 0.5, 0.3]}, xlabel="epoch", ylabel="loss")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for name, values in lines.items():
            label = name.removesuffix(" (dashed)")
            places = np.arange(1, len(values) + 1) if x is None else x
            axes.plot(places, values, "--" if label != name else "-", label=label)
        axes.set_yscale("log" if logy else "linear")
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "", ylim=(ymin, ymax))
        if len(lines) > 1:
            axes.legend()
        return figure


def learning_curve(histories, column="loss", *, ylabel=None):
    """Draw a column of training histories, and beside it the same column on held-out data.

    Parameters
    ----------
    histories : dict of str to DataFrame
        Legend entry to what :func:`rnnbook.training.fit` returned.
    column : str
        "loss", or a metric; ``val_`` + column is dashed.
    ylabel : str, optional

    Examples
    --------
    >>> import pandas as pd
    >>> history = pd.DataFrame({"loss": [0.7, 0.4], "val_loss": [0.7, 0.5]}, index=[1, 2])
    >>> learning_curve({"GRU": history})
    <Figure size ...>
    """
    lines = {}
    for name, history in histories.items():
        for key, label in ((column, name), (f"val_{column}", f"{name}, held out (dashed)")):
            if key in history:
                lines[label] = history[key].to_numpy()
    return curves(lines, xlabel="epoch", ylabel=ylabel or f"{column} per example")


def bars(values, *, ylabel, title=None, reference=None):
    """Draw one bar for each named value, its number above it.

    Parameters
    ----------
    values : dict of str to float
    ylabel, title : str
    reference : (str, float), optional
        A named horizontal line, such as chance.

    Examples
    --------
    >>> bars({"RNN": 0.79, "LSTM": 0.87}, ylabel="accuracy", reference=("chance", 0.5))
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        names = list(values)
        drawn = axes.bar(names, list(values.values()), color=COLORS["blue"], width=0.6)
        axes.bar_label(drawn, fmt="%.3g", padding=2)
        axes.set(ylabel=ylabel, title=title or "")
        axes.grid(axis="x", visible=False)
        if reference is not None:
            name, level = reference
            axes.axhline(level, color=COLORS["orange"], linestyle="--", label=name)
            axes.legend()
        return figure


def confusion_matrix(counts, classes):
    """Draw how often each true class (row) was predicted as each class (column).

    Parameters
    ----------
    counts : ndarray of int, (K, K)
        As ``sklearn.metrics.confusion_matrix`` returns them.
    classes : sequence of str
        The K names.

    Examples
    --------
    >>> confusion_matrix(np.array([[90, 10], [20, 80]]), ["blame", "praise"])
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.2, 3.6)
        axes.imshow(counts, cmap="Blues", vmin=0, vmax=1.6 * np.max(counts))
        for (row, column), count in np.ndenumerate(counts):
            share = count / counts[row].sum()
            axes.text(column, row, f"{count:,}\n{share:.0%}", ha="center", va="center")
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted", ylabel="true")
        axes.grid(False)
        return figure


def heatmap(values, *, xlabel, ylabel, title=None, xticks=None, yticks=None, symmetric=True):
    """Draw a matrix as colours.

    Parameters
    ----------
    values : ndarray, (rows, columns)
    xlabel, ylabel, title : str
    xticks, yticks : sequence of str, optional
        One label for each column and row.
    symmetric : bool
        Centre the colours on zero (orange above, blue below); else from white to blue.

    Examples
    --------
    >>> heatmap(np.eye(3), xlabel="unit", ylabel="unit")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(6.4, 3.2)
        largest = float(np.abs(values).max()) or 1.0
        limits = (-largest, largest) if symmetric else (None, None)  # None: those of the values
        cmap = DIVERGING if symmetric else "Blues"
        image = axes.imshow(values, aspect="auto", cmap=cmap, vmin=limits[0], vmax=limits[1])
        figure.colorbar(image, ax=axes)
        if xticks is not None:
            axes.set_xticks(range(len(xticks)), xticks)
        if yticks is not None:
            axes.set_yticks(range(len(yticks)), yticks)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
        axes.grid(False)
        return figure


def bands(
    runs,
    x=None,
    *,
    xlabel,
    ylabel,
    title=None,
    logx=False,
    xticks=None,
    ymin=None,
    ymax=None,
    reference=None,
):
    """Draw the mean of repeated runs as a line, and from the lowest to the highest run a band.

    Parameters
    ----------
    runs : dict of str to ndarray, (R, P)
        Legend entry to R runs (seeds) of P points each.
    x : sequence of float, (P,), optional
        Where the points stand; 1, 2, 3 ... if None.
    xlabel, ylabel, title : str
        With units.
    logx : bool
        Logarithmic horizontal axis.
    xticks : sequence of float, optional
        Where the horizontal axis has its numbers.
    ymin, ymax : float, optional
        Limits of the vertical axis.
    reference : (str, float), optional
        A named horizontal line, such as chance.

    Examples
    --------
    >>> runs = {"GRU": np.array([[0.7, 0.5, 0.3], [0.7, 0.6, 0.4]])}  # two seeds, three epochs
    >>> bands(runs, xlabel="epoch", ylabel="loss")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for name, values in runs.items():
            values = np.asarray(values)
            places = np.arange(1, values.shape[1] + 1) if x is None else x
            (line,) = axes.plot(places, values.mean(axis=0), label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(places, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if reference is not None:
            name, level = reference
            axes.axhline(level, color=COLORS["grey"], linestyle=":", label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "", ylim=(ymin, ymax))
        if logx:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        if xticks is not None:
            axes.set_xticks(xticks)
        axes.legend()
        return figure


def curve_panels(panels, x, *, xlabel, limits=(None, None)):
    """Draw the same named lines in panels side by side, over a common pair of axes.

    Parameters
    ----------
    panels : dict of str to dict of str to sequence of float
        Title of each panel to its lines, by legend entry; the first panel has the legend.
    x : sequence of float
    xlabel : str
        With units.
    limits : (float, float)
        Of the vertical axis.

    Examples
    --------
    >>> lines = {"RNN": [1.0, 0.2, 0.1], "LSTM": [1.0, 0.9, 0.8]}
    >>> curve_panels({"T = 10": lines, "T = 50": lines}, [1, 2, 3], xlabel="lag (steps)")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, all_axes = new_figure(7.2, 3.2, 1, len(panels), sharey=True, squeeze=False)
        for axes, (title, lines) in zip(all_axes[0], panels.items(), strict=True):
            for name, values in lines.items():
                axes.plot(x, values, label=name)
            axes.set(xlabel=xlabel, title=title, ylim=limits)
        all_axes[0, 0].legend()
        return figure


def grouped_points(groups, *, ylabel, reference=None):
    """Draw every run as a point: groups along the axis, one colour for each name in a group.

    Parameters
    ----------
    groups : dict of str to dict of str to sequence of float
        Group to name to the value of each run.
    ylabel : str
        With units.
    reference : (str, float), optional
        A named horizontal line, such as chance.

    Examples
    --------
    >>> grouped_points({"T = 10": {"RNN": [0.9, 0.8], "LSTM": [1.0, 1.0]}}, ylabel="accuracy")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(7.2, 3.4)
        names = list(next(iter(groups.values())))
        for k, name in enumerate(names):
            offset = 0.22 * (k - (len(names) - 1) / 2)
            places = [g + offset for g, runs in enumerate(groups.values()) for _ in runs[name]]
            values = [value for runs in groups.values() for value in runs[name]]
            axes.plot(places, values, "os^D"[k % 4], label=name, alpha=0.7, markersize=7)
        if reference is not None:
            label, level = reference
            axes.axhline(level, color=COLORS["grey"], linestyle="--", label=label)
        axes.set_xticks(range(len(groups)), groups)
        axes.set(ylabel=ylabel)
        axes.grid(axis="x", visible=False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure


def histogram(values, *, bins, xlabel, ylabel, marks=None):
    """Draw how often values fall into each bin, and vertical lines at places of interest.

    Parameters
    ----------
    values : sequence of float
    bins : sequence of float
        Borders; values beyond the last are left out.
    xlabel, ylabel : str
        With units.
    marks : dict of str to float, optional
        Words to the place of their line.

    Examples
    --------
    >>> histogram([100, 220, 250], bins=[0, 100, 200, 300], xlabel="tokens", ylabel="texts")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        axes.hist(values, bins=bins, color=COLORS["sky"])
        for name, place in (marks or {}).items():
            axes.axvline(place, color=COLORS["orange"], linestyle="--")
            axes.text(place, 1.01, name, transform=axes.get_xaxis_transform(), ha="center")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        return figure


def paired_curves(pairs, *, xlabel, ylabel, ymin=None):
    """Draw two lines in each colour, the first solid and the second dashed, over 1, 2, 3 ...

    Parameters
    ----------
    pairs : dict of str to dict of str to sequence of float
        A name for each colour to two named lines.
    xlabel, ylabel : str
        With units.
    ymin : float, optional
        Lower limit of the vertical axis.

    Examples
    --------
    >>> pairs = {"GRU": {"train": [0.7, 0.3], "validation": [0.7, 0.5]}}
    >>> paired_curves(pairs, xlabel="epoch", ylabel="loss")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for color, (name, lines) in _colored(pairs):
            for style, (label, values) in zip(("-", "--"), lines.items(), strict=False):
                places = np.arange(1, len(values) + 1)
                axes.plot(places, values, style, color=color, label=f"{name}, {label}")
        axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(ymin, None))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return figure


def gradient_flow(flows, *, title=None):
    """Draw the gradient that reaches each step: the typical sequence a line, all of them a band.

    Parameters
    ----------
    flows : dict of str to ndarray, (T+1, N)
        Legend entry to one of what :func:`~rnnbook.probe.gradient_flow` returned. Each line is the
        geometric mean over the sequences; a gradient that is zero is not drawn.
    title : str, optional

    Examples
    --------
    >>> from rnnbook import probe, scratch
    >>> x = np.random.default_rng(0).standard_normal((50, 20, 1)).astype(np.float32)
    >>> gradient_flow(probe.gradient_flow(scratch.LSTM(1, 16, rng=0), x))
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for name, norms in flows.items():
            steps, norms = np.arange(len(norms)), np.where(norms > 0, norms, np.nan)
            (line,) = axes.plot(steps, np.exp(np.log(norms).mean(axis=1)), label=name)
            low, high = norms.min(axis=1), norms.max(axis=1)
            axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set_yscale("log")
        axes.set(xlabel="step t", ylabel="norm of the gradient", title=title or "")
        if len(flows) > 1:
            axes.legend()
        return figure


def gate_activity(gates, sequence=0, *, xticks=None):
    """Draw each gate of one sequence as a picture: a row for each unit, a column for each step.

    Gates from 0 (white) to 1 (blue); candidates and states from below zero (blue) to above
    (orange).

    Parameters
    ----------
    gates : dict of str to ndarray, (T, N, H)
        As :func:`~rnnbook.probe.gates` returned them, or some of them.
    sequence : int
        Which of the N.
    xticks : sequence of str, optional
        A label for each step, such as the characters read.

    Examples
    --------
    >>> from rnnbook import probe, scratch
    >>> x = np.random.default_rng(0).standard_normal((12, 1, 1)).astype(np.float32)
    >>> gate_activity(probe.gates(scratch.GRU(1, 4, rng=0), x))
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        rows = len(gates)
        figure, all_axes = new_figure(6.4, 0.6 + 0.9 * rows, rows, sharex=True, squeeze=False)
        for axes, (name, activity) in zip(all_axes[:, 0], gates.items(), strict=True):
            values = activity[:, sequence].T  # (H, T)
            if name in ("i", "f", "o", "r", "z"):
                low, high, cmap = 0, 1, "Blues"
            else:
                high = max(1.0, float(np.abs(values).max()))
                low, cmap = -high, DIVERGING
            image = axes.imshow(
                values, aspect="auto", cmap=cmap, vmin=low, vmax=high, interpolation="nearest"
            )
            figure.colorbar(image, ax=axes, pad=0.01)
            axes.set_yticks([])
            axes.set_ylabel(name, rotation=0, ha="right", va="center")
            axes.grid(False)
        if xticks is not None:
            axes.set_xticks(range(len(xticks)), xticks)
        axes.set(xlabel="step" if xticks is None else "")
        return figure


def saturation(shares):
    """Draw each unit of each gate as a point: how often it is shut, how often wide open.

    Points at the origin never saturate; on the diagonal they always do.

    Parameters
    ----------
    shares : dict of str to Saturation
        Title of each panel to what :func:`~rnnbook.probe.saturation` returned.

    Examples
    --------
    >>> from rnnbook import probe
    >>> z = np.random.default_rng(0).uniform(size=(50, 20, 8))
    >>> saturation({"z": probe.saturation(z)})
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        columns = len(shares)
        figure, all_axes = new_figure(0.6 + 2.2 * columns, 2.7, 1, columns, squeeze=False)
        for axes, (name, share) in zip(all_axes[0], shares.items(), strict=True):
            axes.plot([0, 1], [1, 0], color=COLORS["grey"], linestyle=":", linewidth=1)
            axes.plot(share.left, share.right, "o", alpha=0.5, markersize=6, clip_on=False)
            axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set(aspect="equal", title=name, xlabel="share near lower limit")
        all_axes[0, 0].set_ylabel("share near upper limit")
        return figure


def singular_values(logs, *, title=None, reference=None):
    """Draw how the singular values of Jacobian products change with the number of factors.

    For each name a line for the largest, a dashed one for the median, and a band from the smallest
    to the largest, each the mean of the logarithms over the sequences.

    Parameters
    ----------
    logs : dict of str to ndarray, (T, N, F)
        Legend entry to what :func:`~rnnbook.probe.product_singular_values` returned. Band and line
        end where rounding hides the value.
    title : str, optional
    reference : (str, sequence of float (T,)), optional
        A named line of natural logarithms, such as a bound.

    Examples
    --------
    >>> from rnnbook import probe
    >>> logs = probe.product_singular_values(np.full((10, 3, 1, 1), 0.9))
    >>> singular_values({"0.9 at every step": logs})
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for name, values in logs.items():
            lags = np.arange(1, len(values) + 1)
            values = np.where(np.isfinite(values), values, np.nan) / np.log(10)  # (T, N, F)
            largest = values[:, :, 0].mean(axis=1)
            smallest = values[:, :, -1].mean(axis=1)
            (line,) = axes.plot(lags, largest, label=name)
            middle = values[:, :, values.shape[2] // 2].mean(axis=1)
            axes.plot(lags, middle, "--", color=line.get_color(), linewidth=1)
            axes.fill_between(lags, smallest, largest, color=line.get_color(), alpha=0.15, lw=0)
        if reference is not None:
            name, line = reference
            axes.plot(lags, np.asarray(line) / np.log(10), ":", color=COLORS["grey"], label=name)
        axes.set(xlabel="factors in the product (steps)", title=title or "")
        axes.set_ylabel("log10 of the singular values")
        if len(logs) > 1 or reference is not None:
            axes.legend()
        return figure


def growth(panels, *, xlabel, ylabel, width=7.2, ymin=None, ymax=None):
    """Draw what grows or fades over steps 1, 2, 3 ..., on one logarithmic axis for all panels.

    Parameters
    ----------
    panels : dict of str to dict of str to ndarray
        Title of each panel to its lines, by legend entry. Repeated runs, (R, P), are a line at the
        median and a band from the lowest to the highest; a bare sequence, (P,), is dashed, as
        theory is. Legend entries and their order are those of the first panel.
    xlabel, ylabel : str
        With units.
    width : float
        Inches, for all panels.
    ymin, ymax : float, optional
        Limits of the vertical axis.

    Examples
    --------
    >>> lines = {"runs": np.array([[1.0, 0.5, 0.2], [1.0, 0.4, 0.3]]), "theory": [1.0, 0.5, 0.25]}
    >>> growth({"tanh": lines}, xlabel="steps back", ylabel="norm")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, all_axes = new_figure(width, 3.4, 1, len(panels), sharey=True, squeeze=False)
        for axes, (title, lines) in zip(all_axes[0], panels.items(), strict=True):
            for name, values in lines.items():
                runs = np.atleast_2d(values)
                steps, style = np.arange(1, runs.shape[1] + 1), "-" if len(runs) > 1 else "--"
                (line,) = axes.plot(steps, np.median(runs, axis=0), style, label=name)
                low, high = runs.min(axis=0), runs.max(axis=0)
                axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            axes.set_yscale("log")
            axes.set(xlabel=xlabel, title=title)
        all_axes[0, 0].set(ylabel=ylabel, ylim=(ymin, ymax))  # shared, once all lines are there
        legend = all_axes[0, 0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside upper center", ncols=len(legend[0]))
        return figure


def traces(panels, marks=None, *, xlabel, colors=None):
    """Draw named lines over steps 0, 1, 2 ... in panels under each other, events as vertical lines.

    Parameters
    ----------
    panels : dict of str to dict of str to sequence of float
        Label of each panel's vertical axis to its lines, by legend entry. A line that has the name
        of its panel has no legend entry.
    marks : dict of str to sequence of int, optional
        Name of a kind of event to the steps at which it happens; drawn in all panels.
    xlabel : str
        With units.
    colors : dict of str to str, optional
        Name of a line to its colour in ``COLORS``; blue if it is not named.

    Raises
    ------
    ValueError
        If ``marks`` names more than two kinds.

    Examples
    --------
    >>> traces({"state": {"unit 1": [0, 0.9, 0.9]}}, {"write": [1]}, xlabel="step")
    <Figure size ...>
    """
    kinds = (
        {"color": COLORS["grey"], "linewidth": 5, "alpha": 0.3},
        {"color": COLORS["brown"], "linewidth": 1.4, "linestyle": ":"},
    )
    if marks and len(marks) > len(kinds):
        raise ValueError(f"marks names {len(marks)} kinds of event: expected {len(kinds)} at most")
    with mpl.rc_context(STYLE):
        rows = len(panels)
        figure, all_axes = new_figure(7.2, 0.6 + 1.1 * rows, rows, sharex=True, squeeze=False)
        for axes, (title, lines) in zip(all_axes[:, 0], panels.items(), strict=True):
            for (event, steps), look in zip((marks or {}).items(), kinds, strict=False):
                for k, step in enumerate(steps):
                    named = k == 0 and axes is all_axes[0, 0]
                    axes.axvline(step, zorder=1, label=event if named else None, **look)
            for name, values in lines.items():
                color = COLORS[(colors or {}).get(name, "blue")]
                label = name if name != title else None
                axes.plot(np.arange(len(values)), values, label=label, color=color)
            axes.set_ylabel(title)
            axes.grid(axis="x", visible=False)
        all_axes[-1, 0].set(xlabel=xlabel)
        figure.align_ylabels()
        handles = [h for axes in all_axes[:, 0] for h in axes.get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
        return figure


def scaling(panels):
    """Draw how measures grow, on logarithmic axes; a dotted line is growth in proportion.

    Parameters
    ----------
    panels : dict of str to DataFrame
        Label of each panel's vertical axis, with units, to its named lines, the columns. The index
        says where the values stand, and its name is the label of the horizontal axis.

    Examples
    --------
    >>> import pandas as pd
    >>> lengths = pd.Index([100, 200, 400], name="steps")
    >>> scaling({"seconds": pd.DataFrame({"RNN": [0.1, 0.2, 0.4]}, index=lengths)})
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, all_axes = new_figure(7.2, 3.4, 1, len(panels), squeeze=False)
        for axes, (ylabel, lines) in zip(all_axes[0], panels.items(), strict=True):
            places = lines.index.to_numpy()
            for name, values in lines.items():
                (line,) = axes.plot(places, values, "o-", label=name)
                proportional = values.iloc[0] * places / places[0]
                axes.plot(places, proportional, ":", color=line.get_color(), linewidth=1)
            axes.set(xscale="log", yscale="log", xlabel=lines.index.name, ylabel=ylabel)
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
        handles = all_axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=4)
        return figure


def rows_of_points(panels, *, xlabel):
    """Draw every run as a point: a row for each thing compared, panels side by side.

    Parameters
    ----------
    panels : dict of str to dict of str to dict of str to sequence of float
        Title of each panel to its rows, to the values of each run by legend entry. All panels have
        the rows of the first, which are drawn from the top down.
    xlabel : str
        With units; common to all panels.

    Examples
    --------
    >>> panels = {"loss": {"clipped": {"seeds": [0.1, 0.2]}, "not clipped": {"seeds": [0.1, 3.0]}}}
    >>> rows_of_points(panels, xlabel="mean squared error")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        rows = list(next(iter(panels.values())))
        height = 1.1 + 0.34 * len(rows)
        figure, all_axes = new_figure(7.2, height, 1, len(panels), sharey=True, squeeze=False)
        for axes, (title, of_panel) in zip(all_axes[0], panels.items(), strict=True):
            names = list(next(iter(of_panel.values())))
            for k, name in enumerate(names):
                points = [(v, r) for r, row in enumerate(rows) for v in of_panel[row][name]]
                values, places = np.array(points).reshape(-1, 2).T
                places = places + 0.24 * (k - (len(names) - 1) / 2)
                axes.plot(values, places, "os^D"[k % 4], label=name, alpha=0.7, markersize=6)
            axes.set(title=title)
            axes.grid(axis="y", visible=False)
        all_axes[0, 0].set_yticks(range(len(rows)), rows)
        all_axes[0, 0].invert_yaxis()  # shared by all panels
        figure.supxlabel(xlabel, fontsize=10)
        legend = all_axes[0, 0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside upper center", ncols=4)
        return figure


def every_run(panels, *, xlabel):
    """Draw each run as a thin line, in panels with a logarithmic axis each.

    Parameters
    ----------
    panels : dict of str to dict of str to ndarray, (R, P)
        Label of each panel's vertical axis to the runs by legend entry, over 1, 2, 3 ... A run that
        ends early is NaN from there on, and a cross marks its end.
    xlabel : str
        With units; common to all panels.

    Examples
    --------
    >>> losses = {"RNN": np.array([[0.7, 0.5, np.nan], [0.7, 0.6, 0.5]])}  # one run broke off
    >>> every_run({"loss": losses}, xlabel="update")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, all_axes = new_figure(7.2, 3.2, 1, len(panels), squeeze=False)
        for axes, (ylabel, lines) in zip(all_axes[0], panels.items(), strict=True):
            for color, (name, runs) in _colored(lines):
                for number, values in enumerate(np.asarray(runs)):
                    end = np.isfinite(values).argmin() or len(values)
                    label = None if number else name
                    steps = np.arange(1, end + 1)
                    axes.plot(steps, values[:end], color=color, linewidth=1, label=label)
                    if end < len(values):
                        axes.plot(end, values[end - 1], "x", color=color, markersize=9, mew=2)
            axes.set_yscale("log")
            axes.set(xlabel=xlabel, ylabel=ylabel)
        legend = all_axes[0, 0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside upper center", ncols=4)
        return figure


def every_path(groups, *, xlabel, ylabel, references=None, logx=False):
    """Draw each run as a line with points over its own horizontal axis.

    Parameters
    ----------
    groups : dict of str to list of (x, y)
        Legend entry to its runs, each two sequences of equal length.
    xlabel, ylabel : str
        With units.
    references : dict of str to float, optional
        Label and height of dashed lines.
    logx : bool
        Powers of two on the horizontal axis.

    Examples
    --------
    >>> groups = {"RNN": [([10, 20], [0.6, 0.7]), ([10, 30], [0.6, 0.8])]}  # two runs
    >>> every_path(groups, xlabel="seconds", ylabel="accuracy")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for color, (name, runs) in _colored(groups):
            for number, (x, y) in enumerate(runs):
                label = None if number else name
                axes.plot(x, y, ".-", color=color, linewidth=1, label=label)
        for name, height in (references or {}).items():
            axes.axhline(height, color="#666666", linestyle="--", linewidth=1)
            axes.annotate(name, (1, height), xycoords=("axes fraction", "data"), ha="right",
                          va="bottom", fontsize=9, color="#444444")  # fmt: skip
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if logx:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
        axes.legend()
        return figure


def points(groups, *, xlabel, ylabel, logx=False, references=None):
    """Draw named groups of points over two axes, told apart by colour and shape.

    Parameters
    ----------
    groups : dict of str to (x, y)
        Legend entry to two sequences of equal length.
    xlabel, ylabel : str
        With units.
    logx : bool
        Logarithmic horizontal axis.
    references : dict of str to float, optional
        Label and height of dashed lines.

    Examples
    --------
    >>> points({"GRU": ([0.001, 0.01], [0.7, 0.8])}, xlabel="rate", ylabel="accuracy", logx=True)
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for k, (name, (x, y)) in enumerate(groups.items()):
            axes.plot(x, y, "os^D"[k % 4], label=name, alpha=0.7, markersize=7)
        for k, (name, height) in enumerate((references or {}).items()):
            axes.axhline(height, color=COLORS["grey"], linestyle=("--", ":")[k % 2], label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)
        return figure


def yes_no(panels, *, xlabel, ylabel, border=None):
    """Draw tables of yes (blue) and no (white) side by side, both axes counted from 1.

    Parameters
    ----------
    panels : dict of str to ndarray of bool, (rows, columns)
        Title of each panel to its table.
    xlabel, ylabel : str
        Of the columns and of the rows.
    border : int, optional
        The number of the last row and column before a dashed line, such as the last valid step.

    Examples
    --------
    >>> yes_no({"forward": np.tri(4, dtype=bool)}, xlabel="input step", ylabel="output step")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        count = len(panels)
        figure, all_axes = new_figure(0.6 + 3 * count, 3.3, 1, count, squeeze=False)
        for axes, (title, table) in zip(all_axes[0], panels.items(), strict=True):
            rows, columns = np.shape(table)
            axes.imshow(
                table, cmap="Blues", vmin=0, vmax=1.4, extent=(0.5, columns + 0.5, rows + 0.5, 0.5)
            )
            for line in () if border is None else (axes.axvline, axes.axhline):
                line(border + 0.5, color=COLORS["orange"], linestyle="--")
            axes.set_xticks(range(1, columns + 1))
            axes.set_yticks(range(1, rows + 1))
            axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
            axes.grid(False)
        return figure


def against_length(panels, *, xlabel, references=None):
    """Draw every run as a point over the length of its task, and lines through the means.

    Parameters
    ----------
    panels : dict of str to dict of str to dict of int to sequence of float
        Label of each panel's vertical axis to the runs at each length, by legend entry. Points of
        different entries stand beside each other.
    xlabel : str
        With units; common to all panels.
    references : dict of str to float, optional
        The height of a dotted line in a panel, such as a model that remembers nothing.

    Examples
    --------
    >>> panels = {"accuracy": {"LSTM": {10: [1.0, 1.0], 100: [0.9, 1.0]}}}
    >>> against_length(panels, xlabel="T (steps)", references={"accuracy": 0.25})
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, all_axes = new_figure(7.2, 3.4, 1, len(panels), squeeze=False)
        for axes, (ylabel, lines) in zip(all_axes[0], panels.items(), strict=True):
            for k, (name, runs) in enumerate(lines.items()):
                beside = 1.05 ** (k - (len(lines) - 1) / 2)  # the axis is logarithmic
                places = [length * beside for length in runs]
                means = [np.mean(values) for values in runs.values()]
                (line,) = axes.plot(places, means, label=name)
                points = [(p, v) for p, vs in zip(places, runs.values(), strict=True) for v in vs]
                look = {"color": line.get_color(), "alpha": 0.6, "markersize": 6}
                axes.plot(*np.array(points).T, "os^D"[k % 4], **look)
            if references:
                axes.axhline(references[ylabel], color=COLORS["grey"], linestyle=":")
            lengths = sorted({length for runs in lines.values() for length in runs})
            axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
            axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
            axes.minorticks_off()
        legend = all_axes[0, 0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside upper center", ncols=4)
        return figure


def error_by_step(tables, measure="mse", *, xlabel="steps ahead", ylabel=None):
    """Draw how the error of each forecaster grows with the distance of what it forecasts.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Legend entry to the ``by_step`` of what :func:`rnnbook.forecasting.backtest` returned.
    measure : str
        The column to draw: "mse", "mae" or "mase".
    xlabel, ylabel : str
        With units.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"mse": [0.1, 0.2, 0.4]}, index=[1, 2, 3])
    >>> error_by_step({"last value": table})
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        for name, table in tables.items():
            axes.plot(table.index, table[measure], label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel or measure.upper(), ylim=(0, None))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure


def rolling_forecasts(truth, forecasts, *, ylabel, xlabel=""):
    """Draw a series, and what was forecast of it from several origins.

    Parameters
    ----------
    truth : pandas.Series
        Over time; begin it before the first origin, so that the history is seen.
    forecasts : dict of str to DataFrame
        Legend entry to rows of one column of the ``forecasts`` of what
        :func:`rnnbook.forecasting.backtest` returned: with ``origin``, ``time`` and ``forecast``. A
        dotted line stands at each origin.
    xlabel, ylabel : str
        With units.

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=4)
    >>> forecast = pd.DataFrame({"origin": days[1], "time": days[2:], "forecast": [3.0, 3.0]})
    >>> rolling_forecasts(pd.Series([1.0, 2, 3, 4], days), {"drift": forecast}, ylabel="sold")
    <Figure size ...>
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(7.2, 3.4)
        axes.plot(truth.index, truth, color=COLORS["grey"], linewidth=1.2, label="truth")
        for color, (name, table) in _colored(forecasts):
            for number, (origin, part) in enumerate(table.groupby("origin")):
                label = None if number else name
                axes.plot(part["time"], part["forecast"], color=color, label=label)
                axes.axvline(origin, color=COLORS["grey"], linestyle=":", linewidth=1)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        locator = axes.xaxis.get_major_locator()
        if isinstance(locator, mpl.dates.AutoDateLocator):
            axes.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(locator))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)
        return figure


def fan(history, quantiles, truth=None, *, xlabel="steps after the last known one", ylabel):
    """Draw a forecast with its doubts: the median as a line, and bands that hold ever more.

    Parameters
    ----------
    history : sequence of float, (P,)
        What is known; its last value stands at 0.
    quantiles : dict of float to sequence of float, (F,)
        Level to values at steps 1 to F: 0.5, and pairs such as 0.1 and 0.9.
    truth : sequence of float, (F,), optional
    xlabel, ylabel : str
        With units.

    Raises
    ------
    ValueError
        If a level other than 0.5 has no partner on the other side.

    Examples
    --------
    >>> quantiles = {0.1: [3, 2], 0.5: [4, 4], 0.9: [5, 6]}
    >>> fan([1, 2, 3], quantiles, ylabel="sold")
    <Figure size ...>
    """
    levels = sorted(quantiles)
    pairs = [pair for pair in zip(levels, reversed(levels), strict=True) if pair[0] < 0.5]
    if 0.5 not in levels or not np.allclose(levels, [1 - level for level in reversed(levels)]):
        raise ValueError(f"quantiles holds {levels}: expected 0.5, and pairs such as 0.1 and 0.9")
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        steps = np.arange(1, len(quantiles[0.5]) + 1)
        axes.plot(np.arange(1 - len(history), 1), history, color=COLORS["grey"], label="history")
        shares = []
        for low, high in pairs:
            band = quantiles[low], quantiles[high]
            axes.fill_between(steps, *band, color=COLORS["blue"], alpha=0.2, lw=0)
            shares.append(f"{high - low:.0%}")
        if shares:
            axes.collections[0].set_label(f"bands of {', '.join(shares)}")
        axes.plot(steps, quantiles[0.5], color=COLORS["blue"], label="median")
        if truth is not None:
            axes.plot(steps, truth, "--", color=COLORS["orange"], label="truth")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=6)
        return figure
