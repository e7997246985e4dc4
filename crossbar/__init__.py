"""Crossbar arrays with resistive wires: row voltages in, column currents out; with converters, codes in, codes out.

The folders, lowest first; each imports only those above it in this list:

    arrays            arguments and results of solvers: Wires, Array, GateLines, Solution
    nodal, reference  node voltages, input by input; reference solvers and ngspice
    transfer          all inputs at once: transfer matrices, gate families, stacked bands
    gradients         gradients of transfer matrices by cells, wires and gates
    writing, tiles    writing an array through its wires; arrays with drivers and converters
    prices, plots     energy, time and area of components; maps of an array

Start with:

    Wires             resistances of segments and ends
    transfer_matrix   the exact linear map from row voltages to column currents
    solve             node voltages and currents of linear or nonlinear cells
    transfer_family   transfer matrices as a function of the gate voltage
    Tile              an array with drivers and converters
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
