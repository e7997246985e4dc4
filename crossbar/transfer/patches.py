"""Patches, the smallest blocks: tables of the eliminations that the gradient keeps, run by the kernel `patch`.

The elimination goes row by row.  First the row nodes are eliminated from left to right; each is coupled by its cell to
a column node.  Then the column nodes of that row are eliminated; their lower arms lead to the column nodes of the next
row.  This file computes, once per shape, the neighbours of each node and the positions of all couplings that its
elimination changes (docs/equations/reduction.md, section 2).
"""

from collections.abc import Sequence

from crossbar.transfer.merge_table import TALL, WIDE

PATCH = 4  # most cells on the side of a patch, ours


def padded(ports: int) -> tuple[int, int]:
    """Rows and columns of a block's matrix, padded to whole tiles."""
    return -(-ports // TALL) * TALL, -(-ports // WIDE) * WIDE


class _Nodes:
    """Recorder of eliminations, which keeps track of the couplings between nodes."""

    def __init__(self, ports: int, inner: int) -> None:
        self.ports, self.all = ports, ports + inner
        rows, self.step = padded(ports)
        self.block = rows * self.step
        self.space = self.block + inner * self.all
        self.neighbours: list[set[int]] = [set() for _ in range(self.all)]
        self.program: list[int] = []

    def place(self, u: int, w: int) -> int:
        """Position of the coupling of two nodes: in the block itself for two ports, else after the block."""
        high, low = max(u, w), min(u, w)
        return high * self.step + low if high < self.ports else self.block + (high - self.ports) * self.all + low

    def couple(self, u: int, w: int) -> None:
        self.neighbours[u].add(w)
        self.neighbours[w].add(u)

    def eliminate(self, u: int, arms: tuple[int, int], ends: tuple[int, int], cell: tuple[int, int]) -> None:
        """Eliminate node u with two arms and their far ends (-1: open).

        cell: number of its cell and the node on the other side of the cell, or (-1, -1).
        """
        if cell[0] >= 0:
            self.couple(u, cell[1])
        around = sorted(self.neighbours[u])
        far = [end for end in ends if end >= 0]
        self.program += [
            cell[0], self.place(u, cell[1]) if cell[0] >= 0 else -1, *arms, *(int(end >= 0) for end in ends),
            self.place(*far) if len(far) == 2 else -1, len(around),
        ]  # fmt: skip
        self.program += [self.place(u, w) for w in around]
        for end in far:
            self.program += [self.place(end, w) for w in around]
        self.program += [self.place(w, x) for k, w in enumerate(around) for x in around[:k]]
        for k, w in enumerate(around):
            self.neighbours[w].discard(u)
            for x in (*around[:k], *far):
                self.couple(w, x)
        if len(far) == 2:
            self.couple(*far)
        self.neighbours[u] = set()


def program(a: int, b: int, first: Sequence[int], ports: int) -> tuple[list[int], int]:
    """Return the program of a patch with a × b cells, and the floats that it needs per lane.

    first: positions of the first port on the left, right (-1: none), top (-1: none) and bottom.
    """
    left, right, top, bottom = first
    nodes = _Nodes(ports, 2 + 2 * b)  # at most two row nodes and two rows of column nodes exist at a time
    arm_right, arm_top, arm_bottom = a, 2 * a, 2 * a + b
    arm_row = 2 * a + 2 * b
    arm_column = arm_row + a * (b - 1)
    none = arm_column + (a - 1) * b

    def row_node(j: int) -> int:
        return ports + j % 2

    def column_node(i: int, j: int) -> int:
        return ports + 2 + i % 2 * b + j

    for i in range(a):
        for j in range(b):
            before = (i, left + i) if j == 0 else (none, -1)
            after = (arm_row + i * (b - 1) + j, row_node(j + 1))
            if j == b - 1:
                after = (arm_right + i, right + i) if right >= 0 else (none, -1)
            nodes.eliminate(row_node(j), (before[0], after[0]), (before[1], after[1]), (i * b + j, column_node(i, j)))
        for j in range(b):
            above = (arm_top + j, top + j) if i == 0 and top >= 0 else (none, -1)
            below = (arm_column + i * b + j, column_node(i + 1, j)) if i < a - 1 else (arm_bottom + j, bottom + j)
            nodes.eliminate(column_node(i, j), (above[0], below[0]), (above[1], below[1]), (-1, -1))
    return nodes.program, nodes.space
