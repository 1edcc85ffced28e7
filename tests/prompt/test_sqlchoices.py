"""Tables and columns where SQL names them."""

from __future__ import annotations

import pytest

from santajupyter.prompt.choices import Choice
from santajupyter.prompt.cursor import Excerpt, excerpt
from santajupyter.prompt.sqlchoices import sql_choice, table_lines
from santajupyter.protocol import Cell, Database, Table, Variable

SHIPS = Table(
    "ships",
    (
        ("id", "INTEGER"),
        ("name", "VARCHAR"),
        ("port_id", "INTEGER"),
        ("left_at", "TIMESTAMP"),
        ("cargo tons", "DOUBLE"),
        ("order", "INTEGER"),
    ),
)
PORTS = Table("ports", (("id", "INTEGER"), ("city", "VARCHAR"), ("größe", "REAL"), ("is_open", "BOOLEAN")))
CON = Database("con", "sqlite", (SHIPS, PORTS))
DUCK = Database("duckdb", "duckdb", (Table("s.crews", (("ship_id", "BIGINT"), ("members", "BIGINT"))),))
DF = Variable("df", "DataFrame", "pandas", columns=(("age", "int64"), ("sex", "str")))


def place(code: str) -> Excerpt:
    """``code`` with the cursor at ║."""
    return excerpt([Cell(code.replace("║", ""))], 0, code.index("║"))


def at(code: str, databases: tuple[Database, ...] = (CON,)) -> Choice | None:
    return sql_choice(databases, [DF], place(code))


def names(code: str, databases: tuple[Database, ...] = (CON,)) -> set[str]:
    found = at(code, databases)
    return {*found.rests} if found else set()


def best(code: str, databases: tuple[Database, ...] = (CON,)) -> str | None:
    found = at(code, databases)
    return max(zip(found.weights, found.rests, strict=True))[1] if found else None


COLUMNS = {"id", "name", "port_id", "left_at", '"cargo tons"', '"order"'}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%%sql\nSELECT * FROM ║", {"ships", "ports"}),
        ("%%sql con\nselect * from ships join ║", {"ships", "ports"}),
        ("%%sql\nSELECT name FROM ships s, ║", {"ships", "ports"}),
        ("%%sql\nINSERT INTO ║", {"ships", "ports"}),
        ("%%sql\nUPDATE ║ SET x = 1", {"ships", "ports"}),
        ("%%sql\nSELECT * FROM sh║", {"ips"}),
        ("%%sql\nSELECT name, ║ FROM ships", COLUMNS),
        ("%%sql\nSELECT name FROM ships WHERE ║", COLUMNS),
        ("%%sql\nSELECT name FROM ships WHERE id > 3 AND ║", COLUMNS),
        ("%%sql\nSELECT name FROM ships GROUP BY ║", COLUMNS),
        ("%%sql\nSELECT name FROM ships ORDER BY name, ║", COLUMNS),
        ("%%sql\nSELECT SUM(║) FROM ships", COLUMNS),
        ("%%sql\nSELECT s.║ FROM ships s", COLUMNS),
        ("%%sql\nSELECT ships.na║ FROM ships", {"me"}),
        ("%%sql\nUPDATE ships SET ║", COLUMNS),
        ("%%sql\nINSERT INTO ships (id, ║", COLUMNS),
        ('%%sql\nSELECT "car║" FROM ships', {"go tons"}),
        ("%%sql\nSELECT gr║ FROM ports", {"öße"}),
        (
            "%%sql\nSELECT * FROM (SELECT ║ FROM ports) AS p JOIN ships",
            {"id", "city", "größe", "is_open"} | {"*", "COUNT(*)"},
        ),
        ("%%sql\nWITH big AS (SELECT id, größe AS tons FROM ports) SELECT x, ║ FROM big", {"id", "tons"}),
        ("%%sql\nSELECT 1; SELECT city, ║ FROM ports;", {"id", "city", "größe", "is_open"}),
        ("%%sql\nSELECT name FROM ships UNION SELECT city, ║ FROM ports", {"id", "city", "größe", "is_open"}),
        ('con.execute("SELECT name, ║ FROM ships")', {name.replace('"', '\\"') for name in COLUMNS}),
        ('pd.read_sql("""SELECT city\nFROM ports WHERE ║\n""", con)', {"id", "city", "größe", "is_open"}),
        ("con.execute('SELECT name FROM ║')", {"ships", "ports"}),
        ("found = %sql SELECT name FROM ║", {"ships", "ports"}),
        ('query = """SELECT name FROM ║', {"ships", "ports"}),
    ],
)
def test_names_what_there_is(code: str, expected: set[str]) -> None:
    assert names(code) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%%sql\nSELECT s.name FROM ships s JOIN ports p ON ║", "s.port_id"),
        ("%%sql\nSELECT s.name FROM ships s JOIN ports p ON s.port_id = ║", "p.id"),
        ("%%sql\nSELECT s.name FROM ships s JOIN ports p ON s.port_id = p.║", "id"),
        ("%%sql\nSELECT city, COUNT(*) FROM ports GROUP BY ║", "city"),
        ("%%sql\nSELECT ║, COUNT(*) FROM ports GROUP BY city", "city"),
        ("%%sql\nSELECT SUM(║) FROM ports GROUP BY city", "größe"),
        ("%%sql\n-- the tons of cargo\nSELECT name, ║ FROM ships", '"cargo tons"'),
        ("%%sql\nSELECT city, COUNT(*) AS n FROM ports GROUP BY city ORDER BY ║", "n"),
        ("%%sql\nSELECT name FROM ships WHERE ║ > '2024-01-01'", "left_at"),
        ("%%sql\nSELECT city FROM ║", "ports"),
    ],
)
def test_ranks_what_fits(code: str, expected: str) -> None:
    assert best(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "%%sql\n║",
        "%%sql\nSELECT name FROM ships ║",
        "%%sql\nSELECT name FROM ships s║",
        "%%sql\nSELECT name AS ║ FROM ships",
        "%%sql\nSELECT name FROM ships LIMIT ║",
        "%%sql\nSELECT name FROM ships WHERE name = ║",
        "%%sql\nSELECT name FROM ships WHERE name = 'S║",
        "%%sql\nSELECT name FROM ships WHERE id BETWEEN 1 AND ║",
        "%%sql\nSELECT name -- FROM ║",
        "%%sql c║",
        "%%sql\nSELECT EXTRACT(year FROM ║",
        "%%sql\nSELECT * FROM read_csv(║",
        "%%sql\nINSERT INTO ships VALUES (1, ║",
        "%%sql\nSELECT zz║ FROM ships",
        "%%bigquery\nSELECT * FROM ║",
        "%%bash\nSELECT * FROM ║",
        'df.query("║',
        'print("Select a ship FROM ║',
        '# con.execute("SELECT ║',
        'con.execute("SELECT name FROM ships") + ║',
        "x = df[║",
    ],
)
def test_says_nothing_where_something_else_stands(code: str) -> None:
    assert at(code) is None


def test_dataframes_are_tables_where_duckdb_asks() -> None:
    assert names('duckdb.sql("SELECT * FROM ║', (DUCK,)) == {"df", "s.crews"}
    assert names('duckdb.sql("SELECT sex, ║ FROM df', (DUCK,)) == {"age", "sex"}
    assert names("%%sql\nSELECT * FROM ║", (Database("%sql", "duckdb"), CON)) == {"df"}
    assert names('con.execute("SELECT * FROM ║', (DUCK, CON)) == {"ships", "ports"}
    assert names('pl.sql("SELECT * FROM ║', (CON,)) == {"df"}
    assert names('duckdb.sql("SELECT * FROM s.║', (DUCK,)) == {"crews"}


def test_the_magics_own_connection_counts() -> None:
    mine = Database("%sql", "sqlite", (PORTS,))
    assert names("%%sql\nSELECT * FROM ║", (CON, mine)) == {"ports"}
    assert names("%%sql con\nSELECT * FROM ║", (CON, mine)) == {"ships", "ports"}


def test_tells_the_tables() -> None:
    lines = table_lines((CON,), [DF], place("%%sql\nSELECT name FROM ships WHERE ║"))
    assert lines == (
        "ports: table (id integer, city varchar, größe real, is_open boolean)",
        "ships: table (id integer, name varchar, port_id integer, left_at timestamp, cargo tons double, "
        "order integer)",
    )
    assert table_lines((CON,), [DF], place("df.head(║")) == ()
