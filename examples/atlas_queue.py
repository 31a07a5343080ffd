"""A script for the ATLAS queue that asks us: token, POST, poll, table, DELETE. Only BASE, USER and PASSWORD are ours."""

import io
import os
import re
import time

import pandas
import requests

BASE = os.environ.get("CF_SERVER", "http://127.0.0.1:5000") + "/forcedphot"
USER = os.environ.get("CF_USER", "halley")
PASSWORD = os.environ.get("CF_PASSWORD", "a galaxy far away")


def asked(method: str, url: str, **words: object) -> requests.Response:
    """Send a request; wait as long as a throttled one is told to."""
    while True:
        answer = requests.request(method, url, headers=headers, timeout=60, **words)
        if answer.status_code != 429:
            answer.raise_for_status()
            return answer
        time.sleep(int(re.search(r"available in (\d+) seconds", answer.json()["detail"])[1]))


headers = {"Accept": "application/json"}
token = asked("POST", f"{BASE}/api-token-auth/", data={"username": USER, "password": PASSWORD}).json()["token"]
headers["Authorization"] = f"Token {token}"

lines = "197.4488,-23.3839,2916\n187.7059 12.3911 1284\nname NGC 1365"
tasks = asked("POST", f"{BASE}/queue/", data={"radeclist": lines, "mjd_min": 59248.0}).json()
for task in tasks:
    while not task["finishtimestamp"]:
        task = asked("GET", task["url"]).json()
        if not task["finishtimestamp"]:
            time.sleep(1)
    if task["error_msg"]:
        raise SystemExit(task["error_msg"])
    text = asked("GET", task["result_url"]).text
    table = pandas.read_csv(io.StringIO(text.replace("###", "")), sep=r"\s+")
    best = table.loc[table["p"].idxmax()]
    print(f"task {task['id']}: {len(table)} steps, most likely at {best['d_mpc']:.1f} Mpc (v_rad {best['v_rad']:.0f} km/s)")
    asked("DELETE", task["url"])
