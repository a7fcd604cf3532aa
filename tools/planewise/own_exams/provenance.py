"""Say which weights made an exam's results, in the same words in every file and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from planewise.engines.run_record import PATIENTS, RELEASED, WEIGHTS_SUM, read_table, scores_in_words
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.networks import weights_path
from planewise.words import as_sentence

#: Digits of the checksum in a sentence: enough to tell weights apart.
_SHORT = 12


@dataclass(frozen=True)
class Provenance:
    """The weights that made a result.

    Attributes:
        bundle: name of the bundle.
        version: the bundle's version; empty if its metadata cannot be read.
        sha256: checksum of the weights file. The results contain no path, because a path may name a person.
        ships: whether these are the weights that ship with the bundle; those were trained on phantoms only.
        patients: the scores of these weights on real patients, in words; empty if none were measured.
    """

    bundle: str
    version: str
    sha256: str
    ships: bool
    patients: str = ""

    @classmethod
    def of(cls, bundle: Path, weights: str | Path) -> Provenance:
        """Identify the weights of a bundle.

        Args:
            bundle: the bundle's folder.
            weights: a checkpoint, or the folder of a run or a bundle.
        """
        checksum = sha256(Path(weights_path(weights)))
        version, record = "", {}
        with suppress(InputError):
            version = str(read_table(bundle / "configs" / "metadata.json").get("version", ""))
        with suppress(InputError):
            record = read_table(bundle / "models" / RELEASED)
        ships = checksum == record.get(WEIGHTS_SUM)
        patients = scores_in_words(record[PATIENTS]) if ships and PATIENTS in record else ""
        return cls(bundle.name, version, checksum, ships, patients)

    @property
    def short(self) -> str:
        """A few words for a DICOM description, which is short."""
        return "phantom-trained weights" if self.ships else f"own weights {self.sha256[:_SHORT]}"

    @property
    def weights(self) -> str:
        """The weights in words, with the whole checksum."""
        return (
            f"{'weights that ship, trained on phantoms only' if self.ships else 'own weights'}, SHA-256 {self.sha256}"
        )

    @property
    def algorithm(self) -> str:
        """Bundle, version and weights in words, with the first digits of the checksum."""
        return f"{self.bundle} {self.version}".strip() + f" ({self.weights.replace(self.sha256, self.sha256[:_SHORT])})"

    def content(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "bundle": self.bundle,
            "version": self.version,
            "weights_sha256": self.sha256,
            "weights_ship": self.ships,
            "trained_on": "phantoms" if self.ships else None,
        }


class Note(NamedTuple):
    """The note of a result, in two parts."""

    made_by: str
    """which weights made it; tables, which repeat the note in each row, have only this sentence"""
    errors: str
    """what was measured on patients, and what was not"""

    def __str__(self) -> str:
        return " ".join(self)


def made_by(steps: Sequence[tuple[str, Provenance]], unmeasured: str) -> Note:
    """The note of a result.

    Args:
        steps: pairs of what was made (``masks``) and the weights that made it.
        unmeasured: the error of what the first step made, as the object of a sentence. It is unknown unless the weights of
            this step were scored on patients.
    """
    said = "; ".join(f"{what} by {provenance.algorithm}" for what, provenance in steps)
    errors = [] if steps[0][1].patients else [f"planewise has not measured {unmeasured}."]
    errors += [f"{as_sentence(what)[:-1]} of these weights: {by.patients}." for what, by in steps if by.patients]
    return Note(as_sentence(said), " ".join(errors))
