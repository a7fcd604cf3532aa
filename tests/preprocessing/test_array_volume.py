"""Test MRNet's volumes with the loaders of slices and of stacks."""

from __future__ import annotations

import numpy as np
import pytest
from planewise.data import expand_volumes
from planewise.errors import InputError
from planewise.preprocessing import LoadSliced, LoadStackd


@pytest.fixture
def item(tmp_path) -> dict:
    array = np.random.default_rng(0).integers(0, 255, (3, 20, 30), dtype=np.uint8)
    np.save(tmp_path / "0007.npy", array)
    return {"image": str(tmp_path / "0007.npy"), "exam": "e", "array": array}


def test_rows_columns_and_slices_become_columns_rows_and_slices(item):
    load = LoadSliced("image", field_without_spacing=15.0)
    slices = expand_volumes([item])
    assert [entry["frame"] for entry in slices] == [0, 1, 2]
    for entry in slices:
        image = load(entry)["image"]
        assert image.shape == (1, 30, 20, 1)
        assert np.array_equal(np.asarray(image)[0, :, :, 0], item["array"][entry["frame"]].T)
        # the longer side is 15 mm
        assert np.allclose(image.affine.numpy() @ [1, 1, 0, 1], [0.5, 0.5, 0.5 * entry["frame"], 1])
    stack = LoadStackd("image", view="sagittal", field_without_spacing=15.0)(item)["image"]
    assert stack.shape == (30, 20, 3) and np.array_equal(np.asarray(stack), item["array"].T)


@pytest.mark.parametrize("load", [LoadSliced("image"), LoadStackd("image")])
def test_without_a_field_it_is_refused(load, item):
    with pytest.raises(InputError, match="no spacing"):
        load({**item, "frame": 0})


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30, 2)])
def test_only_volumes_are_read(shape, tmp_path):
    np.save(tmp_path / "0007.npy", np.zeros(shape, np.uint8))
    item = {"image": str(tmp_path / "0007.npy"), "exam": "e", "frame": 0}
    with pytest.raises(InputError, match=f"exam e, image: the array has {len(shape)} dimensions; it must have three"):
        LoadSliced("image", field_without_spacing=15.0)(item)


def test_a_broken_file_is_refused_with_its_exams_name(item, tmp_path):
    (tmp_path / "0007.npy").write_bytes(b"no array")
    for load in (LoadSliced("image", field_without_spacing=1.0), LoadStackd("image", field_without_spacing=1.0)):
        with pytest.raises(InputError, match="exam e, image"):
            load({**item, "frame": 0})
    # an empty file, as after an interrupted copy
    (tmp_path / "0007.npy").write_bytes(b"")
    with pytest.raises(InputError, match="exam e, image.*cannot be read"):
        LoadSliced("image", field_without_spacing=1.0)({**item, "frame": 0})
    assert len(expand_volumes([item])) == 1
    # pickled objects could run code
    np.save(tmp_path / "0007.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match="exam e, image"):
        LoadSliced("image", field_without_spacing=1.0)({**item, "frame": 0})
    assert len(expand_volumes([item])) == 1, "the broken file stays one item; loading it gives the reason"
