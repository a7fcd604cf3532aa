from __future__ import annotations

import logging
import tracemalloc
import zipfile

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
    assert "left at random: head 2 (head.maps.weight, head.maps.bias)" in caplog.text
    assert caplog.text.count("head.maps.weight") == 1
    assert "ignored: head 2 (head.location.layers.0.weight" in caplog.text


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


def test_location_weights_leave_the_decoder_at_random(tmp_path):
    torch.save({"network": network(num_maps=0).state_dict(), "epoch": 3}, tmp_path / "last.ckpt")
    net = load_pretrained(segmenter(), tmp_path / "last.ckpt")
    fresh = segmenter().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items() if "decoder" in name)
    assert any(not torch.equal(value, fresh[name]) for name, value in net.state_dict().items() if "encoder" in name)


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


def test_weights_in_a_folder_are_measured_by_their_file(tmp_path):
    """A folder also has a size, of a few KB."""
    (tmp_path / "models").mkdir()
    torch.save({"encoder.weight": torch.zeros(2**18)}, tmp_path / "models" / "model.pt")
    assert read_weights(tmp_path)["encoder.weight"].nbytes > 100 * tmp_path.stat().st_size


def test_the_zip_of_a_packaged_bundle_will_do(pretext, tmp_path):
    source, path = pretext
    with zipfile.ZipFile(tmp_path / "pretext_x.zip", "w") as archive:
        archive.write(path, "pretext_x/models/model.pt")
    loaded, expected = (
        load_pretrained(segmenter(), place).state_dict() for place in (tmp_path / "pretext_x.zip", path)
    )
    assert all(torch.equal(value, expected[name]) for name, value in loaded.items())
    with pytest.raises(InputError, match="pretext_x.zip is a packaged bundle; unzip it"):
        weights_path(tmp_path / "pretext_x.zip")


@pytest.mark.parametrize("nothing", [None, "null", "none", "None", ""])
def test_from_scratch(nothing):
    fresh = segmenter().state_dict()
    net = load_pretrained(segmenter(), nothing)
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items())


def test_another_backbone_is_an_error(pretext):
    wide = SliceNet(UNetEncoder((32, 64)), UNetDecoder((32, 64)), 4)
    with pytest.raises(
        InputError, match=r"encoder.* is \(4, 1, 3, 3\) there and \(32, 1, 3, 3\) here; use the settings"
    ):
        load_pretrained(wide, pretext[1])


def test_nothing_that_fits_is_an_error(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    said = "nothing in .*other.pt fits the network: the file has weight 1, bias 1, such as weight; SliceNet has encoder .* "
    with pytest.raises(
        InputError, match=said + "such as encoder.*, so both trainings need the same network: pretrain this"
    ):
        load_pretrained(segmenter(), tmp_path / "other.pt")
    torch.save({"decoder.weight": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="fits the network: the file has decoder 1"):
        load_pretrained(segmenter(), tmp_path / "other.pt", parts=["encoder"])
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(
        InputError, match="`pretrained_parts` allows only encoder, and Conv2d has weight 1, bias 1; name"
    ):
        load_pretrained(nn.Conv2d(1, 1, 1), tmp_path / "other.pt", parts=["encoder"])


def test_counters_alone_are_no_weights(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    torch.save({"1.num_batches_tracked": torch.tensor(3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="nothing in .* fits the network"):
        load_pretrained(net, tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there are no weights at"),
        (lambda path: path.write_bytes(b"not weights"), "cannot be read as weights"),
        (lambda path: torch.save({"epoch": 3}, path), "contains no weights"),
        (lambda path: torch.save({"model_sha256": "a1"}, path), "contains no weights"),
        (lambda path: torch.save({1: torch.ones(2)}, path), "contains no weights"),
        (lambda path: torch.save({1: torch.ones(2), "a": torch.ones(1)}, path), "the file has a 1, such as a"),
        (lambda path: torch.save(Exploding(), path), "cannot be read as weights"),
    ],
)
def test_files_that_are_no_weights(tmp_path, write, message):
    write(tmp_path / "w.pt")
    with pytest.raises(InputError, match=message):
        load_pretrained(segmenter(), tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there are no weights at"),
        (lambda path: path.write_bytes(b"no zip"), r"cannot be read as weights \(BadZipFile\)"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "contains no NAME/models/model.pt"),
    ],
)
def test_zips_that_are_no_bundles(tmp_path, write, message):
    write(tmp_path / "w.zip")
    with pytest.raises(InputError, match=message):
        load_pretrained(segmenter(), tmp_path / "w.zip")


def inflated(path, inner=""):
    """A checkpoint of 16 MB of zeros, compressed to a few KB; with ``inner``, inside the zip of a bundle."""
    plain = path.with_suffix(".plain")
    torch.save({"encoder.weight": torch.zeros(2**22)}, plain)
    small = path.with_suffix(".small")
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    if inner:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if inner == "stored" else zipfile.ZIP_DEFLATED) as archive:
            archive.write(small if inner == "stored" else plain, "pretext_x/models/model.pt")
    else:
        small.rename(path)


def repeated(path):
    """A tensor that repeats one stored value: a few KB in the file, 32 MB as float32."""
    torch.save({"encoder.weight": torch.zeros(1, dtype=torch.float16).expand(2**23)}, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("w.pt", inflated),
        ("w.zip", lambda path: inflated(path, "stored")),
        ("w.zip", lambda path: inflated(path, "packed")),
        ("w.pt", repeated),
    ],
)
def test_a_small_file_that_fills_the_memory_is_refused_before_it_does(name, write, tmp_path, monkeypatch):
    path = tmp_path / name
    write(path)
    if write is not repeated:
        monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"w.\w+ has 0.\d\d MiB but would take 16 MiB of memory"):
            read_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20, "nor was it unpacked"
    finally:
        tracemalloc.stop()


def test_weights_that_others_compressed_are_read(pretext, tmp_path):
    """Compression reduces a network's weights by less than half."""
    source, path = pretext
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for entry in plain.infolist():
            target.writestr(entry.filename, plain.read(entry))
    assert set(read_weights(tmp_path / "w.pt")) == set(source.state_dict())


class Exploding:
    """A pickle that would run code when it is loaded without `weights_only`."""

    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was run",))


def test_weights_of_another_network_are_refused_where_all_must_fit(tmp_path):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "model.pt")
    assert weights_path(tmp_path / "model.pt", nn.Linear(3, 2)) == str(tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"weight is \(2, 3\) there and \(1, 3\) here; use the settings"):
        weights_path(tmp_path / "model.pt", nn.Linear(3, 1))
    own = r"(bias is absent there and|bias is .* there and absent here).*for a network of your own, name its file again"
    with pytest.raises(InputError, match=own):
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
