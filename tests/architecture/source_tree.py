"""The tree as the house rules read it: its files, their syntax trees and the full names behind local ones.

Every rule is a function from a root folder to a list of sentences, one per violation, each saying where and
what to do instead. Its test runs it twice: on this repository, where the list must be empty, and on a small
tree with a planted violation, where it must not be - a rule that cannot turn red holds nothing.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("app", "services", "migrations", "cron_registry.py")
EVERYTHING = (*CODE, "tests", "docs")
NOT_OURS = {".git", ".venv", "__pycache__", "node_modules", "build", "dist", "var"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def files(root: Path, *tops: str) -> Iterator[Path]:
    """Yield every file below the named tops (by default all of `root`), but not what tools left behind."""
    for top in sorted(tops or {entry.name for entry in root.iterdir()}):
        start = root / top
        found = [start] if start.is_file() else sorted(start.rglob("*"))
        for path in found:
            parts = path.relative_to(root).parts
            if path.is_file() and not NOT_OURS.intersection(parts) and not any(map(is_cache, parts)):
                yield path


def is_cache(part: str) -> bool:
    """Tell whether a path component is a tool's cache folder."""
    return part == ".hypothesis" or (part.startswith(".") and part.endswith("_cache"))


def python_files(root: Path, *tops: str) -> Iterator[Path]:
    """Yield the Python files below the named tops, by default those of the product (no tests, no docs)."""
    return (path for path in files(root, *(tops or CODE)) if path.suffix == ".py")


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return parse_version(path, path.stat().st_mtime_ns)


@cache
def parse_version(path: Path, _modified_ns: int) -> ast.Module:
    """Return the syntax tree of one version of a file, parsed once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def where(root: Path, path: Path, node: ast.AST | None = None) -> str:
    """Return `path:line`, relative to the root."""
    place = path.relative_to(root).as_posix()
    return f"{place}:{node.lineno}" if node is not None and hasattr(node, "lineno") else place


def imported_modules(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Yield the full name of everything a file imports (`from a import b` gives `a.b`), with its node."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{'.' * node.level}{node.module or ''}.{alias.name}", node


def full_names(path: Path) -> dict[str, str]:
    """Map each name a file imports to the full name of what it stands for."""
    names = {}
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.AST) -> str | None:
    """Return `a.b.c` for a chain of attributes on a name, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    return None


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call whose function's full name can be read off the imports, with that name."""
    names = full_names(path)
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call) and (name := dotted(node.func)) is not None:
            top, dot, rest = name.partition(".")
            yield names.get(top, top) + dot + rest, node


def plant(root: Path, sources: dict[str, str]) -> Path:
    """Write a small tree, path → text, and return its root."""
    for name, source in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root
