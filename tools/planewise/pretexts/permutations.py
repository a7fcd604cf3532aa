"""Choose permutations that differ as much as possible, as the classes of a jigsaw puzzle."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container
from itertools import count as counting

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from planewise.errors import InputError


def choose_permutations(pieces: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose permutations with large Hamming distances, one after the other (Noroozi and Favaro 2016, Algorithm 1).

    The first permutation is random. Each further permutation is the one with the largest sum of distances to the chosen
    permutations, ``argmax_p sum_c H(p, c)``, among those not yet chosen. Ties are broken at random.

    The paper enumerates all ``pieces!`` permutations, which is impossible for 27 pieces. Let ``n`` be the number of chosen
    permutations, and ``N_sv`` the number of those with piece ``v`` in position ``s``. Then the sum is
    ``sum_s (n - N_(s p(s)))``, and finding the smallest ``sum_s N_(s p(s))`` is an assignment problem, which SciPy solves.

    Returns:
        Shape ``(count, pieces)``, with different rows: entry ``[n, s]`` is the piece in position ``s`` of puzzle ``n``.

    Raises:
        InputError: more permutations are requested than there are.
    """
    if pieces < 2 or count < 2:
        raise InputError(f"a puzzle needs at least two pieces and two permutations, got {pieces} and {count}")
    if count > math.factorial(pieces):
        raise InputError(
            f"{pieces} pieces have only {math.factorial(pieces)} permutations, but {count} are requested; lower "
            "--num_permutations"
        )
    generator = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {tuple(generator.permutation(pieces).tolist()): None}
    there = np.zeros((pieces, pieces))
    places = np.arange(pieces)
    last = next(iter(chosen))
    while len(chosen) < count:
        there[places, last] += 1
        # the random numbers of a permutation add up to less than one, so they only break ties
        last = _cheapest(there + generator.random(there.shape) / pieces, chosen)
        chosen[last] = None
    return np.array(list(chosen), dtype=np.int64)


def _cheapest(cost: NDArray[np.float64], excluded: Container[tuple[int, ...]]) -> tuple[int, ...]:
    """The permutation ``p`` with the lowest ``sum_s cost[s, p(s)]`` among those that are not excluded (Murty 1968).

    If the cheapest permutation of a set is excluded, the cheapest of each part of the rest is a new candidate: part s
    contains the permutations that agree with the excluded one before position s and differ from it at position s.
    """
    number = counting()
    candidates: list[tuple[float, int, tuple[int, ...], NDArray[np.float64], int]] = []

    def add(costs: NDArray[np.float64], fixed: int) -> None:
        try:
            rows, columns = linear_sum_assignment(costs)
        except ValueError:  # this part contains no permutation
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
            # the permutations of all following parts agree with this one at this position
            costs = costs.copy()
            costs[place, np.arange(len(cost)) != found[place]] = math.inf
