"""Stacks of any organ: parallel slices, without recognition. The rule and its limits are in tools/docs/recognition.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planewise.exams.exam import Exam, Recognition
from planewise.exams.grouping import common_folder
from planewise.exams.stack import Stack, is_localizer
from planewise.findings import finding
from planewise.geometry import to_left_front_or_head

#: Minimum number of slices of a stack. The planes of a localizer and the long-axis views of a heart have 1 to 3 slices.
MIN_SLICES = 4


def recognise(stacks: list[Stack]) -> Recognition:
    """The suitable stack of an exam with the most slices (of several, the last acquired), and its axis."""
    result = Recognition()
    order = sorted(range(len(stacks)), key=lambda index: (suits(stacks[index]), len(stacks[index].slices), index))
    result.candidate = order[-1] if order else None
    if result.candidate is None or not suits(stacks[result.candidate]):
        most = max((len(stack.slices) for stack in stacks), default=0)
        result.findings = [finding("no-stack", least=MIN_SLICES, most=most)]
        return result
    result.stack, result.confidence = result.candidate, 1.0
    result.axis = axis(stacks[result.stack])
    return result


def axis(stack: Stack) -> np.ndarray | None:
    """Unit vector (3,) along which a stack's slices are counted, RAS+; None if two directions are equally good."""
    direction = to_left_front_or_head(stack.normal).numpy()
    return None if np.isnan(direction).any() else direction


def one_stack_each(exams: Sequence[Exam]) -> list[Exam]:
    """Make an exam of each suitable stack. Unsuitable stacks stay with the first exam, which lists them.

    The first exam keeps the identifier, and so its hash; the identifiers of the others follow the order of acquisition.
    """
    apart = []
    for exam in exams:
        suiting = [stack for stack in exam.stacks if suits(stack)]
        if len(suiting) < 2:
            apart.append(exam)
            continue
        rest = [stack for stack in exam.stacks if not suits(stack)]
        for number, stack in enumerate(suiting, start=1):
            own = {"folder": common_folder(stack.frames)}
            if number > 1:
                own |= {"key": f"{exam.key}|stack {number}", "findings": []}
            apart.append(replace(exam, stacks=[stack] if number > 1 else [stack, *rest], **own))
    return apart


def suits(stack: Stack) -> bool:
    """Whether a stack becomes an exam, by the rule above."""
    return len(stack.slices) >= MIN_SLICES and not is_localizer(stack)
