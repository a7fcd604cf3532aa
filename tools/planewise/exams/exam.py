"""An exam: the images of one study that share a frame of reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from planewise.exams.recognition import Recognition
from planewise.exams.stack import Stack
from planewise.findings import Finding


@dataclass(slots=True, eq=False)
class Exam:
    """The stacks of one study that share a frame of reference."""

    key: str
    """raw identifier of the exam, hashed before anything is written"""
    patient_key: str
    """raw identifier of the patient, also hashed before anything is written"""
    folder: Path
    """folder of the exam's files"""
    stacks: list[Stack]
    findings: list[Finding] = field(default_factory=list)
    """what was left out or assumed; flags: signs that the exam lacks images, or has those of another one"""
    case: str = ""
    """name in a NIfTI file; empty for DICOM"""
    aliases: list[str] = field(default_factory=list)
    """raw identifiers of the same patient in copies of the images"""
    name: str = ""
    """hash of the exam"""
    patient: str = ""
    """hash of the patient"""
    found: Recognition | None = None
    """result of the recognition; None before it has run"""
    main_stack: Stack | None = None
    """the stack to learn from, in order; None if there is none"""
    broken: list[str] = field(default_factory=list)
    """paths of the broken files in the exam's folders"""
