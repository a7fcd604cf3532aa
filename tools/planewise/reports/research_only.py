"""What stands beside every result that could be taken for a finding."""

from __future__ import annotations

RESEARCH_ONLY = "Research software: not for diagnosis, planning or any other clinical use."


def research_note(trained_on: str | None) -> str:
    """What stands beside a diagnosis by weights that have learned from no person.

    Args:
        trained_on: what they have learned from, as ``phantoms``; None if that is not known, or people.
    """
    if trained_on is None:
        return RESEARCH_ONLY
    return f"{RESEARCH_ONLY} The weights have seen {trained_on} only: of a person these numbers say nothing."
