"""SVG elements and scales: the few strokes every chart is made of.

Stands under the charts. All text is escaped here, and hidden characters are shown; no element ever carries a
style attribute.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from app.web.formats import visible

WIDTH = 640
LEFT, RIGHT = 64, 20


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from data to drawing: `low` is drawn at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where `value` is drawn."""
        width = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / width if width else 0.5)


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """Return an SVG element, plain text escaped; `class_`, `text_anchor` become `class`, `text-anchor`."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), attribute(value))
        for key, value in attributes.items()
    )
    inner = Markup("").join(
        child if isinstance(child, Markup) else escape(visible(child)) for child in children
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, pairs, inner)


def attribute(value: str | float) -> str:
    """Return an attribute's value: numbers to two decimals, text with hidden characters shown."""
    return visible(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def picture(kind: str, box: tuple[float, float, float, float], title: str, text: str, *parts: str) -> Markup:
    """Return the whole picture; `box` is (left, top, width, height), `text` says in words what it shows."""
    head = (tag("title", title), tag("desc", text))
    view_box = " ".join(attribute(side) for side in box)
    return tag("svg", *head, *parts, class_=f"chart {kind}", viewBox=view_box, role="img")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Return a straight line; `kind` is its class."""
    return tag("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def label(x: float, y: float, text: str, kind: str = "label", anchor: str = "start") -> Markup:
    """Return a text at a point; `anchor` is start, middle or end."""
    return tag("text", text, class_=kind, x=x, y=y, text_anchor=anchor)


def polyline(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """Return a line through points; `kind` is its class."""
    return tag("polyline", class_=kind, points=" ".join(f"{attribute(x)},{attribute(y)}" for x, y in points))
