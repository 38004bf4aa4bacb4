"""The long runs: resumable, never repeated, and every number with its protocol."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnbook import interop, pytorch, scratch, training

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "experiments"
RESULTS = ROOT / "book" / "results" / "imdb.json"
MEMORY = ("memory", "remedies")  # scripts whose runs are all of one kind


@pytest.fixture
def script(monkeypatch):
    """Load a script as a module."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name):
        spec = importlib.util.spec_from_file_location(f"experiments_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def experiment(script):
    return script("imdb")


def arguments(folder, only):
    results, cache = folder / "results.json", folder / "cache"
    return ["--sample", "--only", only, "--results", str(results), "--cache", str(cache)]


def runs_in(folder):
    return json.loads((folder / "results.json").read_text())["runs"]


def without_times(run):
    kept = {k: v for k, v in run.items() if "seconds" not in k}
    if isinstance(run.get("history"), list):  # of rows
        kept["history"] = [{k: v for k, v in r.items() if k != "seconds"} for r in run["history"]]
    return kept


def interrupted_and_whole(module, training, folder, only, monkeypatch):
    """Results of a run that was stopped after one of two epochs and resumed, and of a whole one."""
    real_fit = training.fit

    def fit_one_epoch_then_stop(*args, epochs, **kwargs):
        assert epochs == 2
        real_fit(*args, epochs=1, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", fit_one_epoch_then_stop)
    with pytest.raises(KeyboardInterrupt):
        module.main(arguments(folder / "a", only))
    assert not (folder / "a" / "results.json").exists()
    (checkpoint,) = (folder / "a" / "cache").iterdir()
    monkeypatch.setattr(training, "fit", real_fit)
    for name in "ab":
        assert module.main(arguments(folder / name, only)) == 1
    assert not checkpoint.exists()
    (resumed,), (whole,) = (runs_in(folder / name).values() for name in "ab")
    assert resumed["cpu_seconds"] is None and whole["cpu_seconds"] is not None
    return resumed, whole


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
    assert resumed["cpu_seconds"] is None and whole["cpu_seconds"] is not None


def test_twins_start_equal_and_drift_by_rounding_only(experiment, tmp_path):
    experiment.main(arguments(tmp_path, "twins-*"))
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert 0 < max(runs["twins-float32"]["loss_difference"]) < 1e-5
    assert max(runs["twins-float64"]["loss_difference"]) < 1e-12
    first = [runs[f"twins-{dtype}"]["loss"]["scratch"][0] for dtype in ("float32", "float64")]
    assert first[0] == pytest.approx(first[1], abs=2e-6)  # both dtypes start from the same weights


def test_the_whole_training_part_is_read_by_both_twins_from_equal_weights(experiment, tmp_path):
    experiment.main(arguments(tmp_path, "whole-*-seed1"))
    ours, theirs = runs_in(tmp_path).values()
    assert {ours["twin"], theirs["twin"]} == {"scratch", "pytorch"}
    assert ours["examples"] == theirs["examples"] == 400
    assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-3)


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


@pytest.mark.parametrize(
    ("name", "count"),
    [("imdb", 126), ("memory", 164), ("remedies", 204), ("ett", 32), ("text", 14)],
)
def test_list_names_every_run_and_trains_none(name, count, tmp_path):
    command = [sys.executable, FOLDER / f"{name}.py", "--list", *arguments(tmp_path, "*")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert len(lines) == len({line.split()[0] for line in lines}) == count
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
        names = {"cpu", "cores", "threads", "python", "numpy", "torch"}
        trained_on_gpu = run["model"] in ("language model", "pretrained")
        assert set(run["machine"]) == (names | {"gpu"} if trained_on_gpu else names)
        if "test_accuracy" in run:
            assert run["test_policy"].startswith("scored once")
            correct = run["test_accuracy"] * 25_000
            assert correct == pytest.approx(round(correct), abs=0.02)
        if "test_confusion" in run:
            assert sum(map(sum, run["test_confusion"])) == 25_000
            correct = run["test_confusion"][0][0] + run["test_confusion"][1][1]
            assert run["test_accuracy"] == pytest.approx(correct / 25_000)
        if "history" in run and run["model"] != "language model":
            scores = [row["val_accuracy"] for row in run["history"]]
            assert scores[run["best_epoch"] - 1] == max(scores) == run["val_accuracy"]
            assert (
                len(scores) <= run["epochs"] if "article" not in run["model"] else len(scores) == 10
            )


def test_every_published_rung_has_the_settings_of_the_script(experiment):
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for run in results["runs"].values():
        if run["model"] == "ladder":
            settings = experiment.imdb_ladder.RUNGS[run["rung"]]._asdict()
            assert {key: run[key] for key in settings} == json.loads(json.dumps(settings))


def test_every_published_pretrained_run_has_the_settings_of_the_script(experiment):
    published = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    runs = [run for run in experiment.imdb_pretrained.RUNS if run.name in published]
    assert len(runs) >= 6
    for run in runs:
        settings = json.loads(json.dumps(run.settings._asdict()))
        assert {key: published[run.name][key] for key in settings} == settings
        assert published[run.name]["direction"] == run.direction


def test_interrupted_language_model_goes_on_and_ends_where_an_uninterrupted_one_does(
    experiment, tmp_path, monkeypatch
):
    training = experiment.imdb_pretrained.training
    resumed, whole = interrupted_and_whole(
        experiment, training, tmp_path, "language-backward", monkeypatch
    )
    assert without_times(resumed) == without_times(whole)


def test_a_classifier_starts_from_its_language_model_and_reads_each_review_after_a_mark(
    experiment, tmp_path, monkeypatch
):
    module = experiment.imdb_pretrained
    experiment.main(arguments(tmp_path, "language-backward"))
    begun = []

    def stop(model, train, *args, **kwargs):
        begun.extend([experiment.get_weights(model), train])
        raise KeyboardInterrupt

    monkeypatch.setattr(module.training, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        experiment.main(arguments(tmp_path, "pretrained-backward-seed0"))
    weights, train = begun
    path = module.kept(tmp_path / "cache", "imdb-sample", "language-backward")
    learned = interop.read_safetensors(path)[0]
    shared = [name for name in weights if name.startswith(("embedding", "rnn"))]
    assert len(shared) == 9
    assert all((weights[name] == learned[name]).all() for name in shared)
    texts = experiment.Data(sample=True).ladder(tmp_path / "cache")
    first = texts.ids("train", texts.large_vocab)[0]
    assert train.sequences[0].tolist() == [0, *first[::-1]]  # backward


def test_adversarial_training_reads_twice_and_adds_both_gradients(script):
    torch.manual_seed(0)
    sizes = (50, 6, 7, 1, "lstm", 2)
    model, twin = (
        pytorch.SequenceClassifier(*sizes, pooling="mean_max", dtype=torch.float64)
        for _ in range(2)
    )
    twin.load_state_dict(model.state_dict())
    lengths = torch.tensor([9, 3, 5, 9])
    tokens = torch.randint(1, 50, (4, 9)) * (torch.arange(9) < lengths[:, None])
    labels = torch.tensor([1.0, 0.0, torch.nan, torch.nan], dtype=torch.float64)
    loss = script("adversarial").virtual_adversarial_loss(model, 0.3)
    data = training.ArrayBatches((tokens.numpy(), lengths.numpy()), labels.numpy(), 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    row = training.fit(model, data, optimizer=optimizer, loss=loss, epochs=1, progress=False)

    def read(vectors, answers=None):  # by hand: two reviews with a label, two without
        p = twin.forward_vectors(vectors, lengths).sigmoid()
        q = torch.cat([labels[:2], p[2:]]) if answers is None else answers
        losses = -q * p.log() - (1 - q) * (1 - p).log()
        return losses[:2].mean() + losses[2:].mean(), q.detach()

    vectors = twin.embedding(tokens)
    first, answers = read(vectors)
    (gradient,) = torch.autograd.grad(first, vectors, retain_graph=True)
    moves = 0.3 * gradient / gradient.flatten(1).norm(dim=1)[:, None, None]
    second, _ = read(vectors + moves, answers)
    (first + second).backward()
    assert second > first
    assert row["loss"].item() == pytest.approx((first + second).item())
    for name, parameter in twin.named_parameters():
        expected = (parameter - 0.1 * parameter.grad).detach()
        assert torch.allclose(model.get_parameter(name), expected, rtol=0, atol=1e-14), name

    model.eval()
    plain = torch.nn.functional.binary_cross_entropy_with_logits
    logits = model(tokens[:2], lengths[:2])
    assert loss(logits, labels[:2]) == plain(logits, labels[:2])


@pytest.mark.parametrize("known", [True, False])
def test_adversarial_training_takes_a_frozen_embedding_and_one_kind_of_label(script, known):
    model = pytorch.SequenceClassifier(50, 6, 7, 1)
    model.embedding.weight.requires_grad_(False)
    loss = script("adversarial").virtual_adversarial_loss(model, 1.0)
    x, y = torch.randint(1, 50, (4, 9)).numpy(), [1.0, 0.0, 1.0, 0.0]
    data = training.ArrayBatches(x, np.float32(y if known else [np.nan] * 4))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in learned]
    optimizer = torch.optim.SGD(learned, lr=0.1)
    training.fit(model, data, optimizer=optimizer, loss=loss, epochs=1, progress=False)
    assert all((a != b).any() for a, b in zip(learned, start, strict=True))


@pytest.mark.parametrize("name", ["adversarial-backward-seed0", "vectors-adversarial-seed0"])
def test_adversarial_training_reads_all_reviews_and_knows_the_labels_of_some(
    experiment, tmp_path, name, monkeypatch
):
    if name.startswith("adversarial"):
        experiment.main(arguments(tmp_path, "language-backward"))
    real, seen = training.fit, []

    def fit(model, train, valid, **kwargs):
        seen.append(train)
        return real(model, train, valid, **kwargs)

    monkeypatch.setattr(training, "fit", fit)
    experiment.main(arguments(tmp_path, name))
    texts = experiment.Data(sample=True).ladder(tmp_path / "cache")
    known = texts.labels("train")
    labels = seen[0].labels
    assert (labels[: len(known)] == known).all()
    assert np.isnan(labels[len(known) :]).all() and len(labels) == len(known) + len(texts.unsup)


@pytest.fixture
def ladder(experiment):
    return experiment.imdb_ladder


@pytest.fixture
def texts(experiment, tmp_path):
    return experiment.Data(sample=True).ladder(tmp_path)


def test_the_ladder_cuts_reviews_as_the_vocabulary_does(ladder, texts):
    review = max(texts.parts["train"].texts, key=len)
    whole = texts.small_vocab.encode(review)
    for keep in ("head", "tail", "both"):
        for length in (1, 4, 7, len(whole), 1000):
            expected = texts.small_vocab.encode(review, length, truncate=keep)
            assert (ladder.shorten(whole, length, keep) == expected).all()


def test_rungs_differ_from_the_rung_below_in_one_idea(ladder):
    below = {
        "rnn-mean": "rnn-last", "gru-last": "gru-padding", "lstm-mean": "lstm-last",
        "lstm": "lstm-mean", "head": "lstm", "both": "lstm", "bidirectional": "lstm",
        "l2": "bidirectional", "dropout": "bidirectional", "word-dropout": "dropout",
        "long": "vectors", "wide": "long", "vectors-adversarial": "vectors",
    }  # fmt: skip
    for rung, base in below.items():
        pairs = zip(ladder.RUNGS[rung], ladder.RUNGS[base], strict=True)
        assert sum(a != b for a, b in pairs) == 1, rung


def test_vectors_have_the_scale_of_a_random_start_and_leave_padding_at_zero(ladder, texts):
    pytest.importorskip("gensim")
    vectors = texts.vectors
    assert vectors.shape == (len(texts.large_vocab), 100)
    assert vectors[1:].std() == pytest.approx(1, abs=1e-5) and not vectors[0].any()
    model, _ = ladder.build(ladder.RUNGS["vectors"], texts, seed=0)
    assert (model.embedding.weight.detach().numpy() == vectors).all()


def test_no_validation_and_no_test_text_reaches_vocabularies_or_vectors(experiment, texts):
    read = " ".join([*texts.parts["train"].texts, *texts.unsup.texts]).lower()
    assert all(token in read for token in texts.large_vocab.tokens[2:])
    assert all(token in read for token in texts.small_vocab.tokens[2:])


def test_students_learn_the_labels_and_what_their_teachers_say(ladder, texts):
    count = len(texts.unsup)
    logits = {"a": [2.0] * count, "b": [0.0] * count}
    for name, values in logits.items():
        ladder.runs.keep_predictions(texts.cache, name, texts.kind, {"unsup": values})
    settings = ladder.RUNGS["student"]._replace(teacher=("a", "b"))
    batches, own = texts.batches("train", settings), texts.labels("train")
    assert (batches.labels[: len(own)] == own).all()
    mean = (1 / (1 + ladder.np.exp(-2)) + 0.5) / 2
    assert batches.labels[len(own) :] == pytest.approx([mean] * count, rel=1e-6)


def test_a_decaying_rate_starts_whole_ends_at_zero_and_survives_a_resume(ladder, texts):
    def rates(optimizer, parameter, count):
        for _ in range(count):
            parameter.grad = parameter.data.clone()
            optimizer.step()
            yield optimizer.param_groups[0]["lr"]

    model, optimizer = ladder.build(ladder.LSTM, texts, seed=0)
    ladder.runs.rise_and_fall(optimizer, 0.001, updates=4)
    first = list(rates(optimizer, model.linear.weight, 2))
    model, resumed = ladder.build(ladder.LSTM, texts, seed=0)
    ladder.runs.rise_and_fall(resumed, 0.001, updates=4)
    resumed.load_state_dict({**resumed.state_dict(), "state": optimizer.state_dict()["state"]})
    rest = list(rates(resumed, model.linear.weight, 3))
    assert first + rest == pytest.approx([0.001, 0.00075, 0.0005, 0.00025, 0])


def test_a_run_whose_teachers_are_missing_is_refused(experiment, tmp_path):
    pytest.importorskip("gensim")
    with pytest.raises(SystemExit, match="pretrained-forward-seed0, pretrained-backward"):
        experiment.main(arguments(tmp_path, "student-seed0"))


def test_teachers_students_and_ensembles_build_on_each_other(experiment, tmp_path):
    pytest.importorskip("gensim")
    for only in (
        "wide-seed*", "ngrams", "language-*", "pretrained-*", "ensemble-wide*",
        "taught-*", "ensemble-readers", "ensemble-teachers", "student-seed0", "student-seed0-*",
    ):  # fmt: skip
        assert experiment.main(arguments(tmp_path, only)) > 0
    runs = runs_in(tmp_path)
    assert len(runs["ensemble-teachers"]["members"]) == 7
    members = runs["student-seed0-ngrams"]["members"]
    assert members == ["student-seed0", "ngrams"]
    assert 0 < runs["student-seed0-ngrams"]["weight_of_ngrams"] < 1
    assert runs["ensemble-wide"]["weight_of_ngrams"] is None


def test_n_grams_are_scaled_by_how_much_more_often_praise_has_them(ladder):
    assert ladder.ngrams(["a", "b", "c"]) == ["a", "b", "c", "a b", "b c", "a b c"]
    present = ladder.np.array([[1.0, 0], [1, 1], [0, 1]])
    ratio = ladder.log_count_ratio(present, ladder.np.array([1, 1, 0]))  # counts+1: 3, 2 and 1, 2
    log = ladder.np.log
    assert ratio == pytest.approx([log(3 / 5) - log(1 / 3), log(2 / 5) - log(2 / 3)])


def test_every_published_text_model_and_long_forecast_has_the_settings_of_its_script(script):
    for name in ("text", "ett"):
        module = script(name)
        path = ROOT / "book" / "results" / f"{name}.json"
        results = json.loads(path.read_text(encoding="utf-8"))
        assert results["protocol"] == module.PROTOCOL
        known = {run.name: run for run in module.RUNS}
        for run_name, run in results["runs"].items():
            kind = known[run_name]
            assert run["command"] == f"python experiments/{name}.py --only {run_name}"
            if "members" in run:
                continue  # of other runs, which have settings
            settings = module.KINDS[kind.kind] if name == "text" else kind.settings
            assert {key: run[key] for key in settings._asdict()} == settings._asdict()


def test_the_kept_model_of_text_is_the_run_that_it_says(script):
    module = script("text")
    run = json.loads((ROOT / "book" / "results" / "text.json").read_text())["runs"][module.KEPT]
    weights, about = interop.read_safetensors(ROOT / "book" / "results" / "text-lstm.safetensors")
    assert sum(array.size for array in weights.values()) == run["parameters"]
    arguments_ = json.loads(about["arguments"])
    assert arguments_ == {name: run[name] for name in arguments_}
    assert len(about["vocab"]) == run["vocab_size"]


def test_the_mean_of_the_long_forecasts_is_that_of_its_members(script, tmp_path):
    module, sizes = script("ett"), (800, 400, 400)
    with pytest.raises(SystemExit, match="predictions of 96-cpu-seed0, 96-cpu-seed1"):
        module.main(arguments(tmp_path, "96-cpu-mean"))
    assert module.main(arguments(tmp_path, "96-cpu-*")) == 5
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    members = runs["96-cpu-mean"]["members"]
    found = list(module.runs.predictions(tmp_path / "cache", members, "ett-sample").values())
    parts = module.scaled_parts(module.generated(sum(sizes)), sizes, module.SAMPLE.look_back)
    truth = module.series.WindowBatches(parts[2], module.SAMPLE.look_back, 48).y
    squares = (module.np.mean([one["test"] for one in found], axis=0) - truth) ** 2
    assert runs["96-cpu-mean"]["test_mse"] == pytest.approx(squares.mean(), abs=1e-5)
    whole = len(truth) // 32 * 32
    assert 0 < whole < len(truth)
    given = runs["96-cpu-mean"]["test_mse_whole_batches"]
    assert given == pytest.approx(squares[:whole].mean(), abs=1e-5)
    assert (found[0]["test"] != found[1]["test"]).any()
    with_line = runs["96-cpu-mean-linear"]
    assert with_line["members"] == [*members, "linear map, look-back 336"]
    assert with_line["test_mse"] < runs["96-cpu-mean"]["test_mse"]  # two epochs are no match


def test_every_published_result_is_a_run_of_the_script(experiment):
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results["runs"]) <= {run.name for run in experiment.RUNS}
    assert results["protocol"] == experiment.PROTOCOL


@pytest.mark.parametrize("name", MEMORY)
def test_the_sample_trains_every_run_once(script, tmp_path, name):
    module = script(name)
    assert module.main(arguments(tmp_path, "*")) == len(module.RUNS)
    before = (tmp_path / "results.json").read_bytes()
    assert module.main(arguments(tmp_path, "*")) == 0
    assert (tmp_path / "results.json").read_bytes() == before
    assert not list((tmp_path / "cache").iterdir())
    results = json.loads(before)
    assert results["protocol"] == module.PROTOCOL
    assert list(results["runs"]) == [run.name for run in module.RUNS]
    for run in results["runs"].values():
        assert run["updates"] == run["curve"]["updates"][-1]
        assert len(run["curve"]["score"]) == len(run["curve"]["updates"])
        assert run["rate_is"] == ("tried" if run["seed"] == module.CHOICE_SEED else "chosen")


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("memory", "adding-100-rnn-rate0.003"),
        ("memory", "copy-30-lstm-rate0.003"),
        ("remedies", "recall-adamclip-layernorm-rate0.003"),
    ],
)
def test_interrupted_memory_run_goes_on_and_ends_where_an_uninterrupted_one_does(
    script, tmp_path, monkeypatch, name, run
):
    module = script(name)
    fit_in = module.runs.training
    resumed, whole = interrupted_and_whole(module, fit_in, tmp_path, run, monkeypatch)
    assert without_times(resumed) == without_times(whole)


def test_long_forecasts_go_on_after_an_interruption_and_leave_no_window_out(
    script, tmp_path, monkeypatch
):
    module, only = script("ett"), "96-seed0"
    resumed, whole = interrupted_and_whole(module, module.training, tmp_path, only, monkeypatch)
    assert without_times(resumed) == without_times(whole)
    assert whole["windows"] == {"train": 800 - 360 - 48 + 1, "valid": 353, "test": 353}
    assert whole["val_mae"] == pytest.approx(min(whole["history"]["val_mae"]), abs=2e-6)


def test_the_rate_of_long_forecasts_decays_from_the_fifth_epoch_on(script):
    module = script("ett")
    model, optimizer = module.build(module.SAMPLE, 48, 1, seed=0)
    module.decay(optimizer, 0.001, updates=2)
    rates = []
    for _ in range(12):
        for parameter in model.parameters():
            parameter.grad = parameter.data.clone()
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.001] * 8 + [0.0008] * 2 + [0.00064] * 2)


@pytest.mark.parametrize("run", ["lstm-seed0", "scratch-seed0", "large-seed0"])
def test_interrupted_text_run_goes_on_and_ends_where_an_uninterrupted_one_does(
    script, tmp_path, monkeypatch, run
):
    module = script("text")
    resumed, whole = interrupted_and_whole(module, module.training, tmp_path, run, monkeypatch)
    assert without_times(resumed) == without_times(whole)
    assert whole["nats"] == pytest.approx(whole["history"][1]["val_loss"], abs=0.02)
    assert len(whole["sample"]) == module.WRITTEN


def test_both_twins_learn_the_same_from_text(script, tmp_path):
    module = script("text")
    for run in ("lstm-seed0", "scratch-seed0"):
        module.main(arguments(tmp_path, run))
    theirs, ours = runs_in(tmp_path).values()
    assert ours["nats"] == pytest.approx(theirs["nats"], rel=1e-4)
    assert ours["sample"] == theirs["sample"]


@pytest.mark.parametrize("twin", ["scratch", "pytorch"])
def test_the_rate_of_text_rises_then_falls_to_zero(script, monkeypatch, twin):
    module = script("text")
    monkeypatch.setattr(module, "WARM_UP", 2)
    settings = module.LSTM._replace(embed_size=2, hidden_size=3, twin=twin)
    model, optimizer = module.build(settings, vocab_size=5, seed=0)
    module.runs.rise_and_fall(optimizer, 0.004, updates=4, warm_up=module.WARM_UP)
    rates = []
    for _ in range(5):
        for parameter in model.parameters():
            parameter.grad = parameter.data * 1.0
        optimizer.step()
        rates.append(optimizer.lr if twin == "scratch" else optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.002, 0.003, 0.002, 0.001, 0])


def test_the_kept_model_of_text_opens_in_either_twin(script, tmp_path):
    module = script("text")
    module.main(arguments(tmp_path, "lstm-seed0"))
    path = tmp_path / "cache" / "text-lstm.safetensors"
    metadata = interop.read_safetensors(path)[1]
    arguments_ = json.loads(metadata["arguments"]) | {"vocab_size": len(metadata["vocab"])}
    for twin in (scratch, pytorch):
        interop.load_weights(twin.LanguageModel(**arguments_), path)


def test_both_twins_run_the_same_curve(script, tmp_path):
    module, only = script("memory"), "*-lstm-forget1-rate0.003"
    for twin in ("scratch", "pytorch"):
        assert module.main([*arguments(tmp_path / twin, only), "--twin", twin]) == 2
    ours, theirs = (runs_in(tmp_path / twin) for twin in ("scratch", "pytorch"))
    for name in ours:
        assert (ours[name]["twin"], theirs[name]["twin"]) == ("scratch", "pytorch")
        for curve in ("loss", "score"):
            expected = pytest.approx(theirs[name]["curve"][curve], rel=1e-3)
            assert ours[name]["curve"][curve] == expected


@pytest.mark.parametrize(
    ("name", "run"), [("memory", "copy-10-gru-seed0"), ("remedies", "adding-sgd-plain-seed0")]
)
def test_a_run_whose_learning_rate_was_not_chosen_is_refused(script, tmp_path, name, run):
    with pytest.raises(SystemExit, match="missing: .*-rate0.0"):
        script(name).main(arguments(tmp_path, run))


def test_the_rate_that_solves_first_is_chosen_then_the_best_score(script):
    best_rate = script("runs").best_rate

    def choose(metric, *results):
        names = {rate: str(rate) for rate in range(len(results))}
        done = {
            str(rate): {"solved_at": solved, "best": best}
            for rate, (solved, best) in enumerate(results)
        }
        return best_rate(names, done, metric)

    assert choose("loss", (None, 0.02), (300, 0.009), (200, 0.0099), (None, None)) == 2
    assert choose("loss", (None, 0.2), (None, None), (None, 0.1)) == 2
    assert choose(max, (None, 0.2), (None, None), (None, 0.1)) == 0


def test_a_run_whose_loss_becomes_infinite_is_written_down_as_such(script, tmp_path, monkeypatch):
    module = script("remedies")

    def diverge(*args, **kwargs):
        raise FloatingPointError

    monkeypatch.setattr(module.runs.training, "fit", diverge)
    module.main(arguments(tmp_path, "adding-sgd-identity-rate0.1"))
    (run,) = runs_in(tmp_path).values()
    assert run["best"] is run["curve"] is run["sensitivity"]["end"] is None
    assert module.runs.digits([1.23456, float("inf"), float("nan")]) == [1.235, None, None]


def test_remedies_change_what_they_are_named_for(script):
    module = script("remedies")
    task = module.TASKS["adding"]
    weights = {name: module.get_weights(module.build(name, task, 0)) for name in module.MODELS}
    eye = module.np.eye(module.HIDDEN)
    w = weights["orthogonal"]["rnn.weight_hh_l0"]
    assert abs(w @ w.T - eye).max() < 1e-5
    assert (weights["identity"]["rnn.weight_hh_l0"] == eye).all()
    forget = slice(module.HIDDEN, 2 * module.HIDDEN)
    bias = [weights["lstm-forget1"][f"rnn.bias_{part}_l0"][forget] for part in ("ih", "hh")]
    assert (bias[0] + bias[1] == 1).all()
    assert "rnn.layer.cell.norm.weight" in weights["layernorm"]
    assert weights["gru"]["rnn.weight_hh_l0"].shape == (3 * module.HIDDEN, module.HIDDEN)


@pytest.mark.parametrize("name", [n for n in MEMORY if (ROOT / f"book/results/{n}.json").exists()])
def test_every_published_memory_run_is_one_of_the_script_at_full_size(script, name):
    module = script(name)
    results = json.loads((ROOT / f"book/results/{name}.json").read_text(encoding="utf-8"))
    assert results["protocol"] == module.PROTOCOL
    assert set(results["runs"]) <= {run.name for run in module.RUNS}
    for key, run in results["runs"].items():
        assert run["command"] == f"python experiments/{name}.py --only {key}"
        if run["best"] is not None:
            assert run["solved_at"] or run["updates"] == module.BUDGET


def test_every_repair_of_the_forecaster_is_trained_once(script, tmp_path):
    module = script("forecast")
    only = arguments(tmp_path, "co2-*[!12]")  # of the seeds, 0
    assert module.main(only) == len(module.VARIANTS) + len(module.BASELINES)
    before = (tmp_path / "results.json").read_bytes()
    assert module.main(only) == 0 and (tmp_path / "results.json").read_bytes() == before
    runs = runs_in(tmp_path)
    for run in runs.values():
        assert len(run["by_step"]["mse"]) == 6 and run["windows"] == 3
        assert run["mse"] == pytest.approx(sum(run["by_step"]["mse"]) / 6, rel=1e-3)
    for name in ("less-last", "direct-less-last", "segments"):  # the level is out of sight
        moved = runs[f"co2-{name}-seed0"]["moved"]
        assert moved["3"] == pytest.approx(moved["0"], rel=1e-3)
    articles = runs["co2-articles-seed0"]
    assert articles["moved"]["3"] > 2 * articles["moved"]["0"]
    assert articles["best_epoch"] == len(articles["history"]["loss"]) == 2
    assert (
        "val_loss" not in articles["history"] and "val_loss" in runs["co2-chosen-seed0"]["history"]
    )


def test_an_interrupted_forecaster_goes_on_and_ends_where_an_uninterrupted_one_does(
    script, tmp_path, monkeypatch
):
    module, only = script("forecast"), "oil-direct-less-last-seed0"
    resumed, whole = interrupted_and_whole(module, module.training, tmp_path, only, monkeypatch)
    assert without_times(resumed) == without_times(whole)


def test_variants_of_the_forecaster_change_what_they_are_named_for(script):
    module = script("forecast")
    articles = module.VARIANTS["articles"]
    assert not any(articles)
    changed = {
        name: sum(a != b for a, b in zip(variant, articles, strict=True))
        for name, variant in module.VARIANTS.items()
    }
    assert changed["leaky"] == changed["chosen"] == 1 and changed["less-last"] == 2
    model, _ = module.build(module.TASKS["co2"], articles, seed=0)
    assert [(layer.hidden_size, layer.num_layers) for layer in [model.rnn]] == [(50, 2)]
    assert model.linear.out_features == 1


def test_a_forecaster_of_another_scale_is_judged_in_that_of_the_training_part(script):
    module = script("forecast")
    frame = module.load(module.TASKS["co2"], sample=True)
    own, whole = (module.series.Scaler.fit(part) for part in (frame.iloc[:200], frame))
    history = own.transform(frame).to_numpy()[None, :50]
    last = module.forecasting.LastValue()
    rescaled = module.Rescaled(last, own, whole).forecast(history, 3)
    assert rescaled == pytest.approx(last.forecast(history, 3))


@pytest.mark.skipif(not (ROOT / "book/results/forecast.json").exists(), reason="not published yet")
def test_every_published_forecast_is_a_run_of_the_script_at_full_size(script):
    module = script("forecast")
    results = json.loads((ROOT / "book/results/forecast.json").read_text(encoding="utf-8"))
    assert results["protocol"] == module.PROTOCOL
    assert set(results["runs"]) <= {run.name for run in module.RUNS}
    for run in results["runs"].values():
        assert len(run["by_step"]["mse"]) == module.TASKS[run["series"]].horizon
        if run["variant"] == "articles":
            assert len(run["history"]["loss"]) == module.EPOCHS


def test_a_search_that_is_stopped_proposes_what_an_uninterrupted_one_does(script, tmp_path):
    module = script("tuning")
    module.main(arguments(tmp_path / "a", "trial-0[0-4]"))
    for folder in "ab":
        module.main(arguments(tmp_path / folder, "trial-*"))
    stopped, whole = (runs_in(tmp_path / folder) for folder in "ab")
    assert len(stopped) == len(whole) == module.TRIALS
    guided = [module.Trial(k).name for k in range(module.RANDOM, module.TRIALS)]
    for name in [*guided, "trial-07"]:
        assert stopped[name]["settings"] == whole[name]["settings"]
        assert stopped[name]["value"] == whole[name]["value"]
    assert whole[guided[0]]["settings"] != whole[guided[1]]["settings"]


def test_what_builds_on_a_search_waits_for_all_of_its_trials(script, tmp_path):
    module = script("tuning")
    for name in ("trial-01", "winner-seed1", "change-lr-0.03"):
        with pytest.raises(SystemExit, match="trial-00, which is missing"):
            module.main(arguments(tmp_path, name))


def test_a_change_moves_one_setting_of_the_winner(script):
    module = script("tuning")
    trials = {module.Trial(k).name: {"value": 0.5, "settings": {}} for k in range(module.TRIALS)}
    trials["trial-09"] = {"value": 0.8, "settings": module.DEFAULT}
    assert module.winner(trials) == module.DEFAULT
    for what, values in module.CHANGES.items():
        changed = [module.DEFAULT | {what: value} for value in values]
        module.study_of([{"settings": c, "value": 0.5} for c in changed], seed=0)  # in the space
    data = module.Data(sample=True)
    result = module.Change("lr", 0.03).train(data, trials)
    assert result["settings"] == module.DEFAULT | {"lr": 0.03} and result["change"] == "lr"


def test_the_published_search_is_that_of_the_script(script):
    module = script("tuning")
    published = json.loads((ROOT / "book/results/tuning.json").read_text(encoding="utf-8"))
    assert published["protocol"] == module.PROTOCOL
    assert list(published["runs"]) == [run.name for run in module.RUNS]
    for name, run in published["runs"].items():
        assert run["command"] == f"python experiments/tuning.py --only {name}"
        assert ("test_accuracy" in run) == name.startswith(("baseline", "winner", "default"))
