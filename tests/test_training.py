"""One loop for both twins: equal runs, exact resume, best weights, clear errors."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from rnnbook import pytorch, scratch
from rnnbook.interop import copy_weights, get_weights
from rnnbook.metrics import accuracy
from rnnbook.training import ArrayBatches, evaluate, fit, predict

from .cases import LENGTHS, D, H, K, T, V

TWINS = pytest.mark.parametrize("twin", [scratch, pytorch], ids=["scratch", "pytorch"])
COUNT = 50


def classifier(twin, *, seed=0, dropout=0.0, num_classes=K, double=False):
    options = {"dropout": dropout, "num_layers": 2}
    ours = scratch.SequenceClassifier(
        V, D, H, num_classes, **options, dtype=np.float64 if double else np.float32, rng=seed
    )
    if twin is scratch:
        return ours
    dtype = torch.float64 if double else torch.float32
    theirs = pytorch.SequenceClassifier(V, D, H, num_classes, **options, dtype=dtype)
    copy_weights(ours, theirs)
    return theirs


def data(seed=0, batch_size=8):
    """Does token 1 occur? Learnable, with padding and an uneven last batch."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, V, (COUNT, T))
    lengths = rng.choice(LENGTHS, COUNT)
    tokens[np.arange(T) >= lengths[:, None]] = 0
    labels = (tokens == 1).any(axis=1).astype(int)
    return ArrayBatches((tokens, lengths), labels, batch_size)


def adam(twin, model, lr=0.01):
    return twin.Adam(model.parameters(), lr=lr)


def train(twin, model=None, **options):
    model = model or classifier(twin)
    options = {"epochs": 3, "progress": False, "valid": data(1), **options}
    return fit(model, data(), optimizer=adam(twin, model), **options), model


def without_seconds(history):
    return history.drop(columns="seconds")


@TWINS
def test_training_learns(twin):
    history, model = train(twin, epochs=40, metric="accuracy")
    assert history.loss.iloc[-1] < 0.5 * history.loss.iloc[0]
    assert list(history.columns) == ["loss", "val_loss", "val_accuracy", "seconds"]
    assert list(history.index) == list(range(1, 41)) and history.index.name == "epoch"


def test_both_twins_run_the_same_history_in_float64():
    ours, _ = train(
        scratch, classifier(scratch, double=True), epochs=4, metric="accuracy", clip=0.3
    )
    theirs, _ = train(
        pytorch, classifier(pytorch, double=True), epochs=4, metric="accuracy", clip=0.3
    )
    pd.testing.assert_frame_equal(without_seconds(ours), without_seconds(theirs), rtol=1e-9)


@TWINS
def test_same_seed_same_numbers_other_seed_other_numbers(twin):
    runs = [train(twin, classifier(twin, dropout=0.3), seed=seed)[0] for seed in (5, 5, 6)]
    pd.testing.assert_frame_equal(*map(without_seconds, runs[:2]), check_exact=True)
    assert runs[0].loss.iloc[0] != runs[2].loss.iloc[0]


class Stopped(Exception):
    """Stands for whatever ends a run in the middle of an epoch."""


class Interrupted:
    """Data that fail in the middle of a given epoch."""

    def __init__(self, data, epoch):
        self.data, self.epoch, self.calls = data, epoch, 0

    def __len__(self):
        return len(self.data)

    def batches(self, rng=None):
        self.calls += 1
        for number, batch in enumerate(self.data.batches(rng)):
            if self.calls == self.epoch and number == 3:
                raise Stopped
            yield batch


@TWINS
@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(twin, optimizer, epoch, tmp_path):
    def run(train_data, checkpoint):
        model = classifier(twin, dropout=0.3)
        options = {"momentum": 0.9} if optimizer == "SGD" else {}
        history = fit(
            model,
            train_data,
            data(1),
            optimizer=getattr(twin, optimizer)(model.parameters(), lr=0.01, **options),
            metric="accuracy",
            epochs=5,
            checkpoint=checkpoint,
            progress=False,
        )
        return without_seconds(history), get_weights(model)

    expected, weights = run(data(), tmp_path / "whole")
    with pytest.raises(Stopped):
        run(Interrupted(data(), epoch), tmp_path / "cut")
    resumed, resumed_weights = run(data(), tmp_path / "cut")
    pd.testing.assert_frame_equal(resumed, expected, check_exact=True)
    for name, array in weights.items():
        np.testing.assert_array_equal(resumed_weights[name], array)


@TWINS
def test_a_finished_run_is_not_run_again(twin, tmp_path):
    first, model = train(twin, checkpoint=tmp_path / "run")
    again, model_again = train(twin, checkpoint=tmp_path / "run")
    pd.testing.assert_frame_equal(first, again, check_exact=True)  # seconds too: nothing was run
    for name, array in get_weights(model).items():
        np.testing.assert_array_equal(get_weights(model_again)[name], array)


@TWINS
def test_more_epochs_continue_a_finished_run(twin, tmp_path):
    train(twin, epochs=2, checkpoint=tmp_path / "run")
    longer, _ = train(twin, epochs=4, checkpoint=tmp_path / "run")
    direct, _ = train(twin, epochs=4)
    pd.testing.assert_frame_equal(
        without_seconds(longer), without_seconds(direct), check_exact=True
    )


@TWINS
def test_the_best_epoch_is_restored_and_patience_stops(twin):
    model = classifier(twin)
    optimizer = twin.SGD(model.parameters(), lr=8.0)  # too large: the loss jumps about
    history = fit(
        model, data(), data(1), optimizer=optimizer, epochs=30, patience=3, progress=False
    )
    best = history.val_loss.idxmin()
    assert len(history) == best + 3 < 30
    assert evaluate(model, data(1))["loss"] == pytest.approx(history.val_loss[best], rel=1e-5)


@TWINS
def test_without_held_out_data_the_last_weights_stay(twin):
    history, model = train(twin, valid=None, epochs=2)
    assert list(history.columns) == ["loss", "seconds"]


@TWINS
def test_plain_arrays_of_float64_train_a_float32_model(twin):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((COUNT, D))
    y = x @ rng.standard_normal((D, 1))
    model = twin.Linear(D, 1)
    history = fit(
        model, (x, y), (x, y), optimizer=adam(twin, model, 0.1), loss="mse_loss", epochs=60,
        progress=False,
    )  # fmt: skip
    assert history.val_loss.iloc[-1] < 1e-3
    assert predict(model, x).dtype == np.float32
    np.testing.assert_allclose(predict(model, x), y, atol=0.2)


@TWINS
def test_one_logit_trains_with_the_binary_loss(twin):
    model = classifier(twin, num_classes=1)
    history, _ = train(twin, model, loss="binary_cross_entropy_with_logits", metric="accuracy")
    assert history.loss.iloc[-1] < history.loss.iloc[0]


@TWINS
@pytest.mark.parametrize("wrong", [2.0, -0.1, np.nan])
def test_a_target_that_is_no_probability_is_refused_by_the_binary_loss(twin, wrong):
    model, labels = classifier(twin, num_classes=1), data().target.astype(np.float64)
    labels[20] = wrong
    with pytest.raises(ValueError, match=f"target contains {wrong:g}: expected probabilities"):
        fit(
            model,
            (data().inputs, labels),
            optimizer=adam(twin, model),
            loss="binary_cross_entropy_with_logits",
            progress=False,
        )


def predictor(twin):
    ours = scratch.SequencePredictor(D, H, K, every_step=True, dtype=np.float64, rng=0)
    if twin is scratch:
        return ours
    theirs = pytorch.SequencePredictor(D, H, K, every_step=True, dtype=torch.float64)
    copy_weights(ours, theirs)
    return theirs


def steps_data():
    """At every step: is the first input positive? A target (N, T)."""
    x = np.random.default_rng(0).standard_normal((COUNT, T, D))
    return x, (x[:, :, 0] > 0).astype(int)


def test_cross_entropy_of_every_step_is_the_same_in_both_twins_and_learns():
    histories = []
    for twin in (scratch, pytorch):
        model = predictor(twin)
        before = evaluate(model, steps_data(), metric="accuracy")
        logits, (_, target) = predict(model, steps_data()[0]), steps_data()
        p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
        expected = -np.log(np.take_along_axis(p, target[:, :, None], 2)).mean()
        assert before["loss"] == pytest.approx(expected)
        histories.append(
            fit(
                model,
                steps_data(),
                steps_data(),
                optimizer=adam(twin, model, 0.03),
                metric="accuracy",
                epochs=15,
                progress=False,
            )  # fmt: skip
        )
        assert histories[-1].val_accuracy.iloc[-1] > 0.9
    pd.testing.assert_frame_equal(*map(without_seconds, histories), rtol=1e-9)


@TWINS
def test_a_target_that_does_not_name_every_step_is_refused(twin):
    model, (x, y) = predictor(twin), steps_data()
    with pytest.raises(ValueError, match=r"target has shape \(\d+, 5\): expected \(\d+, 6\)"):
        fit(model, (x, y[:, 1:]), optimizer=adam(twin, model), progress=False)


@TWINS
@pytest.mark.parametrize("wrong", [K, -1, -100])  # torch itself leaves out class -100
def test_a_class_that_the_model_has_no_logit_for_is_refused(twin, wrong):
    model, (inputs, labels) = classifier(twin), (data().inputs, data().target.copy())
    labels[20] = wrong
    message = f"target contains {wrong}: expected integers from 0 to 1. Number the classes from 0"
    with pytest.raises(ValueError, match=message):
        fit(model, (inputs, labels), optimizer=adam(twin, model), progress=False)
    with pytest.raises(ValueError, match=message):
        evaluate(model, (inputs, labels))
    steps, (x, y) = predictor(twin), steps_data()
    y[3, 2] = wrong
    with pytest.raises(ValueError, match=message):
        fit(steps, (x, y), optimizer=adam(twin, steps), progress=False)


@TWINS
@pytest.mark.parametrize(
    ("num_classes", "make", "error", "message"),
    [
        (K, lambda y: y.astype(float), TypeError, "target has dtype .*float.*: expected integers"),
        (K, lambda y: y == 1, TypeError, "target has dtype .*bool.*: expected integers"),
        (K, lambda y: np.eye(K)[y], ValueError, r"target has shape \(32, 2\): expected \(32,\)"),
        (K, lambda y: y[:, None], ValueError, r"target has shape \(32, 1\): expected \(32,\)"),
        (1, lambda y: y, ValueError, r"logits has shape \(32,\): expected \(N, K\)"),
    ],
)
def test_targets_that_do_not_number_classes_are_refused(twin, num_classes, make, error, message):
    model = classifier(twin, num_classes=num_classes)
    with pytest.raises(error, match=message):
        fit(
            model, (data().inputs, make(data().target)), optimizer=adam(twin, model),
            progress=False,
        )  # fmt: skip


@TWINS
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8])
def test_classes_may_be_integers_of_any_size(twin, dtype):
    small, whole = classifier(twin), classifier(twin)
    target = data().target
    assert evaluate(small, (data().inputs, target.astype(dtype))) == evaluate(
        whole, (data().inputs, target)
    )


@TWINS
@pytest.mark.parametrize(("metric", "goal"), [("loss", 0.6), ("accuracy", 0.7)])
def test_training_stops_when_the_goal_is_reached_and_a_resume_adds_nothing(
    twin, metric, goal, tmp_path
):
    options = {"metric": metric, "goal": goal, "epochs": 40, "checkpoint": tmp_path / "run"}
    history, model = train(twin, **options)
    column = history[f"val_{metric}"]
    reached = column <= goal if metric == "loss" else column >= goal
    assert reached.tolist() == [False] * (len(column) - 1) + [True]
    again, _ = train(twin, **options)
    pd.testing.assert_frame_equal(history, again, check_exact=True)


@TWINS
def test_loss_is_the_mean_over_examples_not_over_batches(twin):
    model = classifier(twin)
    uneven, whole = data(batch_size=49), data(batch_size=COUNT)
    assert evaluate(model, uneven)["loss"] == pytest.approx(evaluate(model, whole)["loss"])


@TWINS
def test_the_training_loss_is_that_of_evaluation_where_nothing_moves(twin):
    model, uneven = classifier(twin), data(batch_size=49)
    expected = evaluate(model, uneven)["loss"]
    still = twin.SGD(model.parameters(), lr=1e-20)
    history = fit(model, uneven, optimizer=still, epochs=1, progress=False)
    assert history.loss[1] == pytest.approx(expected, rel=1e-5)


@TWINS
def test_predictions_come_in_the_order_of_the_examples(twin):
    model, examples = classifier(twin), data()
    whole = predict(model, examples)
    tokens, lengths = examples.inputs
    for row in (0, 17, COUNT - 1):
        one = predict(model, (tokens[row : row + 1], lengths[row : row + 1]))
        np.testing.assert_allclose(one[0], whole[row], rtol=1e-4, atol=1e-6)


def test_a_metric_can_be_a_function():
    def errors_avoided(outputs, targets):
        assert outputs.shape == (COUNT, K) and targets.shape == (COUNT,)
        return -float((outputs.argmax(1) != targets).sum())

    history, _ = train(scratch, metric=errors_avoided)
    assert "val_errors_avoided" in history


@TWINS
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_spoilt(twin, bad):
    x = np.ones((20, D))
    x[11] = bad
    model = twin.Linear(D, 1)
    with pytest.raises(
        FloatingPointError, match=r"loss=.* at epoch 1, step [123]: expected a finite"
    ):
        fit(
            model, ArrayBatches(x, np.ones((20, 1)), 8), optimizer=adam(twin, model),
            loss="mse_loss", progress=False,
        )  # fmt: skip
    assert all(np.isfinite(array).all() for array in get_weights(model).values())


BAD = [
    ({"epochs": 0}, "epochs=0: expected"),
    ({"patience": 0}, "patience=0: expected"),
    ({"patience": 2, "valid": None}, "need valid"),
    ({"goal": 0.1, "valid": None}, "goal=0.1 and metric='loss' need valid"),
    ({"metric": "accuracy", "valid": None}, "need valid"),
    ({"clip": -1.0}, "clip=-1.0: expected a finite number above 0"),
    ({"metric": "auc"}, "metric='auc': expected one of 'loss', 'accuracy'"),
    ({"loss": "hinge"}, "loss='hinge': expected one of 'cross_entropy'"),
    ({"valid": (np.ones((3, D)), np.ones(4))}, r"hold \[3, 4\] examples"),
    ({"valid": (np.ones((0, D)), np.ones(0))}, r"hold \[0, 0\] examples"),
]


@TWINS
@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments(twin, options, message):
    with pytest.raises(ValueError, match=message):
        train(twin, **options)


@TWINS
def test_forgotten_parentheses_and_lists_are_named(twin):
    model, (x, y) = classifier(twin), (np.ones((4, 3), int), np.ones(4, int))
    optimizer = adam(twin, model)
    for train_data in (x, [x, y], (x, y, y)):
        with pytest.raises(TypeError, match=r"train is a \w+: expected a pair \(x, y\)"):
            fit(model, train_data, optimizer=optimizer)
    with pytest.raises(TypeError, match="valid is a ndarray: expected a pair"):
        fit(model, (x, y), y, optimizer=optimizer)
    with pytest.raises(TypeError, match="data is a ndarray: expected a pair"):
        evaluate(model, x)


def test_the_optimizer_of_the_other_twin_is_refused():
    ours, theirs = classifier(scratch), classifier(pytorch)
    with pytest.raises(TypeError, match="expected one of rnnbook.scratch"):
        fit(ours, data(), optimizer=adam(pytorch, theirs))
    with pytest.raises(TypeError, match="expected one of torch.optim"):
        fit(theirs, data(), optimizer=adam(scratch, ours))


@TWINS
def test_the_optimizer_of_another_model_is_refused(twin):
    with pytest.raises(ValueError, match="optimizer holds other parameters"):
        fit(classifier(twin), data(), optimizer=adam(twin, classifier(twin)), progress=False)


def test_a_checkpoint_of_another_run_or_no_checkpoint_is_refused(tmp_path):
    train(scratch, checkpoint=tmp_path / "run", seed=1)
    with pytest.raises(ValueError, match="is of another run"):
        train(scratch, checkpoint=tmp_path / "run", seed=2)
    model = classifier(scratch)
    with pytest.raises(ValueError, match="is of another run, with .*'Adam'.*: expected .*'SGD'"):
        fit(
            model, data(), data(1), optimizer=scratch.SGD(model.parameters()), seed=1,
            checkpoint=tmp_path / "run", progress=False,
        )  # fmt: skip
    (tmp_path / "text").write_text(json.dumps({"not": "a checkpoint"}))
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        train(scratch, checkpoint=tmp_path / "text")
    from rnnbook.interop import save_weights

    save_weights(classifier(scratch), tmp_path / "weights")
    with pytest.raises(ValueError, match=r"was not written by fit\(\)"):
        train(scratch, checkpoint=tmp_path / "weights")


@pytest.mark.parametrize(("first", "second"), [("a", "b"), (None, "a"), ("a", None)])
def test_a_checkpoint_with_another_tag_is_refused(first, second, tmp_path):
    train(scratch, checkpoint=tmp_path / "run", tag=first)
    with pytest.raises(ValueError, match="is of another run"):
        train(scratch, checkpoint=tmp_path / "run", tag=second)
    train(scratch, checkpoint=tmp_path / "run", tag=first)


def test_progress_goes_to_standard_output(capsys):
    train(scratch, epochs=1, progress=True)
    captured = capsys.readouterr()
    assert "epoch 1" in captured.out and captured.err == ""


def test_one_logit_in_a_column_is_scored_as_one_logit():
    logits, labels = np.array([[5.0], [5], [-5]]), np.array([[1], [1], [0]])
    assert accuracy(logits, labels) == accuracy(logits[:, 0], labels[:, 0]) == 1.0
    assert accuracy(logits, labels[:, 0]) == 1.0
    with pytest.raises(ValueError, match=r"target has shape \(3, 1\): expected \(3,\)"):
        accuracy(logits[:, 0], labels)


@TWINS
def test_a_target_is_not_stretched_to_the_output(twin):
    model = twin.SequencePredictor(D, H, 1)
    x = np.zeros((4, T, D), np.float32)
    with pytest.raises(ValueError, match=r"target has shape \(4,\): expected \(4, 1\)"):
        evaluate(model, (x, np.zeros(4, np.float32)), loss="mse_loss")


@TWINS
def test_scores_and_seeds_may_be_numbers_of_numpy(twin, tmp_path):
    def share(outputs, targets):
        return np.float32((outputs.argmax(axis=1) == targets).mean())

    options = {"metric": share, "seed": np.int64(3), "checkpoint": tmp_path / "run.safetensors"}
    once, _ = train(twin, **options)
    again, _ = train(twin, **options)
    pd.testing.assert_frame_equal(once, again)


def test_a_metric_without_a_name_has_that_of_its_class_and_no_metric_hides_a_column():
    history, _ = train(scratch, metric=partial(lambda base, outputs, targets: base, 1.0))
    assert history["val_partial"].tolist() == [1.0] * 3

    def loss(outputs, targets):
        return 0.0

    with pytest.raises(ValueError, match="metric is named 'loss'.*rename"):
        train(scratch, metric=loss)


@TWINS
def test_a_checkpoint_in_no_folder_is_refused_before_training(twin, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.*expected a file in a folder that exists"):
        train(twin, checkpoint=tmp_path / "none" / "run.safetensors")


@TWINS
def test_a_model_that_is_scored_stays_in_its_mode(twin):
    model = classifier(twin, dropout=0.5).train()
    model.dropout.eval()
    evaluate(model, data())
    predict(model, data())
    assert model.training and model.rnn.training and not model.dropout.training


def test_what_holds_no_batches_is_refused_and_a_model_without_parameters_predicts():
    with pytest.raises(TypeError, match="data is a list: expected"):
        predict(classifier(scratch), [1])
    assert predict(torch.nn.Identity(), np.ones((3, 2), np.float32)).shape == (3, 2)
