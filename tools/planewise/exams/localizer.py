"""Recognise localizers, which are acquired to plan the other stacks."""

from __future__ import annotations

import re

from planewise.exams.stack import Stack
from planewise.exams.words import plain

_LOCALIZER = r"locali[sz]er|(?<![a-z])loc(?![a-z])|scout|survey|pilot|3 ?plane|three ?plane"


def is_localizer(stack: Stack) -> bool:
    """Whether a stack's header or name identifies it as a localizer."""
    return stack.localizer or bool(re.search(_LOCALIZER, plain(stack.text)))
