"""Sections of a study's page, one file each: `add` writes the section, or nothing if its runs are missing."""
