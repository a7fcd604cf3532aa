"""Numbers in sentences."""


def count_of(number: int, noun: str) -> str:
    """``1 exam``, ``2 exams``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
