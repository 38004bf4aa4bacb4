"""One text as parallel streams: in order, complete, nothing twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbook.data.streams import StreamBatches


def pieces(count, batch_size, steps):
    """The ids 0 to count - 1 are their own places in the text."""
    data = StreamBatches(np.arange(count), batch_size, steps)
    return data, [(tokens, target) for (tokens,), target in data.batches()]


def test_a_text_becomes_streams_side_by_side():
    _, found = pieces(9, 2, 3)
    np.testing.assert_array_equal(found[0][0], [[0, 1, 2], [4, 5, 6]])
    np.testing.assert_array_equal(found[0][1], [[1, 2, 3], [5, 6, 7]])
    np.testing.assert_array_equal(found[1][0], [[3], [7]])
    np.testing.assert_array_equal(found[1][1], [[4], [8]])
    assert len(found) == 2


def test_where_the_length_does_not_divide_the_first_streams_end_with_one_step_more():
    _, found = pieces(12, 3, 2)  # 11 predictions: 4, 4 and 3
    np.testing.assert_array_equal(found[0][0], [[0, 1], [4, 5], [8, 9]])
    np.testing.assert_array_equal(found[1][0], [[2], [6], [10]])
    np.testing.assert_array_equal(found[2][0], [[3], [7]])
    np.testing.assert_array_equal(found[2][1], [[4], [8]])


@given(st.integers(2, 60), st.data())
def test_every_token_but_the_first_is_predicted_exactly_once(count, data):
    batch_size = data.draw(st.integers(1, count - 1))
    batches, found = pieces(count, batch_size, data.draw(st.integers(1, count)))
    predicted = np.concatenate([target.reshape(-1) for _, target in found])
    assert sorted(predicted) == list(range(1, count))
    assert len(batches) == len(predicted) == count - 1
    for tokens, target in found:
        assert tokens.shape == target.shape
        np.testing.assert_array_equal(target, tokens + 1)


@given(st.integers(2, 60), st.data())
def test_each_row_goes_on_where_it_stopped(count, data):
    batch_size = data.draw(st.integers(1, count - 1))
    steps = data.draw(st.integers(1, count))
    _, found = pieces(count, batch_size, steps)
    assert found[0][0].shape[0] == batch_size and found[0][0][0, 0] == 0
    for (_, before), (tokens, _) in zip(found, found[1:], strict=False):
        assert tokens.shape[1] <= steps and len(tokens) <= len(before)
        np.testing.assert_array_equal(tokens[:, 0], before[: len(tokens), -1])


def test_the_order_is_that_of_the_text_with_and_without_a_generator():
    data = StreamBatches(np.arange(50), 3, 4)
    for ((a,), _), ((b,), _) in zip(
        data.batches(), data.batches(np.random.default_rng(0)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_ids_of_any_integer_type_come_as_int64():
    (tokens,), target = next(StreamBatches(np.arange(9, dtype=np.uint8), 2, 3).batches())
    assert tokens.dtype == target.dtype == np.int64


@pytest.mark.parametrize(
    ("ids", "options", "error", "message"),
    [
        ([1, 2, 3], {"batch_size": 0}, ValueError, "batch_size=0: expected"),
        ([1, 2, 3], {"steps": 0}, ValueError, "steps=0: expected"),
        ([1, 2, 3], {"batch_size": 3}, ValueError, "batch_size=3: expected at most 2 streams"),
        ([], {}, ValueError, "ids has M=0 tokens: expected at least 2"),
        ([7], {}, ValueError, "ids has M=1 tokens: expected at least 2"),
        ([[1, 2]], {}, ValueError, r"ids has shape \(1, 2\): expected \(M,\)"),
        ([0.5, 1.5], {}, TypeError, "ids has dtype float64: expected integers"),
        ([3, -1], {}, ValueError, "ids contains -1: expected ids of at least 0"),
    ],
)
def test_bad_arguments(ids, options, error, message):
    with pytest.raises(error, match=message):
        StreamBatches(ids, **options)
