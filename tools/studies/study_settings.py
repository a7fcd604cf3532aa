"""What is wrong with the settings of a study, by `study_schema.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from planewise.words import did_you_mean, nearest

SCHEMA: Mapping[str, Any] = yaml.safe_load((Path(__file__).parent / "study_schema.yaml").read_text())


def wrong_settings(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the settings of a study. A null setting counts as not given, so only the settings that the study
    needs must not be null."""
    return [_said(error) for error in Draft202012Validator(SCHEMA).iter_errors(_given(config))]


def _given(value: Any) -> Any:
    """A value without the null settings in it; a method may be null."""
    return (
        {key: _given(each) for key, each in value.items() if each is not None} if isinstance(value, Mapping) else value
    )


def _said(error: ValidationError) -> str:
    text = ": ".join(map(str, [*error.absolute_path, error.message]))
    if error.validator != "additionalProperties":
        return text
    known = error.schema.get("properties", {})
    near = (nearest(str(key), [*known]) for key in error.instance if key not in known)
    return text + did_you_mean(next(near))
