"""Test the grade of an item as a tensor."""

import pytest
import torch
from planewise.errors import InputError
from planewise.preprocessing import ReadGraded


def test_a_grade():
    item = ReadGraded("level")({"level": 3, "exam": "a"})
    assert item["exam"] == "a" and item["grade"].dtype == torch.int64 and item["grade"].item() == 3
    with pytest.raises(InputError, match="the photograph has no grade, and this bundle learns from grades"):
        ReadGraded()({"level": 3})
