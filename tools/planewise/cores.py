"""The number of processes that a machine, or a part of it, can run side by side."""

from __future__ import annotations

import os


def own_cores() -> int:
    """Cores that this process may use; a container or a cluster often grants fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
