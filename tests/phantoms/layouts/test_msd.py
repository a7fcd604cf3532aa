"""Test the decathlon's layout: images, masks, test images without masks, a listing, and hidden files that are not images."""

import json

import nibabel as nib
import numpy as np
import pytest
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.abdomen import ABDOMENS

SMALL = ABDOMENS.with_values(side=24)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("msd")
    list(write_exams(Recipe("msd", seed=1, population=SMALL), root, 3))
    return root


def test_listing_names_what_is_there(tree):
    listing = json.loads((tree / "dataset.json").read_text())
    assert listing["numTraining"] == len(listing["training"]) == 2 and listing["numTest"] == 1
    assert listing["labels"] == {"0": "background", "1": "pancreas", "2": "cancer"}
    assert listing["test"] == ["./imagesTs/pancreas_003.nii.gz"]
    for entry in listing["training"]:
        image, mask = nib.load(tree / entry["image"]), nib.load(tree / entry["label"])
        assert image.shape == mask.shape == (24, 24, 24) and np.array_equal(image.affine, mask.affine)
        assert np.allclose(image.header.get_zooms(), (330 / 24, 250 / 24, 170 / 24))
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")


def test_hidden_files_lie_beside_images_and_are_none(tree):
    hidden = sorted(str(path.relative_to(tree)) for path in tree.rglob("._*"))
    assert len(hidden) == 5 and "labelsTr/._pancreas_001.nii.gz" in hidden
    with pytest.raises(nib.filebasedimages.ImageFileError):
        nib.load(tree / hidden[0])
