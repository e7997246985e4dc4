"""Kernels that solve linear arrays line by line: conjugate gradients on the column nodes, rows eliminated exactly.

Every line is a chain of nodes, whose tridiagonal matrix is factorised without subtraction: each pivot is the sum of the
conductances that leave the node.  So ends of 0 and inf ohm are exact, and a floating line without cells gets 0 V
(docs/equations/lines.md).

b = batch, m = rows, n = columns, q = nodes along a line (1 if the line is one node), k = lines.  Arrays of row lines
are stored as (n, m), arrays of column lines as (m, n), so that a sweep along the lines reads contiguous memory.
"""

from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.numerics.copies import copy_into
from devices.numerics.jit import kernel

STRONG = 1.0  # [S] cells above this are nearly shorts: rounding of their current exceeds the current of a line (ours)
ISOLATED = 1e4  # the same for strongest cell over weakest end: rounding exceeds the current of the end (ours)
POLISHES = 10  # most corrections of _polish, ours; one or two are usual
POLISHED = 1e-3  # relative accuracy of each correction (ours)


class Lines(NamedTuple):
    """Factorised chains of one direction: k lines of q nodes (q = 1 if each line is one node)."""

    cells: FloatArray  #: (q', k) cell conductances [S], q' cells along a line
    inverse: FloatArray  #: (q, k) inverse pivots [ohm]
    ratio: FloatArray  #: (q, k) elimination factors: segment conductance over pivot
    near: FloatArray  #: (k,) conductance of the near end [S], 0 where the end has 0 ohm
    far: FloatArray  #: (k,) conductance of the far end [S], 0 where the end has 0 ohm
    segment: FloatArray  #: (q - 1, k) conductances between neighbours [S], 0 where a line is broken
    fixed_near: FloatArray  #: (k,) 1 where 0 ohm connects the first node to its terminal, else 0
    fixed_far: FloatArray  #: (k,) 1 where 0 ohm connects the last node to its terminal, else 0


@kernel
def factorise_lines(
    cells: FloatArray, segment: FloatArray, near: FloatArray, far: FloatArray, fixed_near: FloatArray,
    fixed_far: FloatArray, inverse: FloatArray, ratio: FloatArray,
) -> None:  # fmt: skip
    """Factorise chains of nodes whose cells lead to known voltages; if `inverse` has one row, each line is one node."""
    count, k = cells.shape
    q = len(inverse)
    carry = np.zeros(k)
    if q == 1:
        for line in range(k):
            total = near[line] + far[line]
            for i in range(count):
                total += cells[i, line]
            held = fixed_near[line] > 0.0 or fixed_far[line] > 0.0
            inverse[0, line] = 1.0 / total if total > 0.0 and not held else 0.0
            ratio[0, line] = 0.0
        return
    for i in range(q):
        for line in range(k):
            leaving = cells[i, line] + carry[line]
            if i == 0:
                leaving += near[line]
            if i == q - 1:
                leaving += far[line]
            onward = segment[i, line] if i < q - 1 else 0.0
            pivot = leaving + onward
            held = (i == 0 and fixed_near[line] > 0.0) or (i == q - 1 and fixed_far[line] > 0.0)
            if held:
                inverse[i, line] = 0.0
                ratio[i, line] = 0.0
                carry[line] = onward
            else:
                inverse[i, line] = 1.0 / pivot if pivot > 0.0 else 0.0
                ratio[i, line] = onward / pivot if pivot > 0.0 else 0.0
                carry[line] = ratio[i, line] * leaving


@kernel
def with_cells(lines: Lines, cells: FloatArray) -> Lines:
    """Return the same lines factorised for other cells (cells along a line, lines) [S]."""
    inverse, ratio = np.empty_like(lines.inverse), np.empty_like(lines.ratio)
    factorise_lines(cells, lines.segment, lines.near, lines.far, lines.fixed_near, lines.fixed_far, inverse, ratio)
    return Lines(
        cells, inverse, ratio, lines.near, lines.far, lines.segment, lines.fixed_near, lines.fixed_far
    )  # fmt: skip


@kernel
def sweep(lines: Lines, x: FloatArray) -> None:
    """Solve the chains for injected currents `x` (q, k) [A], which become voltages [V]; fixed nodes get 0 V."""
    q, k = x.shape
    inverse, ratio = lines.inverse, lines.ratio
    for i in range(1, q):
        for line in range(k):
            x[i, line] += ratio[i - 1, line] * x[i - 1, line]
    for line in range(k):
        x[q - 1, line] *= inverse[q - 1, line]
    for i in range(q - 2, -1, -1):
        for line in range(k):
            x[i, line] = x[i, line] * inverse[i, line] + ratio[i, line] * x[i + 1, line]


@kernel
def _transpose_product(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """out = (a * b)ᵀ; b may have a single row, used for all."""
    m, n = a.shape
    for first in range(0, m, 16):
        for j_0 in range(0, n, 16):
            for j in range(j_0, min(j_0 + 16, n)):
                for i in range(first, min(first + 16, m)):
                    out[j, i] = a[i, j] * b[i if len(b) > 1 else 0, j]


@kernel
def inject_sources(lines: Lines, v: FloatArray, x: FloatArray) -> None:
    """Add to `x` (q, k) [A] the currents that sources `v` (k,) [V] drive into the chains, next to fixed nodes too."""
    q, k = x.shape
    for line in range(k):
        x[0, line] += lines.near[line] * v[line]
        x[q - 1, line] += lines.far[line] * v[line]
        if q > 1 and lines.fixed_near[line] > 0.0:
            x[0, line] = 0.0
            x[1, line] += lines.segment[0, line] * v[line]
        if q > 1 and lines.fixed_far[line] > 0.0:
            x[q - 1, line] = 0.0
            x[q - 2, line] += lines.segment[q - 2, line] * v[line]


@kernel
def hold_ends(lines: Lines, v: FloatArray, x: FloatArray) -> None:
    """Set the fixed nodes to the voltages of their terminals."""
    for line in range(len(v)):
        if lines.fixed_near[line] > 0.0:
            x[0, line] = v[line]
        if lines.fixed_far[line] > 0.0:
            x[-1, line] = v[line]


@kernel
def cell_currents_into_rows(g: FloatArray, c: FloatArray, out: FloatArray, work: FloatArray) -> None:
    """Fill the currents (q, m) that cells carry into rows at 0 V, for column voltages `c`."""
    _transpose_product(g, c, work)
    if len(out) == 1 and len(work) > 1:
        out[0] = 0.0
        for j in range(len(work)):
            for i in range(work.shape[1]):
                out[0, i] += work[j, i]
    else:
        copy_into(out, work)


@kernel
def _row_voltages(rows: Lines, g: FloatArray, c: FloatArray, v: FloatArray, out: FloatArray, work: FloatArray) -> None:
    """Fill the voltages (q, m) of the row nodes for column voltages `c` and sources `v` (m,)."""
    cell_currents_into_rows(g, c, out, work)
    inject_sources(rows, v, out)
    clear_held(rows, out)
    sweep(rows, out)
    hold_ends(rows, v, out)


@kernel
def clear_held(lines: Lines, x: FloatArray) -> None:
    """Set `x` (q, k) to 0 at the fixed nodes, whose terminals absorb any current."""
    q = len(x)
    for line in range(x.shape[1]):
        if lines.fixed_near[line] > 0.0:
            x[0, line] = 0.0
        if lines.fixed_far[line] > 0.0:
            x[q - 1, line] = 0.0


@kernel
def _into_columns(columns: Lines, g: FloatArray, r: FloatArray, c: FloatArray, out: FloatArray) -> None:
    """Fill the residual current (q, n) of each column node: from the cells, minus that of its wires and ends."""
    m, n = g.shape
    q = len(out)
    out[:] = 0.0
    for first in range(0, m, 16):
        for j_0 in range(0, n, 16):
            for i in range(first, min(first + 16, m)):
                at = i if q > 1 else 0
                for j in range(j_0, min(j_0 + 16, n)):
                    out[at, j] += g[i, j] * (r[j if len(r) > 1 else 0, i] - c[at, j])
    for j in range(n):
        out[q - 1, j] -= columns.far[j] * c[q - 1, j]
        out[0, j] -= columns.near[j] * c[0, j]
    for i in range(q - 1):
        for j in range(n):
            current = columns.segment[i, j] * (c[i, j] - c[i + 1, j])
            out[i, j] -= current
            out[i + 1, j] += current
    clear_held(columns, out)


@kernel
def dot(a: FloatArray, b: FloatArray) -> float:
    """Scalar product of two arrays."""
    total = np.zeros(a.shape[1])
    for i in range(len(a)):
        for j in range(a.shape[1]):
            total[j] += a[i, j] * b[i, j]
    return float(total.sum())


@kernel
def largest(a: FloatArray) -> float:
    """Largest magnitude in an array."""
    most = 0.0
    for i in range(len(a)):
        for j in range(a.shape[1]):
            most = max(most, abs(a[i, j]))
    return most


@kernel
def _descend(
    g: FloatArray, rows: Lines, columns: Lines, left: FloatArray, absolute: float, relative: float, most_steps: int,
    c: FloatArray,
) -> int:  # fmt: skip
    """Add to `c` (q, n) the voltages that currents `left` (q, n) [A] into the column nodes cause; returns the steps.

    These are conjugate gradients on the Schur complement of the column nodes, preconditioned by the chains of the
    columns.  They stop when the next correction of every node is at most `absolute` [V], or `relative` times the first
    one.  `left` becomes the residual.
    """
    none, work = np.zeros(g.shape[0]), np.empty((g.shape[1], g.shape[0]))
    z, p, applied = np.empty_like(c), np.empty_like(c), np.empty_like(c)
    turned = np.empty((len(rows.inverse), g.shape[0]))
    copy_into(z, left)
    sweep(columns, z)
    copy_into(p, z)
    now = dot(left, z)
    limit = max(absolute, relative * largest(z))
    steps = 0
    while steps < most_steps and now > 0.0 and largest(z) > limit:
        steps += 1
        _row_voltages(rows, g, p, none, turned, work)
        _into_columns(columns, g, turned, p, applied)  # minus the operator applied to p
        length = -dot(p, applied)
        if length <= 0.0:
            break
        step = now / length
        for i in range(len(c)):
            for j in range(c.shape[1]):
                c[i, j] += step * p[i, j]
                left[i, j] += step * applied[i, j]
        copy_into(z, left)
        sweep(columns, z)
        before, now = now, dot(left, z)
        turn = now / before
        for i in range(len(c)):
            for j in range(c.shape[1]):
                p[i, j] = z[i, j] + turn * p[i, j]
    return steps


@kernel
def _remainder(columns: Lines, g: FloatArray, r: FloatArray, c: FloatArray, u: FloatArray, out: FloatArray) -> None:
    """Fill the residual current (q, n) of each column node, for lines that end at voltages `u` (n,) [V]."""
    _into_columns(columns, g, r, c, out)
    for line in range(len(u)):
        out[0, line] += columns.near[line] * u[line]
        out[-1, line] += columns.far[line] * u[line]
    clear_held(columns, out)


@kernel
def solve_sources(
    g: FloatArray, rows: Lines, columns: Lines, v: FloatArray, u: FloatArray, tolerance: float, most_steps: int,
    r: FloatArray, c: FloatArray,
) -> int:  # fmt: skip
    """Fill the voltages of row nodes `r` (q, m) and column nodes `c` (q, n) for sources `v` (m,) and ends `u` (n,) [V].

    Returns the steps, or -1 if the last correction exceeds 100 `tolerance` times the largest source.
    """
    work = np.empty((g.shape[1], g.shape[0]))
    left = np.empty_like(c)
    scale = max(np.abs(v).max(), np.abs(u).max())
    c[:] = 0.0
    hold_ends(columns, u, c)
    _row_voltages(rows, g, c, v, r, work)
    if scale == 0.0:
        return 0
    _remainder(columns, g, r, c, u, left)
    steps = _descend(g, rows, columns, left, tolerance * scale, 0.0, most_steps, c)
    _row_voltages(rows, g, c, v, r, work)
    _remainder(columns, g, r, c, u, left)  # one correction with the residual computed anew
    sweep(columns, left)
    c += left
    _row_voltages(rows, g, c, v, r, work)
    if largest(left) > 100.0 * tolerance * scale:
        return -1
    strongest = largest(g)
    weakest = min(_weakest_end(rows), _weakest_end(columns))
    if strongest < STRONG and strongest < ISOLATED * weakest:
        return steps
    return _polish(g, rows, columns, v, u, 100.0 * tolerance * scale, most_steps, steps, r, c)


@kernel
def _weakest_end(lines: Lines) -> float:
    """Smallest conductance of an end that is neither open nor 0 ohm [S]; inf if there is none."""
    weakest = np.inf
    for line in range(len(lines.near)):
        for end in (lines.near[line], lines.far[line]):
            if end > 0.0:
                weakest = min(weakest, end)
    return weakest


@kernel
def _polish(
    g: FloatArray, rows: Lines, columns: Lines, v: FloatArray, u: FloatArray, enough: float, most_steps: int,
    steps: int, r: FloatArray, c: FloatArray,
) -> int:  # fmt: skip
    """Correct `r` and `c` with the residuals of both row and column nodes, for cells much stronger than all ends.

    Returns the steps, or -1 if corrections stay above `enough` [V] (docs/equations/lines.md eq. 8).
    """
    m, n = g.shape
    cells, turned = np.empty((m, n)), np.empty((n, m))
    into_rows, into_columns, d_r, d_c = np.empty_like(r), np.empty_like(c), np.empty_like(r), np.empty_like(c)
    moved = 0.0
    for _ in range(POLISHES):
        for i in range(m):
            for j in range(n):
                cells[i, j] = g[i, j] * (r[j if len(r) > 1 else 0, i] - c[i if len(c) > 1 else 0, j])
                turned[j, i] = -cells[i, j]
        left_over(rows, r, v, turned, into_rows)
        left_over(columns, c, u, cells, into_columns)
        steps += solve_injected(g, rows, columns, into_rows, into_columns, POLISHED, most_steps, d_r, d_c)
        r += d_r
        c += d_c
        moved = max(largest(d_r), largest(d_c))
        if moved <= 0.01 * enough:
            break
    return steps if moved <= enough else -1


@kernel
def solve_injected(
    g: FloatArray, rows: Lines, columns: Lines, into_rows: FloatArray, into_columns: FloatArray,
    relative: float, most_steps: int, r: FloatArray, c: FloatArray,
) -> int:  # fmt: skip
    """Fill the voltages `r` (q, m), `c` (q, n) that currents (q, m), (q, n) [A] into the nodes cause, sources at 0 V.

    relative: last correction over the first one.  Returns the steps.
    """
    work = np.empty((g.shape[1], g.shape[0]))
    left = np.empty_like(c)
    copy_into(r, into_rows)
    clear_held(rows, r)
    sweep(rows, r)
    c[:] = 0.0
    _into_columns(columns, g, r, c, left)
    left += into_columns
    clear_held(columns, left)
    steps = _descend(g, rows, columns, left, 0.0, relative, most_steps, c)
    cell_currents_into_rows(g, c, r, work)
    r += into_rows
    clear_held(rows, r)
    sweep(rows, r)
    return steps


@kernel
def left_over(lines: Lines, nodes: FloatArray, terminals: FloatArray, arriving: FloatArray, out: FloatArray) -> float:
    """Fill the residual current (q, k) [A] of each free node; returns the largest current of a wire segment [A].

    nodes: (q, k) node voltages [V].  terminals: (k,) [V].  arriving: (q', k) currents from the cells [A].
    """
    q, k = nodes.shape
    most = 0.0
    if q == len(arriving):
        copy_into(out, arriving)
    else:
        out[:] = 0.0
        for i in range(len(arriving)):
            for line in range(k):
                out[0, line] += arriving[i, line]
    for line in range(k):
        out[0, line] += lines.near[line] * (terminals[line] - nodes[0, line])
        out[q - 1, line] += lines.far[line] * (terminals[line] - nodes[q - 1, line])
    for i in range(q - 1):
        for line in range(k):
            current = lines.segment[i, line] * (nodes[i, line] - nodes[i + 1, line])
            out[i, line] -= current
            out[i + 1, line] += current
            most = max(most, abs(current))
    clear_held(lines, out)
    return most


@kernel
def solve_inputs(
    g: FloatArray, rows: Lines, columns: Lines, v: FloatArray, v_sense: FloatArray, tolerance: float, most_steps: int,
    v_rows: FloatArray, v_columns: FloatArray, steps: IntArray,
) -> None:  # fmt: skip
    """Solve inputs `v` (b, m), `v_sense` (b, n) [V]; fills voltages (b, m, n) and steps (b,), -1: not converged."""
    m, n = g.shape
    for k in range(len(v)):
        c, r = np.empty((len(columns.inverse), n)), np.empty((len(rows.inverse), m))
        steps[k] = solve_sources(g, rows, columns, v[k], v_sense[k], tolerance, most_steps, r, c)
        for i in range(m):
            for j in range(n):
                v_rows[k, i, j] = r[j if len(r) > 1 else 0, i]
                v_columns[k, i, j] = c[i if len(c) > 1 else 0, j]
