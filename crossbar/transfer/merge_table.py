"""The table that describes one merge of two blocks: names of its columns, and copies of runs of numbers."""

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

TALL, WIDE = 3, 4  # a tile of results: 12 accumulators, which with their factors fill 16 vector registers

# One merge is a row of integers: these heads, then SEGMENT runs of kept ports in the order of the joined block.
SHARED, PORTS_A, PORTS_B, PORTS, START_A, START_B, START, SEGMENTS = range(8)
FIRST_SEGMENT = 8
SEGMENT = 4  # (block 0 or 1, first port there, how many, first port in the joined block)
MOST_SEGMENTS = 8
MERGE_WIDTH = FIRST_SEGMENT + SEGMENT * MOST_SEGMENTS
# A patch is a row of the same width: -1, then these; PATCH_SPACE includes that of the nodes still to be eliminated.
PATCH_START, PATCH_ROW, PATCH_COLUMN, PATCH_ROWS, PATCH_COLUMNS, PATCH_SPACE, PATCH_PROGRAM, PATCH_PROGRAM_END = range(
    1, 9
)
# Its program has a row of these for every node, then the places that `patch` names. Arms of a patch with a × b cells:
# left (a), right (a), top (b), bottom (b), between cells of a row (a × b - 1), of a column (a - 1 × b), none.
CELL, CELL_PLACE, ARM_1, ARM_2, HAS_1, HAS_2, ALONG, NEIGHBOURS = range(8)
NODE = 8


@kernel(inline=True)
def stride(p: int) -> int:
    """Places from one row of a block with p ports to the next."""
    return -(-p // WIDE) * WIDE


@kernel(inline=True)
def add_to(to: FloatArray, from_: FloatArray) -> None:
    """Add one run of numbers to another of its length."""
    for k in range(len(to)):
        to[k] += from_[k]


@kernel(inline=True)
def copy_to(to: FloatArray, from_: FloatArray) -> None:
    """Copy one run of numbers over another of its length."""
    for k in range(len(to)):
        to[k] = from_[k]
