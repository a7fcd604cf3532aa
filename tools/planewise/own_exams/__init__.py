"""Run the bundles on a person's own exam: inference, derived results, and a page."""

from planewise.own_exams.heart_bundles import MadePage
from planewise.own_exams.load_bundle import LoadedBundle, load_bundle
from planewise.own_exams.plan_exams import PlannedExam, plan_exams, planning
from planewise.own_exams.segment_datalist import SegmentedDatalist, segment_datalist
from planewise.own_exams.segment_exams import SegmentedExam, segment_exams, segmenting

__all__ = [
    "LoadedBundle",
    "MadePage",
    "PlannedExam",
    "SegmentedDatalist",
    "SegmentedExam",
    "load_bundle",
    "plan_exams",
    "planning",
    "segment_datalist",
    "segment_exams",
    "segmenting",
]
