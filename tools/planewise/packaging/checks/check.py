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

    ``run`` returns a detail or None. If it raises a `Remark`, the finding is a warning; any other error is a failure.
    """

    tier: Tier
    name: str
    run: Callable[[Candidate], str | None]

    def __call__(self, candidate: Candidate) -> Finding:
        """Run the check and return its finding; no error is raised."""
        try:
            with without_noise(), candidate.bundle.importable():
                return Finding("ok", self.name, self.run(candidate) or "", self.tier)
        except Remark as remark:
            return Finding("warning", self.name, str(remark), self.tier)
        except Exception as error:  # any error that a config can raise is a finding
            return Finding("FAIL", self.name, reason(error), self.tier)
