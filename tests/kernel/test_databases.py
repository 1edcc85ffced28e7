"""What kernel/databases.py reads of the databases in a namespace, and that it harms none."""

from __future__ import annotations

import ast
import sqlite3
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KERNEL = Path(__file__).parents[2] / "santajupyter" / "kernel"


@pytest.fixture(scope="module")
def read() -> Any:
    """The function, as a kernel has it, with time enough also on a busy machine."""
    own: dict[str, Any] = {}
    for name in ("kernelfacts", "databases"):
        exec((KERNEL / f"{name}.py").read_text("utf-8"), own)
    own["DATABASE_SECONDS"] = 20
    return own["databases"]


@pytest.fixture
def con() -> Iterator[sqlite3.Connection]:
    con = sqlite3.connect(":memory:", timeout=5)
    con.execute('CREATE TABLE größe("a b" INT, "日" TEXT, "new\nline" TEXT)')
    con.execute("CREATE VIEW seen AS SELECT * FROM größe")
    con.execute("CREATE VIEW broken AS SELECT * FROM nowhere")
    yield con
    con.close()


def tables(found: list[dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    assert len(found) == 1
    return {table["name"]: [*map(tuple, table["columns"])] for table in found[0]["tables"]}


def test_reads_tables_and_views(read: Any, con: sqlite3.Connection) -> None:
    con.execute("ATTACH ':memory:' AS other")
    con.execute("CREATE TABLE other.t(x INT)")
    found = read({"con": con}, [])
    assert (found[0]["name"], found[0]["engine"]) == ("con", "sqlite")
    columns = [("a b", "INT"), ("日", "TEXT")]
    assert tables(found) == {"größe": columns, "seen": columns, "other.t": [("x", "INT")]}


def test_leaves_the_connection_as_it_was(read: Any, con: sqlite3.Connection) -> None:
    con.row_factory = lambda cursor, row: pytest.fail("was called")
    con.execute("INSERT INTO größe VALUES (1, 'x', '')")
    cursor = con.cursor()
    cursor.row_factory = None
    cursor.execute("SELECT * FROM größe")
    before = (con.in_transaction, con.total_changes)
    assert "größe" in tables(read({"con": con}, []))
    assert (con.in_transaction, con.total_changes) == before
    assert cursor.fetchall() == [(1, "x", "")]
    cursor.execute("PRAGMA busy_timeout")
    assert cursor.fetchone() == (5000,)


def test_waits_for_no_lock(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first, second = sqlite3.connect(path), sqlite3.connect(path, timeout=1000)
    first.execute("CREATE TABLE t(x)")
    first.execute("PRAGMA locking_mode = EXCLUSIVE")
    first.execute("BEGIN EXCLUSIVE")
    assert read({"second": second}, []) == []
    first.close()
    second.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="has no autocommit")
def test_opens_no_transaction_where_one_would_stay_open(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t(x)")
    con = sqlite3.connect(path, autocommit=False)  # type: ignore[call-overload]
    con.commit()
    assert "t" in tables(read({"con": con}, []))
    other = sqlite3.connect(path, timeout=0)
    other.execute("BEGIN EXCLUSIVE")  # nobody holds a lock
    other.close()
    con.close()


def test_what_is_asked_for_comes_first(read: Any, con: sqlite3.Connection) -> None:
    for number in range(300):
        con.execute(f"CREATE TABLE t{number}(x INT)")
    names = [*tables(read({"con": con}, ["t3"]))]
    assert (names[:2], len(names)) == (["t3", "t299"], 200)


def test_touches_nothing_that_only_looks_like_a_database(read: Any, con: sqlite3.Connection) -> None:
    lies = False

    class Lying(sqlite3.Connection):
        def __getattribute__(self, name: str) -> Any:
            if lies:
                pytest.fail("was touched")
            return super().__getattribute__(name)

    Lying.__module__, Lying.__name__ = "sqlite3", "Connection"
    lying = sqlite3.connect(":memory:", factory=Lying)
    lies, odd = True, types.ModuleType("duckdb")
    assert read({"lying": lying, "odd": odd, "x": 1, "con": sqlite3, "_": con}, []) == []


def test_a_connection_of_another_thread_is_no_error(read: Any) -> None:
    made: list[sqlite3.Connection] = []
    thread = threading.Thread(target=lambda: made.append(sqlite3.connect(":memory:")))
    thread.start()
    thread.join()
    assert read({"con": made[0]}, []) == []


def test_an_old_kernel_can_read_it() -> None:
    ast.parse((KERNEL / "databases.py").read_text("utf-8"), feature_version=(3, 8))


def test_duckdb(read: Any) -> None:
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    con.execute("CREATE TABLE trips(id INTEGER, name VARCHAR)")
    con.execute("CREATE SCHEMA s; CREATE TABLE s.x(a INTEGER); CREATE VIEW v AS SELECT id FROM trips")
    con.execute("SELECT 42")
    read({"con": con}, [])  # the first one may take long
    found = tables(read({"con": con}, ["s.x"]))
    assert found["trips"] == [("id", "INTEGER"), ("name", "VARCHAR")]
    assert (found["s.x"], found["v"]) == ([("a", "INTEGER")], [("id", "INTEGER")])
    assert con.fetchall() == [(42,)]


def test_sqlalchemy(read: Any, tmp_path: Path) -> None:
    sa = pytest.importorskip("sqlalchemy")
    memory, file = sa.create_engine("sqlite://"), sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    open_one = memory.connect()
    open_one.execute(sa.text("CREATE TABLE t(x INTEGER)"))
    with file.begin() as connection:
        connection.execute(sa.text("CREATE TABLE u(y INTEGER)"))
    open_one.execute(sa.text("INSERT INTO t VALUES (1)"))
    assert tables(read({"memory": memory}, [])) == {"t": [("x", "INTEGER")]}
    assert tables(read({"open_one": open_one}, [])) == {"t": [("x", "INTEGER")]}
    assert tables(read({"file": file}, [])) == {"u": [("y", "INTEGER")]}
    # What wasn't committed is still there.
    assert open_one.execute(sa.text("SELECT x FROM t")).fetchall() == [(1,)]


def test_of_a_warehouse_only_what_was_read_before(read: Any) -> None:
    sa = pytest.importorskip("sqlalchemy")
    metadata = sa.MetaData()
    sa.Table("ships", metadata, sa.Column("id", sa.Integer), sa.Column("name", sa.String))
    assert tables(read({"metadata": metadata}, [])) == {"ships": [("id", "Integer"), ("name", "String")]}
    elsewhere = sa.create_engine(
        "sqlite://", creator=lambda: pytest.fail("was connected"), poolclass=sa.pool.NullPool
    )
    elsewhere.dialect.name = "postgresql"
    assert tables(read({"elsewhere": elsewhere}, [])) == {}


def test_the_magics_own_connection(
    read: Any, monkeypatch: pytest.MonkeyPatch, con: sqlite3.Connection
) -> None:
    class DBAPIConnection:
        def __init__(self) -> None:
            self._connection = con

    class ConnectionManager:
        current = DBAPIConnection()

    DBAPIConnection.__module__ = "sql.connection.connection"
    module = types.ModuleType("sql.connection")
    module.ConnectionManager = ConnectionManager  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sql.connection", module)
    [found] = read({}, [])
    assert (found["name"], found["engine"], len(found["tables"])) == ("%sql", "sqlite", 2)
