"""One crosspoint: laws, gates, states, variability and noise of a cell. Units are volt, ampere, siemens, second.

The folders, lowest first; each imports only those above it in this list:

    numerics       tools for kernels: numba, threads, vector registers, BLAS, random numbers
    laws           current-voltage laws with their slopes, the gate law, dispatch by type
    noise, states  read noise; state equations of cells under voltage
    cells          the cell interface, all cell models, presets with their sources
    writing        variability, write-verify, levels, published write errors, retention
    measurements   waveforms, measured curves, fits, data sheet
    plots          figures of cells

Start with:

    AdaptiveMemristor   the gated memristor; Resistor and PRESETS give other cells
    cell_current        current and slope of one cell at a voltage
    Spread              device-to-device and cycle-to-cycle variability, stuck cells
    write_verify        program cells to target conductances with pulses
    simulate            a cell under a waveform
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
