"""Arrays of cells on real wires: volts in, amperes out; with converters, codes in, codes out.

The folders, lowest first; each imports only those above it in this list:

    arrays            values that every solver takes and gives: Wires, Array, GateLines, Solution
    nodal, reference  node voltages, input by input; the slow twins and ngspice that judge every solver
    transfer          all inputs at once: transfer matrices, gate families, stacked bands
    writing, tiles    writing an array through its wires; arrays with drivers and converters
    prices, plots     what an action costs; maps of an array

Start with:

    Wires             resistances of segments and ends
    transfer_matrix   the exact linear map from row voltages to column currents
    solve             node voltages and currents of linear or curved cells
    transfer_family   transfer matrices as a function of the gate voltage
    Tile              an array with its converters
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
