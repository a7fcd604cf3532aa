from __future__ import annotations

import logging

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import (
    ForestNet,
    SliceNet,
    UNetDecoder,
    UNetEncoder,
    load_pretrained,
    not_finite,
    read_weights,
    weights_path,
)
from planewise.networks.pretrained import can_be_copied
from torch import nn

from .test_slice_net import FEATURES, network


def segmenter() -> SliceNet:
    torch.manual_seed(1)
    return SliceNet(UNetEncoder(FEATURES), UNetDecoder(FEATURES), 4)


@pytest.fixture
def pretext(tmp_path):
    net = network()
    torch.save(net.state_dict(), tmp_path / "model.pt")
    return net, tmp_path / "model.pt"


def test_encoder_and_decoder_move_the_head_stays(pretext, caplog):
    source, path = pretext
    with caplog.at_level(logging.INFO):
        net = load_pretrained(segmenter(), path)
    for name, value in net.state_dict().items():
        if name.startswith("head"):
            assert torch.equal(value, segmenter().state_dict()[name])
        else:
            assert torch.equal(value, source.state_dict()[name])
    own, loaded = len(net.state_dict()), len(net.state_dict()) - 2
    assert f"loaded {loaded} of {own} tensors" in caplog.text
    assert "left at random: head 2" in caplog.text and "ignored: head 2" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    torch.save({"encoder.a": torch.ones(3), "head.b": torch.tensor([1.0, value])}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt cannot be used: head\.b has values that are not finite"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbers_that_are_not_finite_are_named_whatever_their_sum(dtype):
    """Finite weights pass even if their sum overflows, and others are named even if they would cancel out."""
    largest = torch.full((5,), torch.finfo(dtype).max, dtype=dtype)
    weights = {"large": largest, "small": torch.ones(3, dtype=dtype), "count": torch.tensor(3), "empty": torch.ones(0)}
    assert not_finite(weights) == []
    for value in (float("nan"), float("inf"), -float("inf")):
        weights["bad"] = torch.tensor([1, value, -value], dtype=dtype)
        assert not_finite(weights) == ["bad"]
    assert not_finite({}) == []


def test_parts_that_are_not_asked_for_are_left_out(pretext, caplog):
    source, path = pretext
    with caplog.at_level(logging.INFO):
        net = load_pretrained(segmenter(), path, ["encoder"])
    fresh, given = segmenter().state_dict(), source.state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, given[name] if name.startswith("encoder.") else fresh[name]), name
    decoder = sum(name.startswith("decoder.") for name in fresh)
    assert f"left out, because only encoder is loaded: decoder {decoder}" in caplog.text


def test_a_last_checkpoint_gives_its_own_weights_unless_they_are_the_best(tmp_path):
    """If the last epoch was the best, its weights are only in ``model.pt`` next to the checkpoint."""
    best, last = {"weight": torch.zeros(2)}, {"weight": torch.ones(2)}
    torch.save(best, tmp_path / "model.pt")
    for own, expected in ((last, last), (None, best)):
        torch.save({"network": own, "epoch": 3, "model_sha256": "a1"}, tmp_path / "last.ckpt")
        assert torch.equal(read_weights(tmp_path / "last.ckpt")["weight"], expected["weight"])


def test_a_bundles_folder_will_do(pretext):
    source, path = pretext
    (path.parent / "models").mkdir()
    path.rename(path.parent / "models" / "model.pt")
    assert set(read_weights(path.parent)) == set(source.state_dict())


def test_another_backbone_is_an_error(pretext):
    wide = SliceNet(UNetEncoder((32, 64)), UNetDecoder((32, 64)), 4)
    with pytest.raises(
        InputError, match=r"encoder.* is \(4, 1, 3, 3\) there and \(32, 1, 3, 3\) here; use the settings"
    ):
        load_pretrained(wide, pretext[1])


def test_nothing_that_fits_is_an_error(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match="nothing in .*other.pt fits the network"):
        load_pretrained(segmenter(), tmp_path / "other.pt")
    torch.save({"decoder.weight": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="fits the network: the file has decoder 1"):
        load_pretrained(segmenter(), tmp_path / "other.pt", parts=["encoder"])
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(
        InputError, match="`pretrained_parts` allows only encoder, and Conv2d has weight 1, bias 1; name"
    ):
        load_pretrained(nn.Conv2d(1, 1, 1), tmp_path / "other.pt", parts=["encoder"])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there are no weights at"),
        (lambda path: path.write_bytes(b"not weights"), "cannot be read as weights"),
        (lambda path: torch.save({"epoch": 3}, path), "contains no weights"),
        (lambda path: torch.save({"model_sha256": "a1"}, path), "contains no weights"),
        (lambda path: torch.save({1: torch.ones(2)}, path), "contains no weights"),
        (lambda path: torch.save({1: torch.ones(2), "a": torch.ones(1)}, path), "the file has a 1"),
        (lambda path: torch.save(Exploding(), path), "cannot be read as weights"),
    ],
)
def test_files_that_are_no_weights(tmp_path, write, message):
    write(tmp_path / "w.pt")
    with pytest.raises(InputError, match=message):
        load_pretrained(segmenter(), tmp_path / "w.pt")


class Exploding:
    """A pickle that would run code when it is loaded without `weights_only`."""

    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was run",))


def test_weights_of_another_network_are_refused_where_all_must_fit(tmp_path):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "model.pt")
    assert weights_path(tmp_path / "model.pt", nn.Linear(3, 2)) == str(tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"weight is \(2, 3\) there and \(1, 3\) here; use the settings"):
        weights_path(tmp_path / "model.pt", nn.Linear(3, 1))
    with pytest.raises(InputError, match="bias is .* there and absent here"):
        weights_path(tmp_path / "model.pt", nn.Linear(3, 2, bias=False))


@pytest.mark.parametrize("other", [{"num_trees": 4}, {"num_classes": 2}, {"max_nodes": 15}])
def test_a_forest_is_given_its_own_weights_alone(other, tmp_path):
    sizes = {"num_features": 3, "num_classes": 5, "num_trees": 6, "max_nodes": 31}
    torch.save(ForestNet(**sizes).state_dict(), tmp_path / "model.pt")
    assert weights_path(tmp_path / "model.pt", ForestNet(**sizes)) == str(tmp_path / "model.pt")
    with pytest.raises(InputError, match="belongs to another network"):
        weights_path(tmp_path / "model.pt", ForestNet(**sizes | other))


@pytest.mark.parametrize(
    ("given", "own", "copied"),
    [
        ((4, 1, 3, 3), (4, 3, 3, 3), True),
        ((4, 2, 3, 3, 3), (4, 4, 3, 3, 3), True),
        ((4, 2, 3, 3), (4, 2, 3, 3), False),  # nothing to copy
        ((4, 2, 3, 3), (4, 3, 3, 3), False),  # 3 is not a multiple of 2
        ((4, 3, 3, 3), (4, 1, 3, 3), False),  # fewer channels than in the file
        ((5, 1, 3, 3), (4, 3, 3, 3), False),
        ((4, 1, 3, 5), (4, 3, 3, 3), False),
        ((4, 1, 3, 3), (4, 3, 3, 3, 3), False),
    ],
)
def test_a_first_layer_is_copied_to_a_multiple_of_its_channels(given, own, copied):
    assert can_be_copied(torch.zeros(given), torch.zeros(own)) is copied
