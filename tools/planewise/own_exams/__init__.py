"""A person's own exam through the bundles of a clone: their inference, what follows from its results, and a page."""

from planewise.own_exams.heart_bundles import MadePage
from planewise.own_exams.plan_exams import plan_exams
from planewise.own_exams.segment_datalist import SegmentedDatalist, segment_datalist
from planewise.own_exams.segment_exams import segment_exams

__all__ = ["MadePage", "SegmentedDatalist", "plan_exams", "segment_datalist", "segment_exams"]
