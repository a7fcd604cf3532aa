"""A person's own exam through the bundles of a clone: their inference, what follows from its results, and a page."""

from planewise.own_exams.plan_exams import PlannedExam, plan_exams
from planewise.own_exams.segment_exams import SegmentedExam, segment_exams

__all__ = ["PlannedExam", "SegmentedExam", "plan_exams", "segment_exams"]
