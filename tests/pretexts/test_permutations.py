from __future__ import annotations

import json
import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.errors import InputError
from planewise.pretexts import choose_permutations, inverse, permutations_as_text, read_permutations

from tests.conftest import ROOT

#: The bundle's 1000 permutations of 27 tiles.
KEPT = ROOT / "bundles/pretext_jigsaw/configs/permutations_3d.json"


def total_distance(one, others) -> int:
    """The sum of the Hamming distances to all others, written out."""
    return sum(sum(a != b for a, b in zip(one, other, strict=True)) for other in others)


@pytest.mark.parametrize(("pieces", "count"), [(3, 6), (4, 24), (5, 60)])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_is_as_far_from_those_before_as_any_that_is_left(pieces, count, seed):
    """Algorithm 1 of the paper, over the list of all permutations."""
    chosen = [tuple(row) for row in choose_permutations(pieces, count, seed).tolist()]
    for number in range(1, count):
        before = chosen[:number]
        left = [one for one in permutations(range(pieces)) if one not in before]
        assert chosen[number] in left
        assert total_distance(chosen[number], before) == max(total_distance(one, before) for one in left)


@pytest.mark.parametrize(("pieces", "count"), [(9, 1000), (27, 1000)])
def test_the_papers_number_of_them(pieces, count):
    chosen = choose_permutations(pieces, count)
    assert chosen.shape == (count, pieces)
    assert (np.sort(chosen, axis=1) == np.arange(pieces)).all(), "each holds every piece once"
    assert len({tuple(row) for row in chosen.tolist()}) == count
    distances = (chosen[:, None] != chosen[None]).sum(axis=-1)[np.triu_indices(count, 1)]
    # balanced: every piece is in every place equally often, and the mean distance is as large as possible
    most = (pieces - 1) / pieces * count / (count - 1) * pieces
    assert most - 0.001 < distances.mean() <= most


def mean_distance(rows: np.ndarray) -> float:
    """The mean distance of all pairs, counted in pieces."""
    return float(np.mean((rows[:, None] != rows[None]).sum(axis=-1)[np.triu_indices(len(rows), 1)]))


def test_the_bundles_are_further_apart_than_sets_drawn_by_lot():
    kept = read_permutations(KEPT, 27, 1000)
    assert kept.shape == (1000, 27)
    generator = np.random.default_rng(1)
    drawn = [mean_distance(np.array([generator.permutation(27) for _ in range(1000)])) for _ in range(10)]
    assert mean_distance(kept) > max(drawn) and mean_distance(kept) > 26.02 > 26.01 > np.mean(drawn)
    assert mean_distance(kept[:100]) > max(
        mean_distance(np.array([generator.permutation(27) for _ in range(100)])) for _ in range(10)
    )


def test_the_bundles_file_is_what_its_command_writes_from_the_seed_that_it_names():
    head = json.loads(KEPT.read_text())
    assert KEPT.read_text() == permutations_as_text(27, 1000, head["seed"])
    assert (read_permutations(KEPT, 27, 40) == choose_permutations(27, 40, head["seed"])).all()


def test_a_file_that_holds_other_things(tmp_path):
    file = tmp_path / "permutations.json"
    file.write_text(permutations_as_text(4, 5))
    assert (read_permutations(file, 4, 3) == choose_permutations(4, 3)).all()
    for pieces, count in ((4, 6), (9, 3)):
        with pytest.raises(InputError, match=f"5 permutations of 4 pieces, but {count} of {pieces} are needed"):
            read_permutations(file, pieces, count)
    for rows, message in (
        ([[0, 1, 1]], "must be a permutation of the numbers from 0"),
        ([[0, 1], [0, 1]], "the same permutation twice"),
        ([[0, 1], [0]], "contains no permutations"),
        ([], "must be a permutation of the numbers from 0"),
    ):
        file.write_text(json.dumps({"permutations": rows}))
        with pytest.raises(InputError, match=message):
            read_permutations(file, 2, 1)
    file.write_text("[")
    with pytest.raises(InputError, match="contains no permutations"):
        read_permutations(file, 2, 1)
    with pytest.raises(InputError, match="there is no file of permutations"):
        read_permutations(tmp_path / "absent.json", 2, 1)


def test_a_seed_gives_the_same_again():
    first, again, other = (choose_permutations(9, 50, seed) for seed in (3, 3, 4))
    assert (first == again).all() and (first != other).any()


def test_fewer_are_the_first_of_more():
    assert (choose_permutations(9, 10) == choose_permutations(9, 40)[:10]).all()


@given(st.permutations(list(range(9))))
def test_a_permutation_undone_is_order(order):
    permutation = torch.tensor(order)
    assert inverse(permutation)[permutation].tolist() == permutation[inverse(permutation)].tolist() == list(range(9))


def test_more_than_there_are():
    with pytest.raises(
        InputError, match=r"4 pieces have only 24 permutations, but 25 are requested; lower --num_permutations"
    ):
        choose_permutations(4, 25)
    assert len(choose_permutations(4, math.factorial(4))) == 24
    with pytest.raises(InputError, match="two permutations, got 9 and 1"):
        choose_permutations(9, 1)
