"""Tasks of notebook-like code, each checked by running it; see executed.py.

``files`` lie in the task's folder. ``cells`` have run; in ``cell``, the active one, the cursor is ``CURSOR``.
``check`` runs after it and raises unless what was written does what its place asks for. ``failed``: how the
active cell's last run ended. A kind that begins with "fresh" has names that stand nowhere in the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CURSOR = "‸"


@dataclass(frozen=True)
class Task:
    """``answer``: one that passes, for the tests."""

    name: str
    kind: str
    cells: tuple[str, ...]
    cell: str
    answer: str
    check: str
    files: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""

    @property
    def group(self) -> str:
        """Tasks with the same data are alike."""
        return next(iter(self.files), self.name)

    def source(self, text: str) -> str:
        """The active cell with the text at the cursor."""
        return self.cell.replace(CURSOR, text)


SHIPS = {
    "ships.csv": """\
vessel,flag_state,port,sailed_on,loa_m,draught,cargo_t,hands
Aurora,NO,Bergen,2023-01-04,88.5,6.1,1200,14
Borealis,NO,Oslo,2023-01-19,120.0,8.4,5400,21
Castor,DK,Esbjerg,2023-02-02,64.2,4.9,700,9
Dorado,ES,Vigo,2023-02-11,182.7,10.2,15200,25
Electra,DK,Aarhus,2023-03-05,97.3,6.6,2100,13
Fulmar,IS,Akureyri,2023-03-07,45.0,4.1,310,8
"""
}
READINGS = {
    "readings.csv": """\
taken_at,station_id,rain_mm,t_max,t_min,gust_ms,sky
2024-03-01,A1,0.0,9.5,1.0,5.2,clear
2024-03-01,B2,4.2,8.1,3.3,11.0,cloudy
2024-03-02,A1,12.4,7.2,2.8,16.4,cloudy
2024-03-02,B2,0.0,11.9,0.4,3.1,clear
2024-04-03,A1,1.1,13.0,6.6,7.7,partly
2024-04-03,B2,7.8,10.4,5.1,18.9,cloudy
"""
}
LOANS = {
    "loans.csv": """\
book_title,author,shelf,lent_on,fee_eur,pages
Dust,Amundsen,fiction,2024-01-02,1.5,210
Light,Brekke,travel,2024-01-09,0.0,340
Salt,Amundsen,fiction,2024-02-10,2.25,180
Iron,Dahl,history,2024-02-12,0.75,512
Rain,Brekke,fiction,2024-03-01,0.0,260
"""
}
PRICES = {
    "prices.csv": "item,price,qty\nnail,0.1,400\nscrew,0.25,300\nbolt,1.5,40\nhinge,4.0,12\n",
}
STATIONS = '{"name": "Finse", "altitude_m": 1222, "platforms": 2, "lines": ["Bergen", "Oslo"]}'
PD = "import pandas as pd"
NP = "import numpy as np"
PLT = "import matplotlib.pyplot as plt"
LOAD_SHIPS = f'{PD}\n\nships = pd.read_csv("ships.csv")'
LOAD_READINGS = f'{PD}\n\nreadings = pd.read_csv("readings.csv")'
LOAD_LOANS = f'{PD}\n\nloans = pd.read_csv("loans.csv", parse_dates=["lent_on"])'
LOAD_PRICES = f'{PD}\n\nprices = pd.read_csv("prices.csv")\nprices.columns'
PEOPLE = f"""\
{PD}

people = pd.DataFrame({{
    "name": ["Ann", "Bo", "Cia", "Dag"],
    "age": [31, 45, 17, 62],
    "city": ["Oslo", "Bergen", "Oslo", "Bodø"],
    "income": [410, 520, 0, 380],
}})"""

TASKS: tuple[Task, ...] = (
    # What only the kernel knows.
    Task(
        "longest ship",
        "fresh column",
        (LOAD_SHIPS,),
        'longest = ships["‸"].max()',
        "loa_m",
        "assert longest == 182.7",
        SHIPS,
    ),
    Task(
        "cargo by flag",
        "fresh groupby",
        (LOAD_SHIPS,),
        'cargo_by_flag = ships.groupby("‸")["cargo_t"].sum()',
        "flag_state",
        'assert cargo_by_flag["DK"] == 2800',
        SHIPS,
    ),
    Task(
        "deep ships",
        "fresh filter",
        (LOAD_SHIPS,),
        'deep = ships[ships["‸"] > 8]',
        "draught",
        'assert list(deep["vessel"]) == ["Borealis", "Dorado"]',
        SHIPS,
    ),
    Task(
        "total crew",
        "fresh column",
        (LOAD_SHIPS,),
        "# How many hands are at sea?\ncrew = ships‸",
        '["hands"].sum()',
        "assert int(crew) == 90",
        SHIPS,
    ),
    Task(
        "heaviest first",
        "fresh call",
        (LOAD_SHIPS,),
        'heaviest_first = ships.sort_values("‸", ascending=False)',
        "cargo_t",
        'assert heaviest_first["vessel"].iloc[0] == "Dorado"',
        SHIPS,
    ),
    Task(
        "dates",
        "fresh assign",
        (LOAD_SHIPS,),
        'ships["sailed_on"] = pd.to_datetime(‸',
        'ships["sailed_on"])',
        'assert ships["sailed_on"].dt.month.max() == 3',
        SHIPS,
    ),
    Task(
        "rainy days",
        "fresh filter",
        (LOAD_READINGS,),
        'rainy = readings[readings["‸',
        'rain_mm"] > 0]',
        'assert len(rainy) == 4 and set(rainy["rain_mm"]) == {4.2, 12.4, 1.1, 7.8}',
        READINGS,
    ),
    Task(
        "span",
        "fresh assign",
        (LOAD_READINGS,),
        'readings["span"] = readings["t_max"] - readings["‸"]\nreadings.head()',
        "t_min",
        'assert abs(readings["span"].iloc[0] - 8.5) < 1e-9',
        READINGS,
    ),
    Task(
        "warmest by station",
        "fresh groupby",
        (LOAD_READINGS,),
        'warmest = readings.groupby("station_id")‸',
        '["t_max"].max()',
        "assert list(getattr(warmest, 't_max', warmest)) == [13.0, 11.9]",
        READINGS,
    ),
    Task(
        "gusts plotted",
        "fresh plot",
        (PLT, LOAD_READINGS),
        'plt.hist(readings["‸"], bins=5)\nplt.xlabel("gust (m/s)")\nplt.title("Gusts")',
        "gust_ms",
        "assert sum(patch.get_height() for patch in plt.gca().patches) == 6\n"
        "assert plt.gca().get_xlim()[1] > 15",
        READINGS,
    ),
    Task(
        "skies",
        "fresh call",
        (LOAD_READINGS,),
        'sky_counts = readings["‸"].value_counts()',
        "sky",
        'assert sky_counts["cloudy"] == 3',
        READINGS,
    ),
    Task(
        "storms",
        "fresh query",
        (LOAD_READINGS,),
        'storms = readings.query("‸ > 15")',
        "gust_ms",
        'assert list(storms["gust_ms"]) == [16.4, 18.9]',
        READINGS,
    ),
    Task(
        "pages read",
        "fresh column",
        (LOAD_LOANS,),
        "total_pages = ‸",
        'loans["pages"].sum()',
        "assert int(total_pages) == 1502",
        LOANS,
    ),
    Task(
        "by author",
        "fresh groupby",
        (LOAD_LOANS,),
        "books_by_author = loans.groupby(‸",
        '"author").size()',
        "assert 'Amundsen' in str(books_by_author) and len(books_by_author) == 3",
        LOANS,
    ),
    Task(
        "months",
        "fresh assign",
        (LOAD_LOANS,),
        'loans["month"] = loans["‸"].dt.month',
        "lent_on",
        'assert list(loans["month"]) == [1, 1, 2, 2, 3]',
        LOANS,
    ),
    Task(
        "fees",
        "fresh loop",
        (LOAD_LOANS,),
        "fined = []\nfor index, loan in loans.iterrows():\n"
        '    if loan["‸"] > 1:\n        fined.append(index)',
        "fee_eur",
        "assert fined == [0, 2]",
        LOANS,
    ),
    Task(
        "station's altitude",
        "fresh key",
        ('import json\n\nwith open("station.json") as file:\n    station = json.load(file)',),
        'altitude = station["‸"]',
        "altitude_m",
        "assert altitude == 1222",
        {"station.json": STATIONS},
    ),
    # A line is assigned or finished.
    Task("number of people", "assign", (PEOPLE,), "num_people = ‸", "len(people)", "assert num_people == 4"),
    Task(
        "adults",
        "filter",
        (PEOPLE,),
        "adults = people[people[‸",
        '"age"] >= 18]',
        'assert list(adults["name"]) == ["Ann", "Bo", "Dag"]',
    ),
    Task(
        "mean income",
        "call",
        (PEOPLE,),
        'mean_income = people["income"].‸',
        "mean()",
        "assert mean_income == 327.5",
    ),
    Task(
        "oldest",
        "assign",
        (PEOPLE,),
        "# the person with the highest age\noldest = ‸",
        'people.loc[people["age"].idxmax()]',
        'assert "Dag" in str(oldest)',
    ),
    Task(
        "city means",
        "groupby",
        (PEOPLE,),
        'by_city = people.groupby("city")["income"].‸',
        "mean()",
        'assert by_city["Oslo"] in (205.0, 410)',
    ),
    Task(
        "cities",
        "assign",
        (PEOPLE,),
        'cities = people["city"].‸',
        "unique()",
        "assert set(cities) == {'Oslo', 'Bergen', 'Bodø'} or cities['Oslo'] == 2",
    ),
    Task(
        "incomes in kroner",
        "assign",
        (PEOPLE,),
        'people["kroner"] = people["‸"] * 1000',
        "income",
        'assert list(people["kroner"]) == [410000, 520000, 0, 380000]',
    ),
    Task(
        "turnover",
        "fresh assign",
        (LOAD_PRICES,),
        'prices["total"] = prices["price"] * ‸\nprices["total"].sum()',
        'prices["qty"]',
        'assert abs(prices["total"].sum() - 223) < 1e-9',
        PRICES,
    ),
    Task(
        "merge",
        "merge",
        (
            f'{PD}\n\norders = pd.DataFrame({{"customer": [1, 2, 2], "amount": [10, 20, 5]}})\n'
            'customers = pd.DataFrame({"customer": [1, 2], "name": ["Ann", "Bo"]})',
        ),
        "merged = orders.merge(customers, on=‸",
        '"customer")',
        'assert list(merged["name"]) == ["Ann", "Bo", "Bo"]',
    ),
    Task(
        "sum by name",
        "merge",
        (
            f'{PD}\n\norders = pd.DataFrame({{"customer": [1, 2, 2], "amount": [10, 20, 5]}})\n'
            'customers = pd.DataFrame({"customer": [1, 2], "name": ["Ann", "Bo"]})',
            'merged = pd.merge(orders, customers, on="customer")',
        ),
        '# total amount for each name\ntotals = merged.groupby("name")‸',
        '["amount"].sum()',
        "assert list(getattr(totals, 'amount', totals)) == [10, 25]",
    ),
    # Loops, functions, classes.
    Task(
        "loop header",
        "loop",
        ("years = [1999, 2005, 2011]\nleap = []",),
        "for year in ‸\n    leap.append(year % 4 == 0)\nprint(leap)",
        "years:",
        "assert leap == [False, False, False]",
    ),
    Task(
        "pairs of lists",
        "loop",
        ('names = ["a", "b"]\nsizes = [3, 4]\ntable = {}',),
        "for name, size in ‸:\n    table[name] = size",
        "zip(names, sizes)",
        "assert table == {'a': 3, 'b': 4}",
    ),
    Task(
        "numbered",
        "loop",
        ('words = ["sea", "land", "air"]\nlines = []',),
        'for number, word in ‸\n    lines.append(f"{number} {word}")',
        "enumerate(words):",
        'assert [line.split()[1] for line in lines] == ["sea", "land", "air"]',
    ),
    Task(
        "loop body",
        "loop",
        ("squares = []",),
        "for n in range(5):\n    ‸",
        "squares.append(n ** 2)",
        "assert squares == [0, 1, 4, 9, 16]",
    ),
    Task(
        "function's body",
        "function",
        ("def area(width, height):\n    return width * height",),
        "def perimeter(width, height):\n    ‸\n\nperimeter(2, 3)",
        "return 2 * (width + height)",
        "assert perimeter(2, 3) == 10",
    ),
    Task(
        "celsius",
        "function",
        ("import math",),
        'def to_celsius(fahrenheit):\n    """Degrees Fahrenheit in degrees Celsius."""\n    return ‸\n\n'
        "print(to_celsius(212))",
        "(fahrenheit - 32) * 5 / 9",
        "assert abs(to_celsius(212) - 100) < 1e-6",
    ),
    Task(
        "factorial",
        "function",
        ("import math",),
        "def factorial(n):\n    if n <= 1:\n        return 1\n    ‸",
        "return n * factorial(n - 1)",
        "assert factorial(5) == 120",
    ),
    Task(
        "palindrome",
        "function",
        ("",),
        "def is_palindrome(text):\n    text = text.lower()\n    return ‸",
        "text == text[::-1]",
        'assert is_palindrome("Anna") and not is_palindrome("Ann")',
    ),
    Task(
        "method",
        "class",
        ("",),
        "class Counter:\n    def __init__(self):\n        self.count = 0\n\n"
        "    def increment(self):\n        ‸\n\n"
        "counter = Counter()\ncounter.increment()",
        "self.count += 1",
        "assert counter.count == 1",
    ),
    Task(
        "init",
        "class",
        ("",),
        "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        ‸\n\n"
        "    def norm(self):\n        return (self.x ** 2 + self.y ** 2) ** 0.5\n\npoint = Point(3, 4)",
        "self.y = y",
        "assert point.norm() == 5",
    ),
    Task(
        "call of own",
        "call",
        ("def mean(values):\n    return sum(values) / len(values)\n\nheights = [1.5, 1.8, 2.1]",),
        "average_height = mean(‸",
        "heights)",
        "assert abs(average_height - 1.8) < 1e-9",
    ),
    # Dicts, lists, strings, files.
    Task(
        "counts",
        "dict",
        ('words = ["a", "b", "a"]\ncounts = {}',),
        "for word in words:\n    counts[word] = ‸",
        "counts.get(word, 0) + 1",
        "assert counts == {'a': 2, 'b': 1}",
    ),
    Task(
        "squares",
        "list",
        ("numbers = [1, 2, 3, 4]",),
        "even = [n for n in numbers if ‸]",
        "n % 2 == 0",
        "assert even == [2, 4]",
    ),
    Task(
        "comprehension",
        "list",
        ('names = ["ann", "bo"]',),
        "upper_names = [‸",
        "name.upper() for name in names]",
        'assert upper_names == ["ANN", "BO"]',
    ),
    Task(
        "dict of lengths",
        "dict",
        ('words = ["sea", "land"]',),
        "lengths = {word: ‸ for word in words}",
        "len(word)",
        "assert lengths == {'sea': 3, 'land': 4}",
    ),
    Task(
        "greeting",
        "format",
        ('name = "Ann"\nage = 31',),
        'sentence = f"{name} is {‸} years old"',
        "age",
        'assert sentence == "Ann is 31 years old"',
    ),
    Task(
        "joined",
        "format",
        ('parts = ["2024", "03", "01"]',),
        'date = "-".‸',
        "join(parts)",
        'assert date == "2024-03-01"',
    ),
    Task(
        "read lines",
        "file",
        ("lines = []",),
        'with open("notes.txt") as file:\n    ‸\nprint(len(lines))',
        "lines = file.readlines()",
        "assert len(lines) == 3",
        {"notes.txt": "one\ntwo\nthree\n"},
    ),
    Task(
        "read json",
        "file",
        ("import json",),
        'with open("station.json") as file:\n    data = ‸',
        "json.load(file)",
        'assert data["platforms"] == 2',
        {"station.json": STATIONS},
    ),
    # numpy, plots.
    Task(
        "grid",
        "numpy",
        (NP,),
        "# 11 points from 0 to 1\nx = np.linspace(‸",
        "0, 1, 11)",
        "assert len(x) == 11 and x[-1] == 1",
    ),
    Task(
        "column means",
        "numpy",
        (f"{NP}\n\nmatrix = np.arange(6).reshape(2, 3)",),
        "column_means = matrix.mean(‸",
        "axis=0)",
        "assert list(column_means) == [1.5, 2.5, 3.5]",
    ),
    Task(
        "a line plotted",
        "plot",
        (f"{NP}\n{PLT}\n\nx = np.linspace(0, 1, 5)\ny = x ** 2",),
        'plt.plot(x, ‸)\nplt.title("Squares")',
        "y",
        "assert list(plt.gca().lines[0].get_ydata()) == list(y)",
    ),
    # After an error.
    Task(
        "a column misspelt",
        "error",
        (PEOPLE,),
        'total = people["‸"].sum()',
        "income",
        "assert total == 1310",
        failed="KeyError: 'incomes'",
    ),
)
