"""Text from a language model: the distribution by hand, equal twins, one step a character."""

from itertools import islice

import numpy as np
import pytest
import torch

from rnnbook import pytorch, scratch
from rnnbook.data.characters import CharVocab
from rnnbook.generate import generate, next_probabilities
from rnnbook.interop import copy_weights

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])
CELLS = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
VOCAB = CharVocab("\nabcdefgh月")
P = np.array([0.1, 0.4, 0.2, 0.3])


def language_model(twin, cell="lstm", double=True, **options):
    """Weights large enough that the characters have unequal probabilities."""
    dtypes = (np.float64, torch.float64) if double else (np.float32, torch.float32)
    options = {"num_layers": 2, **options}
    ours = scratch.LanguageModel(len(VOCAB), 4, 7, cell, **options, dtype=dtypes[0], rng=0)
    for parameter in ours.parameters():
        parameter.data *= 3
    if twin is scratch:
        return ours
    theirs = pytorch.LanguageModel(len(VOCAB), 4, 7, cell, **options, dtype=dtypes[1])
    copy_weights(ours, theirs)
    return theirs


def written(model, prompt="ab", length=50, **options):
    return "".join(character for character, _ in generate(model, VOCAB, prompt, length, **options))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"temperature": 0.5}, np.array([1, 16, 4, 9]) / 30),  # p^2, scaled
        ({"temperature": 2}, np.sqrt(P) / np.sqrt(P).sum()),
        ({"top_k": 4}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_p": 1}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.95}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.8}, [0, 4 / 9, 2 / 9, 3 / 9]),
        ({"top_p": 0.6}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 0.39}, [0, 1, 0, 0]),
        ({"top_p": 1e-9}, [0, 1, 0, 0]),
        ({"top_k": 3, "top_p": 0.7}, [0, 4 / 7, 0, 3 / 7]),  # 4/9 + 3/9 of what top_k left
        ({"temperature": 0.5, "top_p": 0.8}, [0, 16 / 25, 0, 9 / 25]),  # of 16/30 + 9/30
        ({"temperature": 0.5, "top_k": 3}, [0, 16 / 29, 4 / 29, 9 / 29]),
    ],
)
def test_the_distribution_is_that_computed_by_hand(options, expected):
    for shift in (0, 700):  # logits are known up to a constant
        p = next_probabilities(np.log(P) + shift, **options)
        assert p.dtype == np.float64
        np.testing.assert_allclose(p, expected, rtol=1e-10)


def test_among_equals_the_lower_id_is_first():
    np.testing.assert_allclose(next_probabilities(np.zeros(4), top_k=2), [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(next_probabilities(np.zeros(4), top_p=0.6), [1 / 3, 1 / 3, 1 / 3, 0])


def test_a_low_temperature_does_not_overflow():
    p = next_probabilities(np.array([900.0, 1000.0, -1000.0]), temperature=1e-6)
    np.testing.assert_array_equal(p, [0, 1, 0])


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.5}, {"temperature": 3.0}]
)
def test_characters_come_as_often_as_their_distribution_says(options):
    model = language_model(scratch, num_layers=1)
    model.linear.weight.data[...] = 0  # the same distribution at every step
    draws = 5_000
    ids = VOCAB.encode(written(model, length=draws, seed=3, **options))
    p = next_probabilities(model.linear.bias.data, **options)
    share = np.bincount(ids, minlength=len(VOCAB)) / draws
    assert np.abs(share - p).max() < 4.5 * np.sqrt(0.25 / draws)
    assert not share[p == 0].any()


@CELLS
@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8, "seed": 4}, {"greedy": True}]
)
def test_both_twins_write_the_same_text(cell, double, options):
    ours, theirs = (language_model(twin, cell, double) for twin in (scratch, pytorch))
    text = written(ours, length=150, **options)
    assert text == written(theirs, length=150, **options)
    assert len(text) == 150
    assert len(set(text)) > 3 or "greedy" in options


@TWINS
def test_the_same_seed_writes_the_same_text_and_another_seed_another(twin):
    model = language_model(twin)
    assert written(model, seed=1) == written(model, seed=1) != written(model, seed=2)


@TWINS
def test_a_text_is_as_probable_as_the_model_read_at_once_says(twin):
    """Greedy: every character is the best one after all that stands before it."""
    model, prompt = language_model(twin, "rnn"), "月ab"
    text = prompt + written(model, prompt, 30, greedy=True)
    with torch.no_grad():
        logits = np.asarray(model(VOCAB.encode(text)[None])[0])[0]
    best = VOCAB.decode(logits.argmax(axis=1))
    assert best[len(prompt) - 1 : -1] == text[len(prompt) :]


@TWINS
def test_greedy_needs_no_luck(twin):
    model = language_model(twin, "rnn")
    text = written(model, greedy=True)
    assert len(set(text)) > 1
    assert text == written(model, greedy=True, seed=7, temperature=5.0, top_p=0.5)
    assert text == written(model, top_k=1)


class Counted:
    """A model that notes how many steps it is asked for, call by call."""

    def __init__(self, model):
        self.steps, call = [], model.forward

        def forward(tokens, *args):
            self.steps.append(tokens.shape[1])
            return call(tokens, *args)

        model.forward = forward


def test_the_prompt_is_read_once_and_each_character_costs_one_step():
    model = language_model(pytorch)
    counted = Counted(model)
    written(model, "abc", 40)
    assert counted.steps == [3] + [1] * 39


def test_each_character_costs_one_step_from_scratch_too():
    class Model(scratch.LanguageModel):
        steps = ()

        def __call__(self, tokens, state=None):
            self.steps += (tokens.shape[1],)
            return super().__call__(tokens, state)

    model = Model(len(VOCAB), 4, 7)
    written(model, "abc", 40)
    assert model.steps == (3, *[1] * 39)


@TWINS
def test_characters_come_one_by_one_and_none_is_computed_ahead(twin):
    model = language_model(twin)
    endless = generate(model, VOCAB, "a", 10**12)
    text = "".join(character for character, _ in islice(endless, 5))
    assert text == written(model, "a", 5)


@TWINS
@CELLS
def test_a_text_goes_on_from_its_last_character_and_state(twin, cell):
    model, rng = language_model(twin, cell), np.random.default_rng(5)
    whole = written(model, "ab", 30, seed=5)
    first = list(generate(model, VOCAB, "ab", 10, seed=rng))
    character, state = first[-1]
    rest = written(model, character, 20, seed=rng, state=state)
    assert "".join(c for c, _ in first) + rest == whole
    assert rest != written(model, character, 20, seed=np.random.default_rng(5))


@TWINS
def test_a_prompt_may_be_read_in_parts(twin):
    model = language_model(twin)
    with torch.no_grad():
        _, state = model(VOCAB.encode("ab月")[None])
    assert written(model, "cd", state=state) == written(model, "ab月cd")


@TWINS
def test_generation_is_evaluation_without_dropout_and_without_gradients(twin):
    model = language_model(twin, dropout=0.5)
    text = written(model.train())
    assert text == written(model.eval())
    written(model.train())
    assert not model.training
    if twin is pytorch:
        _, state = next(generate(model, VOCAB, "a", 1))
        assert not any(part.requires_grad for part in state)


BAD = [
    ({"prompt": ""}, "prompt='': expected at least one character"),
    ({"prompt": "axé日"}, "prompt has 'x', 'é', '日': expected only the 10 characters"),
    ({"length": 0}, "length=0: expected an integer of at least 1"),
    ({"length": 2.5}, "length=2.5: expected"),
    ({"temperature": 0}, "temperature=0: expected a finite number above 0"),
    ({"temperature": -1.0}, "temperature=-1.0: expected"),
    ({"temperature": float("inf")}, "temperature=inf: expected"),
    ({"top_k": 0}, "top_k=0: expected an integer of at least 1"),
    ({"top_k": 11}, "top_k=11: expected at most 10, the size of the vocabulary"),
    ({"top_p": 0}, "top_p=0: expected a number above 0 and at most 1"),
    ({"top_p": 1.1}, "top_p=1.1: expected"),
    ({"top_p": float("nan")}, "top_p=nan: expected"),
    ({"vocab": CharVocab("ab")}, "vocab has 2 characters: expected 10, as many as the model"),
]


@TWINS
@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments_are_refused_at_the_call(twin, options, message):
    arguments = {"vocab": VOCAB, "prompt": "ab", "length": 5} | options
    with pytest.raises(ValueError, match=message):
        generate(language_model(twin), **arguments)


@TWINS
def test_a_prompt_that_is_no_text_and_a_state_of_another_model_are_refused(twin):
    model = language_model(twin)
    with pytest.raises(TypeError, match="prompt=3: expected a str"):
        generate(model, VOCAB, 3, 5)
    _, state = next(generate(language_model(twin, num_layers=1), VOCAB, "a", 1))
    with pytest.raises(ValueError, match=r"state\[0\] has shape \(1, 1, 7\): expected \(2, 1, 7\)"):
        next(generate(model, VOCAB, "a", 5, state=state))


@pytest.mark.parametrize(
    ("logits", "options", "message"),
    [
        (np.zeros((2, 3)), {}, r"logits has shape \(2, 3\): expected \(V,\)"),
        (np.zeros(3), {"temperature": 0}, "temperature=0: expected"),
        (np.zeros(3), {"top_k": 4}, "top_k=4: expected at most 3"),
        (np.zeros(3), {"top_p": 2}, "top_p=2: expected"),
    ],
)
def test_the_distribution_refuses_bad_arguments(logits, options, message):
    with pytest.raises(ValueError, match=message):
        next_probabilities(logits, **options)
