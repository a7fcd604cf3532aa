"""Numbers and lists in sentences, and numbers in names."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

#: Number of names in a sentence before the rest is counted.
_MOST_NAMES = 5


def count_of(number: int, noun: str) -> str:
    """``1 exam``, ``2 exams``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(words: Iterable[str], link: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``; there must be at least one word. ``link`` replaces ``and``."""
    *before, last = words
    return f"{', '.join(before)} {link} {last}" if before else last


def some_of(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to a misspelt one; None if none is similar."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(near: str | None) -> str:
    """The end of a message about a misspelt name: `` (did you mean sigma?)``, or nothing without a similar name."""
    return f" (did you mean {near}?)" if near else ""


def as_sentence(text: str) -> str:
    """A text without a full stop as a sentence: with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def composed(text: str) -> str:
    """A name in Unicode's composed form (NFC). macOS writes an umlaut as two characters, which look like one."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """A name in lower case, with its separators replaced by spaces."""
    return re.sub(r"[_\-./,|]+", " ", text.lower())


def loose(name: str) -> str:
    """A form of a name that does not depend on leading zeros of a number (``7`` for ``007``) or on capitalisation."""
    return (name.lstrip("0") or "0") if name.isdecimal() else name.casefold()


def natural_order(text: str) -> tuple:
    """Sort key that puts ``sax_5`` before ``sax_23``."""
    # isdecimal, like \d, rejects "²", which int() cannot read; isdigit accepts it
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)


def is_text(path: str) -> bool:
    """Whether a path can be written into a datalist and passed to ITK: a name with undecodable bytes is not text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
