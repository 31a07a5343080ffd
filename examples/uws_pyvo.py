"""Distances through UWS with pyvo, which knows nothing of us but the address of the job list."""

import os
import warnings

import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pyvo uses old names of astropy
    import pyvo

    jobs = os.environ.get("CF_SERVER", "http://127.0.0.1:5000") + "/uws/flow"
    asked = {"RA": "197.4488, 187.7059", "DEC": "-23.3839, 12.3911", "CZ": "2916, 1284", "H0": "70", "RUNID": "example"}
    made = requests.post(jobs, data=asked, timeout=60)
    made.raise_for_status()
    with pyvo.dal.AsyncTAPJob(made.url) as job:  # destroyed at the end
        print(job.phase, job.job_id)
        job.run().wait(timeout=60)
        job.raise_if_error()
        print(job.fetch_result().to_table()["distance_median", "distance_std", "v_rad"])
