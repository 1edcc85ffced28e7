"""What tables the databases in a kernel's namespace have, where that costs nobody a query of theirs.

Only engines that work in this very process are asked, SQLite and DuckDB, through a cursor of our own, and
at most for SECONDS; of all others, which may be someone's warehouse, only what SQLAlchemy has read before.
No transaction is begun or ended, nothing waits for a lock, and a result that is still to be fetched stays.

The frontend sends this file's text to the kernel behind kernelfacts.py's, in the same namespace.
"""

from __future__ import annotations

import contextlib
import sys
import time
import types
from itertools import chain, islice
from threading import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .kernelfacts import _dict_of, _is, _is_name, _module_dict, _name_of, _root, _shown, _text

DATABASE_SECONDS = 0.04
DATABASE_CHARACTERS = 40_000
MAX_DATABASES = 8
MAX_TABLES = 200
MAX_TABLE_COLUMNS = 100
# What the magic %sql has a connection to, and what the module's own functions ask.
MAGIC = "%sql"
# Of catalogs of another kind the tables may be on another host.
LOCAL_CATALOGS = ("duckdb", "sqlite")
# Which tables an ORDER BY would put first is known only when all have been read.
MAX_DUCKDB_ROWS = 5000
DUCKDB_COLUMNS = (
    "SELECT database_name, schema_name, table_name, column_name, data_type FROM duckdb_columns() "  # noqa: S608
    f"WHERE NOT internal AND (NOT $few OR table_name IN (SELECT unnest($sought))) LIMIT {MAX_DUCKDB_ROWS}"
)

Tables = dict[str, list[tuple[str, str]]]


def databases(namespace: dict[str, Any], used_names: list[str]) -> list[dict[str, Any]]:
    """Each one's ``name`` in the namespace (or MAGIC), ``engine``, and its ``tables`` with their columns.

    Those that the code names come first, of each the tables in ``used_names`` and then the newest.
    """
    deadline = time.perf_counter() + DATABASE_SECONDS
    names = dict.fromkeys(chain((n for n in used_names if n in namespace), reversed(list(namespace))))
    found = chain(_of_magic(), ((name, namespace[name]) for name in names if _is_name(name)))
    told: list[dict[str, Any]] = []
    tables: Tables
    room = DATABASE_CHARACTERS
    for name, value in islice(found, 5000):
        if len(told) == MAX_DATABASES or time.perf_counter() > deadline:
            break
        engine, tables = "", {}
        with contextlib.suppress(Exception):
            engine, tables = _database(value, used_names, deadline)
        if engine:
            listed = []
            for table, columns in tables.items():
                room -= len(table) + sum(len(column) + len(dtype) + 8 for column, dtype in columns)
                if room < 0:
                    break
                listed.append({"name": table, "columns": columns})
            told.append({"name": name, "engine": engine, "tables": listed})
    return told


def _database(value: Any, sought: list[str], deadline: float) -> tuple[str, Tables]:
    """Its engine and tables; "" for what is no database."""
    kind = type(value)
    if kind is types.ModuleType:
        if value is not sys.modules.get("duckdb") or value is None:
            return "", {}
        return "duckdb", _duckdb(value.default_connection(), sought, deadline)
    if _is(kind, "sqlite3", "Connection"):
        return "sqlite", _sqlite(value, sought, deadline)
    if _is_duckdb(kind, "DuckDBPyConnection"):
        return "duckdb", _duckdb(value, sought, deadline)
    if _root(kind) == "sqlalchemy":
        return _sqlalchemy(value, kind, sought, deadline)
    return "", {}


def _of_magic() -> list[tuple[str, Any]]:
    """The connection that %sql asks, of jupysql or ipython-sql."""
    module = sys.modules.get("sql.connection")
    if type(module) is not types.ModuleType:
        return []
    inside = _module_dict(module)
    manager = inside.get("ConnectionManager", inside.get("Connection"))
    current = _dict_of(manager).get("current") if type(manager) is type else None
    if current is None or _root(type(current)) != "sql":
        return []
    own = object.__getattribute__(current, "__dict__")
    names = ("_connection_sqlalchemy", "_connection", "internal_connection", "session")
    return [(MAGIC, own[name]) for name in names if own.get(name) is not None][:1]


def _is_duckdb(kind: Any, name: str) -> bool:
    module = sys.modules.get("duckdb")
    if type(module) is not types.ModuleType or _root(kind).lstrip("_") != "duckdb":
        return False
    return _module_dict(module).get(name) is kind


def _sqlite(connection: Any, sought: list[str], deadline: float) -> Tables:
    """By a user's connection; where reading would open a transaction, by one of our own."""
    if connection.text_factory is not str:
        return {}
    if getattr(connection, "autocommit", -1) is not False:
        return _sqlite_tables(connection, sought, deadline)
    path = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
    return _sqlite_file(path, sought, deadline) if path else _sqlite_tables(connection, sought, deadline)


def _sqlite_file(path: str, sought: list[str], deadline: float) -> Tables:
    from pathlib import Path
    from sqlite3 import connect

    if not Path(path).is_file():
        return {}
    own = connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=0)
    try:
        return _sqlite_tables(own, sought, deadline)
    finally:
        own.close()


def _sqlite_tables(connection: Any, sought: list[str], deadline: float) -> Tables:
    cursor = connection.cursor()
    cursor.row_factory = None
    [wait] = cursor.execute("PRAGMA busy_timeout").fetchone()
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        schemas = [row[1] for row in cursor.execute("PRAGMA database_list").fetchall()]
        tables: Tables = {}
        for schema in schemas:
            inside = f"{_quoted(schema)}.{'sqlite_temp_master' if schema == 'temp' else 'sqlite_master'}"
            kinds = "type IN ('table', 'view')"
            newest = f"SELECT name FROM {inside} WHERE {kinds} ORDER BY rowid DESC LIMIT ?"  # noqa: S608
            names = [row[0] for row in cursor.execute(newest, (10 * MAX_TABLES,)).fetchall()]
            names.sort(key=lambda name: name not in sought)
            prefix = "" if schema in ("main", "temp") else f"{schema}."
            for name in names[:MAX_TABLES]:
                if time.perf_counter() > deadline:
                    return tables
                if _shown(name) and not name.startswith("sqlite_"):
                    with contextlib.suppress(Exception):  # a view of what is no more
                        rows = cursor.execute(f"PRAGMA {_quoted(schema)}.table_info({_quoted(name)})")
                        tables[prefix + name] = _columns_of((row[1], row[2]) for row in rows.fetchall())
        return tables
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {wait}")
        cursor.close()


def _duckdb(connection: Any, sought: list[str], deadline: float) -> Tables:
    """By a second connection to the same database: what the first one has executed is to be fetched yet."""
    cursor = connection.cursor()
    watch = Timer(max(0.0, deadline - time.perf_counter()), cursor.interrupt)
    watch.daemon = True
    watch.start()
    try:
        catalogs = cursor.execute("SELECT type, path FROM duckdb_databases() WHERE NOT internal").fetchall()
        if any(kind not in LOCAL_CATALOGS or "://" in (path or "") for kind, path in catalogs):
            return {}
        [[here, schema]] = cursor.execute("SELECT current_database(), current_schema()").fetchall()
        rows = cursor.execute(DUCKDB_COLUMNS, {"few": False, "sought": [""]}).fetchall()
        if len(rows) == MAX_DUCKDB_ROWS and sought:
            rows = cursor.execute(DUCKDB_COLUMNS, {"few": True, "sought": sought}).fetchall() + rows
    except Exception:  # it was interrupted: such a big schema isn't told, and the next reading may be faster
        return {}
    finally:
        watch.cancel()
        cursor.close()
    tables: Tables = {}
    for catalog, inside, table, column, dtype in dict.fromkeys(rows):
        places = [catalog] * (catalog != here) + [inside] * (inside != schema)
        name = ".".join([*places, table])
        if _shown(name) and (name in tables or len(tables) < MAX_TABLES):
            columns = tables.setdefault(name, [])
            columns += _columns_of([(column, dtype)]) if len(columns) < MAX_TABLE_COLUMNS else []
    return tables


def _sqlalchemy(value: Any, kind: Any, sought: list[str], deadline: float) -> tuple[str, Tables]:
    if _is(kind, "sqlalchemy.sql.schema", "MetaData"):
        return "sqlalchemy", _metadata(value)
    if _is(kind, "sqlalchemy.engine.base", "Connection"):
        fairy = object.__getattribute__(value, "_dbapi_connection")
        return _engine(value.engine, getattr(fairy, "dbapi_connection", None), sought, deadline)
    if _is(kind, "sqlalchemy.engine.base", "Engine"):
        return _engine(value, None, sought, deadline)
    if _is(kind, "sqlalchemy.engine.reflection", "Inspector"):
        return _text(value.dialect.name), _inspected(value.info_cache)
    if _is(kind, "sqlalchemy.orm.session", "Session") and _is(
        type(value.bind), "sqlalchemy.engine.base", "Engine"
    ):
        return _engine(value.bind, None, sought, deadline)
    return "", {}


def _engine(engine: Any, raw: Any, sought: list[str], deadline: float) -> tuple[str, Tables]:
    """By a connection that its pool has: to take one out and give it back would roll it back."""
    name = _text(engine.dialect.name)
    raw = raw or (_pooled(engine.pool) if name in LOCAL_CATALOGS else None)
    if name == "sqlite" and _is(type(raw), "sqlite3", "Connection"):
        return name, _sqlite(raw, sought, deadline)
    if name == "sqlite" and raw is None and _text(engine.url.database)[:5] not in ("", ":memo", "file:"):
        return name, _sqlite_file(engine.url.database, sought, deadline)
    if name == "duckdb" and raw is not None:
        raw = (
            raw
            if _is_duckdb(type(raw), "DuckDBPyConnection")
            else getattr(raw, "_ConnectionWrapper__c", None)
        )
        if _is_duckdb(type(raw), "DuckDBPyConnection"):
            return name, _duckdb(raw, sought, deadline)
    return name, {}


def _pooled(pool: Any) -> Any:
    own = object.__getattribute__(pool, "__dict__")
    records = [own.get("connection")]  # StaticPool
    if type(own.get("_pool")) is not type(None):
        records += list(own["_pool"].queue)  # QueuePool
    if "_conn" in own:
        records.append(getattr(own["_conn"], "current", lambda: None)())  # SingletonThreadPool
    return next((record.dbapi_connection for record in records if record is not None), None)


def _metadata(metadata: Any) -> Tables:
    tables: Tables = {}
    for name, table in islice(dict.items(metadata.tables), MAX_TABLES):
        if _is(type(table), "sqlalchemy.sql.schema", "Table") and _shown(name):
            columns = [table.columns[key] for key in table.columns.keys()]  # noqa: SIM118
            tables[name] = _columns_of((column.name, _name_of(type(column.type))) for column in columns)
    return tables


def _inspected(cache: Any) -> Tables:
    """What the inspector has been asked before: its functions' names and arguments, and the answers."""
    tables: Tables = {}
    for (function, texts, *_), found in list(dict.items(cache)):
        names = [text for text in texts if type(text) is str]
        if function == "get_columns" and names:
            name = ".".join(reversed(names))
            tables[name] = _columns_of((column["name"], _name_of(type(column["type"]))) for column in found)
        elif function in ("get_table_names", "get_view_names"):
            for name in found:
                tables.setdefault(".".join([*names, name]), [])
    return {name: tables[name] for name in islice(filter(_shown, tables), MAX_TABLES)}


def _columns_of(pairs: Any) -> list[tuple[str, str]]:
    # SQLAlchemy's names are strings with quotes of their own.
    named = ((str(name), _text(dtype)[:40]) for name, dtype in pairs if isinstance(name, str))
    named = ((name, dtype) for name, dtype in named if _shown(name))
    return list(islice(named, MAX_TABLE_COLUMNS))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
