"""How fields of catalogues become identifiers: a number becomes ``PGC 42``, a coordinate string ``2MASX J…``."""

from __future__ import annotations

from cfcore.errors import BadParameter


def is_number(text: str) -> bool:
    """Tell whether a text is a whole number as catalogues number their objects: plain digits, at most eighteen."""
    return text.isdigit() and text.isascii() and len(text) <= 18


def pgc(text: str) -> str:
    """Return ``PGC n`` for a number of the Principal Galaxies Catalogue; 0 is none."""
    number = text.lstrip("0")
    if is_number(number):
        return f"PGC {number}"
    return text if text[:3].upper() == "PGC" else ""


def two_mass(text: str) -> str:
    """Return the identifier of a galaxy of the 2MASS extended source catalogue, ``2MASX J00424433+4116074``."""
    return f"2MASX J{text}" if text[:1].isdigit() else text


def wise(text: str) -> str:
    """Return the identifier of a source of WISE x SuperCOSMOS, which is its WISE designation."""
    if text[:1].isdigit():
        return f"WISEA J{text}"
    return f"WISEA {text}" if text[:1] == "J" else text


def sdss(text: str) -> str:
    """Return the identifier of an SDSS object."""
    if text[:1].isdigit():
        return f"SDSS J{text}"
    return f"SDSS {text}" if text[:1] == "J" else text


def ned(text: str) -> str:
    """Return a name in the spelling of NED with blanks for underscores: ``ESO_185-_G_027`` is ``ESO 185- G 027``."""
    return " ".join(text.replace("_", " ").split())


class AbellNumber:
    """Name Abell clusters, whose table numbers the southern supplement from 1 again.

    One is made for each reading: the numbers rise, fall back once, where the supplement begins, and rise again.

    Raises
    ------
    BadParameter
        When they fall back once more: the rows are in another order, and then ``5`` may be either of two clusters.
    """

    def __init__(self) -> None:
        self._last, self._prefix = 0, "Abell "

    def __call__(self, text: str) -> str:
        """Return ``Abell 1656``, in the supplement ``Abell S0301``."""
        if not is_number(text):
            return text
        number = int(text)
        if number <= self._last:
            if self._prefix != "Abell ":
                raise BadParameter(f"cluster number {number} follows {self._last} in the supplement; without the order of the "
                                   "table of 1989 the supplement cannot be told from the main catalogue; read the table as it "
                                   "was published, or one of your own without --profile", code="not_this_profile",
                                   where="profile")
            self._prefix = "Abell S"
        self._last = number
        return f"{self._prefix}{number}" if self._prefix == "Abell " else f"{self._prefix}{number:04d}"
