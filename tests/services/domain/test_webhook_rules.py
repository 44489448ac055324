"""Signatures that the Standard Webhooks library verifies, and the pauses between tries."""

import base64
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.domain.clock import DAY_US, HOUR_US, SECOND_US, to_datetime
from services.domain.webhooks import (
    ATTEMPTS_HIGHEST,
    RETRY_SECONDS,
    Outcome,
    message_id,
    quiet_us,
    read_retry_after,
    retry_delay_us,
    secret_text,
    secret_versions,
    signatures,
)

KEY = bytes(range(32))
BODY = '{"id":"17","data":{"name":"Ünïcode"}}'.encode()
SECRETS = [secret_text(KEY, 1, 2), secret_text(KEY, 1, 1)]


def headers(secrets, *, age_seconds=0, body=BODY):
    timestamp = int(time.time()) - age_seconds
    return {
        "webhook-id": "nacre_1_17",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(secrets, "nacre_1_17", timestamp, body),
    }


def test_a_secret_is_derived_and_of_the_specified_form():
    assert SECRETS[0].startswith("whsec_")
    assert len(base64.b64decode(SECRETS[0].removeprefix("whsec_"))) == 32
    others = [secret_text(KEY, 1, 2), secret_text(KEY, 2, 2), secret_text(KEY[::-1], 1, 2), SECRETS[1]]
    assert others[0] == SECRETS[0]
    assert len(set(others)) == 4


def test_the_library_verifies_and_a_rotation_overlaps():
    for secret in SECRETS:
        assert Webhook(secret).verify(BODY, headers(SECRETS))["id"] == "17"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[1]).verify(BODY, headers(SECRETS[:1]))


def test_the_library_refuses_another_body_id_or_time():
    receiver = Webhook(SECRETS[0])
    good = headers(SECRETS)
    with pytest.raises(WebhookVerificationError, match="No matching"):
        receiver.verify(BODY.replace(b"17", b"18"), good)
    with pytest.raises(WebhookVerificationError, match="No matching"):
        receiver.verify(BODY, {**good, "webhook-id": "nacre_1_18"})
    with pytest.raises(WebhookVerificationError, match="No matching"):
        receiver.verify(BODY, {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) - 1)})
    with pytest.raises(WebhookVerificationError, match="too old"):
        receiver.verify(BODY, headers(SECRETS, age_seconds=400))


def test_the_old_secret_signs_for_a_day():
    assert secret_versions(1, None, 5) == (1,)
    assert secret_versions(3, 10, 10 + DAY_US - 1) == (3, 2)
    assert secret_versions(3, 10, 10 + DAY_US) == (3,)


def test_message_ids_tell_webhooks_events_and_pings_apart():
    ids = [message_id(1, 17), message_id(11, 7), message_id(1, -17), message_id(2, 17)]
    assert len(set(ids)) == 4
    assert not any("." in one for one in ids), "the signed text is parted by dots"


def test_pauses_follow_the_schedule_or_what_was_asked_for():
    assert [retry_delay_us(n, None) // SECOND_US for n in range(1, ATTEMPTS_HIGHEST)] == list(RETRY_SECONDS)
    assert retry_delay_us(1, 60 * SECOND_US) == 60 * SECOND_US
    assert retry_delay_us(4, 60 * SECOND_US) == 600 * SECOND_US
    assert retry_delay_us(1, 400 * DAY_US) == 6 * HOUR_US
    assert retry_delay_us(99, None) == RETRY_SECONDS[-1] * SECOND_US
    assert [quiet_us(n, None) // SECOND_US for n in (1, 2, 3, 4, 5, 99)] == [5, 30, 120, 600, 600, 600]


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * SECOND_US


@pytest.mark.parametrize(
    ("text", "asked_us"),
    [
        (None, None),
        ("120", 120 * SECOND_US),
        (" 7 ", 7 * SECOND_US),
        ("0", 0),
        ("9" * 400, 6 * HOUR_US),
        (format_datetime(to_datetime(NOW_US + 90 * SECOND_US), usegmt=True), 90 * SECOND_US),
        ("Fri, 30 Jan 2026 12:00:00 GMT", 0),
        ("Fri, 30 Jan 2026 12:00:00", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("\u0661\u0662", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(text, asked_us):
    assert read_retry_after(text, NOW_US) == asked_us


@pytest.mark.parametrize(
    ("outcome", "is_delivered", "said"),
    [
        (Outcome(204), True, None),
        (Outcome(302), False, "the receiver answered 302; redirects are not followed"),
        (Outcome(410), False, "the receiver answered 410"),
        (Outcome(None, "refused"), False, "refused"),
        (Outcome(200, "cut off"), False, "cut off"),
    ],
)
def test_only_a_whole_answer_in_the_200s_is_a_delivery(outcome, is_delivered, said):
    assert (outcome.is_delivered, outcome.said) == (is_delivered, said)
