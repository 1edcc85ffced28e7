"""Which tables and columns can stand at a place in SQL, and how well each one fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ..protocol import Database, Variable
from . import fitting
from .choices import Choice
from .cursor import Excerpt
from .facts import MAX_FACTS, MAX_LENGTH, bracketed
from .sql import KEYWORDS, MAGIC, Query, Source, Spot, query_around, spot_at, tables_of

Tables = Mapping[str, Mapping[str, str]]

# Types of SQL by what fitting.py knows them as.
TYPES = (
    ("bool", re.compile(r"bool|logical")),
    ("datetime64", re.compile(r"date|time")),
    ("float64", re.compile(r"int|real|double|float|num|dec|money|serial|long|short")),
    ("str", re.compile(r"char|text|string|clob|uuid|enum|object|str")),
)
# Of such functions' arguments.
ARGUMENTS = {
    **dict.fromkeys(
        ("sum", "avg", "median", "stddev", "variance", "round", "abs", "quantile_cont"), "values"
    ),
}
SUMS = frozenset(["sum", "avg", "median"])
TIME_FUNCTIONS = frozenset(["year", "month", "date_trunc", "strftime", "date", "julianday", "hour", "day"])
KINDS = {"group": "groupby", "partition": "groupby", "order": "sort_values"}
WORD = re.compile(r"\w+")
PLAIN = re.compile(r"[^\W\d]\w*\Z")
# Engines that know a name by large and small letters alike, so that none needs quotes for its case.
KEEPS_CASE = frozenset(["duckdb", "sqlite"])
# A function that what is begun may become.
FUNCTIONS = ("count(", "sum(", "avg(", "min(", "max(", "round(", "coalesce(", "cast(", "lower(", "upper(")
MAX_COLUMNS = 300
MAX_NAMES = 500
SAID_ABOVE = 300
ASSIGNED = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)")


class _Name(NamedTuple):
    """``name`` as it is written, of the ``column`` or table with a type; ``weight`` besides what fits."""

    name: str
    column: str
    dtype: str = ""
    weight: float = 0.0


class _Others(NamedTuple):
    """The columns of a statement's other tables: by name, by what a key to them is called, without "_"."""

    names: set[str]
    keys: set[str]
    plain: set[str]

    @classmethod
    def than(cls, source: Source | None, sources: Sequence[Source]) -> _Others:
        pairs = [(one.table, name) for one in sources if one is not source for name in one.columns]
        return cls(
            {name for _, name in pairs},
            {key for table, name in pairs for key in _keys(table, name)},
            {_plain(name) for _, name in pairs},
        )


def sql_choice(databases: Sequence[Database], variables: Sequence[Variable], where: Excerpt) -> Choice | None:
    """The tables or columns that can stand at the cursor; None where it is in no SQL, or none is known."""
    query, tables = _asked(databases, variables, where)
    spot = spot_at(query, tables) if query and tables else None
    if query is None or spot is None:
        return None
    found = _tables(spot, tables) if spot.kind == "table" else _columns(spot, tables)
    names = [*islice(found, MAX_NAMES)]
    engine = next((database.engine for database in databases if database.name == query.owner), "")
    spelt = [name._replace(name=_spelt(name.name, spot, engine)) for name in names]
    rests = _rests(spelt, spot)
    if not any(rest for rest, _ in rests) or query.right[:1].isidentifier():
        return None
    weights = _weights([name for _, name in rests], spot, query, _said(where))
    quote = "'" if query.quote[:1] == "'" and len(query.quote) == 1 else query.quote
    escape = quote if len(quote) == 1 else ""
    return Choice(
        tuple(rest.replace(escape, "\\" + escape) if escape else rest for rest, _ in rests),
        tuple(weights),
        spot.quote,
        alone=where.cursor.line_right.strip("\"') ") != "",
    )


def table_lines(
    databases: Sequence[Database], variables: Sequence[Variable], where: Excerpt
) -> tuple[str, ...]:
    """A line for each table that the SQL around the cursor names, or else for each that it can ask."""
    query, tables = _asked(databases, variables, where)
    frames = {variable.name for variable in variables}
    tables = {name: columns for name, columns in tables.items() if name not in frames}
    if query is None or not tables:
        return ()
    cut = len(where.cursor.left) - len(where.cursor.before_word)
    text = f"{query.left[: len(query.left) - cut]} {query.right}".lower()
    words = {*WORD.findall(text)}
    named = [name for name in tables if words.issuperset(WORD.findall(name.lower()))]
    rest = [name for name in tables if name not in named]
    lines = [_line(name, tables[name]) for name in (rest + named)[-MAX_FACTS:]]
    return (*(["tables" + bracketed(tables, MAX_LENGTH)] if len(tables) > MAX_FACTS else []), *lines)


def _asked(
    databases: Sequence[Database], variables: Sequence[Variable], where: Excerpt
) -> tuple[Query | None, Tables]:
    if not databases and not variables:
        return None, {}
    query = query_around(where, [database.name for database in databases if database.name != MAGIC])
    return query, tables_of(query, databases, variables) if query else {}


def _line(name: str, columns: Mapping[str, str]) -> str:
    text = f"{name}: table"
    details = (f"{column} {dtype.lower()}".rstrip() for column, dtype in columns.items())
    return text + bracketed(details, MAX_LENGTH - len(text))


def _tables(spot: Spot, tables: Tables) -> Iterator[_Name]:
    joined = {source.alias for source in spot.sources} if spot.clause == "join" else set()
    for name, columns in tables.items():
        shared = any(not columns.keys().isdisjoint(source.columns) for source in spot.sources)
        asked = sum(column in columns for column in (*spot.selected, *spot.grouped))
        weight = -3.0 * (name in joined) + 1.0 * (shared and spot.clause == "join") + 1.5 * min(asked, 3)
        yield _Name(name, name, weight=weight)


def _columns(spot: Spot, tables: Tables) -> Iterator[_Name]:
    if spot.qualifier:
        yield from _of_qualifier(spot, tables)
        return
    sources = [source for source in spot.sources if source.columns]
    if spot.is_first and not spot.begun and not spot.quote:
        yield _Name("*", "*", weight=-0.5 if spot.has_from else 1.0)
        if spot.grouped or spot.has_from:
            yield _Name("COUNT(*)", "*", weight=-2.0)
    if spot.clause == "order":
        yield from (_Name(alias, alias, weight=2.0) for alias in spot.aliases)
    if not spot.sources:
        sources = [Source("", columns) for columns in tables.values()] if spot.clause == "select" else []
    seen: set[str] = set()
    for source in sources:
        others = _Others.than(source, spot.sources)
        for column, dtype in [*source.columns.items()][:MAX_COLUMNS]:
            weight = _weight(column, source, spot, others)
            weight += 2.0 * (spot.function in TIME_FUNCTIONS and _dtype(dtype) == "datetime64")
            is_doubtful = column in others.names and spot.before != "(" and spot.function != "using"
            may_qualify = spot.clause not in ("set", "into") and len(spot.sources) > 1 and bool(source.alias)
            if may_qualify and (is_doubtful or spot.qualifies or spot.clause == "on"):
                yield _Name(f"{source.alias}.{column}", column, dtype, weight)
            elif column not in seen:
                seen.add(column)
                yield _Name(column, column, dtype, weight)
    if spot.begun and len(spot.begun) > 1:
        upper = spot.begun.isupper()
        yield from (_Name(f.upper() if upper else f, "*", weight=-1.5) for f in FUNCTIONS)


def _of_qualifier(spot: Spot, tables: Tables) -> Iterator[_Name]:
    owner = spot.qualifier.lower()
    source = next((one for one in spot.sources if one.alias.lower() == owner), None)
    columns = (
        source.columns
        if source
        else next((columns for name, columns in tables.items() if name.lower() == owner), {})
    )
    others = _Others.than(source, spot.sources)
    for column, dtype in columns.items():
        yield _Name(column, column, dtype, _weight(column, source, spot, others))
    for name in tables:
        if name.lower().startswith(owner + "."):
            yield _Name(name[len(owner) + 1 :], name)


def _weight(column: str, source: Source | None, spot: Spot, others: _Others) -> float:
    """What the statement's other parts say of a column."""
    weight = 0.0
    if spot.clause == "group":
        weight += 5.0 * (column in spot.selected)
    if spot.clause == "order":
        weight += 1.0 * (column in spot.selected or column in spot.grouped)
    if spot.clause == "select" and column in spot.grouped and column not in spot.named:
        weight += 4.0
    if spot.function in SUMS and column.lower().endswith("id"):
        weight -= 2.0
    if spot.clause in ("on", "using") or spot.function == "using":
        weight += _joins(column.lower(), source, spot, others)
    return weight


def _joins(column: str, source: Source | None, spot: Spot, others: _Others) -> float:
    """How well it joins its table with the others, or with what it is compared with."""
    compared, qualifier = spot.compared
    table = source.table if source else ""
    if compared:
        if source and qualifier and source.alias.lower() == qualifier.lower():
            return -4.0
        other = next((one.table for one in spot.sources if one.alias.lower() == qualifier.lower()), "")
        return _pairs(compared.lower(), other, column, table)
    if column in others.names:
        return _pairs(column, "", column, "")
    return 5.0 if _plain(column) in others.keys or _keys(table, column) & others.plain else 0.0


def _plain(column: str) -> str:
    return column.lower().replace("_", "")


def _keys(table: str, column: str) -> set[str]:
    """What other tables may call the column: ``ports.id`` is ``port_id``."""
    return {_plain(name + column) for name in (table, table.lower().removesuffix("s"))} if table else set()


def _pairs(left: str, left_table: str, right: str, right_table: str) -> float:
    """``ships.port_id = ports.id``; of two columns by one name "id" says little."""
    if left == right:
        return 1.0 if left in ("id", "name") else 5.0
    if _plain(left) in _keys(right_table, right) or _plain(right) in _keys(left_table, left):
        return 5.0
    return 3.0 if left.endswith("_" + right) or right.endswith("_" + left) else 0.0


def _rests(names: Sequence[_Name], spot: Spot) -> list[tuple[str, _Name]]:
    begun = spot.begun
    exact = [(name.name[len(begun) :], name) for name in names if name.name.startswith(begun)]
    if exact or not begun.islower():
        return exact
    return [(n.name[len(begun) :], n) for n in names if n.name.lower().startswith(begun)]


def _spelt(name: str, spot: Spot, engine: str) -> str:
    """Quoted where it has to be."""
    if spot.quote or name in ("*", "COUNT(*)") or name.endswith("("):
        return name.replace('"', '""') if spot.quote == '"' else name
    if spot.kind == "column" and "." in name and not spot.qualifier:
        alias, _, column = name.partition(".")
        return f"{_quoted(alias, engine)}.{_quoted(column, engine)}"
    parts = name.split(".") if spot.kind == "table" else [name]
    return ".".join(_quoted(part, engine) for part in parts)


def _quoted(name: str, engine: str) -> str:
    folds = engine not in KEEPS_CASE and engine and name != name.lower()
    if PLAIN.match(name) and name.lower() not in KEYWORDS and not folds:
        return name
    mark = "`" if engine in ("bigquery", "mysql", "mariadb") else '"'
    return mark + name.replace(mark, mark * 2) + mark


def _weights(names: Sequence[_Name], spot: Spot, query: Query, said: str) -> list[float]:
    if spot.kind == "table":
        place = fitting.Spot("table", above=said)
    else:
        kind = ARGUMENTS.get(spot.function, KINDS.get(spot.clause, "key"))
        dtypes = {name.column: _dtype(name.dtype) for name in names if name.dtype}
        named = spot.named if spot.clause in ("select", "group", "order", "set", "into") else ()
        right = '"]' + query.right.partition("\n")[0].removeprefix(spot.quote or "\n")
        place = fitting.Spot(kind, spot.begun, dtypes=dtypes, named=tuple(named), right=right, above=said)
    fits = fitting.weights([name.column for name in names], place)
    return [fit + name.weight for fit, name in zip(fits, names, strict=True)]


def _dtype(sql: str) -> str:
    return next((dtype for dtype, pattern in TYPES if pattern.search(sql.lower())), "")


def _said(where: Excerpt) -> str:
    """What says what is asked for: comments and the text above, and what the answer is called."""
    cursor = where.cursor
    lines = cursor.left[-SAID_ABOVE:].split("\n")
    comments = [line for line in lines if line.lstrip().startswith(("--", "#"))]
    made = [found[1] for line in lines[-8:] if (found := ASSIGNED.match(line))]
    before = where.cells[where.active - 1] if where.active else None
    text = before.source[-SAID_ABOVE:] if before and before.type == "markdown" else ""
    return "\n".join([text, *comments, *made])
