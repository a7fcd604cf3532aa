"""Drawing a picture may fail without ending the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def only_a_picture(name: str) -> Iterator[None]:
    """Draw and save a picture inside; errors there become a warning, and the run continues.

    For example, a MONAI Label server has no matplotlib.
    """
    try:
        yield
    except Exception as error:
        logger.warning("%s is not drawn: %s", name, error)
