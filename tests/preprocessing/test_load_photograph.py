"""Test that photographs are read unchanged: red, green and blue from 0 to 1, upright, without camera metadata."""

import numpy as np
import pytest
import torch
from PIL import Image
from planewise.errors import InputError
from planewise.preprocessing import LoadPhotographd
from planewise.preprocessing.exam_name import loaded_name


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)


def load(path, **item):
    return LoadPhotographd("image")({"image": str(path), **item})["image"]


def test_colours_and_axes(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "Doe_Jane.png")
    image = load(tmp_path / "Doe_Jane.png", exam="abc")
    assert image.shape == (3, 80, 48) and image.dtype == torch.float32
    # (row, column, colour) to (colour, column, row)
    assert torch.equal(image.as_tensor(), torch.from_numpy(pixels).permute(2, 1, 0) / 255)
    assert loaded_name(image) == "abc" and "Doe" not in str(image.meta)
    assert loaded_name(load(tmp_path / "Doe_Jane.png")) == "Doe_Jane", "without an exam, the result has the file's name"


def test_a_camera_that_was_held_sideways(pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is on the right
    exif[0x010E] = "Doe Jane"
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = load(tmp_path / "turned.png")
    wanted = np.rot90(pixels, -1)
    assert torch.equal(image.as_tensor(), torch.from_numpy(wanted.copy()).permute(2, 1, 0) / 255)
    assert "Doe" not in str(image.meta)


@pytest.mark.parametrize("name", ["text", "cut", "grey", "absent"])
def test_what_is_no_photograph(pixels, tmp_path, name):
    path = tmp_path / "a.png"
    Image.fromarray(pixels if name != "grey" else pixels[..., 0]).save(path)
    content = {"text": b"hello", "cut": path.read_bytes()[:2000]}.get(name)
    if content:
        path.write_bytes(content)
    if name == "absent":
        path.unlink()
    with pytest.raises(InputError):
        load(path)
