"""Exceptions of the three packages, with one common base class."""


class SimulationError(Exception):
    """Base class of all errors that the simulator raises deliberately."""


class ParameterError(SimulationError, ValueError):
    """An argument is invalid; the message gives its name, its value and what would be valid."""


class ConvergenceError(SimulationError, RuntimeError):
    """A solver did not reach its tolerance; the message gives what it reached."""


class MappingError(SimulationError, ValueError):
    """A network does not fit the hardware that it is compiled for."""
