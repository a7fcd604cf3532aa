"""Run the bundles on a person's own exam: inference, derived results, and a page."""

from planewise.own_exams.bundles import load_bundle
from planewise.own_exams.label_maps import segment_datalist
from planewise.own_exams.plan_exams import plan_exams, planning
from planewise.own_exams.segment_exams import segment_exams, segmenting

__all__ = ["load_bundle", "plan_exams", "planning", "segment_datalist", "segment_exams", "segmenting"]
