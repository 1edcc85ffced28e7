"""What kernel/kernelfacts.py reads from a real kernel, and that it leaves no trace there."""

from __future__ import annotations

import ast
import gc
import json
import re
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

SRC = Path(__file__).parents[2] / "src"
# With time enough also on a busy machine.
SOURCE, has_limit = re.subn(
    r"(?m)^SECONDS = .*",
    "SECONDS = 10",
    (SRC.parent / "santajupyter" / "kernel" / "kernelfacts.py").read_text("utf-8"),
)
assert has_limit == 1
DATABASES, has_limit = re.subn(
    r"(?m)^DATABASE_SECONDS = .*",
    "DATABASE_SECONDS = 10",
    (SRC.parent / "santajupyter" / "kernel" / "databases.py").read_text("utf-8"),
)
assert has_limit == 1
TIMEOUT = 60

# Whatever of it is touched says so, and harms.
HOSTILE = """
import time, types
touched = []
class Loud:
    def _touched(self, *_):
        touched.append(1); print('touched'); time.sleep(5); raise RuntimeError
    __getattr__ = __len__ = __iter__ = __getitem__ = __eq__ = __bool__ = __repr__ = __str__ = _touched
    __hash__ = lambda self: self._touched()
    shape = columns = dtype = property(_touched)
    __class__ = property(_touched)
    __dict__ = property(_touched)
    def method(self): pass
class Meta(type):
    def __getattribute__(cls, name):
        touched.append(name); print(name); return type.__getattribute__(cls, name)
    __mro__ = __dict__ = __name__ = property(lambda cls: print('meta'))
class Made(metaclass=Meta):
    __module__ = property(Loud._touched)
loud, made = Loud(), object.__new__(Made)
class Lazy(types.ModuleType):
    __getattr__ = __dict__ = Loud._touched
lazy = Lazy('lazy')
odd = types.ModuleType('odd')
odd.__getattr__ = Loud()._touched
odd.known = 1
list, type, json, len, exec, dict, sys, str = 3, None, 1, loud, loud, loud, loud, loud
held = [loud, loud]
keyed = {'a': loud, 1: loud}
def given(a, /, b=loud, *c, d, e=loud, **f): pass
"""

PANDAS = """
import numpy as np, pandas as pd
from pandas.api.extensions import ExtensionArray, ExtensionDtype
class Bad(pd.DataFrame):
    @property
    def columns(self): print('columns'); raise RuntimeError
    shape = dtypes = index = _mgr = columns
    def __len__(self): print('len')
bad = object.__new__(Bad)
class OwnType(ExtensionDtype):
    type, name = int, 'own'
    @classmethod
    def construct_array_type(cls): return Own
class Own(ExtensionArray):
    loud = False
    def __init__(self, values): self.values = values
    @property
    def dtype(self):
        if Own.loud: print('dtype')
        return OwnType()
    def __len__(self):
        if Own.loud: print('len')
        return len(self.values)
    def copy(self): return self
    def view(self, *_): return self
df = pd.DataFrame({'age': [1], 'größe': [2.0], '年齢': ['x'], 'sex': pd.Categorical(['secret'])})
own = pd.DataFrame({'plain': [1]})
own['mine'] = pd.Series(Own([1]), copy=False)
Own.loud = True
wide = pd.DataFrame(np.zeros((2, 10_000)), columns=[f'c{i}' for i in range(10_000)])
two = pd.DataFrame(np.zeros((1, 2)), columns=pd.MultiIndex.from_tuples([('a', 'b'), ('a', 'c')]))
nested = own.set_index(pd.MultiIndex.from_tuples([('secret', 1)], names=['port', None]))
age = df['age']
x = np.zeros((3, 4), np.float32)
"""


def expression(wanted: list[str], reader: str = "read", values: int = 0) -> str:
    """What kernelfacts.ts has the kernel evaluate, taken from there."""
    typescript = (SRC / "document" / "kernelfacts.ts").read_text("utf-8")
    found = re.search(r"return `(\(lambda own, .*?\))`;", typescript, re.DOTALL)
    assert found
    told = iter(map(json.dumps, [[SOURCE, DATABASES], reader, wanted, values]))
    return re.sub(r"\$\{JSON\.stringify\(\w+\)\}", lambda _: next(told), found[1])


class Kernel:
    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client

    def run(self, code: str, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The reply's content, and what the kernel published meanwhile, its states left out."""
        published: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(
            code, timeout=TIMEOUT, output_hook=published.append, **options
        )
        return reply["content"], [message for message in published if message["msg_type"] != "status"]

    def define(self, code: str) -> None:
        reply, _ = self.run(code)
        assert reply["status"] == "ok", reply

    def value(self, code: str) -> Any:
        """The value of an expression, by way of JSON's types."""
        reply, _ = self.run("", silent=True, user_expressions={"value": code})
        return ast.literal_eval(reply["user_expressions"]["value"]["data"]["text/plain"])

    def facts(self, *wanted: str, values: int = 0) -> dict[str, Any]:
        """The variables by name; nothing may be published on the way."""
        reply, published = self.run(
            "",
            silent=True,
            store_history=False,
            user_expressions={"facts": expression(list(wanted), values=values)},
        )
        assert published == []
        answer = reply["user_expressions"]["facts"]
        assert answer["status"] == "ok", answer
        # As kernelfacts.ts does it.
        text = re.sub(r"\\(.)", r"\1", answer["data"]["text/plain"][1:-1])
        assert text == ast.literal_eval(answer["data"]["text/plain"])
        self.classes, self.modules = (json.loads(text)[part] for part in ("classes", "modules"))
        return {variable.pop("name"): variable for variable in json.loads(text)["variables"]}


@pytest.fixture(scope="module")
def client() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(client: BlockingKernelClient) -> Kernel:
    kernel = Kernel(client)
    kernel.run("%reset -f")
    return kernel


def test_it_leaves_no_trace(kernel: Kernel) -> None:
    kernel.define("1 + 1")
    kernel.define("a = 2")
    trace = (
        "(sorted(globals()), In, len(Out), _, __, get_ipython().execution_count, "
        "get_ipython().history_manager.session_number, len(get_ipython().history_manager.input_hist_raw), "
        "sorted(__import__('sys').modules), __import__('gc').isenabled())"
    )
    before = kernel.value(trace)
    assert kernel.facts("a")["a"]["type"] == "int"
    assert kernel.value(trace) == before


def test_nothing_unknown_is_touched(kernel: Kernel) -> None:
    kernel.define(HOSTILE)
    facts = kernel.facts("loud", "list")
    assert kernel.value("touched") == []
    assert list(facts)[:2] == ["loud", "list"]
    assert facts["loud"] == {"type": "Loud", "module": "__main__", "complete": []}
    assert "method" in kernel.classes["__main__.Loud"]
    assert facts["made"] == {"type": "Made", "module": "", "complete": ["members"]}
    assert facts["list"]["type"] == "int"
    assert facts["lazy"]["type"] == "Lazy"
    assert (facts["odd"]["members"], facts["odd"]["complete"]) == (["known"], [])
    assert (facts["held"]["shape"], facts["held"]["dtype"]) == ([2], "Loud")
    assert (facts["keyed"]["keys"], "keys" in facts["keyed"]["complete"]) == (["a"], True)
    assert facts["given"]["signature"] == "(a, /, b=…, *c, d, e=…, **f)"


def test_pandas(kernel: Kernel) -> None:
    kernel.define(PANDAS)
    facts = kernel.facts("c9999")
    assert facts["df"]["shape"] == [1, 4]
    assert facts["df"]["columns"] == [
        ["age", "int64"],
        ["größe", "float64"],
        ["年齢", "str"],
        ["sex", "category"],
    ]
    assert facts["df"]["complete"] == ["members", "columns", "repeating"]
    assert {"head", "groupby", "iloc"} <= set(kernel.classes["pandas.DataFrame"])
    assert facts["wide"]["shape"] == [2, 10_000]
    assert [name for name, _ in facts["wide"]["columns"]] == [*(f"c{i}" for i in range(100)), "c9999"]
    assert facts["wide"]["complete"] == []
    assert facts["own"]["columns"] == [["plain", "int64"], ["mine", ""]]
    assert "columns" not in facts["bad"]
    assert "columns" not in facts["two"]
    assert facts["nested"]["levels"] == ["port"] and "levels" not in facts["df"]
    assert (facts["age"]["shape"], facts["age"]["dtype"]) == ([1], "int64")
    assert (facts["x"]["shape"], facts["x"]["dtype"]) == ([3, 4], "float32")
    assert "members" in facts["np"]["complete"]
    assert {"linspace", "random"} <= set(facts["np"]["members"])
    assert "secret" not in json.dumps(facts)


def test_columns_whose_values_repeat(kernel: Kernel) -> None:
    """Only counted, and only texts and whole numbers: a user's own objects are never compared."""
    kernel.define(VALUES + "df['rooms'] = pd.array([1, 2, 3, None] * 9, dtype='Int64')\nempty = df[:0]")
    facts = kernel.facts()
    assert facts["df"]["repeating"] == ["state", "kind", "note", "mixed", "rooms"]
    assert facts["pf"]["repeating"] == ["flag"] and facts["empty"]["repeating"] == []
    assert "open" not in json.dumps(facts) and "repeating" not in facts["options"]
    kernel.define("numbered = pd.DataFrame({0: ['a', 'b'] * 9, (1, 2): ['a', 'b'] * 9, 'x': [1, 2] * 9})")
    numbered = kernel.facts(values=1)["numbered"]
    assert numbered["repeating"] == ["x"] and "values" not in numbered
    kernel.define(
        "few = pd.DataFrame({'key': ['a', 'b', None, 'b', 'a'], 'n': [1, 2, 3, 4, 4], 'at': [*'abcde']})"
    )
    assert kernel.facts()["few"]["repeating"] == ["key"]


VALUES = """
import pandas as pd, polars as pl
df = pd.DataFrame({
    'state': ['open', 'shut', None, 'open'] * 9,
    'kind': pd.Categorical(['new', 'old'] * 18),
    'day': [f'2024-01-{n}' for n in range(36)],
    'note': ['x' * 99] * 36,
    'mixed': [1, 'a'] * 18,
    'size': range(36),
})
df['own'] = pd.Series([type('Odd', (str,), {'__repr__': lambda self: 1 / 0})('odd')] * 36, dtype=object)
pf = pl.DataFrame({'flag': ['NO', 'SE'] * 4, 'n': range(8)})
options = {'mode': 'train', 'lr': 0.1, 'key': 'x' * 99, 'deep': {'a': 'b'}, 'n': 3, 'on': True}
"""


def test_values_only_where_they_are_asked_for(kernel: Kernel) -> None:
    kernel.define(VALUES)
    assert "values" not in json.dumps(kernel.facts())
    facts = kernel.facts(values=1)
    assert facts["df"]["values"] == [
        ["state", ["'open'", "'shut'"]],
        ["kind", ["'new'", "'old'"]],
        ["day", ["'2024-01-0'"]],
    ]
    assert facts["pf"]["values"] == [["flag", ["'NO'", "'SE'"]]]
    assert facts["options"]["values"] == [
        ["mode", ["'train'"]],
        ["lr", ["0.1"]],
        ["n", ["3"]],
        ["on", ["True"]],
    ]


def test_polars_and_torch(kernel: Kernel) -> None:
    kernel.define(
        "import polars as pl, torch\n"
        "pf = pl.DataFrame({'a': [1], 'b': pl.Series(['secret'], dtype=pl.Enum(['secret']))})\n"
        "ps, t, p = pf['a'], torch.zeros(2, 3), torch.nn.Parameter(torch.zeros(4))"
    )
    facts = kernel.facts()
    assert facts["pf"]["columns"] == [["a", "Int64"], ["b", "Enum"]]
    assert (facts["pf"]["shape"], facts["ps"]["dtype"]) == ([1, 2], "Int64")
    assert (facts["t"]["shape"], facts["t"]["dtype"], facts["p"]["shape"]) == ([2, 3], "float32", [4])
    assert "secret" not in json.dumps(facts)


SPARK = """
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
rows = spark.createDataFrame([("secret", 1, [2.0])], ["kind", "n", "list"])
few = rows.filter(F.col("n") > 1)
many = [globals().__setitem__(f"f{n}", rows.limit(n)) for n in range(20)]
"""


@pytest.mark.skipif(not find_spec("pyspark") or not which("java"), reason="needs pyspark and Java")
def test_spark(kernel: Kernel) -> None:
    kernel.define(SPARK)
    facts = kernel.facts("few")
    assert facts["few"]["columns"] == [["kind", "string"], ["n", "long"], ["list", "array"]]
    assert {"columns", "members"} <= {*facts["few"]["complete"]} and "secret" not in json.dumps(facts)
    assert not kernel.value("'_schema' in vars(few)")
    assert sum("columns" in fact for fact in facts.values()) == 10
    kernel.define("spark.stop()")
    assert "columns" not in kernel.facts("few")["few"]


def test_groups_have_the_columns_of_their_frame(kernel: Kernel) -> None:
    kernel.define("import pandas as pd\nby = pd.DataFrame({'port': ['Oslo'], 'tons': [1.5]}).groupby('port')")
    fact = kernel.facts()["by"]
    assert fact["columns"] == [["port", "str"], ["tons", "float64"]] and "columns" in fact["complete"]


def test_what_is_inside_of_dicts_and_lists(kernel: Kernel) -> None:
    kernel.define(
        "menu = {'kitchen': {'chef': 'secret', 'ovens': 2}, 'courses': [{'dish': 'secret'}, {}], 'n': 1}\n"
        "rows, numbers, empty = ({'a': 1}, {'b': 2}), [[1]], {}\n"
        "wide = {'all': dict.fromkeys(map(str, range(200))), 'odd': {1: 'secret'}, 'last': {'z': 0}}\n"
        "class Key:\n"
        "    def __hash__(self): return hash('kitchen')\n"
        "    def __eq__(self, other): 1 / 0\n"
        "strange = {Key(): 1, 'other': {'x': 1}}\n"
    )
    facts = kernel.facts()
    assert facts["menu"]["inside"] == [["kitchen", ["chef", "ovens"]], ["courses[]", ["dish"]]]
    assert facts["rows"]["inside"] == [["[]", ["a"]]]
    assert facts["wide"]["inside"] == [["last", ["z"]]]
    assert facts["strange"]["inside"] == [["other", ["x"]]]
    assert "inside" not in facts["numbers"] and "inside" not in facts["empty"]
    assert "secret" not in json.dumps(facts)


def test_a_namespace_has_what_was_put_into_it(kernel: Kernel) -> None:
    kernel.define("from types import SimpleNamespace\nconfig = SimpleNamespace(gauge_mm=1435)")
    fact = kernel.facts()["config"]
    assert fact["members"] == ["gauge_mm"] and "members" in fact["complete"]


def test_builtins_functions_and_classes(kernel: Kernel) -> None:
    kernel.define(
        "import functools\n"
        "class Point:\n"
        "    def __init__(self, x, y=1): self.x, self._y = x, y\n"
        "    def norm(self): pass\n"
        "old, Point = Point(1), type('Point', (), {})\n"
        "new = Point()\n"
        "def logged(f):\n"
        "    return functools.wraps(f)(lambda *args: f(*args))\n"
        "@logged\n"
        "def load(path, *, sep=','): pass\n"
        "big = dict.fromkeys(map(str, range(10**6)))\n"
        "s, 変数 = 'secret', {'年': 1}\n"
    )
    facts = kernel.facts()
    assert facts["load"]["signature"] == "(path, *, sep=…)"
    assert facts["load"]["complete"] == []
    assert facts["old"]["members"] == ["x"]
    assert [name for name in ("old", "new") if "members" in facts[name]["complete"]] == ["new"]
    assert (facts["big"]["shape"], len(facts["big"]["keys"])) == ([10**6], 50)
    assert "keys" not in facts["big"]["complete"]
    assert facts["変数"]["keys"] == ["年"]
    assert {"get_ipython", "In", "Out", "open"}.isdisjoint(facts)
    assert "secret" not in json.dumps(facts)


def test_limits(kernel: Kernel) -> None:
    """The newest names fit, and those that are wanted; of what is cut, completeness isn't claimed."""
    kernel.define("for i in range(1000): globals()[f'n{i}'] = {f'k{j:0150}': 1 for j in range(40)}")
    facts = kernel.facts("n3")
    assert list(facts)[:3] == ["n3", "n999", "n998"]
    assert 5 < len(facts) < 200
    kernel.define("globals().update({f'm{i}': i for i in range(10**5)}, **{'a b': 1, '_private': 2})")
    facts = kernel.facts("m3", "a b", "_private")
    assert list(facts)[:2] == ["m3", "m99999"]
    kernel.define("class Many: pass\nm = Many()\nm.__dict__.update((f'a{i}', 1) for i in range(300))")
    facts = kernel.facts()
    assert (len(facts["m"]["members"]), facts["m"]["complete"]) == (200, [])


def test_the_kernel_may_be_an_old_one() -> None:
    for source in (SOURCE, DATABASES):
        ast.parse(source, feature_version=(3, 8))


def test_says_whether_there_is_more() -> None:
    few, many = ({f"x{i}": i for i in range(count)} for count in (3, 300))
    own: dict[str, Any] = {}
    exec(SOURCE, own)
    assert json.loads(own["read"](few, []))["partial"] is False
    found = json.loads(own["read"](many, ["x0"]))
    assert found["partial"] is True
    assert found["variables"][0]["name"] == "x0"


def test_a_busy_machine_makes_no_fact_untrue() -> None:
    """The reading computes little, however long it has to wait in between."""
    own: dict[str, Any] = {}
    exec(SOURCE.replace("\nSECONDS = 10", "\nSECONDS = 0.02"), own)
    describe = own["describe"]

    def waits(*given: Any) -> Any:
        time.sleep(0.01)
        return describe(*given)

    own["describe"] = waits
    told = json.loads(own["read"]({f"x{i}": i for i in range(20)}, []))
    assert (len(told["variables"]), told["partial"]) == (20, False)


def test_a_reading_sets_off_no_collection() -> None:
    """Which may take longer than all of it, by what the kernel holds."""
    own: dict[str, Any] = {}
    exec(SOURCE, own)
    begun: list[str] = []
    usual = gc.get_threshold()
    gc.callbacks.append(lambda phase, info: begun.append(phase))
    gc.set_threshold(1)
    try:
        gc.disable()
        own["read"]({"x": [1]}, [])
        assert not gc.isenabled()
        gc.enable()
        begun.clear()
        own["read"]({f"x{i}": i for i in range(50)}, [])
        read = begun.copy()
        assert gc.isenabled()
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.pop()
        gc.enable()
    assert len(read) < 10


def test_nothing_is_read_where_no_cell_has_run() -> None:
    own: dict[str, Any] = {}
    exec(SOURCE, own)
    for inputs in ({}, {"In": [""]}, {"In": "abc"}):
        assert json.loads(own["read_if_used"]({"x": 1, **inputs}, ["x"]))["variables"] == []
    found = json.loads(own["read_if_used"]({"x": 1, "In": ["", "x = 1"]}, ["x"]))
    assert [variable["name"] for variable in found["variables"]] == ["x"]


def test_a_kernel_that_was_used_is_read(kernel: Kernel) -> None:
    kernel.define("x = 1")
    reply, _ = kernel.run("", silent=True, user_expressions={"facts": expression([], "read_if_used")})
    assert '"name": "x"' in reply["user_expressions"]["facts"]["data"]["text/plain"]


def test_what_can_be_imported(kernel: Kernel, tmp_path: Path) -> None:
    """Read from the folders: nothing is imported by that."""
    (tmp_path / "mine.py").write_text("print('imported')")
    (tmp_path / "namespace").mkdir()
    (tmp_path / "data.csv").touch()
    (tmp_path / "no-name").mkdir()
    kernel.define(f"import sys; path = [*sys.path]; sys.path += [None, 7, 'a\\0b', {str(tmp_path)!r}]")
    kernel.facts()
    there = {*kernel.modules}
    assert {"sys", "os", "zipfile", "numpy", "IPython", "mine", "namespace"} <= there
    assert not {"data", "no-name", "csvx", "mine.py", "numpy.linalg"} & there
    assert kernel.value("'mine' in sys.modules") is False
    kernel.define("sys.path[:] = path")
    kernel.facts()
    assert {*kernel.modules} == there - {"mine", "namespace"}


def test_what_other_finders_find_is_not_known(kernel: Kernel, tmp_path: Path) -> None:
    kernel.define(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, *_): print('asked')\n"
        "    __class__ = property(lambda self: print('looked at'))\n"
        "sys.meta_path.append(Finder())"
    )
    kernel.facts()
    assert kernel.modules == []
    kernel.define("sys.meta_path.pop()")
    (tmp_path / "a.zip").touch()
    kernel.define(f"sys.path.append({str(tmp_path / 'a.zip')!r})")
    kernel.facts()
    assert kernel.modules == []
    kernel.define("sys.path.pop()")
    kernel.define(
        "import types\n"
        "editable = sys.modules['__editable___a_finder'] = types.ModuleType('__editable___a_finder')\n"
        "editable.MAPPING = {'a_package': '/src', 'spread.out': '/src'}\n"
        "editable.Finder = type('Finder', (), {'__module__': editable.__name__})\n"
        "sys.meta_path.append(editable.Finder)"
    )
    kernel.facts()
    assert {"a_package", "spread", "numpy"} <= {*kernel.modules}
    kernel.define("sys.meta_path.pop(); del sys.modules['__editable___a_finder']")
