"""Classes and their numbers; a part of each class held out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbook.data.labels import Classes, hold_out
from rnnbook.data.text import list_texts


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["b", "a", "b"], ["a", "b"], [1, 0, 1]),
        ([10, 9, -1], [-1, 9, 10], [2, 1, 0]),
        ([2.0, 1.0], [1, 2], [1, 0]),
        ([True, False], [False, True], [1, 0]),
        (np.array([3, 1], np.uint8), [1, 3], [1, 0]),
        (pd.Series(["b", "a"], index=[7, 5]), ["a", "b"], [1, 0]),
        (["10", "9"], ["10", "9"], [0, 1]),
    ],
)
def test_classes_are_sorted_and_numbered(labels, classes, numbers):
    known = Classes(labels)
    assert known.labels == classes and len(known) == len(classes)
    assert [type(label) for label in known.labels] == [type(label) for label in classes]
    encoded = known.encode(labels)
    assert encoded.dtype == np.int64 and encoded.tolist() == numbers
    assert known.decode(encoded).tolist() == list(labels)
    assert known.decode(np.array([], int)).dtype == known.decode(encoded).dtype
    assert known.encode([]).shape == (0,)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2))
def test_numbers_and_labels_are_each_others_inverse(labels):
    if len(set(labels)) < 2:
        return
    classes = Classes(labels)
    assert classes.decode(classes.encode(labels)).tolist() == labels


def test_a_label_of_no_class_is_refused():
    with pytest.raises(
        ValueError, match=r"rest\[1\]='c': expected one of the classes \['a', 'b'\]"
    ):
        Classes(["a", "b"]).encode(["a", "c"], "rest")
    with pytest.raises(ValueError, match=r"labels\[0\]=2: expected one of the classes \[0, 1\]"):
        Classes([0, 1]).encode([2])
    assert repr(Classes(["a", "b"])) == "Classes(['a', 'b'])"


def test_the_held_out_part_has_its_share_of_each_class():
    labels = np.array(["a"] * 100 + ["b"] * 50 + ["c"] * 3)
    rest, held = hold_out(labels, 0.2, seed=1)
    assert {label: int((labels[held] == label).sum()) for label in "abc"} == {
        "a": 20, "b": 10, "c": 1
    }  # fmt: skip
    assert sorted([*rest, *held]) == list(range(153))
    assert (np.diff(rest) > 0).all() and (np.diff(held) > 0).all()
    assert held.tolist() == hold_out(labels, 0.2, seed=1)[1].tolist()
    assert held.tolist() != hold_out(labels, 0.2, seed=2)[1].tolist()
    assert held.tolist() != list(range(20)) + list(range(100, 110)) + [150]  # drawn, not the first


@given(
    st.lists(st.integers(2, 9), min_size=1, max_size=5), st.floats(0.01, 0.99), st.integers(0, 99)
)
def test_each_class_is_in_both_parts(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    for part in hold_out(labels, fraction, seed):
        assert set(labels[part]) == set(labels)


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        (["a", "a", "b"], 0.1, "labels holds 'b' once: expected two examples of each class"),
        ([0, 1, 1], 0.1, "labels holds 0 once"),
        ([0, 0, 1, 1], 0.0, "fraction=0.0: expected"),
        ([0, 0, 1, 1], 1.0, "fraction=1.0: expected"),
    ],
)
def test_impossible_parts_are_refused(labels, fraction, message):
    with pytest.raises(ValueError, match=message):
        hold_out(labels, fraction)


def test_what_has_no_order_is_no_list_of_labels():
    for labels in ({"a", "b"}, {"a": 1}, pd.DataFrame({"label": [0, 1], "x": [1, 2]})):
        with pytest.raises(TypeError, match="expected a list of labels"):
            Classes(labels)
        with pytest.raises(TypeError, match="expected a list of str"):
            list_texts(labels)
