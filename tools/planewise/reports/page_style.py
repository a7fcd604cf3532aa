"""The parts that all pages share: the head with the style, and the marks of numbers."""

from __future__ import annotations

import html
from importlib.resources import files

#: Mark next to an implausible number, and what it means.
FLAGGED = "(!)"
DO_NOT_USE = "do not use this number before you have checked it"
#: Mark next to a number that comes from a mask that a person corrected.
CORRECTED = "(*)"


def page_head(title: str, style: str = "") -> str:
    """The beginning of a page as HTML, up to its style: with a title, as text, and further CSS for this kind of page."""
    shared = (files("planewise.reports") / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{shared}{style}</style>"
    )
