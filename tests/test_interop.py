"""Weights move between the twins by name; files are whole or refused."""

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from rnnbook import pytorch, scratch
from rnnbook.files import write_atomically
from rnnbook.interop import copy_weights, get_weights, load_weights, save_weights

from .cases import LENGTHS, D, H, K, N, T, V

ARGUMENTS = (V, D, H, K, "rnn", 2, True)


def model(twin, seed):
    if twin == "scratch":
        return scratch.SequenceClassifier(*ARGUMENTS, rng=seed)
    torch.manual_seed(seed)
    return pytorch.SequenceClassifier(*ARGUMENTS)


def logits(model):
    tokens = np.random.default_rng(0).integers(1, V, (N, T))
    output = model.eval()(tokens, LENGTHS)
    return output if isinstance(output, np.ndarray) else output.detach().numpy()


TWINS = ["scratch", "pytorch"]
EVERY_PAIR = [(a, b) for a in TWINS for b in TWINS]


@pytest.mark.parametrize(("source", "target"), EVERY_PAIR)
def test_copied_weights_make_equal_models(source, target):
    one, other = model(source, 1), model(target, 2)
    assert not np.allclose(logits(one), logits(other), atol=1e-3)
    copy_weights(one, other)
    np.testing.assert_allclose(logits(one), logits(other), atol=1e-6)


@pytest.mark.parametrize(("writer", "reader"), EVERY_PAIR)
def test_a_file_of_either_twin_loads_into_either(writer, reader, tmp_path):
    one, other = model(writer, 1), model(reader, 2)
    save_weights(one, tmp_path / "weights.safetensors", {"epoch": "3"})
    assert load_weights(other, tmp_path / "weights.safetensors") == {"epoch": "3"}
    for name, array in get_weights(one).items():
        np.testing.assert_array_equal(get_weights(other)[name], array)


def test_weights_are_copies_not_views():
    source, target = model("scratch", 1), model("pytorch", 2)
    copy_weights(source, target)
    source.linear.weight.data += 1
    assert not np.allclose(get_weights(target)["linear.weight"], source.linear.weight.data)


def break_names(weights):
    weights["extra"] = weights.pop("linear.bias")


def break_shapes(weights):
    weights["linear.weight"] = weights["linear.weight"][:, 1:].copy()


def break_dtypes(weights):
    weights["linear.bias"] = weights["linear.bias"].astype(np.float64)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_names, "missing linear.bias; unexpected extra"),
        (break_shapes, r"linear.weight has shape \(2, 9\), expected \(2, 10\)"),
        (break_dtypes, "linear.bias has dtype float64, expected float32"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_change_nothing(twin, damage, message, tmp_path):
    target = model(twin, 1)
    before = get_weights(target)
    weights = get_weights(model(twin, 2))
    damage(weights)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.numpy.save(weights))
    with pytest.raises(ValueError, match=message):
        load_weights(target, path)
    for name, array in get_weights(target).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_files_are_refused_and_change_nothing(keep, twin, tmp_path):
    path, target = tmp_path / "weights.safetensors", model(twin, 2)
    save_weights(model(twin, 1), path)
    path.write_bytes(path.read_bytes()[:keep])
    before = get_weights(target)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_weights(target, path)
    for name, array in get_weights(target).items():
        np.testing.assert_array_equal(array, before[name])


HEADER = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    "content",
    [
        (2**62).to_bytes(8, "little") + HEADER,  # claims a header larger than any memory
        len(HEADER).to_bytes(8, "little") + HEADER.replace(b"[2]", b"[9]") + bytes(8),
        len(HEADER).to_bytes(8, "little") + HEADER.replace(b"0,8", b"8,0") + bytes(8),
        len(HEADER).to_bytes(8, "little") + HEADER + bytes(9),  # more numbers than it names
        len(HEADER).to_bytes(8, "little") + HEADER.replace(b'"F32"', b'"O99"') + bytes(8),
        len(HEADER).to_bytes(8, "little") + b"[" * len(HEADER) + bytes(8),
    ],
)
def test_hostile_headers_are_refused(content, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_weights(model("scratch", 1), path)


def test_other_files_and_objects_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"something else entirely, longer than a header")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_weights(model("scratch", 1), path)
    safetensors.torch.save_file({"w": torch.ones(2, dtype=torch.bfloat16)}, path)
    with pytest.raises(ValueError, match="its numbers are not NumPy's .*bfloat16"):
        load_weights(model("scratch", 1), path)
    with pytest.raises(TypeError, match="NoneType"):
        load_weights(model("scratch", 1), None)
    with pytest.raises(FileNotFoundError):
        load_weights(model("scratch", 1), tmp_path / "nowhere.safetensors")
    with pytest.raises(TypeError, match="expected a rnnbook.scratch.Module or a torch.nn.Module"):
        save_weights({"w": np.ones(2)}, path)


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    write_atomically(path, b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_replaced_keeps_its_permissions_and_a_link_stays_one(tmp_path):
    path, link = tmp_path / "kept", tmp_path / "link"
    write_atomically(path, b"old")
    path.chmod(0o600)
    link.symlink_to(path)
    write_atomically(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    write_atomically(tmp_path / ("n" * 240), b"a long name")
