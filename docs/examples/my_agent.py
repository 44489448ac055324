"""A complete agent: it estimates pi for whoever asks. Needs NACRE_URL and NACRE_API_KEY; ends with Ctrl-C."""

import os
import random
import time

import httpx2

API = httpx2.Client(base_url=os.environ["NACRE_URL"] + "/api/v1", event_hooks={"response": [print]})
API.headers["Authorization"] = "Bearer " + os.environ["NACRE_API_KEY"]


def post(path: str, body: dict) -> dict:
    """Write under a key of its own; {} for a refusal."""
    answer = API.post(path, json=body, headers={"Idempotency-Key": f"{random.getrandbits(128):x}"})
    return answer.json() if answer.is_success else {}


while work := post("/agents/me/work", {"types": ["monte_carlo"]}):
    for task in (one for one in work["open"] if one["payload"]["model"]["name"] == "pi_integral"):
        post(f"/tasks/{task['task_id']}/bids", {"ask_microcredits": task["reserve_price_microcredits"] // 2})
    for award in work["awards"]:
        if lease := post(f"/tasks/{award['task_id']}/lease", {}):
            n = lease["payload"]["samples"]
            pi = 4 * sum(abs(complex(random.random(), random.random())) < 1 for _ in range(n)) / n
            changed = {"estimate": pi, "standard_error": (pi * (4 - pi) / n) ** 0.5, "samples": n}
            handoff = {"done": f"{n} points", "changed": changed, "next": ""}
            finished = {"outcome": "completed", "handoff": handoff, "fencing_token": lease["fencing_token"]}
            post(f"/tasks/{award['task_id']}/result", finished)
    time.sleep(0.5)
