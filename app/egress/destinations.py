"""Where a webhook may lead: a strict reading of its address, and a judgement of every host behind its name.

Stands before each registration and again before each request: a name is resolved once, every address it has
is judged, and the request goes to a judged address itself, so that a name cannot mean another host a moment
later. Refused is whatever is not public: this machine, private and shared networks, link-local and metadata
services, multicast, and IPv6 forms that carry an IPv4 address. It never connects anywhere.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from urllib.parse import urlsplit

from app.settings import Settings
from services.domain.errors import InvalidValueError

FIELD = "body.url"
URL_LETTERS_HIGHEST = 2_000
HTTPS_PORT = 443
HTTP_PORT = 80
PORT_HIGHEST = 65_535

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_FORBIDDEN = frozenset('\\<>"`{}|^#@')
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_LOCAL_NAMES = (
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "corp",
    "svc",
)

NEVER = tuple(
    (ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "this network"),
        ("169.254.0.0/16", "link-local, where metadata services are"),
        ("192.0.0.0/24", "kept for protocols"),
        ("192.0.2.0/24", "kept for documentation"),
        ("192.88.99.0/24", "a relay of 6to4"),
        ("198.18.0.0/15", "kept for benchmarks"),
        ("198.51.100.0/24", "kept for documentation"),
        ("203.0.113.0/24", "kept for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/96", "an IPv4 address in IPv6"),
        ("::ffff:0:0/96", "an IPv4 address in IPv6"),
        ("::ffff:0:0:0/96", "an IPv4 address in IPv6"),
        ("64:ff9b::/96", "an IPv4 address in IPv6 (NAT64)"),
        ("64:ff9b:1::/48", "an IPv4 address in IPv6 (NAT64)"),
        ("100::/64", "a discard prefix"),
        ("2001::/23", "kept for protocols (Teredo among them)"),
        ("2001:db8::/32", "kept for documentation"),
        ("2002::/16", "an IPv4 address in IPv6 (6to4)"),
        ("3fff::/20", "kept for documentation"),
        ("5f00::/16", "kept for segment routing"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("fd00:ec2::254/128", "a metadata service"),
        ("ff00::/8", "multicast"),
    )
)
"""Networks that nothing is ever sent to, whatever the settings say."""

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PRIVATE = tuple(
    (ip_network(text), what)
    for text, what in (
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("fc00::/7", "private"),
    )
)
"""Networks that only hosts named in the settings may lie in."""


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the deployment allows: hosts (empty: every public one), private hosts by name, ports, loopback."""

    hosts: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (HTTPS_PORT, 8_443)
    is_loopback_allowed: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "EgressPolicy":
        """Return the policy of a deployment's settings."""
        return cls(
            settings.webhook_hosts,
            settings.webhook_private_hosts,
            settings.webhook_ports,
            settings.is_webhook_loopback_allowed,
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """An address in parts: nothing of the text it was read from is read again."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Return the host as the `Host` header names it, with the port where it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = HTTPS_PORT if self.scheme == "https" else HTTP_PORT
        return host if self.port == usual else f"{host}:{self.port}"


class Destinations:
    """Judges addresses by one policy; names are resolved by the system unless another way is given."""

    def __init__(self, policy: EgressPolicy, resolve: Resolve | None = None) -> None:
        self.policy = policy
        self._resolve = resolve

    def read(self, url: str) -> Destination:
        """Return what an address means; raise InvalidValueError (`body.url`) for one that may not be used."""
        found = _parts_of(url)
        address = _literal(found.host)
        if address is None and (found.host.endswith(_dotted(_LOCAL_NAMES)) or "." not in found.host):
            self._check_local_name(found.host)
        if self.policy.hosts and not _is_named(found.host, self.policy.hosts + self.policy.private_hosts):
            allowed = ", ".join(self.policy.hosts)
            raise _refused(f"{found.host} is not among the hosts that are allowed: {allowed}", "host_refused")
        if address is not None:
            self._check_address(found.host, address)
        is_loopback = self._is_loopback(found.host, address)
        if found.scheme == "http" and not is_loopback:
            raise _refused("send over https; http would show every event to the network", "url_not_https")
        if found.port not in self.policy.ports and not is_loopback:
            ports = ", ".join(map(str, self.policy.ports))
            raise _refused(f"port {found.port} is not among those allowed: {ports}", "url_port")
        return found

    def addresses(self, destination: Destination) -> list[str]:
        """Return every address of a host, all of them judged; raise InvalidValueError if one is refused.

        One refused address among several refuses the host: which of them is used is not the name's to say.
        """
        literal = _literal(destination.host)
        if literal is not None:
            found: list[Address] = [literal]
        else:
            resolve = self._resolve or system_resolve
            try:
                texts = resolve(destination.host, destination.port)
                found = [ipaddress.ip_address(text) for text in dict.fromkeys(texts)]
            except (OSError, ValueError) as error:
                raise _refused(f"the host {destination.host} has no address now", "host_unknown") from error
        if not found:
            raise _refused(f"the host {destination.host} has no address now", "host_unknown")
        for address in found:
            self._check_address(destination.host, address)
            if destination.scheme == "http" and not _is_this_machine(address):
                raise _refused("http goes to loopback only; send over https", "url_not_https")
        return [str(address) for address in found]

    def check(self, url: str) -> Destination:
        """Return what an address means, after judging the hosts behind it as well."""
        destination = self.read(url)
        self.addresses(destination)
        return destination

    def _check_address(self, host: str, address: Address) -> None:
        why = self._why_refused(host, address)
        if why is not None:
            where = str(address) if str(address) == host else f"{host} is at {address}, which"
            raise _refused(f"{where} is {why}; only public addresses are sent to", "address_private")

    def _why_refused(self, host: str, address: Address) -> str | None:
        """Return in words why nothing is sent to an address, None where it may be."""
        if _is_this_machine(address):
            return None if self.policy.is_loopback_allowed else "this machine itself (loopback)"
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return "link-local"
        for network, what in NEVER:
            if address in network:
                return what
        for network, what in PRIVATE:
            if address in network:
                return None if _is_named(host, self.policy.private_hosts) else what
        return None if address.is_global else "not an address that can be reached publicly"

    def _is_loopback(self, host: str, address: Address | None) -> bool:
        is_here = host == "localhost" or (address is not None and _is_this_machine(address))
        return is_here and self.policy.is_loopback_allowed

    def _check_local_name(self, host: str) -> None:
        if host == "localhost" and self.policy.is_loopback_allowed:
            return
        if not _is_named(host, self.policy.private_hosts):
            raise _refused(f"{host} names a host of a local network; name a public one", "address_private")


def system_resolve(host: str, port: int) -> list[str]:
    """Return the addresses that the system knows a host by; raise OSError for none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _parts_of(url: str) -> Destination:
    """Read an address strictly: printable ASCII, no user, no fragment, a plain host, a plain port."""
    if len(url) > URL_LETTERS_HIGHEST or _VISIBLE.fullmatch(url) is None or _FORBIDDEN & set(url):
        raise _refused(
            f"a url is at most {URL_LETTERS_HIGHEST} printable ASCII letters without blanks, user name, "
            "backslash or fragment: https://hooks.example.org/nacre",
            "url_malformed",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused(f"this is no url: {error}", "url_malformed") from error
    scheme = parts.scheme
    if scheme not in ("http", "https") or not url.lower().startswith(f"{scheme}://") or not parts.netloc:
        raise _refused("a url begins with https:// and a host", "url_malformed")
    host = (parts.hostname or "").removesuffix(".")
    if parts.netloc.endswith(":") or not _is_host(host, is_bracketed=parts.netloc.startswith("[")):
        raise _refused(
            f"{host[:100]!r} is no host: name it in letters, digits and hyphens (IDNA: xn--…), or write an "
            "address plainly, as 192.0.2.1 or [2001:db8::1]",
            "url_malformed",
        )
    if port is None:
        port = HTTPS_PORT if scheme == "https" else HTTP_PORT
    if not 1 <= port <= PORT_HIGHEST:
        raise _refused(f"port {port} does not exist", "url_port")
    literal = _literal(host)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(scheme, host if literal is None else str(literal), port, target)


def _is_host(host: str, *, is_bracketed: bool) -> bool:
    """Tell whether this is a plain IP address or a name whose last part is no number."""
    if is_bracketed:
        return isinstance(_literal(host), IPv6Address)
    if _literal(host) is not None:
        return ":" not in host
    labels = host.split(".")
    is_name = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)  # noqa: PLR2004 (RFC 1035)
    return is_name and _NUMBER.fullmatch(labels[-1]) is None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_this_machine(address: Address) -> bool:
    """Tell whether this is loopback in its plain form; an IPv6 form that carries 127.0.0.1 is not."""
    return any(address in network for network in LOOPBACK)


def _is_named(host: str, names: Sequence[str]) -> bool:
    """Tell whether a host is among these: by its name, or below one that begins with `*.`."""
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in names)


def _dotted(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f".{name}" for name in names)


def _refused(sentence: str, code: str) -> InvalidValueError:
    return InvalidValueError(sentence, field=FIELD, code=code)
