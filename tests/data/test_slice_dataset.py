from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Lambdad, OneOf, RandFlipd, ResizeWithPadOrCropd, Rotate90d
from planewise.data import BatchLoader, OrderedSampler, SliceDataset, as_batch, expand_volumes
from planewise.data import fingerprint as fingerprint_module
from planewise.data import slice_cache as cache_module
from planewise.errors import InputError
from planewise.preprocessing import KeepHeartd, LoadSliced, StandardizeSliced
from planewise.pretexts import SliceLocationd
from torch.utils.data import DataLoader

from .conftest import write_volume


def dataset(volumes, preprocessing, tmp_path, **options) -> SliceDataset:
    return SliceDataset(volumes, preprocessing, cache_dir=tmp_path / "c", num_workers=0, progress=False, **options)


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


@pytest.mark.parametrize("size", [8, 12, 16, 32])
def test_an_image_of_one_value_is_named_padded_or_not(tmp_path, caplog, size):
    """Padding does not count as a value of the image, and an image of two values is not constant."""
    square, half, one = np.zeros((3, 12, 12, 2), np.int16)
    square[3:9, 3:9], half[6:], one[:] = 90, 90, 90
    items = []
    for name, voxels in (("square", square), ("half", half), ("one", one), ("black", 0 * one)):
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
        items.append({"image": str(tmp_path / f"{name}.nii.gz"), "exam": name})
    steps = [LoadSliced("image"), ResizeWithPadOrCropd("image", (size, size, -1)), StandardizeSliced("image")]
    slices = dataset(items, Compose(steps), tmp_path)
    (record,) = (
        record for record in caplog.records if record.name.endswith("slice_cache") and record.levelname == "WARNING"
    )
    assert record.args == (4, "slice", "one, black") and len(slices) == 8 and "plain" not in slices[0]


@pytest.mark.parametrize(("cores", "processes"), [(2, 2), (64, 8), (1, 1)])
def test_a_process_for_each_core_preprocesses_and_no_more_than_eight(
    cores, processes, tmp_path, preprocessing, monkeypatch
):
    """Of a node's 64 cores, a job may have two."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    assert cache_module.SliceCache([], preprocessing, tmp_path).num_workers == processes
    assert cache_module.SliceCache([], preprocessing, tmp_path, num_workers=0).num_workers == 0


def test_the_loader_hands_over_whole_batches(volumes, preprocessing, tmp_path):
    loader = DataLoader(dataset(volumes, preprocessing, tmp_path), batch_size=5, collate_fn=as_batch)
    assert [len(batch["index"]) for batch in loader] == [5, 5, 2]
    assert next(iter(loader))["image"].shape == (5, 1, 16, 16)


def test_a_single_item(volumes, preprocessing, tmp_path):
    slices = dataset(volumes, preprocessing, tmp_path)
    assert torch.equal(slices[3]["image"], slices.__getitems__([3])["image"][0])


@pytest.mark.parametrize("wrap", [Compose, OneOf])
def test_a_random_transform_is_refused_because_its_draw_would_be_kept(wrap, volumes, preprocessing, tmp_path):
    name = "RandFlipd" if wrap is Compose else "OneOf"
    with pytest.raises(InputError, match=rf"random transform {name}, .* same draw; put it into train#augmentation"):
        dataset(volumes, Compose([preprocessing, wrap([RandFlipd("image", 0.5)])]), tmp_path)
    assert not (tmp_path / "c").exists()


def test_a_transform_that_moves_the_image_without_its_mask_is_refused(volumes, preprocessing, tmp_path):
    """The mask, of the same shape, would be stored for the unrotated image."""
    turned = Compose([preprocessing, Rotate90d("image")])
    with pytest.raises(InputError, match=r"preprocessing has Rotate90d, .* only one of image and label, .*`keys: \["):
        dataset(volumes, turned, tmp_path)
    assert not (tmp_path / "c").exists()
    assert len(dataset(volumes, turned, tmp_path, label_keys=()))
    cut_out = Compose([preprocessing, KeepHeartd("image"), Rotate90d("image")])
    assert "label" not in dataset(volumes, cut_out, tmp_path)[0]


def test_no_items_make_an_empty_dataset(preprocessing, tmp_path):
    assert len(dataset([], preprocessing, tmp_path)) == 0


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
    monkeypatch.setattr(fingerprint_module, "code_sha256", lambda *given, **options: "changed")
    dataset(volumes[:1], preprocessing, tmp_path)
    assert len(calls) == 44


def test_slices_of_one_grey_value_are_said(volumes, preprocessing, tmp_path, caplog):
    image = nibabel.load(volumes[1]["image"])
    nibabel.save(nibabel.Nifti1Image(np.full(image.shape, 7, np.int16), image.affine), volumes[1]["image"])
    assert len(dataset(volumes, preprocessing, tmp_path)) == 12
    assert [record.args for record in caplog.records if record.levelname == "WARNING"] == [(4, "slice", "e1")]


def test_refused_slices_are_left_out_counted_and_named(volumes, preprocessing, tmp_path, caplog):
    Path(volumes[1]["label"]).write_bytes(b"broken")
    slices = dataset(volumes, preprocessing, tmp_path)
    assert [item["exam"] for item in slices.items] == ["e0"] * 4 + ["e2"] * 4
    assert "4 of 12 slices left out: exam e1, mask" in caplog.text
    assert slices.__getitems__([4])["image"].shape == (1, 1, 16, 16)
    expected = preprocessing(expand_volumes(volumes[2:])[0])["image"].as_tensor()[..., 0]
    assert torch.allclose(slices.__getitems__([4])["image"][0], expected, atol=2e-3)
    # the message comes again when the finished cache is opened
    caplog.clear()
    dataset(volumes, preprocessing, tmp_path)
    assert "4 of 12 slices left out" in caplog.text


@pytest.mark.parametrize(("factor", "value"), [(300, "300"), (-1, "-1"), (0.9, "0.9"), (0.99999, None)])
def test_labels_neither_wrap_nor_are_cut_off(factor, value, volumes, preprocessing, tmp_path, caplog):
    """A user's own transform may interpolate masks."""
    changed = Compose([*preprocessing.transforms, Lambdad("label", lambda mask: mask.sign() * factor)])
    if value is None:
        slices = dataset(volumes, changed, tmp_path)
        assert slices.__getitems__([0])["label"].unique().tolist() == [0, 1]
        return
    with pytest.raises(
        InputError, match=rf"used: mask: it contains the value {value}; the values of .* \(12: exam e0, e1, e2\)$"
    ):
        dataset(volumes, changed, tmp_path)


def test_nothing_usable_is_an_error_with_the_reasons(volumes, preprocessing, tmp_path):
    for item in volumes:
        Path(item["label"]).unlink()
    with pytest.raises(
        InputError,
        match=r"none of the 12 slices can be used: mask: No such .* of the datalist \(12: exam e0, e1, e2\)$",
    ):
        dataset(volumes, preprocessing, tmp_path)


def test_slices_of_different_size_are_explained(volumes, preprocessing, tmp_path):
    write_volume(Path(volumes[2]["image"]), 9, size=20)
    preprocessing = Compose([preprocessing.transforms[0], preprocessing.transforms[2]])
    with pytest.raises(InputError, match="ResizeWithPadOrCropd"):
        dataset(volumes, preprocessing, tmp_path)


def test_workers_build_the_same(volumes, preprocessing, tmp_path, monkeypatch):
    many = [dict(volumes[k % 3], exam=f"x{k}") for k in range(12)]
    alone = SliceDataset(many, preprocessing, cache_dir=tmp_path / "alone", num_workers=0, progress=False)
    together = SliceDataset(many, preprocessing, cache_dir=tmp_path / "together", num_workers=2, progress=False)
    for name, value in alone.__getitems__(range(48)).items():
        assert torch.equal(value, together.__getitems__(range(48))[name])


def test_progress_is_shown(volumes, preprocessing, tmp_path, capsys):
    SliceDataset(volumes, preprocessing, cache_dir=tmp_path / "c", num_workers=0, progress=True)
    assert "preprocessing: 100%" in capsys.readouterr().err


def test_a_full_disk_names_the_size_that_is_needed(volumes, preprocessing, tmp_path, monkeypatch):
    allocate, room = os.posix_fallocate, [0]

    def full(handle, offset, size):
        room[0] -= size
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        allocate(handle, offset, size)

    load, _, standardize = preprocessing.transforms
    large = Compose([load, ResizeWithPadOrCropd(("image", "label"), (1024, 1024, -1)), standardize])
    monkeypatch.setattr(os, "posix_fallocate", full)
    for room[0] in (0, 2**10, 2**24):
        with pytest.raises(
            InputError, match=r"disk is full: .* of 12 slices needs 0\.0\d GiB .*are free there.*--cache_dir"
        ) as info:
            dataset(volumes, large, tmp_path)
    assert "needs 0.04 GiB" in str(info.value)  # 12 slices of 3 MiB
    # once there is room, the same cache is finished
    room[0] = 2**40
    assert len(dataset(volumes, large, tmp_path)) == 12


def test_a_build_that_ends_while_a_file_is_made_goes_on(volumes, preprocessing, tmp_path, monkeypatch):
    allocate = os.posix_fallocate
    for files in (0, 1, 1, 1):
        left = [files]

        def until_killed(*arguments, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            allocate(*arguments)

        monkeypatch.setattr(os, "posix_fallocate", until_killed)
        with pytest.raises(KeyboardInterrupt):
            dataset(volumes, preprocessing, tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", allocate)
    fresh = SliceDataset(volumes, preprocessing, cache_dir=tmp_path / "fresh", num_workers=0, progress=False)
    slices = dataset(volumes, preprocessing, tmp_path)
    for name, value in fresh.__getitems__(range(12)).items():
        assert torch.equal(value, slices.__getitems__(range(12))[name])


def test_a_cache_may_be_larger_than_the_memory(volumes, preprocessing, tmp_path):
    size = psutil.virtual_memory().total + psutil.swap_memory().total + 2**30
    path = tmp_path / "image.npy"
    rows = size // (16 * 16 * 2)
    # a sparse file of zeros, except for the last row
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(rows, 1, 16, 16))[-1] = 3
    array = cache_module._mapped(cache_module._rows(path, rows, "r"))
    assert array.nbytes > size - 512
    assert array.index_select(0, torch.tensor([0, rows - 1])).mean(dim=(1, 2, 3)).tolist() == [0, 3]


def test_every_batch_has_memory_of_its_own(volumes, preprocessing, tmp_path):
    slices = dataset(volumes, preprocessing, tmp_path)
    first, second = slices.__getitems__([1, 2]), slices.__getitems__([1, 2])
    for name, value in first.items():
        value.zero_()
        assert name == "index" or not torch.equal(second[name], value)
    for name, value in slices.__getitems__([1, 2]).items():
        assert torch.equal(value, second[name])


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


def test_two_processes_that_want_the_same_cache_build_it_once(volumes, preprocessing, tmp_path, monkeypatch):
    process = started(_build_slowly, volumes, preprocessing, tmp_path / "c")
    while process.is_alive() and not list((tmp_path / "c").glob("*/state.npy")):
        time.sleep(0.02)
    calls = counting(preprocessing, monkeypatch)
    slices = dataset(volumes, preprocessing, tmp_path)
    process.join()
    assert calls == [] and len(slices) == 12


def test_the_cache_is_hardly_larger_than_its_pixels_and_holds_no_path(volumes, preprocessing, tmp_path):
    many = [dict(volumes[k % 3], exam=f"x{k}") for k in range(60)]
    load, _, standardize = preprocessing.transforms
    preprocessing = Compose([load, ResizeWithPadOrCropd(("image", "label"), (128, 128, -1)), standardize])
    slices = SliceDataset(many, preprocessing, cache_dir=tmp_path / "c", num_workers=0, progress=False)
    assert len(slices) == 240
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.stem != "label") < 1.02 * 240 * 128**2 * 2
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in files)


def test_targets_need_no_new_cache_and_may_refuse_items(volumes, preprocessing, tmp_path, monkeypatch, caplog):
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
    assert "4 of 12 slices left out: exam e1 has no 4ch view (4)" in caplog.text
    assert len(kept) == 8 and kept.items[4]["exam"] == "e2"
    batch = kept.__getitems__([4, 7])
    assert batch["planes"][:, 0].tolist() == [0, 3]
    expected = preprocessing(expand_volumes(volumes[2:])[3])["image"].as_tensor()[..., 0]
    assert torch.allclose(batch["image"][1], expected, atol=2e-3)
    with pytest.raises(InputError, match="none of the 4 slices can be used: exam e1"):
        dataset(volumes[1:2], preprocessing, tmp_path, targets=refuse)


def test_slices_without_any_target_are_no_training(volumes, preprocessing, tmp_path, caplog):
    with pytest.raises(InputError, match="none of the 12 slices has location, so there is nothing to learn from"):
        dataset(volumes, preprocessing, tmp_path, targets=SliceLocationd())
    volumes[2]["location"] = 0.5
    assert len(dataset(volumes, preprocessing, tmp_path, targets=SliceLocationd())) == 12
    assert "not learned" not in caplog.text
    del volumes[2]["location"]

    def planes_too(item):
        return {**SliceLocationd()(item), "planes": torch.zeros(1, 2, 3)}

    assert len(dataset(volumes, preprocessing, tmp_path, targets=planes_too)) == 12
    assert "none of the 12 slices has location, so these targets are not trained" in caplog.text
    caplog.clear()

    def one_plane_of_two(item):
        return {**item, "planes": torch.tensor([0.0, float("nan")])}

    assert len(dataset(volumes, preprocessing, tmp_path, targets=one_plane_of_two)) == 12
    assert "none of" not in caplog.text


def test_every_slice_keeps_its_own_row_in_whatever_order_they_come(volumes, preprocessing, tmp_path):
    expected = [preprocessing(item)["image"].as_tensor()[..., 0] for item in expand_volumes(volumes)]
    for order in (range(12), range(11, -1, -1)):
        items = [expand_volumes(volumes)[number] for number in order]
        slices = dataset(items, preprocessing, tmp_path)
        assert [(item["exam"], item["frame"]) for item in slices.items] == [(i["exam"], i["frame"]) for i in items]
        for row, number in enumerate(order):
            assert torch.allclose(slices.__getitems__([row])["image"][0], expected[number], atol=2e-3)


class Mendable:
    """A transform that refuses some slices and ends the build at others, as a test chooses; the test can clear both
    lists.
    """

    def __init__(self) -> None:
        self._refused, self._deadly = (), ()

    def __call__(self, item):
        if item["frame"] in self._deadly:
            raise KeyboardInterrupt
        if item["frame"] in self._refused:
            raise InputError(f"exam {item['exam']}: frame {item['frame']} is broken")
        return item


def test_a_refused_slice_is_tried_again_when_a_build_goes_on(volumes, preprocessing, tmp_path):
    mendable = Mendable()
    transform = Compose([mendable, *preprocessing.transforms])
    mendable._refused, mendable._deadly = (0,), (3,)
    with pytest.raises(KeyboardInterrupt):
        dataset(volumes[:1], transform, tmp_path)
    mendable._refused, mendable._deadly = (), ()
    slices = dataset(volumes[:1], transform, tmp_path)
    assert [item["frame"] for item in slices.items] == [0, 1, 2, 3]
    expected = preprocessing(expand_volumes(volumes[:1])[0])["image"].as_tensor()[..., 0]
    assert torch.allclose(slices.__getitems__([0])["image"][0], expected, atol=2e-3)


def test_what_is_still_refused_is_said_when_a_build_goes_on(volumes, preprocessing, tmp_path, caplog):
    mendable = Mendable()
    transform = Compose([mendable, *preprocessing.transforms])
    mendable._refused, mendable._deadly = (0,), (3,)
    with pytest.raises(KeyboardInterrupt):
        dataset(volumes[:1], transform, tmp_path)
    mendable._deadly = ()
    assert [item["frame"] for item in dataset(volumes[:1], transform, tmp_path).items] == [1, 2, 3]
    assert "1 of 4 slices left out: exam e0: frame 0 is broken" in caplog.text


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 16, 16, 5), r"\(1, 16, 16, 5\)"),
        ((1, 16, 16), r"\(1, 16, 16\)"),
        ((1, 16, 16, 1, 2), r"\(1, 16, 16, 1, 2\)"),
    ],
)
@pytest.mark.parametrize("key", ["image", "label"])
def test_what_is_no_slice_is_refused_and_its_shape_said(volumes, preprocessing, tmp_path, key, shape, said):
    def deepen(item):
        return {**item, key: MetaTensor(torch.zeros(shape))}

    with pytest.raises(
        InputError, match=f"exam e0: {key} has shape {said} after preprocessing; it must be a slice .* LoadSliced"
    ):
        dataset(volumes[:1], Compose([*preprocessing.transforms, deepen]), tmp_path)


def test_another_tensor_must_be_a_slice_or_small(volumes, preprocessing, tmp_path):
    def deepen(item):
        return {**item, "heatmaps": torch.zeros(2, 16, 16, 5), "matrix": torch.zeros(2, 3, 3)}

    with pytest.raises(InputError, match=r"exam e0: heatmaps has shape \(2, 16, 16, 5\) after preprocessing"):
        dataset(volumes[:1], Compose([*preprocessing.transforms, deepen]), tmp_path)


def test_reasons_in_a_line_are_counted_from_two_on_and_the_most_frequent_come_first():
    for reasons, told in (("abbbcc", "b (3); c (2)"), ("abbbccdddd", "d (4); b (3); and 2 more"), ("abbb", "b (3); a")):
        assert cache_module.in_a_line([("e", reason) for reason in reasons], shown=2).startswith(told)


def test_a_rare_reason_is_not_hidden_by_exams_that_share_one():
    refused = [(f"e{number}", f"exam e{number}: it has no mask") for number in range(7)]
    refused += [*[("f", "exam f has no 4ch view")] * 4, ("g", "exam g: the mask is broken")]
    assert cache_module.in_a_line(refused) == (
        "it has no mask (7: exam e0, e1, e2, e3, e4 and 2 more); exam f has no 4ch view (4); exam g: the mask is broken"
    )


def test_channels_are_kept(volumes, preprocessing, tmp_path):
    def doubled(item):
        return {**item, "image": torch.cat([item["image"], 2 * item["image"]])}

    image = dataset(volumes[:1], Compose([*preprocessing.transforms, doubled]), tmp_path).__getitems__([1, 2])["image"]
    assert image.shape == (2, 2, 16, 16)
    assert torch.allclose(image[:, 1], 2 * image[:, 0], atol=1e-2)


def test_which_arrays_are_masks_is_in_the_key(volumes, preprocessing, tmp_path):
    """Masks are kept as bytes, so an image kept as a mask would be lost."""
    masked = dataset(volumes[:1], preprocessing, tmp_path)
    plain = dataset(volumes[:1], preprocessing, tmp_path, label_keys=())
    assert masked._arrays._arrays["label"].dtype == torch.uint8
    assert plain._arrays._arrays["label"].dtype == torch.float16


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "being built"])
@pytest.mark.parametrize(
    ("name", "breaks", "said"),
    [
        ("image.npy", cut, "image.npy is truncated"),
        ("image.npy", emptied, "image.npy is truncated"),
        ("state.npy", emptied, "state.npy is truncated"),
        ("label.npy", Path.unlink, "label.npy is missing"),
        ("complete", emptied, "complete is truncated"),
        (
            "state.npy",
            lambda path: np.save(path, np.full(3, 1, np.uint8)),
            r"state.npy has shape \(3,\), but there are 12 items",
        ),
    ],
)
def test_a_broken_cache_is_named_and_built_again(
    volumes, preprocessing, tmp_path, caplog, name, breaks, said, finished
):
    if not finished and (breaks is Path.unlink or name == "complete"):
        pytest.skip("an unfinished cache may lack this file")
    expected = dataset(volumes, preprocessing, tmp_path).__getitems__(range(12))
    (folder,) = (path for path in (tmp_path / "c").iterdir() if path.is_dir())
    breaks(folder / name)
    if not finished:
        (folder / "complete").unlink()
    again = dataset(volumes, preprocessing, tmp_path).__getitems__(range(12))
    (message,) = (message for message in caplog.messages if "is built again" in message)
    assert re.search(said, message)
    assert all(torch.equal(again[key], value) for key, value in expected.items())
    caplog.clear()
    dataset(volumes, preprocessing, tmp_path)
    assert caplog.messages == []


def test_an_error_while_building_again_is_no_broken_cache(volumes, preprocessing, tmp_path, caplog):
    for item in volumes:
        Path(item["label"]).unlink()
    with pytest.raises(InputError, match="none of the 12 slices"):
        dataset(volumes, preprocessing, tmp_path)
    assert "is built again" not in caplog.text


def test_a_folder_that_cannot_be_written_to_names_the_setting(volumes, preprocessing, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be stored in .*file \(File exists\); name .* --cache_dir"):
        SliceDataset(volumes, preprocessing, cache_dir=tmp_path / "file", progress=False)
    monkeypatch.delenv("PLANEWISE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(InputError, match="there is no home folder .* PLANEWISE_CACHE"):
        cache_module.default_cache_dir()


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
