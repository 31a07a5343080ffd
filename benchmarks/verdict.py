"""From a measured ratio to PASS, FAIL or SKIP, and from those to the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOT_INSTALLED = "skipped: not installed"


@dataclass(frozen=True)
class Ratio:
    """Hold one judged number.

    Attributes
    ----------
    name : str
    value : float or None
        None when it was not measured; `why` says the reason.
    target, floor : float
        What it should be, and what it must be.
    at_most : bool
        Less is better: the floor is a ceiling.
    unit : str
        Written after the numbers.
    """

    name: str
    value: float | None
    target: float
    floor: float
    at_most: bool = False
    unit: str = "x"
    why: str = ""

    @property
    def outcome(self) -> str:
        """Return PASS, FAIL or SKIP."""
        if self.value is None:
            return "SKIP"
        return "PASS" if self._reaches(self.floor) else "FAIL"

    @property
    def line(self) -> str:
        """Return the verdict as a line to read."""
        if self.value is None:
            return f"SKIP {self.name}: {self.why}"
        short = "" if self._reaches(self.target) else ", short of the target"
        return (f"{self.outcome} {self.name} {self.value:.3g}{self.unit} ({'ceiling' if self.at_most else 'floor'} "
                f"{self.floor:g}, target {self.target:g}{short})")

    def _reaches(self, limit: float) -> bool:
        # a NaN reaches nothing
        return self.value is not None and (self.value <= limit if self.at_most else self.value >= limit)


def as_dict(ratios: Sequence[Ratio]) -> dict[str, float | str]:
    """Return name -> value, or name -> why there is none."""
    return {r.name: r.why if r.value is None else float(f"{r.value:.4g}") for r in ratios}


def exit_code(ratios: Sequence[Ratio]) -> int:
    """Return 1 when a ratio missed its floor, else 0; what was skipped does not count."""
    return int(any(r.outcome == "FAIL" for r in ratios))


def missing(name: str, target: float, floor: float, package: str, *, at_most: bool = False) -> Ratio:
    """Return the ratio to a peer that is not on this machine."""
    return Ratio(name, None, target, floor, at_most, why=f"{NOT_INSTALLED} ({package})")
