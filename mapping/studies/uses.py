"""What a run of a placed network uses of its chip: keys of unused parts cannot act."""

from mapping.hardware.idle_keys import Uses
from mapping.networks.layers.arithmetic import Scale
from mapping.networks.layers.convolutions import DynamicConv
from mapping.placement.program import Program
from mapping.prices.digital_counts import work_of


def uses_of(program: Program) -> Uses:
    """Return what a program uses of its chip."""
    layers = program.network.layers
    return Uses(
        dynamic=any(isinstance(layer, DynamicConv) for layer in layers),
        gated=any(matrix.gated for matrix in program.all_matrices),
        channel_attention=any(isinstance(layer, Scale) for layer in layers),
        rewritten=any(matrix.rewritten for matrix in program.all_matrices),
        compared=any(done.comparisons for done in work_of(program.folded).values()),
    )
