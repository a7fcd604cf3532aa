"""Test that configs have the papers' values: ``metadata.json`` declares these values, and the bundle's README cites the
sources, Taleb 2020 (sections 3 and 4, appendix A), Zhang 2024 (section 5.3) and the methods' own papers."""

from __future__ import annotations

import pytest

from tests.bundles.conftest import BUNDLES, DECLARED, plain_parser

VALUES = {(name, file): values for name in BUNDLES for file, values in DECLARED[name].get("paper", {}).items()}


@pytest.mark.parametrize(("name", "file"), VALUES)
def test_configs_have_the_papers_values(name, file):
    parser = plain_parser(name, *dict.fromkeys(("train.yaml", file)))
    wanted = VALUES[name, file]
    assert wanted and {key: parser.get_parsed_content(key) for key in wanted} == wanted
