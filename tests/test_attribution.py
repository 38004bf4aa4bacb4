"""Attribution: scores that both twins agree on, that add up, and that a page shows as they are."""

import html.parser
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnbook import attribution, pytorch, scratch
from rnnbook.interop import copy_weights, get_weights

from .cases import D, H, V
from .test_package import BLOCK_TORCH, run
from .test_site import BROWSER, FLAGS, ROOT

TOKENS = np.array([3, 7, 1, 9, 7, 2, 10, 5])
MODELS = {
    "rnn": (2, {}),
    "one logit": (1, {"cell": "gru"}),
    "three classes": (3, {"cell": "lstm"}),
    "deep, both directions": (2, {"cell": "lstm", "num_layers": 2, "bidirectional": True}),
    "mean and max": (2, {"cell": "gru", "bidirectional": True, "pooling": "mean_max"}),
}
every_model = pytest.mark.parametrize("name", MODELS)
ATTRIBUTIONS = {
    "gradient_times_input": attribution.gradient_times_input,
    "integrated_gradients": lambda *args: attribution.integrated_gradients(*args, steps=5),
    "sentiment_by_word": attribution.sentiment_by_word,
}
every_attribution = pytest.mark.parametrize("attribute", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)


def twins(name, **options):
    """The same function in both twins."""
    classes, kwargs = MODELS[name]
    kwargs = {**kwargs, **options}
    ours = scratch.SequenceClassifier(V, D, H, classes, **kwargs, dtype=np.float64, rng=0)
    theirs = pytorch.SequenceClassifier(V, D, H, classes, **kwargs, dtype=torch.float64)
    copy_weights(ours, theirs)
    return ours, theirs


def margin_of_vectors(model, x, target):
    """The margin written down once more, from the definition."""
    logits = np.atleast_1d(model.forward_vectors(x[None])[0][0])
    if len(logits) == 1:
        return logits[0] if target else -logits[0]
    return logits[target] - np.delete(logits, target).mean()


# what is explained


@every_model
def test_the_margin_is_the_logit_of_the_target_minus_the_mean_of_the_others(name):
    ours, theirs = twins(name)
    x = ours.embedding(TOKENS)
    for target in range(max(MODELS[name][0], 2)):
        expected = margin_of_vectors(ours, x, target)
        for model in (ours, theirs):
            assert attribution.margin(model, TOKENS, target) == pytest.approx(expected, abs=1e-12)


@every_model
def test_the_target_is_the_predicted_class_if_none_is_named(name):
    ours, _ = twins(name)
    logits = ours(TOKENS[None])[0]
    predicted = int(logits > 0) if MODELS[name][0] == 1 else int(logits.argmax())
    for attribute in (attribution.margin, attribution.gradient_times_input):
        expected = attribute(ours, TOKENS, predicted)
        np.testing.assert_array_equal(attribute(ours, TOKENS), expected)
    assert attribution.margin(ours, TOKENS) > 0


def test_what_speaks_for_one_of_two_classes_speaks_against_the_other():
    for name in ("rnn", "one logit"):
        ours, _ = twins(name)
        blame, praise = (attribution.gradient_times_input(ours, TOKENS, k) for k in (0, 1))
        np.testing.assert_allclose(blame, -praise, atol=1e-14)


# both twins


@every_attribution
@every_model
def test_both_twins_give_the_same_scores(name, attribute):
    for target in (0, 1):
        ours, theirs = (attribute(model, TOKENS, target) for model in twins(name))
        assert ours.shape == TOKENS.shape and ours.dtype == theirs.dtype == np.float64
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-9)


@every_attribution
def test_tokens_may_be_a_list_or_a_tensor_and_the_model_in_float32(attribute):
    model = scratch.SequenceClassifier(V, D, H, 2, rng=0)
    twin = pytorch.SequenceClassifier(V, D, H, 2)
    copy_weights(model, twin)
    expected = attribute(model, TOKENS)
    for tokens in (TOKENS.tolist(), torch.tensor(TOKENS), TOKENS.astype(np.uint8)):
        np.testing.assert_array_equal(attribute(model, tokens), expected)
        np.testing.assert_allclose(attribute(twin, tokens), expected, atol=1e-5)


# scores


@every_model
def test_gradient_times_input_is_how_fast_the_margin_moves_as_a_vector_grows(name):
    ours, _ = twins(name)
    x, h = ours.embedding(TOKENS), 1e-6
    scores = attribution.gradient_times_input(ours, TOKENS, 1)
    for t, score in enumerate(scores):
        grown, shrunk = x.copy(), x.copy()
        grown[t] *= 1 + h
        shrunk[t] *= 1 - h
        moved = margin_of_vectors(ours, grown, 1) - margin_of_vectors(ours, shrunk, 1)
        assert score == pytest.approx(moved / (2 * h), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("baseline", [0, 1])
@pytest.mark.parametrize("name", ["rnn", "one logit", "three classes", "deep, both directions"])
def test_integrated_gradients_add_up_and_the_error_falls_with_the_square_of_the_steps(
    name, baseline
):
    errors = []
    for model in twins(name):
        ends = [attribution.margin(model, t, 1) for t in (TOKENS, np.full_like(TOKENS, baseline))]
        for steps in (10, 20, 40, 80):
            scores = attribution.integrated_gradients(model, TOKENS, 1, steps, baseline)
            errors.append(abs(scores.sum() - (ends[0] - ends[1])))
    errors = np.reshape(errors, (2, 4))
    assert errors[:, -1].max() < 2e-3 * abs(ends[0] - ends[1])
    np.testing.assert_allclose(errors[:, :-1] / errors[:, 1:], 4, rtol=0.2)


def test_integrated_gradients_go_on_a_straight_line_from_the_baseline_to_the_word():
    ours, _ = twins("three classes")
    ours.embedding.weight.data[0] = 0.3  # a row of padding that is not zero
    x, start = ours.embedding(TOKENS), ours.embedding(np.zeros_like(TOKENS))
    expected, h = np.zeros(len(x)), 1e-5
    for place in (1 / 6, 3 / 6, 5 / 6):
        middle = start + place * (x - start)
        for t in range(len(x)):
            step = np.zeros_like(x)
            step[t] = h * (x - start)[t]
            ends = [margin_of_vectors(ours, middle + sign * step, 2) for sign in (1, -1)]
            expected[t] += (ends[0] - ends[1]) / (2 * h) / 3
    scores = attribution.integrated_gradients(ours, TOKENS, 2, steps=3)
    np.testing.assert_allclose(scores, expected, atol=1e-8)


@every_model
def test_sentiment_by_word_is_the_margin_of_every_prefix(name):
    for model in twins(name):
        curve = attribution.sentiment_by_word(model, TOKENS)
        alone = [attribution.margin(model, TOKENS[:t], 1) for t in range(1, len(TOKENS) + 1)]
        np.testing.assert_allclose(curve, alone, atol=1e-12)


@every_attribution
def test_memory_is_bounded_and_the_scores_are_the_same(attribute, monkeypatch):
    ours, _ = twins("deep, both directions")
    expected, batches = attribute(ours, TOKENS, 1), []
    forward = ours.rnn.forward

    def spy(x, state=None, lengths=None):
        batches.append(x.shape[:2])
        return forward(x, state, lengths)

    monkeypatch.setattr(attribution, "STEPS", 17)
    monkeypatch.setattr(ours.rnn, "forward", spy)
    np.testing.assert_allclose(attribute(ours, TOKENS, 1), expected, atol=1e-12)
    assert max(rows * steps for rows, steps in batches) <= 17


# the model stays as it was


def run_all(model):
    for attribute in ATTRIBUTIONS.values():
        attribute(model, TOKENS)
    attribution.margin(model, TOKENS)
    attribution.deletion_test(model, [TOKENS], attribution.gradient_times_input)


def test_a_scratch_model_keeps_its_weights_its_gradients_its_mode_and_its_random_numbers():
    model, _ = twins("deep, both directions", dropout=0.5, word_dropout=0.5)
    for parameter in model.parameters():
        parameter.grad += 3
    held = [parameter.grad for parameter in model.parameters()]
    model.dropout.training = False
    weights, drawn = get_weights(model), str(model.rng.bit_generator.state)
    run_all(model)
    assert model.training and model.word_dropout.training and not model.dropout.training
    for parameter, gradient in zip(model.parameters(), held, strict=True):
        assert parameter.grad is gradient and (gradient == 3).all()
    for name, array in get_weights(model).items():
        np.testing.assert_array_equal(array, weights[name])
    assert str(model.rng.bit_generator.state) == drawn


def test_a_torch_model_keeps_its_weights_its_gradients_its_mode_and_its_random_numbers():
    _, model = twins("deep, both directions", dropout=0.5, word_dropout=0.5)
    model.linear.weight.grad = torch.full_like(model.linear.weight, 3)
    model.dropout.eval()
    model.rnn.weight_hh_l0.requires_grad_(False)
    weights, drawn = get_weights(model), torch.get_rng_state()
    with torch.no_grad():
        run_all(model)
    assert model.training and model.word_dropout.training and not model.dropout.training
    assert (model.linear.weight.grad == 3).all()
    assert all(p.grad is None for p in model.parameters() if p is not model.linear.weight)
    assert not model.rnn.weight_hh_l0.requires_grad and model.rnn.weight_hh_l1.requires_grad
    for name, array in get_weights(model).items():
        np.testing.assert_array_equal(array, weights[name])
    assert torch.equal(torch.get_rng_state(), drawn)


@every_attribution
def test_dropout_does_not_act(attribute):
    name = "deep, both directions"
    expected = attribute(twins(name)[0], TOKENS)
    for model in twins(name, dropout=0.5, word_dropout=0.5):
        np.testing.assert_allclose(attribute(model, TOKENS), expected, atol=1e-9)


def test_an_error_on_the_way_leaves_the_model_as_it_was():
    for model in twins("rnn"):
        held = [parameter.grad for parameter in model.parameters()]
        with pytest.raises(ZeroDivisionError):
            attribution.deletion_test(model, [TOKENS], lambda model, tokens: 1 / 0)
        assert model.training
        assert all(p.grad is g for p, g in zip(model.parameters(), held, strict=True))


# deletion

GOOD, BAD, FILLER = 2, 3, 4


def opinions(module, dtype):
    """A model whose logit is the mean of good (1) and bad (-1) words; others are 0."""
    model = module.SequenceClassifier(5, 1, 1, 1, pooling="mean", dtype=dtype)
    ours = scratch.SequenceClassifier(5, 1, 1, 1, pooling="mean", dtype=np.float64)
    for parameter in ours.parameters():
        parameter.data[...] = 0
    ours.embedding.weight.data[[GOOD, BAD], 0] = np.arctanh(0.5), -np.arctanh(0.5)
    ours.rnn.weight_ih_l0.data[...] = 1
    ours.linear.weight.data[...] = 2
    copy_weights(ours, model)
    return model


REVIEWS = [
    np.array([GOOD, FILLER, BAD, GOOD, FILLER, FILLER, BAD, FILLER, GOOD, FILLER]),
    np.array([BAD, BAD, GOOD, FILLER, BAD]),
    np.array([GOOD]),
]


def test_the_words_that_decided_take_the_decision_with_them():
    tables = []
    for module, dtype in ((scratch, np.float64), (pytorch, torch.float64)):
        model = opinions(module, dtype)
        table = attribution.deletion_test(
            model, REVIEWS, attribution.gradient_times_input, fractions=(0, 0.2, 0.4)
        )
        assert table.index.tolist() == [0, 0.2, 0.4] and table.index.name == "fraction"
        assert table["kept"].columns.tolist() == ["by score", "random", "reverse"]
        tables.append(table)
    np.testing.assert_allclose(*tables, atol=1e-12)
    # good minus bad over length, after 0, 20 and 40 % of 10, of 5 and of 1 word are gone
    by_score = [[1 / 10, 2 / 5, 1], [-1 / 8, 1 / 4, 1], [-2 / 6, 0, 1]]
    reverse = [[1 / 10, 2 / 5, 1], [3 / 8, 3 / 4, 1], [3 / 6, 1, 1]]
    margins = tables[0]["margin"]
    np.testing.assert_allclose(margins["by score"], np.mean(by_score, axis=1), atol=1e-12)
    np.testing.assert_allclose(margins["reverse"], np.mean(reverse, axis=1), atol=1e-12)
    np.testing.assert_allclose(tables[0]["kept"]["by score"][:0.2], [1, 2 / 3])
    np.testing.assert_array_equal(tables[0]["kept"]["reverse"], 1)
    assert (margins["by score"] <= margins["random"]).all()
    assert (margins["random"] <= margins["reverse"]).all()


def last_words(model, tokens):
    """Scores that rise to the end of the review."""
    return np.arange(len(tokens))


def test_random_deletion_takes_as_many_words_and_follows_from_its_seed():
    model, read = opinions(scratch, np.float64), []
    forward = model.rnn.forward

    def spy(x, state=None, lengths=None):
        read.append(np.sort(lengths).tolist())
        return forward(x, state, lengths)

    model.rnn.forward = spy
    first, same, other = (
        attribution.deletion_test(model, REVIEWS, last_words, [0.3], rng=rng) for rng in (0, 0, 1)
    )
    assert read == [[1, 5, 10], [1, 3, 7], [1, 3, 7], [1, 3, 7]] * 3
    assert first.equals(same) and not first.equals(other)


def test_the_words_that_are_left_keep_their_order(monkeypatch):
    kept = []
    margins = attribution._margins
    monkeypatch.setattr(
        attribution, "_margins", lambda model, s: kept.append(s) or margins(model, s)
    )
    scores = {3: 5, 7: 1, 1: 9, 9: 0, 2: 4}
    attribution.deletion_test(
        twins("rnn")[0], [[3, 7, 1, 9, 2]], lambda _, ids: np.array([scores[i] for i in ids]), [0.4]
    )
    assert kept[1][0].tolist() == [7, 9, 2] and kept[3][0].tolist() == [3, 1, 2]


def test_one_word_at_least_is_left():
    table = attribution.deletion_test(twins("rnn")[0], [[3], [3, 7]], last_words, [0, 0.9])
    assert np.isfinite(table).all(axis=None)


# highlight

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&amp;",
    "' onmouseover='alert(1)",
    "$\\href{javascript:alert(1)}{x}$",
    "\x1b[31m",
    "\u202e",
    "好",
]
HOSTILE_SCORES = [1, -1, 0, 0.5, -0.5, 1, -1, 0.1]


class Elements(html.parser.HTMLParser):
    """What a browser would make of a piece of HTML."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.depth = [], [], 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.depth += 1

    def handle_endtag(self, tag):
        self.depth -= 1

    def handle_data(self, data):
        self.text.append(data)


def test_text_from_data_stays_text():
    shown = attribution.highlight(HOSTILE, HOSTILE_SCORES, title=HOSTILE[0])
    parsed = Elements(shown._repr_html_())
    assert {tag for tag, _ in parsed.elements} == {"div", "strong", "span"} and parsed.depth == 0
    attributes = {name for _, given in parsed.elements for name in given}
    assert attributes == {"class", "role", "aria-label", "style", "title"}
    text = "".join(parsed.text)
    for token in HOSTILE[:5]:
        assert token in text
    assert HOSTILE[0] in parsed.text  # the title, whole
    for shown_text in (text, repr(shown)):
        assert "\x1b" not in shown_text and "\u202e" not in shown_text
        assert "\\x1b[31m" in shown_text and "\\u202e" in shown_text and "好" in shown_text


def test_mathjax_is_kept_from_reading_dollars_in_the_words():
    _, attributes = Elements(attribution.highlight(["$x$"], [1])._repr_html_()).elements[0]
    assert attributes["class"].split() == ["tex2jax_ignore", "mathjax_ignore"]


def test_the_sign_and_the_strength_of_a_score_are_seen_without_colour():
    shown = attribution.highlight(["great", "good", "film", "dull"], [2.0, 0.8, 0.1, -1.2])
    assert shown.levels == (5, 2, 0, -3)
    words = [given for tag, given in Elements(shown._repr_html_()).elements if tag == "span"][:3]
    assert [w["title"] for w in words] == ["+5 of 5", "+2 of 5", "-3 of 5"]
    lines = [w["style"].split("border-bottom:")[1].split(";")[0] for w in words]
    assert lines == ["3px solid", "2px solid", "2px dashed"]
    for text in ("".join(Elements(shown._repr_html_()).text), repr(shown)):
        legend = " ".join(text.split())
        assert "strongest score (5) is 2. Raise it most: great. Lower it most: dull." in legend
    assert repr(shown).startswith("great(+5) good(+2) film dull(-3)\n")


def test_the_strongest_words_are_named_once_strongest_first():
    shown = attribution.highlight(["a", "b", "a", "c", "d"], [3, 5, 4, -0.1, 2], "title")
    assert shown._summary().endswith(" Raise it most: b, a.")
    assert repr(shown).splitlines()[0] == "title"


def test_what_is_shown_does_not_change_with_the_last_digits_of_the_scores():
    scores = np.random.default_rng(0).standard_normal(200)
    words = [f"w{i}" for i in range(200)]
    first = attribution.highlight(words, scores)
    second = attribution.highlight(words, scores * (1 + 1e-6))
    assert first._repr_html_() == second._repr_html_() and repr(first) == repr(second)
    assert " id=" not in first._repr_html_()


def test_scores_of_zero_colour_nothing():
    shown = attribution.highlight(["a", "b"], [0, 0])
    assert shown.levels == (0, 0) and repr(shown).startswith("a b\n")


# highlight in a browser


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome here (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


def theme_styles():
    """The style sheets of the site, as installed."""
    sheets = [ROOT / "book" / "_static" / "rnnbook.css"]
    for package in ("sphinx_book_theme", "pydata_sphinx_theme"):
        spec = importlib.util.find_spec(package)
        if spec is None:
            pytest.skip(f"{package} is not installed: the site's style sheets come with it")
        theme = Path(spec.origin).parent / "theme" / package / "static" / "styles"
        sheets.insert(0, theme / f"{package.replace('_', '-')}.css")
    return "".join(f"<style>{sheet.read_text(encoding='utf-8')}</style>" for sheet in sheets)


def site_page(theme, content):
    return (
        f'<!doctype html><html data-theme="{theme}"><head>{theme_styles()}</head><body>'
        '<div class="bd-content"><article class="bd-article"><div class="cell_output">'
        f'<div class="output text_html">{content}</div></div></article></div></body></html>'
    )


def bare_page(background, color, content):
    return (
        '<!doctype html><meta name="color-scheme" content="light dark">'
        f'<body style="background:{background};color:{color}">{content}'
    )


PAGES = {
    "white": lambda content: bare_page("#ffffff", "#222832", content),
    "dark": lambda content: bare_page("#121212", "#ced6dd", content),
    "browser": lambda content: bare_page("Canvas", "CanvasText", content),
    "VS Code, light": lambda content: bare_page("#ffffff", "#3b3b3b", content),
    "VS Code, dark": lambda content: bare_page("#1f1f1f", "#cccccc", content),
    "site, light": lambda content: site_page("light", content),
    "site, dark": lambda content: site_page("dark", content),
}

# Of each coloured word: its text's colour, and the backgrounds from the word down to the page.
COLOURS = """[...document.querySelectorAll('[role=group] span')].map(word => {
    const layers = [];
    for (let e = word; e; e = e.parentElement) layers.push(getComputedStyle(e).backgroundColor);
    return [getComputedStyle(word).color, layers];
})"""


def rgba(text):
    """[red, green, blue, alpha] of what getComputedStyle says."""
    numbers = [float(n) for n in text.split("(")[1].rstrip(")").replace(",", " ").split()]
    return np.array([*numbers, 1.0][:4])


def over(top, below):
    """The colour of ``top`` on an opaque ``below``."""
    return top[3] * top[:3] + (1 - top[3]) * below


def blended(layers):
    """The colour that layers, top first, make on a white page."""
    color = np.full(3, 255.0)
    for layer in reversed(layers):
        color = over(rgba(layer), color)
    return color


def luminance(color):
    c = np.asarray(color) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    """As WCAG 2 defines it, from 1 to 21."""
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_browser_shows_readable_words_and_runs_nothing(browser, name, scheme):
    words = [*HOSTILE, "x" * 500, "hovered", "dull"]
    scores = [*HOSTILE_SCORES, 1, 1, -1]
    shown = attribution.highlight(words, scores, title=HOSTILE[1])
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 900})
    page, dialogs, requests = context.new_page(), [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.set_content(PAGES[name](shown._repr_html_()))
    page.hover("span:text-is('hovered')")
    colours = page.evaluate(COLOURS)
    created = page.evaluate("document.querySelectorAll('script, img, a, [onerror]').length")
    width = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert created == 0 and dialogs == []
    assert [url for url in requests if not url.startswith(("about:", "data:"))] == []
    assert width <= 390
    assert len(colours) == 11  # each coloured word, and two in the legend
    for text, layers in colours:
        background = blended(layers)
        assert contrast(over(rgba(text), background), background) >= 4.5
    backgrounds = {tuple(blended(layers).round()) for _, layers in colours}
    assert len(backgrounds) == 4  # two strengths of each sign


# errors

MODEL = twins("three classes")[0]


def three_scores(model, tokens):
    return np.zeros(3)


ERRORS = {
    "a matrix": (
        lambda: attribution.margin(MODEL, TOKENS[None]),
        ValueError,
        r"\(1, 8\): .*\(T,\)",
    ),
    "no token": (lambda: attribution.margin(MODEL, []), ValueError, "tokens is empty: expected"),
    "words": (lambda: attribution.margin(MODEL, ["good"]), TypeError, "tokens has dtype <U4"),
    "floats": (lambda: attribution.margin(MODEL, [1.0]), TypeError, "dtype float64: expected int"),
    "too large": (lambda: attribution.margin(MODEL, [V]), ValueError, "contains 11: .* 0 to 10"),
    "negative": (lambda: attribution.margin(MODEL, [-1]), ValueError, "contains -1"),
    "target": (lambda: attribution.margin(MODEL, TOKENS, 3), ValueError, "target=3: .* 0 to 2"),
    "target of one logit": (
        lambda: attribution.gradient_times_input(twins("one logit")[0], TOKENS, 2),
        ValueError,
        "target=2: expected an integer from 0 to 1",
    ),
    "steps": (
        lambda: attribution.integrated_gradients(MODEL, TOKENS, steps=0),
        ValueError,
        "steps=0: expected an integer of at least 1",
    ),
    "baseline": (
        lambda: attribution.integrated_gradients(MODEL, TOKENS, baseline=V),
        ValueError,
        "baseline=11: expected",
    ),
    "a layer": (
        lambda: attribution.sentiment_by_word(MODEL.rnn, TOKENS),
        TypeError,
        "model is LSTM: expected a SequenceClassifier .* hand over the one inside",
    ),
    "a torch layer": (
        lambda: attribution.margin(torch.nn.GRU(2, 3), TOKENS),
        TypeError,
        "model is GRU: expected a SequenceClassifier",
    ),
    "no model": (lambda: attribution.margin("model", TOKENS), TypeError, "model is str: expected"),
    "one bad review": (
        lambda: attribution.deletion_test(MODEL, [TOKENS, []], three_scores),
        ValueError,
        r"sequences\[1\] is empty",
    ),
    "no review": (
        lambda: attribution.deletion_test(MODEL, [], three_scores),
        ValueError,
        "sequences is empty",
    ),
    "no fraction": (
        lambda: attribution.deletion_test(MODEL, [TOKENS], three_scores, []),
        ValueError,
        "fractions is empty",
    ),
    "all words": (
        lambda: attribution.deletion_test(MODEL, [TOKENS], three_scores, [1]),
        ValueError,
        "fraction=1: expected",
    ),
    "scores of another review": (
        lambda: attribution.deletion_test(MODEL, [TOKENS], three_scores),
        ValueError,
        r"what attribute returned has shape \(3,\): expected \(8,\)",
    ),
    "one string": (lambda: attribution.highlight("abc", [1] * 3), TypeError, "list of words"),
    "ids": (lambda: attribution.highlight(TOKENS, TOKENS), TypeError, r"vocab.tokens\[i\]"),
    "no word": (lambda: attribution.highlight([], []), ValueError, "tokens is empty"),
    "fewer scores": (
        lambda: attribution.highlight(["a", "b"], [1]),
        ValueError,
        r"scores has shape \(1,\): expected \(2,\)",
    ),
    "no number": (lambda: attribution.highlight(["a"], [np.nan]), ValueError, "contains NaN"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_attributed_is_refused_with_what_to_do(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_scratch_is_attributed_where_torch_is_not_installed():
    code = (
        BLOCK_TORCH
        + """
from rnnbook import attribution, scratch
model = scratch.SequenceClassifier(9, 3, 4, 2, rng=0)
scores = attribution.integrated_gradients(model, [1, 2, 3])
attribution.sentiment_by_word(model, [1, 2, 3])
attribution.deletion_test(model, [[1, 2, 3]], attribution.gradient_times_input)
print(len(attribution.highlight(list("abc"), scores).words))
"""
    )
    assert run(code) == "3"


def test_importing_attribution_does_not_import_torch():
    assert run("import sys, rnnbook.attribution; print('torch' in sys.modules)") == "False"
