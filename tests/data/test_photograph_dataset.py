"""Test that the cache holds photographs as preprocessed, in batches, and names those that it leaves out with the reason."""

import logging
import os
from pathlib import Path

import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd
from planewise.augmentation import RandAffineBatchd, RandBrightnessBatchd, RandFlipRotate90Batchd
from planewise.data import PhotographDataset, load_datalist
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
from planewise.phantoms import Recipe, write_exams
from planewise.phantoms.retina.population import RETINAS
from planewise.preprocessing import CropToForegroundd, LoadPhotographd, ResizeSidesd, ScaleToUnitd

SIDE = 32


def preprocessing(side=SIDE) -> Compose:
    return Compose(
        [LoadPhotographd("image"), ScaleToUnitd("image"), CropToForegroundd("image"), ResizeSidesd("image", side)]
    )


def phantoms(root, *defects, exams=4):
    recipe = Recipe("aptos", population=RETINAS.with_values(side=96), defects=defects)
    list(write_exams(recipe, root, exams))
    result = index_folder(root, anatomy="photograph", split=(1, 0, 0))
    return load_datalist(write_datalist(result.datalist, root / "list.json"), "training")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("aptos"))


@pytest.fixture
def dataset(items, tmp_path):
    return PhotographDataset(items, preprocessing(), cache_dir=tmp_path, num_workers=0, progress=False)


def test_a_batch_is_what_the_transforms_make_of_each(dataset, items):
    batch = dataset.__getitems__([2, 0])
    assert batch["image"].shape == (2, 3, SIDE, SIDE) and batch["image"].dtype == torch.float32
    assert batch["image_padding"].shape == (2, 3) and batch["affine"].shape == (2, 4, 4)
    for row, index in enumerate((2, 0)):
        single = preprocessing()(dict(items[index]))["image"]
        assert (batch["image"][row] - single.as_tensor()).abs().max() < 5e-4  # half precision
        assert torch.allclose(batch["affine"][row], single.affine)
    assert batch["index"].tolist() == [2, 0]


def test_a_cache_is_hardly_larger_than_its_pixels_and_used_again(items, tmp_path, monkeypatch):
    def make():
        return PhotographDataset(items, preprocessing(64), cache_dir=tmp_path, num_workers=0, progress=False)

    first = make().__getitems__([0, 1, 2, 3])
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size <= 2.2 * 4 * 3 * 64 * 64, "two bytes per value, and 8 kB that do not depend on the pixels"
    monkeypatch.setattr(LoadPhotographd, "__call__", lambda *_: pytest.fail("read again"))
    assert torch.equal(make().__getitems__([0, 1, 2, 3])["image"], first["image"])


def test_what_cannot_be_used_is_counted_and_left_out(items, tmp_path, caplog):
    black = phantoms(tmp_path / "black", "black", exams=1)
    cut, grey = (dict(items[number]) for number in range(2))
    for item, name in ((cut, "cut.png"), (grey, "grey.png")):
        path = tmp_path / name
        path.write_bytes(Path(item["image"]).read_bytes()[:900] if item is cut else b"")
        item["image"] = str(path)
    with caplog.at_level(logging.WARNING):
        data = PhotographDataset(
            [*black, cut, grey, items[3]], preprocessing(), cache_dir=tmp_path / "c", num_workers=0, progress=False
        )
    assert len(data) == 1 and "3 of 4 photographs left out" in caplog.text
    assert "the photograph has the value 0 everywhere" in caplog.text and "truncated" in caplog.text
    with pytest.raises(InputError, match="none of the 1 photographs can be used"):
        PhotographDataset(black, preprocessing(), cache_dir=tmp_path / "c", num_workers=0, progress=False)


def test_other_loaders_are_refused(items, tmp_path):
    with pytest.raises(InputError, match="begin the preprocessing with LoadPhotographd"):
        stacked = Compose([LoadPhotographd("image"), EnsureChannelFirstd("image", channel_dim="no_channel")])
        PhotographDataset(items, stacked, cache_dir=tmp_path, num_workers=0, progress=False)


def test_random_transforms_of_a_whole_batch_follow_the_seed(dataset):
    """The iteration's seed determines the result: colours move together, and what enters from outside is black."""
    random = Compose([RandAffineBatchd(rotate=180, shift=0.1), RandFlipRotate90Batchd(), RandBrightnessBatchd(1.0)])
    batches = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        batches.append(random(dataset.__getitems__([0, 1, 2]))["image"])
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])
    assert batches[0].shape == (3, 3, SIDE, SIDE) and 0 <= float(batches[0].min()) <= float(batches[0].max()) <= 1
    torch.manual_seed(7)
    grey = dataset.__getitems__([0])
    grey["image"] = grey["image"][:, :1].expand(-1, 3, -1, -1).contiguous()
    moved = random(grey)["image"][0]
    assert torch.equal(moved[0], moved[1]) and torch.equal(moved[0], moved[2])


@pytest.mark.gpu
def test_batches_on_a_gpu(items, tmp_path):
    data = PhotographDataset(items, preprocessing(), cache_dir=tmp_path, num_workers=0, device="cuda", progress=False)
    assert data.__getitems__([0])["image"].device.type == "cuda" and os.listdir(tmp_path)
