"""Numbers in sentences and in names."""

import re


def count_of(number: int, noun: str) -> str:
    """``1 exam``, ``2 exams``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def natural_order(text: str) -> tuple:
    """Sorts ``sax_5`` before ``sax_23``."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)
