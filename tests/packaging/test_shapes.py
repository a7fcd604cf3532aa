"""Test formulas of metadata.json with sizes worked out by hand."""

from __future__ import annotations

import pytest
from planewise.errors import InputError
from planewise.packaging.shapes import check_shapes, size_of


@pytest.mark.parametrize(
    ("formula", "size"),
    [
        (96, 96),
        ("96", 96),
        ("16*n", 48),
        ("2**p*n", 12),
        ("n + p - 1", 4),
        ("64/n*3", 64),
        ("7//p", 3),
        ("(7 % 4) * 2**(p+1)", 24),
        ("2**16", 65536),
    ],
)
def test_a_formula_is_worked_out(formula, size):
    assert size_of(formula, n=3, p=2) == size


@pytest.mark.parametrize(
    "formula",
    [
        "*",
        "",
        "16*m",
        "n/2",
        "-16",
        "0*n",
        "9**9**9**9",
        "(0-8)**(1/2)",
        "1/0",
        "1e400",
        "True",
        "'16'",
        "65537",
        "[16][0]",
        "n if n else p",
    ],
)
def test_anything_else_is_refused(formula):
    with pytest.raises(InputError, match="spatial_shape has .* is not a valid size at n = 1, p = 1"):
        size_of(formula)


def test_a_formula_is_not_executed(tmp_path):
    mark = tmp_path / "executed"
    formula = f"[open({str(mark)!r}, 'w').close(), 16][1]"
    tensor = {"num_channels": 1, "spatial_shape": ["16*n", formula]}
    with pytest.raises(InputError, match="spatial_shape"):
        check_shapes({"network_data_format": {"inputs": {"image": tensor}}})
    assert not mark.exists()
