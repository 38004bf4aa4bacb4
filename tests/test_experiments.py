"""The long runs behind chapter 5: resumable, never repeated, and every number with its protocol."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "experiments" / "imdb.py"
RESULTS = ROOT / "book" / "results" / "imdb.json"


@pytest.fixture
def experiment():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("experiments_imdb", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(folder, only):
    results, cache = folder / "results.json", folder / "cache"
    return ["--sample", "--only", only, "--results", str(results), "--cache", str(cache)]


def without_times(run):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run["history"]]
    return {k: v for k, v in run.items() if "seconds" not in k} | {"history": rows}


def test_finished_runs_are_not_repeated(experiment, tmp_path):
    assert experiment.main(arguments(tmp_path, "004-scratch-seed[01]")) == 2
    before = (tmp_path / "results.json").read_bytes()
    assert experiment.main(arguments(tmp_path, "004-scratch-seed[01]")) == 0
    assert (tmp_path / "results.json").read_bytes() == before
    assert experiment.main(arguments(tmp_path, "004-scratch-seed*")) == 1
    assert list(json.loads((tmp_path / "results.json").read_text())["runs"]) == [
        "004-scratch-seed0",
        "004-scratch-seed1",
        "004-scratch-seed2",
    ]


@pytest.mark.parametrize("name", ["000-scratch-seed1", "004-pytorch-seed0"])
def test_interrupted_run_goes_on_and_ends_where_an_uninterrupted_one_does(
    experiment, tmp_path, monkeypatch, name
):
    real_fit = experiment.training.fit

    def fit_one_epoch_then_stop(model, *args, epochs, **kwargs):
        real_fit(model, *args, epochs=1, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment.training, "fit", fit_one_epoch_then_stop)
    with pytest.raises(KeyboardInterrupt):
        experiment.main(arguments(tmp_path / "a", name))
    assert not (tmp_path / "a" / "results.json").exists()
    (checkpoint,) = (tmp_path / "a" / "cache").iterdir()
    assert name in checkpoint.name

    trained = []

    def fit_and_count(model, train, *args, **kwargs):
        class Counted:
            def __len__(self):
                return len(train)

            def batches(self, rng=None):
                trained.append(1)
                return train.batches(rng)

        return real_fit(model, Counted(), *args, **kwargs)

    monkeypatch.setattr(experiment.training, "fit", fit_and_count)
    experiment.main(arguments(tmp_path / "a", name))
    assert len(trained) == 1  # the second epoch alone
    assert not checkpoint.exists()

    monkeypatch.setattr(experiment.training, "fit", real_fit)
    experiment.main(arguments(tmp_path / "b", name))
    resumed, whole = (
        json.loads((tmp_path / x / "results.json").read_text())["runs"][name] for x in "ab"
    )
    assert without_times(resumed) == without_times(whole)
    assert resumed["cpu_seconds"] is None and whole["cpu_seconds"] > 0


def test_twins_start_equal_and_drift_by_rounding_only(experiment, tmp_path):
    experiment.main(arguments(tmp_path, "twins-*"))
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert 0 < max(runs["twins-float32"]["loss_difference"]) < 1e-5
    assert max(runs["twins-float64"]["loss_difference"]) < 1e-12
    first = [runs[f"twins-{dtype}"]["loss"]["scratch"][0] for dtype in ("float32", "float64")]
    assert first[0] == pytest.approx(first[1], abs=2e-6)  # both dtypes start from the same weights


def test_bag_of_words_takes_the_penalty_that_validates_best(experiment, tmp_path):
    experiment.main(arguments(tmp_path, "bag-*"))
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert list(runs) == ["bag-100", "bag-200", "bag-whole"]
    for run in runs.values():
        scores = run["val_accuracy_by_C"]
        assert run["val_accuracy"] == max(scores.values()) == scores[str(run["C"])]
        assert sum(map(sum, run["test_confusion"])) == 100  # all reviews of the sample's test part


def test_keras_start_is_orthogonal_and_leaves_padding_at_zero(experiment):
    article = experiment.ARTICLES["000"]
    model, _ = experiment.build(article, 50, "scratch", seed=0)
    drawn = experiment.keras_weights(
        experiment.get_weights(model), experiment.np.random.default_rng(0)
    )
    recurrent = drawn["rnn.weight_hh_l0"]
    assert abs(recurrent @ recurrent.T - experiment.np.eye(128)).max() < 1e-5
    assert not drawn["embedding.weight"][0].any() and drawn["embedding.weight"][1:].all()
    assert not drawn["rnn.bias_ih_l0"].any()


def test_list_names_every_run_and_trains_none(tmp_path):
    command = [sys.executable, SCRIPT, "--list", *arguments(tmp_path, "*")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert len(lines) == len({line.split()[0] for line in lines}) == 29
    assert {line.split()[1] for line in lines} == {"waiting"}
    assert not (tmp_path / "results.json").exists()


def test_pattern_that_matches_nothing_is_refused(experiment, tmp_path, capsys):
    with pytest.raises(SystemExit):
        experiment.main(arguments(tmp_path, "nothing-*"))
    assert "--list names them" in capsys.readouterr().err


def test_every_published_number_has_its_protocol_and_command():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results) == {"protocol", "runs"}
    assert any("on the 25,000 test reviews once" in rule for rule in results["protocol"])
    for name, run in results["runs"].items():
        assert run["command"] == f"python experiments/imdb.py --only {name}"
        assert run["data"] == "Large Movie Review Dataset v1.0"
        assert set(run["machine"]) == {"cpu", "cores", "threads", "python", "numpy", "torch"}
        if "test_accuracy" in run:
            assert run["test_policy"].startswith("scored once")
            assert sum(map(sum, run["test_confusion"])) == 25_000
            correct = run["test_confusion"][0][0] + run["test_confusion"][1][1]
            assert run["test_accuracy"] == pytest.approx(correct / 25_000)
        if "history" in run:
            scores = [row["val_accuracy"] for row in run["history"]]
            assert len(scores) == 10 and scores[run["best_epoch"] - 1] == max(scores)


def test_every_published_result_is_a_run_of_the_script(experiment):
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results["runs"]) <= {run.name for run in experiment.RUNS}
    assert results["protocol"] == experiment.PROTOCOL
