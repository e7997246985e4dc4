"""Reference solver for any circuit of resistors and capacitors: slow, readable and exact up to rounding.

Nodes are numbers, and some have known voltages.  DC voltages come from sparse nodal analysis.  The step response comes
from all eigenmodes of the circuit (docs/equations/settling.md, section 5).
b = batch, t = times
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from scipy.linalg import eigh

from crossbar.arrays.wires import Wires
from crossbar.reference.nodal_analysis import Branches, Wide, components, solve_branches
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError

MOST_NODES = 4000  # dense eigenvectors of more free nodes take minutes and gigabytes, ours
INSTANT = 1e-13  # time constants below this times the largest are rounding, ours

Branch = tuple[int, int, float]


def line(nodes: IntArray, terminal: int, segments: Sequence[float], near: float, far: float) -> list[Branch]:
    """Resistors (node, node, Ω) of one line: segments between neighbours, and both ends to one terminal."""
    ends = [(terminal, int(nodes[0]), near), (terminal, int(nodes[-1]), far)]
    return ends + [(int(a), int(b), ohm) for (a, b), ohm in zip(pairwise(nodes), segments, strict=True)]


def wires_of(wires: Wires, rows: IntArray, columns: IntArray, sources: IntArray, senses: IntArray) -> list[Branch]:
    """All wires of an array with nodes (m, n); docs/equations/nodal.md, section 1."""
    m, n = rows.shape
    driver, driver_far, sense, sense_far = wires.driver(m), wires.driver_far(m), wires.sense(n), wires.sense_far(n)
    along, across = wires.row_segments(m, n).tolist(), wires.column_segments(m, n).T.tolist()
    parts: list[Branch] = []
    for i in range(m):
        parts += line(rows[i], int(sources[i]), along[i], driver[i], driver_far[i])
    for j in range(n):
        parts += line(columns[:, j], int(senses[j]), across[j], sense_far[j], sense[j])
    return parts


class Circuit:
    """Resistors, conductances and capacitors between `count` nodes; the nodes `known` have given voltages.

    resistors: (node, node, Ω), 0 and inf exact; conductances: (node, node, S); capacitors: (node, node, F).
    Nodes without a resistive path to a known node are set to 0 V, as in docs/equations/nodal.md eq. 6.
    """

    def __init__(
        self, count: int, known: IntArray, resistors: Iterable[Branch], conductances: Iterable[Branch] = (),
        capacitors: Iterable[Branch] = (),
    ) -> None:  # fmt: skip
        resistors = list(resistors)
        shorts = np.array([(a, b) for a, b, ohm in resistors if ohm == 0.0], dtype=np.int64).reshape(-1, 2)
        self.groups, self.node = components(count, shorts)
        parts = [(a, b, 1.0 / ohm) for a, b, ohm in resistors if 0.0 < ohm < np.inf]
        self.conductors = self._branches([*parts, *conductances])
        self.capacitors = self._branches(capacitors)
        self.known = self.node[known]
        held = np.zeros(self.groups, dtype=np.bool_)
        held[self.known] = True
        islands, island = components(self.groups, self.conductors.ends)
        anchored = np.zeros(islands, dtype=np.bool_)
        anchored[island[held]] = True
        self.free = ~held & anchored[island]

    def _branches(self, parts: Iterable[Branch]) -> Branches:
        """Branches between groups of shorted nodes, without open branches and branches inside a group."""
        kept = [(self.node[a], self.node[b], value) for a, b, value in parts if value > 0.0]
        kept = [(a, b, value) for a, b, value in kept if a != b]
        ends = np.array([(a, b) for a, b, _ in kept], dtype=np.int64).reshape(-1, 2)
        return Branches(ends, np.array([value for *_, value in kept], dtype=np.float64))

    def _held(self, v: FloatArray) -> FloatArray:
        """Voltages (groups, b) [V] of the known groups, 0 for the free ones."""
        voltages = np.zeros((self.groups, len(v)))
        voltages[self.known] = v.T
        return voltages

    def solve(self, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return DC voltages [V] of all nodes and the currents that leave them [A], (b, nodes), from v (b, known) [V].

        The current of a node is that of its whole group of shorted nodes; at free nodes it is 0 up to rounding.
        Raises ConvergenceError if the ratio of conductances is too large for float64.
        """
        voltages = solve_branches(self.conductors, self._held(v).astype(Wide), self.free)
        currents = self.conductors.leaving(voltages)
        return voltages[self.node].T.astype(np.float64), currents[self.node].T.astype(np.float64)

    def residual(self, voltages: FloatArray) -> float:
        """Return the largest residual current of a free node over the largest branch current.

        voltages: (b, nodes) [V].
        """
        grouped = np.zeros((self.groups, len(voltages)), dtype=Wide)
        grouped[self.node] = voltages.T
        largest = np.abs(self.conductors.through(grouped)).max(axis=0, initial=0.0)
        left = np.abs(self.conductors.leaving(grouped)[self.free]).max(axis=0, initial=0.0)
        return float(np.divide(left, largest, out=np.zeros_like(left), where=largest > 0.0).max(initial=0.0))

    def modes(self) -> tuple[FloatArray, FloatArray]:
        """Return rising time constants (k,) [s] and eigenmodes (free groups, k), normalised to modesᵀ G modes = 1.

        Raises ParameterError if the circuit has more than MOST_NODES free nodes.
        Source: docs/equations/settling.md eq. 15.
        """
        count = int(np.count_nonzero(self.free))
        if count > MOST_NODES:
            raise ParameterError(f"the circuit has {count} free nodes, modes are for at most {MOST_NODES}")
        if count == 0 or not len(self.capacitors.siemens):
            return np.zeros(count), np.zeros((count, count))
        farads = self.capacitors.siemens.max()
        scaled = Branches(self.capacitors.ends, self.capacitors.siemens / farads)
        constants, shapes = eigh(scaled.matrix(self.free).toarray(), self.conductors.matrix(self.free).toarray())
        constants[constants < INSTANT * constants[-1]] = 0.0
        return constants * farads, shapes

    def moments(self, v: FloatArray, orders: int) -> FloatArray:
        """Return the integrals (orders, b, nodes) of t^(k-1) e(t) / (k-1)! for k from 1, with the signs of `step`.

        v: (b, known) [V].  e(t) is the difference between the final and the present current that leaves each node after
        a step.  The current pulses of capacitors at known nodes are included, as -C·v at k = 1.
        Raises what `modes` raises.
        Source: docs/equations/settling.md eq. 2 and 16, integrated mode by mode.
        """
        constants, shapes = self.modes()
        held, moments = self._held(v), []
        final = solve_branches(self.conductors, held.astype(Wide), self.free).astype(np.float64)
        stored = shapes.T @ self.conductors.matrix(self.free) @ final[self.free]
        pushed = shapes.T @ self.capacitors.leaving(held.astype(Wide))[self.free].astype(np.float64)
        before = final
        for k in range(1, orders + 1):
            now = np.zeros_like(final)
            now[self.free] = shapes @ (constants[:, None] ** k * stored + constants[:, None] ** (k - 1) * pushed)
            at_nodes = self.conductors.leaving(now.astype(Wide)) - self.capacitors.leaving(before.astype(Wide))
            moments.append(at_nodes.astype(np.float64)[self.node].T)
            before = now
        return np.stack(moments)

    def step(self, v: FloatArray, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return voltages [V] of all nodes and the currents that leave them [A], after known voltages step from 0 to v.

        v: (b, known) [V]; times: (t,) [s], above 0, that is after the current pulse through capacitors at t = 0.
        Returns (b, t, nodes) twice.
        Raises ParameterError for times that are not above 0, or a circuit that is too large.
        Source: docs/equations/settling.md eq. 16.
        """
        times = checks.array("times", times, ndim=1)
        if times.size and not times.min() > 0.0:
            raise ParameterError(f"times must be above 0 s, got {times.min():g} s")
        constants, shapes = self.modes()
        moving = constants > 0.0
        constants, shapes = constants[moving], shapes[:, moving]
        held = self._held(v)
        final = solve_branches(self.conductors, held.astype(Wide), self.free).astype(np.float64)
        # Distance of each mode from its final value right after the step: final amplitude minus the capacitive jump.
        stored = shapes.T @ self.conductors.matrix(self.free) @ final[self.free]
        jump = -(shapes.T @ self.capacitors.leaving(held.astype(Wide))[self.free].astype(np.float64))
        missing = stored - jump / constants[:, None]  # (k, b)
        with np.errstate(over="ignore"):  # of a quotient whose decay is 0
            decay = np.exp(-times[:, None] / constants)  # (t, k)
        left = decay[:, :, None] * missing  # (t, k, b)
        voltages = np.broadcast_to(final, (len(times), *final.shape)).copy()
        voltages[:, self.free] -= shapes @ left
        rates = np.zeros_like(voltages)
        rates[:, self.free] = shapes @ (left / constants[:, None])
        currents = np.stack([
            self.conductors.leaving(now.astype(Wide)) + self.capacitors.leaving(rate.astype(Wide))
            for now, rate in zip(voltages, rates, strict=True)
        ]) if len(times) else np.zeros_like(voltages)  # fmt: skip
        place = self.node
        return voltages[:, place].transpose(2, 0, 1), currents[:, place].transpose(2, 0, 1).astype(np.float64)
