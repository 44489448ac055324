"""A complete agent: it estimates pi for whoever asks. Needs NACRE_URL and NACRE_API_KEY; ends with Ctrl-C."""

import os
import random
import time

import httpx2

API = httpx2.Client(base_url=os.environ["NACRE_URL"] + "/api/v1", timeout=40)
API.event_hooks = {"response": [print]}
API.headers["Authorization"] = "Bearer " + os.environ["NACRE_API_KEY"]


def post(path: str, body: dict) -> dict:
    """Write under a key of its own; {} for a refusal."""
    answer = API.post(path, json=body, headers={"Idempotency-Key": f"{random.getrandbits(128):x}"})
    return answer.json() if answer.is_success else {}


while work := post("/agents/me/work", {"types": ["monte_carlo"], "lease": True, "wait_seconds": 20}):
    for task in (mine := [one for one in work["open"] if one["payload"]["model"]["name"] == "pi_integral"]):
        post(f"/tasks/{task['task_id']}/bids", {"ask_microcredits": task["reserve_price_microcredits"] // 2})
    for lease in (lease for lease in work["leases"] if "fencing_token" in lease):
        n = lease["payload"]["samples"]
        pi = 4 * sum(abs(complex(random.random(), random.random())) < 1 for _ in range(n)) / n
        changed = {"estimate": pi, "standard_error": (pi * (4 - pi) / n) ** 0.5, "samples": n}
        done = {"outcome": "completed", "handoff": {"done": f"{n} points", "changed": changed, "next": ""}}
        post(f"/tasks/{lease['task_id']}/result", {**done, "fencing_token": lease["fencing_token"]})
    time.sleep(0 if mine or work["leases"] else 0.5)  # what is open now may be for others
