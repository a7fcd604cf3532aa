"""The main score, which an evaluation's last line and a study's page show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: A score is no better than guessing if it is at most this multiple of chance. For an error, this applies if this multiple of
#: the error is at least chance.
_GUESSED = 1.1
#: How some words of the keys in ``metrics.json`` are spelt in a score's name.
_WORDS = {
    "auc": "AUC",
    "dice": "Dice",
    "macro": "mean",
    "mae": "MAE",
    "mse": "MSE",
    "pearson": "Pearson",
    "restored": "MSE",
    "top1": "top 1",
}


class MainScore(NamedTuple):
    """The main score of an evaluation, or of a part of it.

    Attributes:
        name: the name, made from the score's keys in ``metrics.json``.
        value: the score; NaN or None if it is unknown.
        chance: the score of guessing; None if it is not stated.
        lower_is_better: whether the score is an error.
    """

    name: str
    value: float | None
    chance: float | None
    lower_is_better: bool

    @property
    def is_known(self) -> bool:
        """Whether the value is a number."""
        return self.value is not None and math.isfinite(self.value)

    @property
    def is_guess(self) -> bool:
        """Whether the score is hardly better than chance, or worse; False if either is unknown."""
        if self.value is None or self.chance is None:
            return False
        return self.value * _GUESSED >= self.chance if self.lower_is_better else self.value <= _GUESSED * self.chance


def main_score(scores: Mapping[str, Any]) -> MainScore | None:
    """The first decimal number of the scores or of their parts; None if there is none.

    Next to it, a key that begins with ``chance`` gives the score of guessing, and ``lower_is_better: True`` marks an error.

    Args:
        scores: content of ``metrics.json``, or an entry of it with its key.
    """
    return next(_numbers(scores, ()), None)


def _numbers(scores: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[MainScore]:
    chance = next((value for key, value in scores.items() if key.startswith("chance")), None)
    for key, value in scores.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, (*path, key))
        elif (value is None or isinstance(value, float)) and not key.startswith("chance"):
            # a mean is shown under the name of its summary
            keys = path if key == "mean" and path else (*path, key)
            words = [_WORDS.get(word, word) for name in keys for word in name.split("_")]
            yield MainScore(" ".join(words), value, chance, bool(scores.get("lower_is_better")))
