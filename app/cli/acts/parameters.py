"""The acts of `nacre parameter`: what is in force and why, and the operator's way back.

Stand over production config and the evolution ledger (L7). They never set a value: the loop promotes, and a
person can only take a promotion back.
"""

from dataclasses import asdict

from app.cli.acts.listing import show_one
from app.cli.acts.opening import existing_platform
from app.cli.acts.printing import key, print_json, print_page, say
from services import evolution_ledger
from services.store import views

PARAMETERS = (
    key("name"),
    key("value"),
    key("unit"),
    key("source"),
    key("version"),
    key("default"),
    ("bounds", lambda item: f"{item['low']} – {item['high']}"),
    key("risk"),
)


def list_all(*, limit: int, cursor: str | None, database: str | None, as_json: bool) -> None:
    """Print the registered parameters by name."""
    with existing_platform(database) as platform, platform.store.read() as tx:
        page = views.list_parameters(tx, platform.registry, limit=limit, cursor=cursor)
    print_page(dict(page), PARAMETERS, what="parameters", as_json=as_json)


def show(*, name: str, database: str | None, as_json: bool) -> None:
    """Print one parameter with its history."""
    what = f"parameter {name!r}; list them with `nacre parameter list`"
    show_one(
        lambda platform, tx: views.get_parameter(tx, platform.registry, name),
        what,
        database=database,
        as_json=as_json,
    )


def rollback(*, name: str, reason: str, database: str | None, as_json: bool) -> None:
    """Restore the value before the newest promotion and print what was read back."""
    with existing_platform(database) as platform, platform.store.write(actor="operator") as tx:
        receipt = evolution_ledger.rollback(tx, platform.registry, parameter=name, reason=reason)
    if as_json:
        print_json(asdict(receipt))
    else:
        say(f"{name} is {receipt.value} again (version {receipt.version}); read back {receipt.read_back}.")
