"""Settings come from the environment, are immutable, and name the variable that is wrong."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from app.settings import Profile, Settings, read_settings
from services.domain.errors import InvalidValueError


def test_empty_environment_gives_the_documented_settings():
    found = read_settings({})
    assert found == Settings()
    assert (found.database_url, found.host, found.port) == ("sqlite:///var/nacre.db", "127.0.0.1", 8000)
    assert found.profile is Profile.STANDARD
    assert found.operator_key is None


def test_every_variable_is_read():
    found = read_settings(
        {
            "NACRE_DATABASE_URL": "postgresql://nacre@localhost/nacre",
            "NACRE_HOST": "0.0.0.0",
            "NACRE_PORT": "9000",
            "NACRE_PROFILE": "demonstration",
            "NACRE_VAR": "elsewhere",
            "NACRE_OPERATOR_KEY": "nop_x",
            "NACRE_DOCUMENT_ORIGINS": "http://127.0.0.1:1, http://127.0.0.1:2 ,,",
            "NACRE_REQUESTS_PER_SECOND": "0",
            "NACRE_REQUESTS_AT_ONCE": "7",
            "NACRE_REQUESTS_UNDER_WAY": "8",
            "NACRE_CONNECTIONS": "9",
            "NACRE_WEBHOOK_HOSTS": "Hooks.Example.org, *.example.net,",
            "NACRE_WEBHOOK_PRIVATE_HOSTS": "hooks.internal",
            "NACRE_WEBHOOK_PORTS": "443, 9443",
            "NACRE_WEBHOOK_LOOPBACK": "yes",
        }
    )
    assert found.database_url == "postgresql://nacre@localhost/nacre"
    assert (found.host, found.port, found.profile) == ("0.0.0.0", 9000, Profile.DEMONSTRATION)
    assert (found.var_directory, found.operator_key) == (Path("elsewhere"), "nop_x")
    assert found.document_origins == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    rates = (found.requests_per_second, found.requests_at_once, found.requests_under_way, found.connections)
    assert rates == (0, 7, 8, 9)
    assert found.webhook_hosts == ("hooks.example.org", "*.example.net")
    assert found.webhook_private_hosts == ("hooks.internal",)
    assert (found.webhook_ports, found.is_webhook_loopback_allowed) == ((443, 9_443), True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NACRE_WEBHOOK_PORTS", "443;80"),
        ("NACRE_WEBHOOK_PORTS", "0"),
        ("NACRE_WEBHOOK_PORTS", "65536"),
        ("NACRE_WEBHOOK_PORTS", "https"),
        ("NACRE_WEBHOOK_LOOPBACK", "maybe"),
        ("NACRE_WEBHOOK_LOOPBACK", "1"),
    ],
)
def test_what_webhooks_are_allowed_is_said_plainly(name, text):
    with pytest.raises(InvalidValueError) as refused:
        read_settings({name: text})
    assert refused.value.field == name


def test_empty_operator_key_is_none():
    assert read_settings({"NACRE_OPERATOR_KEY": ""}).operator_key is None


@pytest.mark.parametrize("port", ["", "-1", "65536", "http", "80.0", " 80", "\u00b2", "\uff18\uff10"])
def test_port_must_be_one(port):
    with pytest.raises(InvalidValueError) as refused:
        read_settings({"NACRE_PORT": port})
    assert refused.value.field == "NACRE_PORT"


@pytest.mark.parametrize("port", ["0", "65535"])
def test_lowest_and_highest_port_are_ports(port):
    assert read_settings({"NACRE_PORT": port}).port == int(port)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NACRE_REQUESTS_PER_SECOND", "-1"),
        ("NACRE_REQUESTS_AT_ONCE", "0"),
        ("NACRE_REQUESTS_UNDER_WAY", "many"),
        ("NACRE_CONNECTIONS", "99999999"),
    ],
)
def test_a_rate_must_be_a_whole_number_in_its_bounds(name, text):
    with pytest.raises(InvalidValueError, match="whole number") as refused:
        read_settings({name: text})
    assert refused.value.field == name


def test_profile_must_be_one():
    with pytest.raises(InvalidValueError, match="standard") as refused:
        read_settings({"NACRE_PROFILE": "Standard"})
    assert refused.value.field == "NACRE_PROFILE"


def test_other_variables_change_nothing():
    assert read_settings({"NACRE_ALPHA": "0.5", "PORT": "1", "sandbox.alpha": "1"}) == Settings()


def test_settings_do_not_change():
    found = Settings()
    with pytest.raises(FrozenInstanceError):
        found.port = 1
    assert found.with_database("sqlite:///other.db").database_url == "sqlite:///other.db"
    assert found.database_url == "sqlite:///var/nacre.db"
