"""Distances for a table with the Python client, all in one and step by step."""

from pathlib import Path

import astropy.units as u
from astropy.table import QTable

from cfcore.client import Client

here = Path(__file__).parent

# the server is the one that CF_SERVER names, else one on this machine; CF_TOKEN is the token
with Client() as client:
    # all in one: submit, wait with a progress bar, fetch, destroy
    galaxies = QTable({"name": ["NGC 4993", "Coma"], "ra": [197.4488, 194.95] * u.deg, "dec": [-23.3839, 27.98] * u.deg,
                       "cz_hel": [2916.0, 6925.0] * u.km / u.s})
    flow = client.distances(galaxies, H0=70)
    for row in flow:
        print(f"{row['name']:9} {row['distance_mean']:6.1f} +- {row['distance_std']:4.1f} {row['status']}")

    # step by step: a file is streamed from the disk, the job lives on without this program
    job = client.submit(here / "galaxies.csv", H0=70, run_id="example")
    print(job)
    job = client.job(job.id).wait(timeout=300)
    print(job.save("flow.votable"), "is kept until", job.info["destruction"])
    for row in job.result():
        print(row["name"], row["v_rad"], row["reason"] or "ok")
    job.delete()
