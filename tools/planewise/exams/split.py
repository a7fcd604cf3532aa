"""Divide patients among the sections of a datalist."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from planewise.errors import InputError
from planewise.files.datalists import SECTIONS


def check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Scale the shares of training, validation and test so that they sum to one.

    Raises:
        InputError: there are not three shares, one is negative or not finite, or all are zero.
    """
    if len(fractions) != 3 or min(fractions) < 0 or not 0 < sum(fractions) < math.inf:
        raise InputError(
            f"the split is {' '.join(map(str, fractions))}; it needs three non-negative shares, for training, "
            "validation and test, such as 0.8 0.1 0.1"
        )
    training, validation, test = (share / sum(fractions) for share in fractions)
    return training, validation, test


def _draw(patient: str, seed: int) -> float:
    """A number in [0, 1) determined by the patient and the seed. It is not salted, so it is the same on every machine."""
    digest = hashlib.sha256(f"{seed}|{patient}".encode(errors="backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_hash(patients: Iterable[str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """Map each patient to a section. Patients keep their section when others are added, so the shares are only
    averages."""
    training, validation, _ = check_fractions(fractions)
    sections = {}
    for patient in patients:
        draw = _draw(patient, seed)
        sections[patient] = SECTIONS[(draw >= training) + (draw >= training + validation)]
    return sections


def split_stratified(groups: Mapping[str, str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """Map each patient to a section. The patients of each group, and all patients together, are divided in the given
    shares; the numbers may differ from the shares by one patient.

    Args:
        groups: maps patients to groups (of disease).
    """
    training, validation, _ = check_fractions(fractions)
    members = defaultdict(list)
    for patient, group in groups.items():
        members[group].append(patient)
    # each group's patients, in shuffled order, are spaced evenly on [0, 1); cutting the merged order stratifies all
    # groups
    order = []
    for group, patients in members.items():
        shuffled = sorted(patients, key=lambda patient: _draw(patient, seed))
        order += [((rank + 0.5) / len(shuffled), _draw(group, seed), patient) for rank, patient in enumerate(shuffled)]
    order.sort()
    cuts = round(training * len(order)), round((training + validation) * len(order))
    return {patient: SECTIONS[(rank >= cuts[0]) + (rank >= cuts[1])] for rank, (_, _, patient) in enumerate(order)}
