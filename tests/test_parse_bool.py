from __future__ import annotations

import pytest
from planewise.errors import InputError
from planewise.parse_bool import parse_bool


@pytest.mark.parametrize("value", [True, 1, "true", "True", "yes", "on", "1", " TRUE\n"])
def test_on(value):
    assert parse_bool(value, "compile") is True


@pytest.mark.parametrize(
    "value", [False, 0, None, "false", "False", "no", "off", "0", "none", "None", "null", "", " null "]
)
def test_off(value):
    assert parse_bool(value, "compile") is False


@pytest.mark.parametrize("value", ["maybe", 2, "auto"])
def test_neither(value):
    with pytest.raises(InputError, match=f"compile must be true or false, got {value!r}"):
        parse_bool(value, "compile")
