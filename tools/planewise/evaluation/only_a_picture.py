"""Let a run continue if a picture cannot be drawn."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def only_a_picture(name: str) -> Iterator[None]:
    """A context in which to draw and save a picture: an error inside becomes a warning, and the run continues.

    For example, a MONAI Label server may have no matplotlib.
    """
    try:
        yield
    except Exception as error:
        logger.warning("%s is not drawn: %s", name, error)
