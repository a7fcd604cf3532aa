from __future__ import annotations

import pytest
from planewise.errors import InputError
from planewise.preprocessing import RequirePhased


def test_an_image_alone_is_refused():
    assert RequirePhased()({"image": "a", "phase": "ED"}) == {"image": "a", "phase": "ED"}
    with pytest.raises(InputError, match="end-diastole and at end-systole, but this is one image.*--input"):
        RequirePhased()({"image": "a"})
