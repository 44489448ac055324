"""One signed request to one checked address: connects to the address itself, names the host, follows nothing.

Stands between the sender and the network. `Host` and TLS (SNI, certificate) are of the name that was given;
the connection is to the address that was judged. The whole exchange has a deadline, and of an answer no more
is read than is needed to end it. What a receiver writes is never kept and never decides a route.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import httpx2

from app.egress.destinations import Destination
from services.domain.webhooks import Outcome, read_retry_after

ANSWER_BYTES_HIGHEST = 65_536
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
RETRY_STATUSES = frozenset({429, 503})
AGENT = "nacre-webhooks"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a connection and a whole exchange may take."""

    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = TOTAL_SECONDS


def new_client(limits: Limits, trust: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """Return a client that keeps no connection, knows no proxy and follows no redirect."""
    return httpx2.AsyncClient(
        verify=trust or ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        timeout=httpx2.Timeout(limits.total_seconds, connect=limits.connect_seconds),
    )


async def post(
    client: httpx2.AsyncClient,
    destination: Destination,
    address: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    total_seconds: float,
    now_us: int,
) -> Outcome:
    """Post `body` to `address` in the name of the destination's host and return what came of it.

    Never raises for what a receiver or the network does.
    """
    try:
        async with asyncio.timeout(total_seconds):
            return await _exchange(client, destination, address, body, headers, now_us)
    except TimeoutError:
        return Outcome(None, f"no whole answer within {total_seconds:g} s")
    except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
        return Outcome(None, f"{type(error).__name__}: {error}"[:200] or type(error).__name__)


async def _exchange(
    client: httpx2.AsyncClient,
    destination: Destination,
    address: str,
    body: bytes,
    headers: Mapping[str, str],
    now_us: int,
) -> Outcome:
    host = f"[{address}]" if ip_address(address).version == 6 else address  # noqa: PLR2004 (IPv6)
    request = client.build_request(
        "POST",
        f"{destination.scheme}://{host}:{destination.port}{destination.target}",
        content=body,
        headers={
            **headers,
            "Host": destination.authority,
            "User-Agent": AGENT,
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
        extensions={"sni_hostname": destination.host},
    )
    response = await client.send(request, stream=True)
    try:
        taken = 0
        async for chunk in response.aiter_raw():
            taken += len(chunk)
            if taken > ANSWER_BYTES_HIGHEST:
                break
    finally:
        await response.aclose()
    asked = response.headers.get("retry-after") if response.status_code in RETRY_STATUSES else None
    return Outcome(response.status_code, None, read_retry_after(asked, now_us))
