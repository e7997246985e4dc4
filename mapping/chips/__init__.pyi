from .chip import Bank as Bank
from .chip import Chip as Chip
from .chip import write_arrays as write_arrays
from .distributed_work import Distribute as Distribute
from .measured_cells import MeasuredCells as MeasuredCells
from .netlists import TileCircuit as TileCircuit
from .netlists import tile_circuit as tile_circuit
from .netlists import write_netlist as write_netlist
