from pathlib import Path

import pytest
import torch
from monai.transforms import Compose
from PIL import Image
from planewise.data import PhotographDataset, graded, load_datalist
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
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


def test_what_cannot_be_used_is_counted_and_left_out(items, tmp_path):
    black = phantoms(tmp_path / "black", exams=1)
    Image.new("RGB", (96, 72)).save(black[0]["image"])
    cut, grey = (dict(items[number]) for number in range(2))
    for item, name in ((cut, "cut.png"), (grey, "grey.png")):
        path = tmp_path / name
        path.write_bytes(Path(item["image"]).read_bytes()[:900] if item is cut else b"")
        item["image"] = str(path)
    data = PhotographDataset(
        [*black, cut, grey, items[3]], preprocessing(), cache_dir=tmp_path / "c", num_workers=0, progress=False
    )
    assert len(data) == 1
    with pytest.raises(InputError):
        PhotographDataset(black, preprocessing(), cache_dir=tmp_path / "c", num_workers=0, progress=False)


def test_grades_that_begin_at_1():
    """Otherwise the highest grade would be left out, and every other grade would be trained as the one above it."""
    items = [{"grade": grade} for grade in (1, 2, 5)]
    with pytest.raises(InputError):
        graded(items, "grade", 5, required=True)
    with pytest.raises(InputError):
        graded([*items, {"grade": 3}, {"grade": 4}], "grade", 5)
    assert len(graded([{"grade": 0}, *items], "grade", 5)) == 3
    # a few photographs for testing, one of which has a wrong grade
    assert len(graded(items, "grade", 5)) == 2
