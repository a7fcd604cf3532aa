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
