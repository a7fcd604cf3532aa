"""Sections of the page of a study, a file each: `add` writes one, or nothing where its runs are not there."""
