"""What the page of a study calls things of an anatomy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Anatomy:
    """What the page calls an anatomy, and where the paper shows it."""

    organ: str
    paper_data: str
    exam: str
    location: str
    regression: str
    heatmaps: str
    planners: str
    stack: str
    views: str


ANATOMIES = {
    "cardiac": Anatomy(
        organ="heart",
        paper_data="DSBCC, ACDC",
        exam="short-axis slices with the lines and heatmaps of the 2ch and 4ch views, and these views with the lines of "
        "the stack (the paper's Figs. 2 and 3)",
        location="0 at the base, 1 at the apex",
        regression="Fig. 6, left",
        heatmaps="Fig. 4",
        planners=" Published view planners reach 5.7 to 6.0 deg and 3.1 to 3.5 mm on patients (arXiv 2109.11715, "
        "2309.12805).",
        stack="short axis",
        views="long-axis views",
    ),
    "knee": Anatomy(
        organ="knee",
        paper_data="fastMRI, MRNet",
        exam="sagittal slices with the lines and heatmaps of the axial and coronal views, and these views with the lines "
        "of the series",
        location="0 at both sides of the knee, 1 at the centre",
        regression="Fig. 6, right",
        heatmaps="Fig. 5",
        planners="",
        stack="sagittal series",
        views="axial and coronal views",
    ),
}
