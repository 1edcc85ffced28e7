"""The SQL around the cursor, of a cell or of a string in Python code, and what its places can name.

SQL is read by its tokens alone, so half a statement is no error: which clause the cursor is in, which tables
the statement has, and by which names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ..protocol import Cell, Database, Variable
from .cursor import Cursor, Excerpt
from .expressions import TOKEN as PYTHON
from .languages import language_of

LETTERS = "rRbBuUfF"
# Characters of SQL that are read left and right of the cursor.
REACH = 6000
# The functions and methods whose string is SQL, and what SQL begins with.
CALLS = frozenset(
    ["execute", "executemany", "executescript", "query", "read_sql", "read_sql_query", "sql", "sqldf", "text"]
)
BEGINS = re.compile(r"\s*(?:SELECT|WITH|INSERT\s+INTO|UPDATE|DELETE\s+FROM|FROM|CREATE|ALTER|DROP)\s")
SURELY_BEGINS = re.compile(r"\s*(?:SELECT|WITH|INSERT INTO|UPDATE|DELETE FROM)\s")
# ``pd.read_sql("…", con)``
OTHER_ARGUMENT = re.compile(r"\)?\s*,\s*(?:con\s*=\s*)?([^\W\d]\w*)")
LINE_MAGIC = "%sql "
CELL_MAGIC = re.compile(r"\s*%%(\w+)([^\n]*)(?:\n|\Z)")
# Its tables are on another host.
ELSEWHERE = frozenset(["bigquery", "sparksql"])
# What takes a variable for a table.
FRAMES = ("DataFrame", "DuckDBPyRelation", "LazyFrame")
ASK_FRAMES = frozenset(["duckdb", "pl", "polars", "sqldf"])
MAGIC = "%sql"
# Queries within queries, and tables of one, that are looked at.
MAX_DEPTH = 5
MAX_SOURCES = 12

TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<string>'(?:''|[^'])*(?:'|\Z))"
    r"|(?P<quoted>\"(?:\"\"|[^\"])*(?:\"|\Z)|`[^`]*(?:`|\Z))|(?P<name>[^\W\d]\w*)"
    r"|(?P<value>[:$@]\w+|\{[^{}]*\}|\d[\w.]*|\?|%\(\w+\)s|%s)|(?P<space>\s+)"
    r"|(?P<mark>[<>!]=|<>|\|\||::|==|.)",
    re.DOTALL,
)
_KEYWORDS = """
    select from where group order by having limit offset join inner left right full outer cross natural on
    using as and or not in is null like ilike between case when then else end distinct all union intersect
    except with values set into update insert delete create table view drop alter describe asc desc over
    partition qualify exists cast interval window returning lateral any some recursive if replace true false
    primary key foreign references default unique check index asof positional semi anti sample pivot
    unpivot exclude for to add column user at"""
KEYWORDS = frozenset(_KEYWORDS.split())
_CLAUSES = """
    select from join where on group order having set into update values limit using qualify returning
    partition table describe"""
CLAUSES = frozenset(_CLAUSES.split())
BEFORE_TABLE = frozenset(["from", "join", "into", "update", "table", "describe"])
# After these an expression begins, with a column most of the time.
BEFORE_COLUMN = frozenset(
    ["select", "distinct", "where", "on", "and", "or", "not", "having", "by", "when", "set", "returning"]
)
LISTS = frozenset(["select", "group", "order", "set", "partition", "returning"])
COMPARISONS = frozenset(["=", "==", "<", ">", "<=", ">=", "<>", "!="])
SET_OPERATIONS = frozenset(["union", "intersect", "except"])


class Token(NamedTuple):
    """``kind``: the group of TOKEN; ``word``: small letters of a bare name, the text of another kind."""

    kind: str
    text: str
    word: str

    @property
    def name(self) -> str:
        """What it names; "" where it isn't one."""
        if self.kind == "quoted":
            quote = self.text[0]
            return self.text[1:].removesuffix(quote).replace(quote * 2, quote)
        return self.text if self.kind == "name" and self.word not in KEYWORDS else ""


class Source(NamedTuple):
    """A table of the statement by the name that it has there; no columns: they aren't known."""

    alias: str
    columns: Mapping[str, str]
    table: str = ""


@dataclass(frozen=True)
class Query:
    """SQL at the cursor. ``quote``: what ends the Python string that it stands in.

    ``owner``: the variable that it is asked of, "" where that isn't said. ``calls``: the names in the call
    around it, or the cell's magic.
    """

    left: str
    right: str
    quote: str = ""
    owner: str = ""
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spot:
    """Where in a statement the cursor is: ``kind`` is table or column.

    ``clause`` in small letters; ``before``: the word or mark before; ``qualifier``: what stands before a
    dot; ``function``: whose argument it is; ``sources``: the statement's tables; ``selected``: what it
    selects as it is, ``aliases`` and all ``named`` columns; ``compared``: the column left of a comparison
    and its table; ``begun``, after ``quote`` where there is one.
    """

    kind: str
    clause: str
    before: str = ""
    qualifier: str = ""
    function: str = ""
    begun: str = ""
    quote: str = ""
    sources: Sequence[Source] = ()
    selected: Sequence[str] = ()
    aliases: Sequence[str] = ()
    grouped: Sequence[str] = ()
    named: Sequence[str] = ()
    compared: tuple[str, str] = ("", "")
    qualifies: bool = False
    is_first: bool = False
    has_from: bool = False


def query_around(where: Excerpt, names: Sequence[str] = ()) -> Query | None:
    """The SQL that the cursor stands in; ``names``: of the variables that are databases."""
    cell, cursor = where.cells[where.active], where.cursor
    if cell.type != "code":
        return None
    if language_of(cell, "python") == "sql":
        return _of_cell(cell, cursor, names)
    made, magic, rest = cursor.line_left.partition(LINE_MAGIC)
    if magic and (not made.strip() or made.rstrip().endswith("=")):
        words = rest.split()
        owner = next((word for word in words[:3] if word in names), "")
        return Query(rest.removeprefix(owner), cursor.line_right, "", owner, ("sql",))
    return _of_string(cursor, names)


def _of_cell(cell: Cell, cursor: Cursor, names: Sequence[str]) -> Query | None:
    magic = CELL_MAGIC.match(cell.source)
    if magic is None:
        return Query(cursor.left[-REACH:], cursor.right[:REACH])
    if len(cursor.left) < magic.end() or not cursor.above:
        return None
    owner = next((word for word in magic[2].split() if word in names), "")
    left = cursor.left[magic.end() :]
    return Query(left[-REACH:], cursor.right[:REACH], "", owner, (magic[1].lower(),))


def _of_string(cursor: Cursor, names: Sequence[str]) -> Query | None:
    left = cursor.left[-REACH:]
    tokens = [match for match in PYTHON.finditer(left) if match.lastgroup != "space"]
    text = tokens[-1][0] if tokens and tokens[-1].lastgroup == "string" else ""
    opening = text[: len(text) - len(text.lstrip(LETTERS))]
    text = text.removeprefix(opening)
    quote = text[:3] if text[:3] in ('"""', "'''") else text[:1]
    body = text.removeprefix(quote)
    if not text or body.endswith(quote):
        return None
    inside, _, after = (cursor.right[:REACH] if len(quote) == 3 else cursor.line_right).partition(quote)
    owner, method = _call([match[0] for match in tokens[-8:-1]])
    is_asked = method in CALLS and (owner in names or bool(BEGINS.match(body[:REACH].upper())))
    if not is_asked and not SURELY_BEGINS.match(body):
        return None
    asked = owner
    if owner not in names:
        other = OTHER_ARGUMENT.match(after)
        asked = other[1] if other and other[1] in names else ""
    return Query(body, inside, quote, asked, (owner, method))


def _call(tokens: list[str]) -> tuple[str, str]:
    """The object and the method that a string is an argument of: the tokens before it are

    ``con.execute(``, ``pd.read_sql(sql=`` or ``con.execute(text(``.
    """
    if tokens[-1:] == ["="]:
        tokens = tokens[:-2]
    if tokens[-2:] == ["text", "("] and tokens[-3:-2] == ["("]:
        tokens = tokens[:-2]
    if len(tokens) < 2 or tokens[-1] != "(":
        return "", ""
    return tokens[-4] if tokens[-3:-2] == ["."] and len(tokens) > 3 else "", tokens[-2]


def tables_of(
    query: Query, databases: Sequence[Database], variables: Sequence[Variable]
) -> dict[str, Mapping[str, str]]:
    """All tables that it can ask, with their columns and types."""
    if not ELSEWHERE.isdisjoint(query.calls):
        return {}
    asked = [database for database in databases if database.name == query.owner]
    if not asked and not query.quote:
        asked = [database for database in databases if database.name == MAGIC]
    if not asked and ASK_FRAMES.isdisjoint(query.calls):
        asked = [*databases]
    with_frames = not ASK_FRAMES.isdisjoint(query.calls) or (not asked and not query.quote)
    tables: dict[str, Mapping[str, str]] = {}
    if with_frames or any(database.engine == "duckdb" for database in asked):
        tables |= {v.name: dict(v.columns) for v in variables if v.type in FRAMES and v.columns}
    for database in asked:
        tables |= {table.name: dict(table.columns) for table in database.tables}
    return tables


def spot_at(query: Query, tables: Mapping[str, Mapping[str, str]]) -> Spot | None:
    """What can stand at the cursor; None where it is neither a table nor a column."""
    left, right = _statement(query)
    begun, quote = "", ""
    if left and left[-1].kind in ("name", "quoted") and query.left.endswith(left[-1].text):
        last = left[-1]
        if last.kind == "name":
            begun = last.text
            left = left[:-1]
        elif len(last.text) == 1 or last.text[-1] != last.text[0]:
            begun, quote = last.text[1:], last.text[0]
            left = left[:-1]
    if not left or (left[-1].kind == "string" and not _is_closed(left[-1].text)):
        return None
    if query.left.endswith(left[-1].text) and left[-1].kind == "comment":
        return None
    left = [token for token in left if token.kind != "comment"]
    return _Reader(left, right, tables).spot(begun, quote) if left else None


def _is_closed(text: str) -> bool:
    return len(text) > 1 and text[-1] == text[0]


def _statement(query: Query) -> tuple[list[Token], list[Token]]:
    """The tokens of the cursor's statement left and right of it; a last comment left of it stays."""
    left = [*_tokens(query.left)]
    ends = [n for n, token in enumerate(left) if token.text == ";"]
    left = left[ends[-1] + 1 :] if ends else left
    right = []
    for token in _tokens(query.right):
        if token.text == ";":
            break
        right.append(token)
    is_comment = bool(left) and left[-1].kind == "comment"
    kept = [token for token in left if token.kind != "comment"]
    return (kept + left[-1:] if is_comment else kept), [t for t in right if t.kind != "comment"]


def _tokens(text: str) -> Iterator[Token]:
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind != "space":
            yield Token(kind, match[0], match[0].lower() if kind == "name" else match[0])


class _Reader:
    """A statement with a cursor in it, ``at`` which the tokens right of it begin."""

    def __init__(
        self, left: Sequence[Token], right: Sequence[Token], tables: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._tokens = [*left, *right]
        self._at = len(left)
        self._tables = dict(tables)
        self._inside = self._brackets()
        self._roots = self._roots_of()
        self._blocks: dict[int, list[int]] = defaultdict(list)
        for n, root in enumerate(self._roots[:-1]):
            self._blocks[root].append(n)
        self._depth = 0

    def _brackets(self) -> list[int]:
        """Of each token the bracket that it stands in, or -1; and so for the cursor, at the end."""
        stack, inside, cursor = [-1], [], -1
        for n, token in enumerate(self._tokens):
            if n == self._at:
                cursor = stack[-1]
            if token.text == ")" and len(stack) > 1:
                stack.pop()
            inside.append(stack[-1])
            if token.text == "(":
                stack.append(n)
        return [*inside, cursor if self._at < len(self._tokens) else stack[-1]]

    def _word(self, n: int) -> str:
        return self._tokens[n].word if 0 <= n < len(self._tokens) else ""

    def spot(self, begun: str, quote: str) -> Spot | None:
        self._with_queries()
        at, bracket = self._at, self._inside[-1]
        before = self._word(at - 1)
        function = ""
        if bracket >= 0 and not self._is_query(bracket):
            function = self._tokens[bracket - 1].text if bracket else ""
        block = self._block_of(self._roots[-1], self._at)
        clause = self._clause(bracket, block)
        sources = [*islice(self._sources(block), MAX_SOURCES)]
        common = self._common(block, clause, sources, begun, quote)
        if before == ".":
            return Spot(
                kind="column", before=before, function=function.lower(), qualifier=self._qualifier(), **common
            )
        if self._is_table_place(before, clause, bracket):
            return Spot(kind="table", before=before, **common)
        if not self._is_column_place(before, clause, bracket):
            return None
        outer = self._word(bracket - 1) if bracket > 0 and not self._is_query(bracket) else ""
        return Spot(kind="column", before=before, function=outer, **common)

    def _qualifier(self) -> str:
        names = []
        n = self._at - 2
        while n >= 0 and self._tokens[n].kind in ("name", "quoted"):
            names.append(self._tokens[n].name or self._tokens[n].text)
            if self._word(n - 1) != ".":
                break
            n -= 2
        return ".".join(reversed(names))

    def _common(self, block: list[int], clause: str, sources: list[Source], begun: str, quote: str) -> dict:  # type: ignore[type-arg]
        selected, aliases = self._selected(block)
        words = [self._word(n) for n in block]
        left_of = [n for n in block if n < self._at]
        start = max((n for n in left_of if self._word(n) in CLAUSES), default=0)
        named = [self._tokens[n].name for n in range(start, self._at) if self._tokens[n].name]
        if clause in ("select", "returning"):
            named += selected
        return {
            "clause": clause,
            "begun": begun,
            "quote": quote,
            "sources": sources,
            "selected": selected,
            "aliases": aliases,
            "grouped": self._grouped(block),
            "named": named,
            "compared": self._compared(),
            "qualifies": any(self._word(n) == "." and self._tokens[n - 1].name for n in block if n),
            "is_first": self._word(self._at - 1) in ("select", "distinct"),
            "has_from": "from" in words,
        }

    def _compared(self) -> tuple[str, str]:
        """The column left of a comparison, and what stands before its dot."""
        end = self._at - (2 if self._word(self._at - 1) == "." else 0) - 1
        if end < 1 or self._word(end) not in COMPARISONS:
            return "", ""
        qualifier = self._tokens[end - 3].name if end > 2 and self._word(end - 2) == "." else ""
        return self._tokens[end - 1].name, qualifier

    # Which part of the statement.

    def _is_query(self, bracket: int) -> bool:
        return self._word(bracket + 1) in ("select", "with", "from") or (
            bracket + 1 == self._at and self._word(bracket - 1) in ("from", "join", "as", "in", "exists")
        )

    def _block_of(self, bracket: int, at: int) -> list[int]:
        """The tokens of the query in a bracket, or the part ``at`` a token of a UNION."""
        inside = self._blocks[bracket]
        borders = [n for n in inside if self._word(n) in SET_OPERATIONS]
        first = max((n for n in borders if n < at), default=-1)
        last = min((n for n in borders if n >= at), default=len(self._tokens))
        return [n for n in inside if first < n < last]

    def _roots_of(self) -> list[int]:
        """The query's bracket that each token stands in, and the cursor, at the end."""
        roots: list[int] = []
        for bracket in self._inside:
            outer = self._inside[bracket] if bracket >= 0 else -1
            is_root = bracket < 0 or self._is_query(bracket)
            roots.append(bracket if is_root else roots[bracket] if outer != bracket else -1)
        return roots

    def _clause(self, bracket: int, block: list[int]) -> str:
        """The last keyword that begins a clause, where the cursor is."""
        for inside in (bracket, self._roots[-1]):
            for n in reversed(block):
                if n < self._at and self._inside[n] == inside and self._word(n) in CLAUSES:
                    return self._word(n)
        return ""

    # What its places are.

    def _is_table_place(self, before: str, clause: str, bracket: int) -> bool:
        if before in BEFORE_TABLE:
            # extract(year from …), IS DISTINCT FROM
            in_call = bracket >= 0 and not self._is_query(bracket)
            return not in_call and self._word(self._at - 2) != "distinct"
        in_list = clause == "from" and (bracket < 0 or self._is_query(bracket))
        return before == "," and in_list

    def _is_column_place(self, before: str, clause: str, bracket: int) -> bool:
        in_call = bracket >= 0 and not self._is_query(bracket)
        if before in BEFORE_COLUMN:
            between = [self._word(n) for n in range(max(0, self._at - 4), self._at - 1)]
            return not (before == "and" and "between" in between) and self._word(self._at - 2) != "create"
        if before == "(":
            outer = self._tokens[bracket - 1] if bracket > 0 else None
            is_function = outer is not None and outer.kind == "name" and outer.word not in KEYWORDS
            return (is_function and clause not in ("from", "values", "table", "join")) or self._word(
                bracket - 1
            ) == "using"
        if before == ",":
            if in_call:
                return clause == "into" or self._word(bracket - 1) == "using"
            return clause in LISTS
        if before in COMPARISONS:
            return clause == "on"
        is_star = before == "*" and self._word(self._at - 2) in ("select", "distinct", ",", "(", ".")
        return before in ("+", "-", "*", "/") and not is_star and clause not in ("limit", "values", "")

    # What it has.

    def _with_queries(self) -> None:
        """``WITH name AS (…)`` makes a table."""
        for n, token in enumerate(self._tokens[:-2]):
            if (
                token.name
                and self._word(n + 1) == "as"
                and self._word(n + 2) == "("
                and self._is_query(n + 2)
            ):
                if self._inside[-1] == n + 2:
                    continue
                self._tables[token.name] = self._made(n + 2)

    def _made(self, bracket: int) -> Mapping[str, str]:
        """The columns of the query in a bracket; none where it is one in very many."""
        if self._depth == MAX_DEPTH:
            return {}
        block = self._block_of(bracket, bracket + 1)
        self._depth += 1
        sources = [*islice(self._sources(block), MAX_SOURCES)]
        self._depth -= 1
        types = {name: dtype for source in sources for name, dtype in source.columns.items()}
        selected, aliases = self._selected(block)
        has_star = any(
            self._word(n) == "*" and self._word(n - 1) in ("select", ",", "distinct", ".") for n in block
        )
        columns = types if has_star else {}
        return {**columns, **{name: types.get(name, "") for name in (*selected, *aliases)}}

    def _selected(self, block: list[int]) -> tuple[list[str], list[str]]:
        """What the SELECT list names as it is, and the names that it gives."""
        start = next((i for i, n in enumerate(block) if self._word(n) == "select"), None)
        if start is None:
            return [], []
        depth = self._inside[block[start]]
        selected, aliases, item = [], [], []  # type: ignore[var-annotated]
        for n in [*block[start + 1 :], -1]:
            is_end = n < 0 or (self._inside[n] == depth and self._word(n) in CLAUSES)
            if not is_end and (self._word(n) != "," or self._inside[n] != depth):
                if n != self._at or not item:
                    item.append(n)
                continue
            tokens = [self._tokens[i] for i in item if self._word(i) not in ("distinct", "all")]
            words = [token.word for token in tokens]
            if len(tokens) > 1 and "as" in words[-2:] and tokens[-1].name:
                aliases.append(tokens[-1].name)
            elif tokens and tokens[-1].name and all(t.name or t.text == "." for t in tokens):
                selected.append(tokens[-1].name)
            item = []
            if is_end:
                break
        return selected, aliases

    def _grouped(self, block: list[int]) -> list[str]:
        start = next((i for i, n in enumerate(block) if self._word(n) == "group"), None)
        names: list[str] = []
        for n in block[start + 2 :] if start is not None else ():
            if self._word(n) in CLAUSES:
                break
            names += [self._tokens[n].name] if self._tokens[n].name else []
        return names

    def _sources(self, block: list[int]) -> Iterator[Source]:
        """The tables after FROM, JOIN, INTO and UPDATE."""
        is_from = False
        for i, n in enumerate(block):
            word = self._word(n)
            in_call = self._inside[n] >= 0 and not self._is_query(self._inside[n])
            if word in CLAUSES:
                is_from = word in ("from", "join", "into", "update") and not in_call
                begins = is_from
            else:
                begins = is_from and word == "," and not in_call
            if begins and i + 1 < len(block):
                found = self._source(n + 1)
                if found:
                    yield found

    def _source(self, n: int) -> Source | None:
        if n == self._at and self._word(n) in KEYWORDS:
            return None
        columns: Mapping[str, str] | None
        if self._word(n) == "(":
            columns = self._made(n) if self._is_query(n) else {}
            name, end = "", self._closing(n) + 1
        else:
            parts = []
            end = n
            while end < len(self._tokens) and self._tokens[end].name and (end != self._at or end == n):
                parts.append(self._tokens[end].name)
                end += 1
                if self._word(end) != ".":
                    break
                end += 1
            if not parts:
                return None
            name, columns = parts[-1], self._columns(".".join(parts), parts[-1])
        if self._word(end) == "as":
            end += 1
        alias = self._tokens[end] if end < len(self._tokens) and end != self._at else None
        return Source((alias.name if alias else "") or name, columns or {}, name)

    def _columns(self, whole: str, last: str) -> Mapping[str, str]:
        for name in (whole, last):
            for table, columns in self._tables.items():
                if table.lower() == name.lower() or table.lower().endswith("." + name.lower()):
                    return columns
        return {}

    def _closing(self, bracket: int) -> int:
        depth = 0
        for n in range(bracket, len(self._tokens)):
            depth += (self._word(n) == "(") - (self._word(n) == ")")
            if not depth:
                return n
        return len(self._tokens)
