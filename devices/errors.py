"""Errors of the three packages: a user can catch one family or one kind."""


class SimulationError(Exception):
    """Any error that the simulator raises on purpose."""


class ParameterError(SimulationError, ValueError):
    """A value given by the user is impossible; the message names it, shows it and says what is right."""


class ConvergenceError(SimulationError, RuntimeError):
    """A solver stopped before its tolerance; the message carries the numbers."""


class MappingError(SimulationError, ValueError):
    """A network does not fit the hardware it is compiled for."""
