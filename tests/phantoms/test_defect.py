"""Test the defects that both anatomies have: ghosts of motion, and patient identity in every place."""

from pathlib import PurePosixPath

import numpy as np
import pytest
from planewise.phantoms.defect import Defect, plant_identity, registering, with_ghosts
from planewise.phantoms.scanner.dicom import DicomFile, Identity


def test_ghosts_are_fainter_copies_above_and_below():
    pixels = np.zeros((35, 4), dtype=np.uint16)
    pixels[20] = 600
    ghosts = with_ghosts(pixels)
    # half of the signal stays; a third appears a fifth of the rows further down, and a third a seventh of the rows further up
    assert {row: int(ghosts[row, 0]) for row in np.flatnonzero(ghosts[:, 0])} == {15: 200, 20: 300, 27: 200}
    assert ghosts.dtype == np.uint16


def test_a_defect_is_registered_under_its_functions_name():
    table: dict[str, Defect] = {}

    @registering(table)("nothing is wrong")
    def nothing(files, exam, identity):
        return files

    assert table == {"nothing": Defect("nothing is wrong", nothing)}


@pytest.mark.parametrize(
    ("name", "born", "folder"),
    [
        ("7", "", "Mustermann_Erika_19540317"),
        ("Doe^Jane", "", "Doe_Jane_19540317"),
        ("Doe^Jane", "19700102", "Doe_Jane_19700102"),
    ],
)
def test_identity_names_folders_of_broken_files_too(name, born, folder):
    broken = DicomFile(PurePosixPath("study/1.dcm"), content=b"")
    (file,) = plant_identity([broken], Identity(name, "3-7", born), "Herz")
    assert file.path == PurePosixPath(folder) / "study/1.dcm"
