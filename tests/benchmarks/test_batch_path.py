"""Test that every library puts its batch on the device, with a stand-in for a GPU."""

from __future__ import annotations

import pytest
import torch
from bars import batch_path
from monai.transforms import RandRotated, RandZoomd
from timing import Options

from tests.cuda_stand_in import WITHOUT_VALUES


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANEWISE_SALT_FILE", str(tmp_path_factory.mktemp("salt") / "salt"))
        made = batch_path.orientation(tmp_path_factory.mktemp("exams"), Options(quick=True))
    made.device = WITHOUT_VALUES
    return made


def monai(train):
    return batch_path._monai(train, RandRotated("image", range_x=0.3, prob=1), RandZoomd("image", prob=1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("peer", "library"), [(monai, "monai"), (batch_path._one_pass, "torch"), (batch_path._kornia, "kornia")]
)
def test_a_batch_of_every_peer_is_on_the_device(peer, library, train):
    pytest.importorskip(library)
    with torch.no_grad():
        batch = peer(train)()
    image, heatmaps = (batch["image"], batch["heatmaps"]) if isinstance(batch, dict) else batch
    shape = (train.batch_size, 1, train.size, train.size)
    assert (image.device, heatmaps.device) == (WITHOUT_VALUES, WITHOUT_VALUES)
    assert (tuple(image.shape), tuple(heatmaps.shape)) == (shape, (shape[0], 2, *shape[2:]))
