"""The example in docs/webhooks.md verifies what the platform signs and refuses everything else."""

import re
import time
from pathlib import Path

import pytest

from app.egress import sender
from app.egress.posting import ANSWER_BYTES_HIGHEST, CONNECT_SECONDS, TOTAL_SECONDS
from services.domain import webhooks
from services.operations import webhook_feed

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRETS = [webhooks.secret_text(bytes(32), 1, version) for version in (2, 1)]
BODY = b'{"id":"17"}'


@pytest.fixture
def verify():
    [source] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(source.strip().splitlines()) <= 15
    names = {}
    exec(compile(source, "docs/webhooks.md", "exec"), names)
    return names["verify"]


def headers(age_seconds=0):
    at = int(time.time()) - age_seconds
    signed = webhooks.signatures(SECRETS, "nacre_1_17", at, BODY)
    return {"webhook-id": "nacre_1_17", "webhook-timestamp": str(at), "webhook-signature": signed}


@pytest.mark.parametrize("secret", SECRETS)
def test_the_example_takes_what_was_signed_with_either_secret(verify, secret):
    verify(secret, headers(), BODY)


def test_the_example_refuses_another_body_an_old_time_and_another_secret(verify):
    with pytest.raises(ValueError, match="no signature fits"):
        verify(SECRETS[0], headers(), BODY + b" ")
    with pytest.raises(ValueError, match="too old"):
        verify(SECRETS[0], headers(age_seconds=301), BODY)
    with pytest.raises(ValueError, match="no signature fits"):
        verify(webhooks.secret_text(bytes(32), 2, 1), headers(), BODY)


def test_the_page_says_what_the_code_does():
    said = " ".join(PAGE.split())
    pauses = "5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 3 h, 6 h and 12 h"
    assert webhooks.RETRY_SECONDS == (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200)
    assert webhooks.RETRY_AFTER_US_HIGHEST == 6 * 3_600 * 10**6
    for words in (
        f"After {pauses}",
        f"after {webhooks.FAILURES_HIGHEST} failed rounds",
        f"made again after {sender.LEASE_SECONDS:g} s",
        f"may take {CONNECT_SECONDS:g} s, an exchange {TOTAL_SECONDS:g} s",
        f"at most {ANSWER_BYTES_HIGHEST // 1024} KiB",
        f"with {webhook_feed.QUEUE_HIGHEST:,} messages waiting",
    ):
        assert words in said, words
    assert (webhooks.ATTEMPTS_HIGHEST, sender.AT_ONCE_EACH) == (10, 4)
