"""Permutations that differ as much as possible, the classes of a jigsaw puzzle."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Container
from itertools import count as counting
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from planewise.errors import InputError
from planewise.text_files import read_json


def choose_permutations(pieces: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Permutations that are far apart in Hamming distance, chosen one after the other (Noroozi and Favaro 2016, Algorithm 1).

    The first is random. Each of the others has, among all permutations that are not chosen yet, the largest sum of distances
    to those that are: ``argmax_p sum_c H(p, c)``. Ties are broken at random.

    The paper goes over all ``pieces!`` permutations. Here none are listed, so that 27 pieces take hardly longer than 9. With
    ``N_sv`` the number of chosen permutations that have piece ``v`` in place ``s``, and ``n`` chosen in all, the sum is
    ``sum_s (n - N_(s p(s)))``. It is largest where ``sum_s N_(s p(s))`` is smallest: an assignment of pieces to places at the
    least cost, which SciPy solves.

    Args:
        pieces: number of pieces.
        count: number of permutations.
        seed: decides the result.

    Returns:
        Shape ``(count, pieces)``, no two rows alike: place ``s`` of the ``n``-th puzzle shows piece ``[n, s]``.

    Raises:
        InputError: there are not so many permutations.
    """
    if pieces < 2 or count < 2:
        raise InputError(f"a puzzle needs two pieces and two permutations, not {pieces} and {count}")
    if count > math.factorial(pieces):
        raise InputError(
            f"{pieces} pieces have {math.factorial(pieces)} permutations, and {count} were asked for; lower --permutations"
        )
    generator = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {tuple(generator.permutation(pieces).tolist()): None}
    there = np.zeros((pieces, pieces))
    places = np.arange(pieces)
    last = next(iter(chosen))
    while len(chosen) < count:
        there[places, last] += 1
        # all draws of a permutation sum to less than one, and so decide between ties alone
        last = _cheapest(there + generator.random(there.shape) / pieces, chosen)
        chosen[last] = None
    return np.array(list(chosen), dtype=np.int64)


def _cheapest(cost: NDArray[np.float64], excluded: Container[tuple[int, ...]]) -> tuple[int, ...]:
    """The permutation ``p`` with the least ``sum_s cost[s, p(s)]`` among those not excluded (Murty 1968).

    Where the cheapest of a set of permutations is excluded, the rest of the set is divided into those that differ from it at
    the first place, those that agree there and differ at the second, and so on; the cheapest of each part is a candidate.
    """
    number = counting()
    candidates: list[tuple[float, int, tuple[int, ...], NDArray[np.float64], int]] = []

    def add(costs: NDArray[np.float64], fixed: int) -> None:
        try:
            rows, columns = linear_sum_assignment(costs)
        except ValueError:  # nothing is left in this part
            return
        found = tuple(columns.tolist())
        heapq.heappush(candidates, (float(costs[rows, columns].sum()), next(number), found, costs, fixed))

    add(cost, 0)
    while True:
        _, _, found, costs, fixed = heapq.heappop(candidates)
        if found not in excluded:
            return found
        for place in range(fixed, len(cost)):
            part = costs.copy()
            part[place, found[place]] = math.inf
            add(part, place)
            # the parts that follow agree with what was found at this place
            costs = costs.copy()
            costs[place, np.arange(len(cost)) != found[place]] = math.inf


def permutations_as_text(pieces: int, count: int, seed: int = 0) -> str:
    """What `choose_permutations` gives, as a file that says how it was made, a permutation on each line."""
    rows = ",\n".join(f"  {row}" for row in choose_permutations(pieces, count, seed).tolist())
    head = {"method": "Noroozi and Favaro 2016, Algorithm 1", "pieces": pieces, "seed": seed}
    return json.dumps(head)[:-1] + f', "permutations": [\n{rows}\n]}}\n'


def read_permutations(path: str | Path, pieces: int, count: int) -> NDArray[np.int64]:
    """The first permutations of a file of `permutations_as_text`.

    Args:
        path: the file.
        pieces: number of pieces that they are wanted of.
        count: number of permutations; the algorithm chooses one after the other, so that the first are as far apart as if no
            others had been chosen.

    Returns:
        As `choose_permutations`.

    Raises:
        InputError: there is no such file, it holds something else, or fewer permutations.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(
            f"there is no file of permutations at {path}; leave --permutation_file out, and they are chosen anew"
        )
    try:
        rows = np.array(read_json(path)["permutations"], dtype=np.int64)
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no permutations ({type(error).__name__}); leave --permutation_file out"
        ) from error
    if rows.ndim != 2 or not (np.sort(rows, axis=1) == np.arange(rows.shape[1])).all():
        raise InputError(
            f"{path} holds rows that are no permutations of 0 to their length; leave --permutation_file out"
        )
    if len(np.unique(rows, axis=0)) < len(rows):
        raise InputError(f"{path} holds the same permutation twice; leave --permutation_file out")
    if rows.shape[1] != pieces or len(rows) < count:
        raise InputError(
            f"{path} holds {len(rows)} permutations of {rows.shape[1]} pieces, and {count} of {pieces} are wanted; lower "
            "--permutations, or leave --permutation_file out, and they are chosen anew"
        )
    return rows[:count]


def inverse(permutations: Tensor) -> Tensor:
    """Where each piece lies: ``inverse(p)[p[s]] = s``, of permutations ``(..., pieces)``."""
    return permutations.argsort(dim=-1)
