"""Test that an exam's commands import no more than they use, and that what they leave out works when it is used."""

import subprocess
import sys

import pytest

#: Leaves the packages out as a command does, and then uses them through MONAI, Ignite and our scores.
USES = """
import sys
from planewise.light_imports import _StandIn, light_imports
with light_imports():
    import monai, planewise.own_exams
    from planewise.metrics import location_scores
    inside = sys.modules["sklearn"]
left_out = {"sklearn", "scipy.stats", "scipy.signal", "matplotlib.pyplot", "sympy", "torch.distributed.optim"}
assert not left_out & set(sys.modules), left_out & set(sys.modules)

import gc, torch
import ignite.handlers.checkpoint as checkpoint
from monai.data.ultrasound_confidence_map import hilbert
from monai.transforms.utils import get_largest_connected_component_mask

# nobody has made a class out of a stand-in
assert not any(each.__subclasses__() for each in gc.get_objects() if type(each) is _StandIn)
mask = torch.tensor([[[1, 1, 0, 1]]])
assert get_largest_connected_component_mask(mask).tolist() == [[[1, 1, 0, 0]]]
assert location_scores([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])["r2"] == 1
assert hilbert([1.0, 2.0]).shape == (2,)
assert inside.linear_model.Ridge().alpha == 1
assert not isinstance(mask, checkpoint.ZeroRedundancyOptimizer)
assert checkpoint.ZeroRedundancyOptimizer.real() is sys.modules["torch.distributed.optim"].ZeroRedundancyOptimizer
"""

#: Uses them within the context, which another module or thread may do.
USES_WITHIN = """
import pickle, sys
from planewise.light_imports import light_imports
with light_imports():
    from scipy.stats import norm, rankdata
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import r2_score
    assert rankdata([3, 1]).tolist() == [2, 1]
    class Own(RandomForestClassifier): ...
    within = sys.modules["sklearn.ensemble"]

import sklearn.ensemble
assert sklearn.ensemble is within and Own().n_estimators == 100
assert Own.__base__ is sklearn.ensemble.RandomForestClassifier and issubclass(Own, RandomForestClassifier)
assert norm.cdf(0) == 0.5
assert pickle.loads(pickle.dumps(r2_score)) is sklearn.metrics.r2_score
"""


@pytest.mark.parametrize("uses", [USES, USES_WITHIN], ids=["afterwards", "within"])
def test_what_was_left_out_is_there_when_it_is_used(uses):
    done = subprocess.run([sys.executable, "-c", uses], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
