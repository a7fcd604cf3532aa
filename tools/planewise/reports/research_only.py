"""The note that stands next to every result that could be mistaken for a medical finding."""

from __future__ import annotations

RESEARCH_ONLY = "Research software: not for diagnosis, planning or any other clinical use."


def research_note(trained_on: str | None) -> str:
    """The note for a classification; ``trained_on`` is the training data of its weights, such as ``phantoms``, or None
    if it is unknown, or people."""
    if trained_on is None:
        return RESEARCH_ONLY
    return (
        f"{RESEARCH_ONLY} The weights were trained on {trained_on} only: never read these numbers as a "
        "diagnosis of a person."
    )
