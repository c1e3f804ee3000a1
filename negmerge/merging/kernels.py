"""The merge of a piece of weight files as compiled loops, which visit each model once: the bits of the numpy reference.

A piece is cut into blocks, so small that sums, counts and weights of a block stay in a core's first cache; on a block
each step is a plain loop, and the compiler makes vector instructions of it. What ``accumulators``, ``methods`` and
``vectors.apply_scale`` say of whole arrays is the reference: every step here says the same for one block, and tests
compare both to the bit. Nothing that a weight depends on is fused or reordered; only the tallies are.

Compiled by numba when first called, which takes seconds; kept beside this file, or in the user's cache, for this
processor and until this file changes: all of it is in one file for that. ``make setup`` has it done.

A grid is float32 [1 + N, …], θ₀ in row 0 and a model in each other row; a block of it begins at ``at`` and has ``size``
elements. float32's own bytes are a grid; other types are widened into one, block by block. Arrays are handed on whole,
with indices: to slice one costs as much as what is then done with a block.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from negmerge.checkpoints.tensors import Array
from negmerge.merging.accumulators import STEP
from negmerge.merging.rounding import FEWEST_DISTINCT, SAMPLE
from negmerge.merging.vectors import LIMIT

F32, BF16, F16 = range(3)
"""Types of stored elements, as the loops call them."""
NEGMERGE, UNIFORM, MAGMAX, TIES = range(4)
"""Methods, as the loops call them. Of one model alone, MagMax gives its τ."""

REFUSED, AGREEING, CHANGED, BALANCE, UNDECIDED, SIZE, LOST, SQUARE, TUNED_NOISE, BASE_NOISE, TALLIES = range(11)
"""What ``merge_piece`` counts and adds up, float64 each.

REFUSED: not 0 where a value is not finite, a |τ| is 8 or more, or θ* leaves its type: the reference says which.
AGREEING: elements in consensus. CHANGED: elements that are not θ₀'s. BALANCE: Σ of the elected signs, UNDECIDED:
elements whose sign the majority of the whole model decides (TIES). SIZE: Σ|τ*|. LOST: the part of it where θ₀ came
back. SQUARE: Σ(τ*)². TUNED_NOISE: Σ (mean over models of p(θᵢ))² where τ* ≠ 0, with p the power of two just below a
magnitude; BASE_NOISE: Σ p(θ₀)² there.
"""

BLOCK = SAMPLE
_NATURAL = np.uint64
"""Of indices that are computed in a loop: of others numba looks whether they count from the end, one by one."""
_BLOCK = _NATURAL(BLOCK)
_PER_STEP = np.float32(1 / STEP)
_LIMIT = np.float32(LIMIT)
_ZERO = np.float32(0)
_MAGNITUDE, _EXPONENT = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)
_HALF_SIGN, _HALF_MAGNITUDE, _HALF_EXPONENT = np.uint32(0x8000), np.uint32(0x7FFF), np.uint32(0x7C00)
_HALF_TINY = np.float32(2.0**-14)
_REBIAS = np.uint32((127 - 15) << 23)
_ONE_HIGHER = np.uint32(1 << 23)
_TO_HALF, _TO_BRAIN, _ODD = np.uint32(13), np.uint32(16), np.uint32(1)

Index = Any
"""A place or a number of elements: int, or uint64 (``_NATURAL``)."""
Float = Any
"""A float32."""

_OPTIONS: Any = {"nogil": True, "error_model": "numpy"}
Loop = TypeVar("Loop", bound=Callable[..., Any])


def _compiled(function: Loop) -> Loop:
    """Machine code for a step of the loops, without the interpreter's lock."""
    return cast(Loop, numba.njit(**_OPTIONS)(function))


def _tallied(function: Loop) -> Loop:
    """As ``_compiled``, for sums on which no weight depends: their order is the compiler's."""
    return cast(Loop, numba.njit(fastmath={"reassoc"}, **_OPTIONS)(function))


def _kept(function: Loop) -> Loop:
    """As ``_compiled``, kept on disk with all of its steps, where a place for it can be written to."""
    try:
        return cast(Loop, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:
        return _compiled(function)


@_compiled
def _widen(stored: Array, i: int, kind: int, start: Index, size: Index, grid: Array, row: int) -> None:
    """BF16 or F16 elements of model ``i``, from ``start`` on, as float32 in a row of ``grid``; stored: uint16."""
    bits = grid.view(np.uint32)
    if kind == BF16:
        for j in range(size):
            bits[row, j] = np.uint32(stored[i, start + j]) << _TO_BRAIN
        return
    for j in range(size):  # float16: the exponent moves; below the least normal number that gives 2⁻¹⁴ too much
        half = np.uint32(stored[i, start + j])
        moved = ((half & _HALF_MAGNITUDE) << _TO_HALF) + _REBIAS
        if half & _HALF_EXPONENT == 0:
            moved += _ONE_HIGHER
        bits[row, j] = moved + _REBIAS if half & _HALF_EXPONENT == _HALF_EXPONENT else moved
    for j in range(size):
        if np.uint32(stored[i, start + j]) & _HALF_EXPONENT == 0:
            grid[row, j] -= _HALF_TINY
    for j in range(size):
        bits[row, j] |= (np.uint32(stored[i, start + j]) & _HALF_SIGN) << _TO_BRAIN


@_compiled
def _narrowed(values: Array, kind: int, size: Index, out: Array) -> None:
    """float32 as bfloat16 or float16, to the nearest and of two the even one; out: their bits, uint16."""
    bits = values.view(np.uint32)
    if kind == BF16:
        for j in range(size):
            odd = (bits[j] >> _TO_BRAIN) & _ODD
            out[j] = np.uint16((bits[j] + np.uint32(0x7FFF) + odd) >> _TO_BRAIN)
        return
    small = np.empty(BLOCK, np.float32)
    for j in range(size):  # below the least normal number: adding 1/2 rounds to the digits that are left
        small[j] = abs(values[j]) + np.float32(0.5)
    digits = small.view(np.uint32)
    for j in range(size):
        magnitude = bits[j] & _MAGNITUDE
        odd = (magnitude >> _TO_HALF) & _ODD
        half = (magnitude - _REBIAS + np.uint32(0xFFF) + odd) >> _TO_HALF
        if magnitude < _REBIAS + _ONE_HIGHER:
            half = digits[j] - np.uint32(126 << 23)
        if magnitude >= np.uint32(0x477FF000):  # 65520 and more
            half = _HALF_EXPONENT
        out[j] = np.uint16(half | ((bits[j] >> _TO_BRAIN) & _HALF_SIGN))


@_compiled
def _look(grid: Array, row: int, at: Index, size: Index, wrong: Array) -> int:
    """The bits that any of the values has; wrong[j] is no longer 0 where a |τ| is 8 or more, or not finite."""
    bits, every = grid.view(np.uint32), np.uint32(0)
    for j in range(size):
        every = np.uint32(every | bits[row, at + j])
        wrong[j] |= np.int32(not abs(grid[row, at + j] - grid[0, at + j]) < _LIMIT)
    return int(every)


@_compiled
def _has_several(grid: Array, row: int, at: Index, size: Index) -> bool:
    """Whether there are so many different values that digits which all lack are no chance (``rounding``)."""
    bits, found, known = grid.view(np.uint32), 0, np.empty(FEWEST_DISTINCT, np.uint32)
    for j in range(size):
        new = True
        for i in range(found):
            new = new and known[i] != bits[row, at + j]
        if new:
            known[found] = bits[row, at + j]
            found += 1
            if found == FEWEST_DISTINCT:
                return True
    return False


@_compiled
def _add_powers(grid: Array, row: int, at: Index, size: Index, room: Array, powers: Array) -> None:
    """The power of two just below each magnitude, added."""
    bits, power = grid.view(np.uint32), room.view(np.uint32)
    for j in range(size):
        power[j] = bits[row, at + j] & _EXPONENT
    for j in range(size):
        powers[j] += room[j]


@_compiled
def _fold_sum(grid: Array, row: int, at: Index, size: Index, total: Array) -> None:
    """S += rint(τ·2⁵⁰)."""
    for j in range(size):
        tau = grid[row, at + j] - grid[0, at + j]
        total[j] += np.int64(np.rint(tau * _PER_STEP))


@_compiled
def _fold_signs(grid: Array, row: int, at: Index, size: Index, positives: Array, negatives: Array) -> None:
    """Apart from the sum, whose wide elements would make this loop as slow."""
    for j in range(size):
        tau = grid[row, at + j] - grid[0, at + j]
        positives[j] += np.int32(tau > 0)
        negatives[j] += np.int32(tau < 0)


@_compiled
def _fold_largest(grid: Array, row: int, at: Index, size: Index, largest: Array) -> None:
    for j in range(size):
        tau = grid[row, at + j] - grid[0, at + j]
        mine, best = abs(tau), abs(largest[j])
        larger = mine > best or (mine == best and tau > largest[j])
        largest[j] = tau if larger else largest[j]


@_compiled
def _subtracted(grid: Array, row: int, at: Index, size: Index, floor: Float, tau: Array) -> None:
    """τ, or 0 where its magnitude is below the floor."""
    for j in range(size):
        change = grid[row, at + j] - grid[0, at + j]
        tau[j] = change if abs(change) >= floor else _ZERO


@_compiled
def _fold_trimmed(
    tau: Array, size: Index, positive: Array, negative: Array, positives: Array, negatives: Array
) -> None:
    for j in range(size):
        steps = np.int64(np.rint(tau[j] * _PER_STEP))
        positive[j] += max(steps, 0)
        negative[j] += min(steps, 0)
    for j in range(size):
        positives[j] += np.int32(tau[j] > 0)
        negatives[j] += np.int32(tau[j] < 0)


@_compiled
def _mean(models: int, size: Index, total: Array, out: Array) -> None:
    for j in range(size):
        out[j] = np.float32(np.float64(total[j]) / (models / STEP))


@_compiled
def _mean_in_consensus(
    models: int, needed: int, size: Index, total: Array, positives: Array, negatives: Array, out: Array
) -> int:
    """As ``methods.NegMerge``; returns how many elements are in consensus."""
    agreeing = np.int64(0)
    for j in range(size):
        agreed = max(positives[j], negatives[j]) >= needed and positives[j] != negatives[j]
        out[j] = np.float32(np.float64(total[j]) / (models / STEP)) if agreed else _ZERO
        agreeing += np.int64(agreed)
    return int(agreeing)


@_compiled
def _elected(
    majority: int,
    size: Index,
    positive: Array,
    negative: Array,
    positives: Array,
    negatives: Array,
    out: Array,
    tallies: Array,
) -> None:
    """As ``methods.Ties``."""
    balance = undecided = np.int64(0)
    for j in range(size):
        sign = np.sign(positive[j] + negative[j])
        balance += sign
        undecided += np.int64(sign == 0 and positive[j] > 0)
        sign = majority if sign == 0 else sign
        total, count = (positive[j], positives[j]) if sign > 0 else (negative[j], negatives[j])
        out[j] = _ZERO if sign == 0 else np.float32(np.float64(total) / (max(count, 1) / STEP))
    tallies[BALANCE] += balance
    tallies[UNDECIDED] += undecided


@_compiled
def _applied(grid: Array, at: Index, size: Index, merged: Array, scale: Float, theta: Array) -> None:
    """θ₀ − λ·τ*, a multiplication and then a subtraction, and θ₀ where τ* or λ is 0; float32."""
    for j in range(size):
        step = merged[j] * scale
        moved = grid[0, at + j] - step
        theta[j] = grid[0, at + j] if merged[j] == 0 or scale == 0 else moved


@_compiled
def _stored(
    grid: Array, at: Index, size: Index, theta: Array, kind: int, halves: Array, out: Array, start: Index
) -> int:
    """θ* into ``out``, uint8, in θ₀'s type; ``theta`` then is what was stored. Returns how many are not finite.

    halves: of a 16-bit type θ₀'s bits, uint16 [1 + N, …], which stay where nothing moved.
    """
    bits, beyond = theta.view(np.uint32), np.int64(0)
    if kind == F32:
        place = out.view(np.uint32)
        for j in range(size):
            place[start + j] = bits[j]
    else:
        narrow, own, place16 = np.empty(BLOCK, np.uint16), grid.view(np.uint32), out.view(np.uint16)
        _narrowed(theta, kind, size, narrow)
        for j in range(size):
            place16[start + j] = halves[0, start + j] if own[0, at + j] == bits[j] else narrow[j]
        again = np.empty((1, BLOCK), np.float32)
        _widen(place16.reshape((1, len(place16))), 0, kind, start, size, again, 0)
        for j in range(size):
            theta[j] = again[0, j]
    for j in range(size):
        beyond += np.int64(bits[j] & _EXPONENT == _EXPONENT)
    return int(beyond)


@_tallied
def _tally(grid: Array, at: Index, size: Index, merged: Array, theta: Array, tallies: Array) -> None:
    """Sums of a block in float32, of blocks in float64: a tally is told in a few digits."""
    changed, total, lost, square = np.int64(0), _ZERO, _ZERO, _ZERO
    before, after = grid.view(np.uint32), theta.view(np.uint32)
    for j in range(size):
        length = abs(merged[j])
        same = before[0, at + j] == after[j]
        changed += np.int64(not same)
        total += length
        square += length * length
        lost += length if same else _ZERO
    tallies[CHANGED] += changed
    tallies[SIZE] += total
    tallies[LOST] += lost
    tallies[SQUARE] += square


@_tallied
def _tally_noise(size: Index, merged: Array, powers: Array, own: Array, models: int, tallies: Array) -> None:
    tuned, base = 0.0, 0.0
    for j in range(size):
        mean = np.float64(powers[j]) / models
        tuned += mean * mean if merged[j] != 0 else 0.0
        base += np.float64(own[j]) * np.float64(own[j]) if merged[j] != 0 else 0.0
    tallies[TUNED_NOISE] += tuned
    tallies[BASE_NOISE] += base


@_kept
def merge_piece(
    method: int,
    stored: Array,
    kind: int,
    size: int,
    needed: int,
    floors: Array,
    majority: int,
    scale: Float,
    noisy: bool,
    out: Array,
    every: Array,
    several: Array,
    tallies: Array,
) -> None:
    """Merge one piece of N models, S elements each, and write θ* into ``out``.

    method: NEGMERGE … TIES. stored: uint8 [1 + N, ≥ 4·S], the pieces' bytes, θ₀'s first. kind: F32 … F16. size: S.
    needed: models that must agree (NEGMERGE). floors: float32 [N], majority: −1, 0 or 1 (TIES). scale: λ, float32.
    noisy: whether TUNED_NOISE and BASE_NOISE are wanted. out: uint8, S elements. every: uint32 [1 + N], the bits that
    any element of a model has; several: bool [1 + N], whether its first have many values (both as ``rounding`` wants to
    know). tallies: float64 [TALLIES]. All four are written over.
    """
    models, plain = len(stored) - 1, kind == F32
    floats, halves, room = stored.view(np.float32), stored.view(np.uint16), np.empty((2, BLOCK), np.float32)
    grid = floats if plain else room
    total, other = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    positives, negatives, wrong = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    tau, merged, theta = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    powers, own = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    every[:] = 0
    tallies[:] = 0
    for start in range(_NATURAL(0), _NATURAL(size), _BLOCK):
        count = min(_BLOCK, _NATURAL(size) - start)
        at: Index = start if plain else _NATURAL(0)
        for j in range(BLOCK):
            total[j], other[j], positives[j], negatives[j], wrong[j] = 0, 0, 0, 0, 0
            merged[j], powers[j], own[j] = _ZERO, _ZERO, _ZERO
        for i in range(models + 1):
            row = i if plain else min(i, 1)
            if not plain:
                _widen(halves, i, kind, start, count, grid, row)
            every[i] |= _look(grid, row, at, count, wrong)
            if start == 0:
                several[i] = _has_several(grid, row, at, count)
            if i == 0:
                continue
            if noisy:
                _add_powers(grid, row, at, count, tau, powers)
            if method == MAGMAX:
                _fold_largest(grid, row, at, count, merged)
            elif method == TIES:
                _subtracted(grid, row, at, count, floors[i - 1], tau)
                _fold_trimmed(tau, count, total, other, positives, negatives)
            else:
                _fold_sum(grid, row, at, count, total)
            if method == NEGMERGE:
                _fold_signs(grid, row, at, count, positives, negatives)
        if method == TIES:
            _elected(majority, count, total, other, positives, negatives, merged, tallies)
        elif method == UNIFORM:
            _mean(models, count, total, merged)
        elif method == NEGMERGE:
            agreeing = _mean_in_consensus(models, needed, count, total, positives, negatives, merged)
            tallies[AGREEING] += agreeing
        _applied(grid, at, count, merged, scale, theta)
        tallies[REFUSED] += wrong.sum() + _stored(grid, at, count, theta, kind, halves, out, start)
        _tally(grid, at, count, merged, theta, tallies)
        if noisy:
            _add_powers(grid, 0, at, count, tau, own)
            _tally_noise(count, merged, powers, own, models, tallies)


@_kept
def select_piece(
    stored: Array,
    kind: int,
    size: int,
    low: Array,
    high: Array,
    found: Array,
    lengths: Array,
    above: Array,
) -> int:
    """Take out of a piece of N models the |τ| that may be the k-th; returns how many are 8 or more, or not finite.

    stored, kind, size: as for ``merge_piece``. low, high: uint32 [N], bit patterns of magnitudes. found: uint32
    [N, ≥ S], the patterns from low to below high, lengths: int64 [N], how many of them; above: int64 [N], how many are
    high or more. All three are written over.
    """
    models, plain, wrong = len(stored) - 1, kind == F32, np.zeros(BLOCK, np.int32)
    floats, halves, room = stored.view(np.float32), stored.view(np.uint16), np.empty((2, BLOCK), np.float32)
    grid, tau = floats if plain else room, np.empty(BLOCK, np.float32)
    bits = tau.view(np.uint32)
    lengths[:] = 0
    above[:] = 0
    for start in range(_NATURAL(0), _NATURAL(size), _BLOCK):
        count = min(_BLOCK, _NATURAL(size) - start)
        at: Index = start if plain else _NATURAL(0)
        for i in range(models + 1):
            row = i if plain else min(i, 1)
            if not plain:
                _widen(halves, i, kind, start, count, grid, row)
            if i == 0:
                continue
            _look(grid, row, at, count, wrong)
            _subtracted(grid, row, at, count, _ZERO, tau)
            over, place, least, most = np.int64(0), _NATURAL(lengths[i - 1]), low[i - 1], high[i - 1]
            for j in range(count):
                over += np.int64(bits[j] & _MAGNITUDE >= most)
            for j in range(count):
                pattern = bits[j] & _MAGNITUDE
                found[i - 1, place] = pattern
                place += _NATURAL(least <= pattern) & _NATURAL(pattern < most)
            lengths[i - 1] = place
            above[i - 1] += over
    return int(wrong.sum())


def prepare() -> None:
    """Have both loops compiled for this processor, and kept where that is possible, before anybody waits for them."""
    stored, out, every, several = (
        np.zeros((2, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros(2, np.uint32),
        np.zeros(2, np.bool_),
    )
    tallies, floors = np.zeros(TALLIES), np.zeros(1, np.float32)
    merge_piece(UNIFORM, stored, F32, 1, 0, floors, 0, np.float32(1), False, out, every, several, tallies)
    bounds, counts = np.zeros((2, 1), np.uint32), np.zeros((2, 1), np.int64)
    select_piece(stored, F32, 1, bounds[0], bounds[1], np.zeros((1, 1), np.uint32), counts[0], counts[1])
