"""The table of merges and patches: names of its columns, and functions that add and copy runs of numbers."""

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

TALL, WIDE = 3, 4  # rows and columns of a tile: its 12 sums and their factors fill 16 vector registers

# A merge is a row of integers: these columns, then the segments, which are runs of kept ports in the order of the
# merged block.
SHARED, PORTS_A, PORTS_B, PORTS, START_A, START_B, START, SEGMENTS = range(8)
FIRST_SEGMENT = 8
SEGMENT = 4  # numbers of a segment: block 0 or 1, first port there, count, first port in the merged block
MOST_SEGMENTS = 8
MERGE_WIDTH = FIRST_SEGMENT + SEGMENT * MOST_SEGMENTS
# A patch is a row of the same width: -1, then these columns.  PATCH_SPACE includes nodes that are yet to be eliminated.
# PATCH_FIRST and the three columns after it are its first ports on the left, right, top and bottom, -1 for none.
PATCH_START, PATCH_ROW, PATCH_COLUMN, PATCH_ROWS, PATCH_COLUMNS, PATCH_SPACE, PATCH_PROGRAM, PATCH_PROGRAM_END = range(
    1, 9
)
PATCH_PORTS, PATCH_FIRST = 9, 10
# A leaf is a row of LEAF_WIDTH integers: first row and column, position in the buffer, first port of each side, then:
LEAF_PORTS, LEAF_CLASS = 7, 8
LEAF_WIDTH = 9
# The program of a patch has these numbers for every node, then the positions described in `patch`.  The arms of a patch
# of a × b cells are numbered: left (a), right (a), top (b), bottom (b), row segments (a × (b - 1)), column segments
# ((a - 1) × b), open.
CELL, CELL_PLACE, ARM_1, ARM_2, HAS_1, HAS_2, ALONG, NEIGHBOURS = range(8)
NODE = 8


@kernel(inline=True)
def stride(p: int) -> int:
    """Distance between the rows of a block with p ports."""
    return -(-p // WIDE) * WIDE


@kernel(inline=True)
def add_to(to: FloatArray, from_: FloatArray) -> None:
    """Add one run of numbers to another of the same length."""
    for k in range(len(to)):
        to[k] += from_[k]


@kernel(inline=True)
def copy_to(to: FloatArray, from_: FloatArray) -> None:
    """Copy one run of numbers to another of the same length."""
    for k in range(len(to)):
        to[k] = from_[k]
