"""Tasks that test memory: targets are what the words say, baselines are what they claim."""

import numpy as np
import pytest

from rnnbook.data import tasks
from rnnbook.scratch import cross_entropy, mse_loss

GENERATORS = {
    "adding": lambda rng: tasks.adding(7, 11, rng),
    "copy": lambda rng: tasks.copy(7, 5, 3, 4, rng),
    "recall": lambda rng: tasks.recall(7, 11, 4, rng),
    "latch": lambda rng: tasks.latch(7, 11, rng),
}
every_task = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)


@every_task
def test_same_seed_same_sample_and_the_next_sample_is_another(make):
    rng = np.random.default_rng(0)
    first, second = make(rng), make(rng)
    for a, b in zip(first, make(np.random.default_rng(0)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != second[0]).any()


@every_task
def test_inputs_are_float32_and_targets_float32_or_integers(make):
    x, target = make(np.random.default_rng(0))
    assert x.dtype == np.float32 and target.dtype in (np.float32, np.int64)
    assert len(x) == len(target) == 7


@pytest.mark.parametrize("time", [2, 3, 10])
def test_adding_marks_one_number_in_each_half_and_sums_them(time):
    x, target = tasks.adding(500, time, np.random.default_rng(0))
    assert x.shape == (500, time, 2) and target.shape == (500, 1)
    for row, (total,) in zip(x, target, strict=True):
        marked = np.flatnonzero(row[:, 1])
        assert len(marked) == 2 and marked[0] < time // 2 <= marked[1]
        assert total == pytest.approx(sum(row[step, 0] for step in marked))
    steps = {int(step) for step in np.argwhere(x[:, :, 1])[:, 1]}
    assert steps == set(range(time))  # every step is marked in some sequence
    assert x[:, :, 0].min() >= 0 and x[:, :, 0].max() < 1


def test_adding_baseline_is_what_predicting_the_mean_costs():
    _, target = tasks.adding(100_000, 10, np.random.default_rng(0))
    loss, _ = mse_loss(np.ones_like(target), target)
    assert loss == pytest.approx(tasks.ADDING_BASELINE, rel=0.01)
    assert target.mean() == pytest.approx(1, abs=0.01)


def test_copy_shows_a_word_waits_and_asks_for_it():
    lag, length, symbols = 5, 3, 4
    x, target = tasks.copy(50, lag, length, symbols, np.random.default_rng(0))
    assert x.shape == (50, lag + 2 * length, symbols + 2)
    assert set(np.unique(x)) == {0, 1} and (x.sum(axis=2) == 1).all()
    for vectors, answer in zip(x, target, strict=True):
        shown = [int(v.argmax()) for v in vectors]
        word = shown[:length]
        assert max(word) < symbols
        assert shown[length:] == [symbols] * (lag - 1) + [symbols + 1] + [symbols] * length
        assert answer.tolist() == [symbols] * (length + lag) + word
    assert set(target.ravel()) == set(range(symbols + 1))


def test_copy_baseline_is_what_blanks_and_equal_chances_cost():
    lag, length, symbols = 5, 3, 4
    x, target = tasks.copy(50, lag, length, symbols, np.random.default_rng(0))
    logits = np.zeros((*target.shape, symbols + 1))
    logits[:, :-length, symbols] = 1000  # sure of the blank
    logits[:, -length:, symbols] = -1000  # sure of a symbol, not of which
    loss, _ = cross_entropy(logits.reshape(-1, symbols + 1), target.ravel())
    assert loss == pytest.approx(tasks.copy_baseline(lag, length, symbols))


def test_recall_shows_the_answer_first_and_then_noise():
    x, target = tasks.recall(2000, 6, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(x[:, 0], np.eye(4)[target])
    assert x[:, 1:].std() == pytest.approx(0.1, rel=0.02)
    assert abs(x[:, 1:].mean()) < 0.002
    np.testing.assert_allclose(np.bincount(target) / 2000, 0.25, atol=0.04)


def test_latch_reads_the_last_value_written():
    x, target = tasks.latch(200, 30, np.random.default_rng(0), write=0.2, read=0.4)
    assert x.shape == (200, 30, 3) and target.shape == (200, 30, 1)
    for row, answers in zip(x, target[:, :, 0], strict=True):
        kept = 0.0
        for (value, write, read), answer in zip(row, answers, strict=True):
            kept = value if write else kept
            assert answer == (kept if read else 0)
    assert x[:, :, 1].mean() == pytest.approx(0.2, abs=0.02)
    assert x[:, :, 2].mean() == pytest.approx(0.4, abs=0.02)
    assert x[:, :, 0].min() < -0.9 and x[:, :, 0].max() > 0.9


def test_fresh_batches_follow_from_the_generator_and_never_repeat():
    fresh = tasks.Fresh(lambda count, rng: tasks.recall(count, 6, 4, rng), 3, batch_size=5)
    assert len(fresh) == 15
    one, same, other = (list(fresh.batches(np.random.default_rng(s))) for s in (0, 0, 1))
    assert len(one) == 3
    for ((x,), target), ((x_same,), target_same) in zip(one, same, strict=True):
        np.testing.assert_array_equal(x, x_same)
        np.testing.assert_array_equal(target, target_same)
    inputs = [x for (x,), _ in one + other]
    assert len({x.tobytes() for x in inputs}) == 6
    (x,), _ = next(fresh.batches())
    np.testing.assert_array_equal(x, inputs[0])  # without a generator: always the same, seed 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: tasks.adding(0, 10, rng), "count=0: expected an integer of at least 1"),
        (lambda rng: tasks.adding(3, 1, rng), "time=1: expected at least 2 steps"),
        (lambda rng: tasks.copy(3, 0, 2, 4, rng), "lag=0: expected"),
        (lambda rng: tasks.recall(3, 5, 0, rng), "symbols=0: expected"),
        (lambda rng: tasks.latch(3, 5, rng, write=1.5), "write=1.5: expected a probability"),
        (lambda rng: tasks.latch(3, 5, rng, read=-1), "read=-1: expected a probability"),
        (lambda rng: tasks.Fresh(None, 0), "batches=0: expected"),
    ],
)
def test_bad_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))
