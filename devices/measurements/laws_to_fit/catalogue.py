"""The laws that are known by name."""

from collections.abc import Mapping

from devices.measurements.laws_to_fit.channels import ECRAM, FEFET, GRAPHENE
from devices.measurements.laws_to_fit.gated_filament import GATED_FILAMENT
from devices.measurements.laws_to_fit.interface import LawToFit
from devices.measurements.laws_to_fit.loops import GEM, STANFORD_PKU, VTEAM
from devices.measurements.laws_to_fit.two_terminal import POOLE_FRENKEL, SCHOTTKY, SINH, SPACE_CHARGE

AT_REST = (SINH, SCHOTTKY, SPACE_CHARGE, POOLE_FRENKEL, GRAPHENE, FEFET, ECRAM)
SWITCHING = (VTEAM, STANFORD_PKU, GEM, GATED_FILAMENT)
LAWS: Mapping[str, LawToFit] = {law.name: law for law in (*AT_REST, *SWITCHING)}
