"""Physical constants, SI, exact by definition since 2019 (CODATA 2018); a test compares them with scipy.constants."""

ELEMENTARY_CHARGE = 1.602176634e-19  #: [C]
PLANCK = 6.62607015e-34  #: [J s]
BOLTZMANN = 1.380649e-23  #: [J/K]
BOLTZMANN_EV = BOLTZMANN / ELEMENTARY_CHARGE  #: [eV/K]
CONDUCTANCE_QUANTUM = 2.0 * ELEMENTARY_CHARGE**2 / PLANCK  #: [S], 77.5 uS
