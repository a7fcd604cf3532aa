"""Warn if the pretrained weights have learned from patients of the test section."""

from __future__ import annotations

import logging
from pathlib import Path

from monai.bundle import ConfigParser

from planewise.engines.run_bundle import run_of
from planewise.errors import InputError
from planewise.exams.shared_patients import seen_tests

logger = logging.getLogger(__name__)


def warn_of_seen_patients(parser: ConfigParser) -> int:
    """Count the patients of a datalist's test section from whom the ``pretrained`` weights have learned, and warn of them.

    There are such patients if the datalist of the pretraining has another split of the same population.

    Args:
        parser: parser of a config that trains.

    Returns:
        Number of these patients; 0 if the pretraining's datalist is unknown, or if it is the same datalist.
    """
    run = run_of(parser.get_parsed_content("pretrained", default=None))
    if run is None:
        return 0
    paths = parser.get_parsed_content("datalist", default=None), run.config.get("datalist")
    files = [Path(path).expanduser() for path in paths if isinstance(path, (str, Path))]
    if len(files) < 2 or not all(map(Path.is_file, files)) or files[0].samefile(files[1]):
        return 0
    try:
        seen, count = seen_tests(files[1], files[0])
    except InputError:  # the code that uses the datalist reports its errors
        return 0
    if seen:
        logger.warning(
            "the pretrained weights have learned from %d of the %d patients of this datalist's test section, so "
            "the test scores will be too good. Index both with the same --division, --split and --seed, or pretrain "
            "on this datalist",
            seen,
            count,
        )
    return seen
