"""A check as `planewise check` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planewise.packaging.bundle import without_noise
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Finding, Remark, Tier, reason


@dataclass(frozen=True)
class Check:
    """A check, its name, and whom a failure affects.

    ``run`` returns a detail or None, or raises a `Remark` or any other error, which is a failure.
    """

    tier: Tier
    name: str
    run: Callable[[Candidate], str | None]

    def __call__(self, candidate: Candidate) -> Finding:
        """The finding; nothing is raised."""
        try:
            with without_noise(), candidate.bundle.importable():
                return Finding("ok", self.name, self.run(candidate) or "", self.tier)
        except Remark as remark:
            return Finding("warning", self.name, str(remark), self.tier)
        except Exception as error:  # any error that a config can raise is a finding
            return Finding("FAIL", self.name, reason(error), self.tier)
