import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd
from PIL import Image
from planewise.augmentation import RandAffineBatchd, RandBrightnessBatchd, RandFlipRotate90Batchd
from planewise.data import PhotographDataset, graded, load_datalist
from planewise.errors import InputError
from planewise.exams import find_photographs, index_folder, write_datalist
from planewise.files.photographs import NO_PHOTOGRAPH
from planewise.findings import finding
from planewise.preprocessing import CropToForegroundd, LoadPhotographd, ResizeSidesd, ScaleToUnitd
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.retina import RETINAS

SIDE = 32

ITEMS = [
    {"exam": "a", "grade": 0},
    {"exam": "b"},
    {"exam": "c", "grade": 4},
    {"exam": "d", "grade": 7},
    {"exam": "e", "grade": 1.5},
    {"exam": "f", "grade": True},
]


def preprocessing(side=SIDE) -> Compose:
    return Compose(
        [LoadPhotographd("image"), ScaleToUnitd("image"), CropToForegroundd("image"), ResizeSidesd("image", side)]
    )


def phantoms(root, exams=4):
    list(write_exams(Recipe("aptos", population=RETINAS.with_values(side=96)), root, exams))
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
    black = phantoms(tmp_path / "black", exams=1)
    Image.new("RGB", (96, 72)).save(black[0]["image"])
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


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes/deep").mkdir()
    for name in ("b.png", "a.jpeg", "deep/c.png", ".hidden.png"):
        Image.fromarray(np.full((80, 80, 3), 90, dtype=np.uint8)).save(tmp_path / "eyes" / name)
    (tmp_path / "eyes/text.png").write_text("none")
    (tmp_path / "eyes/._b.png").write_text("none")
    (tmp_path / "eyes/notes.txt").write_text("none")
    return tmp_path / "eyes"


def test_what_is_found(folder):
    found = [{"image": str(folder / n), "exam": n[-5]} for n in ("b.png", "deep/c.png")]
    assert find_photographs(folder) == [{"image": str(folder / "a.jpeg"), "exam": "a"}, *found]
    assert len(find_photographs(folder, num_exams=2)) == 2
    assert find_photographs(folder / "b.png") == [{"image": str(folder / "b.png")}]
    listed = folder / "list.json"
    listed.write_text(json.dumps({"test": [{"image": "b.png", "grade": 2}]}))
    assert find_photographs(listed) == [{"image": str(folder / "b.png"), "grade": 2}]
    with pytest.raises(InputError, match="section validation .* is empty"):
        find_photographs(listed, "validation")


def test_files_that_are_left_out_are_named(folder, caplog):
    for number, mode in enumerate(["RGBA", "RGBA", "L", "L", "L", "L", "L", "L"]):
        Image.new(mode, (80, 80)).save(folder / f"{mode}{number}.png")
    Image.new("RGB", (80, 80)).save(folder / "slide.tif")
    (folder / "grades.csv").write_text("image,grade\nb,1")
    assert len(find_photographs(folder)) == 3
    assert caplog.messages == [
        f"left out: {count}, {why}: {names}"
        for count, why, names in (
            (
                "6 files",
                finding("photo-unusable", kind="colours", mode="L"),
                "L2.png, L3.png, L4.png, L5.png, L6.png and 1 more",
            ),
            ("2 files", finding("photo-unusable", kind="colours", mode="RGBA"), "RGBA0.png, RGBA1.png"),
            ("3 files", NO_PHOTOGRAPH, "notes.txt, slide.tif, text.png"),
        )
    ]


def test_what_is_not(folder, tmp_path):
    with pytest.raises(InputError, match="there is no"):
        find_photographs(tmp_path / "absent")
    for name in ("a.jpeg", "b.png", "deep/c.png"):
        (folder / name).unlink()
    with pytest.raises(InputError, match=re.escape(str(NO_PHOTOGRAPH))):
        find_photographs(folder)
    for name in ("b.png", "b.jpg"):
        Image.fromarray(np.full((80, 80, 3), 90, dtype=np.uint8)).save(folder / name)
    with pytest.raises(
        InputError, match="2 inputs share the name b .*index FOLDER --anatomy photograph .*--section all"
    ):
        find_photographs(folder)


def test_those_with_a_grade(caplog):
    with caplog.at_level(logging.INFO):
        assert [item["exam"] for item in graded(ITEMS, "grade", 5)] == ["a", "c"]
    assert "of 6 photographs, these are left out: 1 without a grade (grade); 1 with the grade 7" in caplog.text
    assert [item["exam"] for item in graded(ITEMS, "grade", 4)] == ["a"]
    assert graded([], "grade", 5) == []


def test_none_with_a_grade():
    assert graded(ITEMS[1:2], "grade", 5) == []
    with pytest.raises(InputError, match=r"no photograph can be used for training: 1 without a grade \(level\)"):
        graded(ITEMS[:1], "level", 5, required=True)


def test_grades_that_begin_at_1():
    """Otherwise the highest grade would be left out, and every other grade would be trained as the one above it."""
    items = [{"grade": grade} for grade in (1, 2, 5)]
    said = "no photograph has the grade 0, but some have 5. Grades must go from 0 to 4: subtract 1 from each, or, if only 5"
    with pytest.raises(InputError, match=said):
        graded(items, "grade", 5, required=True)
    with pytest.raises(InputError, match=said):
        graded([*items, {"grade": 3}, {"grade": 4}], "grade", 5)
    assert len(graded([{"grade": 0}, *items], "grade", 5)) == 3
    # a few photographs for testing, one of which has a wrong grade
    assert len(graded(items, "grade", 5)) == 2
