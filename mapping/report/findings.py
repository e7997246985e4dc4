"""What a diagnosis found: how a chip does with one deviation off, or with one compensation left out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One alternative of a chip beside the chip, on the same images."""

    name: str  #: of what is switched off
    settings: tuple[str, ...]  #: KEY=VALUE settings that switch it off
    accuracy: float  #: of the alternative, 0 to 1
    change: float  #: of the accuracy from that of the chip
    low: float  #: 95 % interval of the change, over images, paired
    high: float
    error: float  #: of the alternative's outputs: root mean square, relative to the exact outputs

    @property
    def distinct(self) -> bool:
        """Whether the interval excludes 0; otherwise the change is not distinguishable from chance."""
        return not self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Diagnosis:
    """What costs a chip its accuracy, and what the compiler made up for, on the calibration images."""

    images: int
    accuracy_exact: float
    accuracy: float  #: of the chip
    error: float  #: of the chip's outputs: root mean square, relative to the exact outputs
    deviations: tuple[Finding, ...]  #: each deviation switched off alone; distinct ones first, the largest gain first
    together: Finding | None  #: all of them switched off at once; None without any
    compensations: tuple[Finding, ...]  #: each compensation left out alone; distinct ones first, the largest loss first
