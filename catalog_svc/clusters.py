"""Turn our table of clusters of galaxies into the rows of a volume: objects of their own, never one of their galaxies."""

from __future__ import annotations

import numpy as np

from cfcore.cosmology import C_KMS

from . import schema
from .entries import Rows
from .entries import rows as entry_rows
from .records import Batch

TYPE = "Cluster of galaxies"


def assemble(table: list[dict[str, str]]) -> Rows:
    """Return the rows of a volume.

    Parameters
    ----------
    table : list of dict
        Columns name, aliases (parted by semicolons), ra, dec (deg, ICRS), cz_helio and cz_error (km/s; c times the mean
        redshift), n_galaxies, reference.
    """
    n = len(table)
    cz, error = (_column(table, key) for key in ("cz_helio", "cz_error"))
    facts: list[dict[str, object]] = [
        {"object_type": TYPE, "source": "mean of the cluster's galaxies", "reference": row["reference"],
         **({"n_galaxies": int(row["n_galaxies"])} if row["n_galaxies"] else {}),
         "cross_ids": [a for a in _aliases(row) if any(c.isdigit() for c in a)],
         "common_names": [a for a in (row["name"], *_aliases(row)) if not any(c.isdigit() for c in a)]} for row in table]
    batch = Batch(rows=list(range(1, n + 1)), lines=list(range(2, n + 2)), keys=[row["name"] for row in table],
                  shown=[row["name"] for row in table], names=[(row["name"], *_aliases(row)) for row in table],
                  ra=_column(table, "ra"), dec=_column(table, "dec"), z_helio=cz / C_KMS, z_error=error / C_KMS,
                  given=cz, is_photometric=np.zeros(n, dtype=bool), facts=facts)
    return entry_rows(batch, "clusters", schema.CLUSTER)


def _column(table: list[dict[str, str]], key: str) -> np.ndarray:
    return np.array([float(row[key]) if row[key] else np.nan for row in table])


def _aliases(row: dict[str, str]) -> list[str]:
    return [alias.strip() for alias in row["aliases"].split(";") if alias.strip()]
