"""Test batches of slices, their cache, and what it depends on."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import planewise
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Lambdad, OneOf, RandFlipd, ResizeWithPadOrCropd
from planewise.data import BatchLoader, OrderedSampler, SliceDataset, expand_volumes
from planewise.data import slice_cache as cache_module
from planewise.data.slice_cache import ROOMS, fingerprint
from planewise.errors import InputError
from planewise.pretexts import SliceLocationd


def dataset(volumes, preprocessing, tmp_path, num_workers=0, **options) -> SliceDataset:
    options |= {"cache_dir": tmp_path / "c", "num_workers": num_workers, "progress": False}
    return SliceDataset(volumes, preprocessing, **options)


def test_a_batch_is_what_the_transforms_make_of_the_items(volumes, preprocessing, tmp_path):
    slices = dataset(volumes, preprocessing, tmp_path)
    assert len(slices) == 12
    batch = slices.__getitems__([7, 2])
    expected = preprocessing(expand_volumes(volumes)[7])
    assert torch.allclose(batch["image"][0], expected["image"].as_tensor()[..., 0], atol=2e-3)  # float16
    assert torch.equal(batch["label"][0], expected["label"].as_tensor()[..., 0])
    assert torch.equal(batch["affine"][0], expected["image"].affine)
    assert torch.allclose(batch["image_padding"][0], expected["image_padding"])
    assert batch["index"].tolist() == [7, 2]
    assert slices.items[7]["exam"] == "e1"


@pytest.mark.parametrize("method", ["fork", "spawn"])  # of Linux, and of macOS and Windows
def test_workers_make_the_rows_of_one_process(method, volumes, preprocessing, tmp_path):
    alone = dataset(volumes * 3, preprocessing, tmp_path)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        together = dataset(volumes * 3, preprocessing, tmp_path / "2", num_workers=2)
    finally:
        multiprocessing.set_start_method(before, force=True)
    rows, others = (each.__getitems__(range(36)) for each in (alone, together))
    assert rows.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in rows.items())


@pytest.mark.parametrize("wrap", [Compose, OneOf])
def test_a_random_transform_is_refused_because_its_draw_would_be_kept(wrap, volumes, preprocessing, tmp_path):
    with pytest.raises(InputError):
        dataset(volumes, Compose([preprocessing, wrap([RandFlipd("image", 0.5)])]), tmp_path)
    assert not (tmp_path / "c").exists()


def counting(preprocessing, monkeypatch) -> list[int]:
    calls: list[int] = []
    original = cache_module._Preprocessed.__getitem__

    def counted(self, index):
        calls.append(index)
        return original(self, index)

    monkeypatch.setattr(cache_module._Preprocessed, "__getitem__", counted)
    return calls


def test_the_cache_is_built_once_and_again_when_something_changes(volumes, preprocessing, tmp_path, monkeypatch):
    calls = counting(preprocessing, monkeypatch)
    dataset(volumes, preprocessing, tmp_path)
    assert len(calls) == 12
    dataset(volumes, preprocessing, tmp_path)
    assert len(calls) == 12
    # another setting of a transform
    load, _, standardize = preprocessing.transforms
    larger = Compose([load, ResizeWithPadOrCropd(("image", "label"), (18, 18, -1)), standardize])
    dataset(volumes, larger, tmp_path)
    assert len(calls) == 24
    # another mask in the same file
    os.utime(volumes[0]["label"], (1, 1))
    dataset(volumes, preprocessing, tmp_path)
    assert len(calls) == 36
    # fewer items
    dataset(volumes[:1], preprocessing, tmp_path)
    assert len(calls) == 40
    # other code
    monkeypatch.setattr(cache_module, "code_sha256", lambda *given, **options: "changed")
    dataset(volumes[:1], preprocessing, tmp_path)
    assert len(calls) == 44


def test_refused_slices_are_left_out_counted_and_named(volumes, preprocessing, tmp_path):
    Path(volumes[1]["label"]).write_bytes(b"broken")
    slices = dataset(volumes, preprocessing, tmp_path)
    assert [item["exam"] for item in slices.items] == ["e0"] * 4 + ["e2"] * 4
    assert slices.__getitems__([4])["image"].shape == (1, 1, 16, 16)
    expected = preprocessing(expand_volumes(volumes[2:])[0])["image"].as_tensor()[..., 0]
    assert torch.allclose(slices.__getitems__([4])["image"][0], expected, atol=2e-3)
    # the message comes again when the finished cache is opened
    dataset(volumes, preprocessing, tmp_path)


@pytest.mark.parametrize(("factor", "value"), [(300, "300"), (-1, "-1"), (0.9, "0.9"), (0.99999, None)])
def test_labels_neither_wrap_nor_are_cut_off(factor, value, volumes, preprocessing, tmp_path):
    """A user's own transform may interpolate masks."""
    changed = Compose([*preprocessing.transforms, Lambdad("label", lambda mask: mask.sign() * factor)])
    if value is None:
        slices = dataset(volumes, changed, tmp_path)
        assert slices.__getitems__([0])["label"].unique().tolist() == [0, 1]
        return
    with pytest.raises(InputError):
        dataset(volumes, changed, tmp_path)


def _build_slowly(volumes, preprocessing, folder) -> None:
    original = cache_module._Preprocessed.__getitem__

    def slow(self, index):
        time.sleep(0.15)
        return original(self, index)

    cache_module._Preprocessed.__getitem__ = slow
    SliceDataset(volumes, preprocessing, cache_dir=folder, num_workers=0, progress=False)


def started(function, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def test_a_killed_build_goes_on(volumes, preprocessing, tmp_path, monkeypatch):
    process = started(_build_slowly, volumes, preprocessing, tmp_path / "c")
    deadline = time.time() + 30
    while process.is_alive() and time.time() < deadline:
        states = [np.load(path) for path in (tmp_path / "c").glob("*/state.npy") if path.stat().st_size]
        if states and (states[0] == cache_module.DONE).sum() >= 3:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    calls = counting(preprocessing, monkeypatch)
    slices = dataset(volumes, preprocessing, tmp_path)
    assert 0 < len(calls) <= 9
    fresh = SliceDataset(volumes, preprocessing, cache_dir=tmp_path / "fresh", num_workers=0, progress=False)
    for name, value in fresh.__getitems__(range(12)).items():
        assert torch.equal(value, slices.__getitems__(range(12))[name])


def test_targets_need_no_new_cache_and_may_refuse_items(volumes, preprocessing, tmp_path, monkeypatch):
    calls = counting(preprocessing, monkeypatch)
    for number, item in enumerate(volumes):
        item["location"] = number / 2
    dataset(volumes, preprocessing, tmp_path, targets=SliceLocationd())
    mapped = dataset(volumes, preprocessing, tmp_path, targets=SliceLocationd("sine"))
    assert len(calls) == 12
    assert mapped.__getitems__([0, 5])["location"].tolist() == pytest.approx([0, 1])

    def refuse(item):
        if item["exam"] == "e1":
            raise InputError("exam e1 has no 4ch view")
        return {**item, "planes": torch.full((2,), item["frame"])}

    kept = dataset(volumes, preprocessing, tmp_path, targets=Compose([refuse]))
    assert len(kept) == 8 and kept.items[4]["exam"] == "e2"
    batch = kept.__getitems__([4, 7])
    assert batch["planes"][:, 0].tolist() == [0, 3]
    expected = preprocessing(expand_volumes(volumes[2:])[3])["image"].as_tensor()[..., 0]
    assert torch.allclose(batch["image"][1], expected, atol=2e-3)
    with pytest.raises(InputError):
        dataset(volumes[1:2], preprocessing, tmp_path, targets=refuse)


@pytest.mark.parametrize(("key", "shape"), [("image", (1, 16, 16, 5)), ("label", (1, 16, 16))])
def test_what_is_no_slice_is_refused(volumes, preprocessing, tmp_path, key, shape):
    def deepen(item):
        return {**item, key: MetaTensor(torch.zeros(shape))}

    with pytest.raises(InputError):
        dataset(volumes[:1], Compose([*preprocessing.transforms, deepen]), tmp_path)


class Rows(torch.utils.data.Dataset):
    """Returns all items of a batch at once, as our datasets do."""

    def __len__(self):
        return 5

    def __getitems__(self, indices):
        return {"index": torch.tensor(indices)}


def test_every_item_once_in_order_unless_a_sampler_is_given():
    loader = BatchLoader(Rows(), batch_size=2)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    assert isinstance(loader.sampler, OrderedSampler), "several processes take turns"
    backwards = BatchLoader(Rows(), batch_size=2, sampler=[4, 3, 2])
    assert [batch["index"].tolist() for batch in backwards] == [[4, 3], [2]]
    batches = BatchLoader(Rows(), batch_sampler=[[0, 4], [1]])
    assert [batch["index"].tolist() for batch in batches] == [[0, 4], [1]]
    (shuffled,) = BatchLoader(Rows(), batch_size=5, shuffle=True)
    assert sorted(shuffled["index"].tolist()) == [0, 1, 2, 3, 4]


READ = {
    "image": "a.nii.gz",
    "frame": 2,
    "time": 3,
    "affine": [[1.0]],
    "label": "a_gt.nii.gz",
    "label_frame": 4,
    "label_axes": [[1, 1], [0, -1]],
    "label_map": {"2": 1},
    "label_origin": "predicted",
}


@pytest.mark.parametrize("key", READ)
def test_what_decides_which_pixels_are_read_is_in_the_key(key):
    item = {"image": "b.nii.gz"}
    assert fingerprint([item], Compose([])) != fingerprint([item | {key: READ[key]}], Compose([]))


@pytest.mark.parametrize("key", ["planes", "location", "exam", "phase", "abnormal"])
def test_what_targets_are_made_of_is_not(key):
    item = {"image": "b.nii.gz"}
    assert fingerprint([item], Compose([])) == fingerprint([item | {key: 1}], Compose([]))


def test_what_makes_rows_takes_nothing_of_ours_from_elsewhere():
    """Otherwise a change in such code would leave old rows in use."""
    ours = Path(planewise.__file__).parent
    for file in (file for room in ROOMS for file in (ours / room).rglob("*.py")):
        rooms = set(re.findall(r"(?:from|import) planewise\.(\w+)", file.read_text()))
        assert {room for room in rooms if (ours / room).is_dir()} <= set(ROOMS), file
