"""Where a webhook may lead: a corpus of addresses, each refused before anything is connected to."""

import ipaddress

import pytest

from app.egress.destinations import Destinations, EgressPolicy
from services.domain.errors import InvalidValueError

PUBLIC = "93.184.215.14"
PUBLIC6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

PRIVATE_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1",
    "127.1.2.3", "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PRIVATE_V6 = [
    "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "ff02::1", "ff0e::1",
    "2001:db8::1", "3fff::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1",
    "5f00::1",
]  # fmt: skip


def embedding(v4):
    """Return the IPv6 forms that carry an IPv4 address."""
    number = int(ipaddress.IPv4Address(v4))
    high, low = number >> 16, number & 0xFFFF
    return [
        f"::ffff:{v4}", f"::{high:x}:{low:x}", f"64:ff9b::{high:x}:{low:x}", f"64:ff9b:1::{high:x}:{low:x}",
        f"2002:{high:x}:{low:x}::1", f"::ffff:0:{high:x}:{low:x}",
    ]  # fmt: skip


ADDRESSES = [
    *PRIVATE_V4,
    *PRIVATE_V6,
    *(
        form
        for v4 in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", PUBLIC)
        for form in embedding(v4)
    ),
]
ODD = [
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/",
    "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/", "https://10.1/", "https://0/", "https://1/",
    "https://00000000000000000000127.0.0.1/", "https://127.0.0.1./", "https://127.0.0.01/", "https://0x7f/",
    "https://[::1", "https://::1/", "https://[::1]x/", "https://[127.0.0.1]/", "https://[::1%25lo]/",
    "https://[fe80::1%eth0]/", "https://[::ffff:127.0.0.1]/", "https://[0:0:0:0:0:ffff:7f00:1]/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://a.localhost/",
    "https://metadata/", "https://metadata.google.internal/", "https://db.internal/", "https://printer.local/",
    "https://router.lan/", "https://x.home.arpa/", "https://intranet/", "https://kubernetes.default.svc/",
    "https://user@hooks.example.org/", "https://user:password@hooks.example.org/",
    "https://hooks.example.org@127.0.0.1/", "https://hooks.example.org#@127.0.0.1/",
    "https://hooks.example.org\\@127.0.0.1/", "https://127.0.0.1\\.hooks.example.org/",
    "https://hooks.example.org/#part", "https://hooks.example.org /", " https://hooks.example.org/",
    "https://hooks.example.org/\n", "https://hooks.example.org/\r\nHost: x", "https://hooks.example.org/\x00",
    "https://hooks.exam\u200bple.org/", "https://h\u00f6\u00f6ks.example.org/", "https://\u2488.example.org/",
    "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/", "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/", "https://hooks.example.org%2f@x/", "http://hooks.example.org/",
    "HTTP://hooks.example.org/", "ftp://hooks.example.org/", "file:" + "//" + "/etc/passwd", "gopher://hooks.example.org/",
    "javascript:alert(1)", "data:text/plain,x", "//hooks.example.org/", "hooks.example.org", "https:hooks",
    "https:/hooks.example.org/", "https:///hooks.example.org/", "https://", "https://:443/", "https://./",
    "https://..example.org/", "https://-a.example.org/", "https://a-.example.org/", "https://a..b.org/",
    "https://hooks.example.org:0/", "https://hooks.example.org:65536/", "https://hooks.example.org:22/",
    "https://hooks.example.org:80/", "https://hooks.example.org:/", "https://hooks.example.org:443x/",
    "https://hooks.example.org:-1/", "https://hooks.example.org:\u0664\u0664\u0663/", "", "x" * 5_000,
    "https://" + "a" * 64 + ".example.org/", "https://" + "a." * 130 + "org/",
    "https://hooks.example.org/" + "x" * 2_000,
]  # fmt: skip


def public(_host, _port):
    return [PUBLIC]


@pytest.fixture
def destinations():
    return Destinations(EgressPolicy(), public)


def refusal(destinations, url):
    with pytest.raises(InvalidValueError) as refused:
        destinations.check(url)
    assert refused.value.field == "body.url"
    assert refused.value.detail
    return refused.value


def test_the_corpus_is_large_enough_to_mean_something():
    assert len(set(ADDRESSES)) * 2 + len(set(ODD)) >= 200


@pytest.mark.parametrize("address", sorted(set(ADDRESSES)))
def test_an_address_that_is_not_public_is_refused_as_itself_and_behind_a_name(destinations, address):
    literal = f"[{address}]" if ":" in address else address
    assert refusal(destinations, f"https://{literal}/hook").code == "address_private"
    behind = Destinations(EgressPolicy(), lambda *_: [address])
    told = refusal(behind, "https://hooks.example.org/hook")
    assert told.code == "address_private"
    assert str(ipaddress.ip_address(address)) in told.detail


@pytest.mark.parametrize("url", ODD)
def test_an_odd_url_is_refused(destinations, url):
    assert refusal(destinations, url).code in {
        "url_malformed",
        "url_not_https",
        "url_port",
        "address_private",
    }


def test_one_private_address_among_public_ones_refuses_the_host():
    mixed = Destinations(EgressPolicy(), lambda *_: [PUBLIC, PUBLIC6, "10.0.0.7"])
    assert "10.0.0.7" in refusal(mixed, "https://hooks.example.org/").detail


@pytest.mark.parametrize("found", [OSError("no such host"), ValueError("not a name"), []])
def test_a_name_without_an_address_is_refused(found):
    def resolve(_host, _port):
        if isinstance(found, Exception):
            raise found
        return found

    told = refusal(Destinations(EgressPolicy(), resolve), "https://hooks.example.org/")
    assert told.code == "host_unknown"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://hooks.example.org", ("https", "hooks.example.org", 443, "/")),
        ("https://Hooks.Example.ORG./a?b=c&d", ("https", "hooks.example.org", 443, "/a?b=c&d")),
        ("HTTPS://xn--hks-sna.example.org:8443/%7Ex", ("https", "xn--hks-sna.example.org", 8443, "/%7Ex")),
        (f"https://{PUBLIC}/", ("https", PUBLIC, 443, "/")),
        (f"https://[{PUBLIC6}]:8443/x", ("https", PUBLIC6, 8443, "/x")),
    ],
)
def test_public_addresses_are_read_in_parts(destinations, url, parts):
    found = destinations.check(url)
    assert (found.scheme, found.host, found.port, found.target) == parts


def test_the_authority_names_the_port_only_where_it_is_not_the_scheme_s(destinations):
    assert destinations.read("https://hooks.example.org:443/").authority == "hooks.example.org"
    assert destinations.read("https://hooks.example.org:8443/").authority == "hooks.example.org:8443"
    assert destinations.read(f"https://[{PUBLIC6}]:8443/").authority == f"[{PUBLIC6}]:8443"


def test_settings_may_restrict_hosts_and_ports():
    policy = EgressPolicy(hosts=("hooks.example.org", "*.example.net"), ports=(9_443,))
    few = Destinations(policy, public)
    assert few.check("https://hooks.example.org:9443/").port == 9_443
    assert few.check("https://a.b.example.net:9443/")
    for host in ("example.net", "other.example.org", "evilexample.net", PUBLIC):
        assert refusal(few, f"https://{host}:9443/").code == "host_refused"
    assert refusal(few, "https://hooks.example.org/").code == "url_port"


def test_settings_may_name_private_hosts_but_never_metadata():
    policy = EgressPolicy(private_hosts=("hooks.internal", "10.0.0.7", "intranet"))

    def inside(address):
        return Destinations(policy, lambda *_: [address])

    assert inside("10.0.0.9").check("https://hooks.internal/")
    assert inside("fd00::9").check("https://intranet/")
    assert inside("10.0.0.9").check("https://10.0.0.7/")
    assert refusal(inside("10.0.0.9"), "https://other.internal/").code == "address_private"
    assert refusal(inside("10.0.0.9"), "https://10.0.0.8/").code == "address_private"
    assert refusal(inside("10.0.0.9"), "https://hooks.example.org/").code == "address_private"
    for never in ("169.254.169.254", "fd00:ec2::254", "127.0.0.1", "::ffff:10.0.0.9"):
        assert refusal(inside(never), "https://hooks.internal/").code == "address_private"
    assert refusal(inside("10.0.0.9"), "http://hooks.internal/").code == "url_not_https"


def test_loopback_needs_the_setting_and_only_loopback_takes_http():
    here = Destinations(EgressPolicy(is_loopback_allowed=True), lambda *_: ["127.0.0.1"])
    assert here.check("http://127.0.0.1:5000/").port == 5_000
    assert here.check("http://localhost:5000/")
    assert here.check("https://[::1]:5000/")
    assert refusal(here, "http://hooks.example.org/").code == "url_not_https"
    assert refusal(here, "https://[::ffff:127.0.0.1]/").code == "address_private"
    outside = Destinations(EgressPolicy(is_loopback_allowed=True), public)
    assert refusal(outside, "http://localhost/").code == "url_not_https"
