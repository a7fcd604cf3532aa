from __future__ import annotations

import pickle
import runpy
import sys
from types import SimpleNamespace

import pytest
from planewise import errors


class HTTPException(Exception):
    """The exception that Starlette's is based on."""

    def __init__(self, status_code, detail=None, headers=None):
        self.status_code, self.detail, self.headers = status_code, detail, headers

    def __str__(self):
        return f"{self.status_code}: {self.detail}"


def test_a_server_can_answer_with_the_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.exceptions", SimpleNamespace(HTTPException=HTTPException))
    kind = runpy.run_path(errors.__file__)["InputError"]
    with pytest.raises(HTTPException) as caught:
        raise kind("index it again")
    assert isinstance(caught.value, ValueError) and str(caught.value) == "index it again"
    assert (caught.value.status_code, caught.value.detail, caught.value.headers) == (422, "index it again", None)


def test_elsewhere_it_is_an_error_of_a_value_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "starlette.exceptions", raising=False)
    kind = runpy.run_path(errors.__file__)["InputError"]
    assert kind.__bases__ == (ValueError,) and str(kind("a")) == "a"


def test_it_comes_back_from_another_process():
    error = pickle.loads(pickle.dumps(errors.InputError("index it again")))
    assert type(error) is errors.InputError and str(error) == "index it again"


def raised(first: Exception, second: Exception, **how) -> Exception:
    """An error that was raised while another was handled, or `from` it."""
    try:
        try:
            raise first
        except Exception as error:
            if how.get("chained"):
                raise second from error
            raise second  # noqa: B904 (its context is tested)
    except Exception as error:
        return error


@pytest.mark.parametrize("chained", [False, True])
def test_the_first_refusal_among_the_causes_counts(chained):
    refused = errors.InputError("index it again")
    outer = raised(refused, RuntimeError("transform failed"), chained=chained)
    assert errors.causes(outer) == [outer, refused] and errors.refusal(outer) is refused
    outer.__cause__ = outer
    assert errors.causes(outer) == [outer]
    nearer = raised(refused, errors.InputError("nearer"), chained=chained)
    assert str(errors.refusal(nearer)) == "nearer"
    assert errors.refusal(raised(ValueError("a"), RuntimeError("b"), chained=chained)) is None


def test_a_refusal_is_found_in_a_quoted_traceback_and_in_another_copy_of_the_code():
    quoted = RuntimeError("Traceback:\n  line 3\nplanewise.errors.InputError: make room\nafterwards")
    assert str(errors.refusal(quoted)) == "make room" and type(errors.refusal(quoted)) is errors.InputError
    other = type("InputError", (ValueError,), {})("from a packaged bundle")
    assert errors.refusal(raised(other, RuntimeError("b"))) is other
    assert not errors.is_input_error(ValueError("InputError"))
