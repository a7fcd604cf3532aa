"""The note next to every result that could be taken for a finding."""

from __future__ import annotations

RESEARCH_ONLY = "Research software: not for diagnosis, planning or any other clinical use."


def research_note(trained_on: str | None) -> str:
    """The note next to a classification by weights that were not trained on people.

    Args:
        trained_on: their training data, such as ``phantoms``; None if unknown or people.
    """
    if trained_on is None:
        return RESEARCH_ONLY
    return (
        f"{RESEARCH_ONLY} The weights were trained on {trained_on} only: never read these numbers as a "
        "diagnosis of a person."
    )
