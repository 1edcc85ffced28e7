"""How well a name fits a place: by its dtype, by what the line says, and by what it has named already.

Weights are natural logarithms of odds, to be added to a model's log-probabilities. A small model knows
little of what ``.dt`` wants; this does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

NUMBER, FLAG, TIME, TEXT, OTHER = "number", "flag", "time", "text", ""
# Each dtype's beginning, as pandas, polars and Spark name them.
DTYPES = (
    (FLAG, re.compile(r"bool")),
    (NUMBER, re.compile(r"u?int|float|decimal|complex|long|double|short|byte")),
    (TIME, re.compile(r"date|time|period|duration")),
    (TEXT, re.compile(r"object|str|categor|enum|utf8|large_string")),
)
# What can hardly be, and what is unusual.
NO, RARE, SOME = -6.0, -3.0, -1.0
Fit = Mapping[str, float]

NUMBERS: Fit = {FLAG: RARE, TIME: NO, TEXT: NO}
HEIGHTS: Fit = {**NUMBERS, TEXT: RARE}
TIMES: Fit = {NUMBER: NO, FLAG: NO, TEXT: RARE}
TEXTS: Fit = {NUMBER: RARE, FLAG: RARE, TIME: NO}
FLAGS: Fit = {NUMBER: RARE, TIME: NO, TEXT: NO}
GROUPS: Fit = {FLAG: SOME, NUMBER: -2.0, TIME: -2.0}
ORDERED: Fit = {FLAG: RARE, TEXT: RARE}
# Of a column that is copied or counted with, where nothing says what for.
COUNTED: Fit = {FLAG: SOME, TEXT: -1.5, TIME: SOME}

# Right of the name and its quote.
RIGHT: tuple[tuple[re.Pattern[str], Fit], ...] = tuple(
    (re.compile(pattern), fit)
    for pattern, fit in (
        (r"\W{0,2}\]+\.dt\b", TIMES),
        (r"\W{0,2}\]+\.str\b", TEXTS),
        (r"\W{0,2}\]+\.(sum|mean|median|std|var|quantile|cumsum|clip|round|abs|corr|cov|hist)\b", NUMBERS),
        (r"\W{0,2}\]+\.(rolling|diff|pct_change|interpolate|between|plot|describe|agg)\b", NUMBERS),
        (r"\W{0,2}\]+\.(resample|max|min|idxmax|idxmin)\b", ORDERED),
        (r"\W{0,2}\]+\.(max|min|idxmax|idxmin)\b", {TIME: SOME}),
        (r"\W{0,2}\]+\.(value_counts|unique|nunique|isin|map|replace|mode)\b", GROUPS),
        (r"\W{0,2}\]+\s*[<>]=?\s*-?[\d.]", NUMBERS),
        (r"\W{0,2}\]+\s*[<>]=?\s*(pd\.|datetime|[\"']\d{4}-)", TIMES),
        (r"\W{0,2}\]+\s*[!=]=\s*[\"']", TEXTS),
        (r"\W{0,2}\]+\s*[!=]=\s*-?\d", NUMBERS),
        (r"\W{0,2}\]+\s*(\*\*|//|[*/%])", NUMBERS),
        (r"\W{0,2}\]+\s*[+-]\s*[\d.]", NUMBERS),
        (r"[\"']?\s*:\s*[\"'](sum|mean|median|std|var)", NUMBERS),
        (r"[\"']?\s*:\s*[\"'](max|min)", ORDERED),
    )
)
# Left of the table: what is done with its column.
LEFT: tuple[tuple[re.Pattern[str], Fit], ...] = tuple(
    (re.compile(pattern), fit)
    for pattern, fit in (
        (r"~\s*[\w.]+\[[\"']\Z", FLAGS),
        (r"(\*\*|//|[*/%])\s*(\(\s*)?[\w.]+\[[\"']\Z", NUMBERS),
        (r"\b(np|math|stats)\.\w+\([^\"']{0,200}[\w.]\[[\"']\Z", NUMBERS),
        (r"\b(round|abs|sum|float|polyfit|corrcoef|hist|boxplot|linregress)\([^()]*[\w.]\[[\"']\Z", NUMBERS),
        (r"\b(plot|scatter|bar)\([^()]*,\s*[\w.]+\[[\"']\Z", NUMBERS),
        (r"\bplot\([\w.]+\[[\"']\Z", {**ORDERED, TIME: -SOME}),
        (r"\bscatter\([\w.]+\[[\"']\Z", ORDERED),
        (r"\bto_datetime\([\w.]+\[[\"']\Z", {NUMBER: RARE, FLAG: NO}),
        (r"\bto_numeric\([\w.]+\[[\"']\Z", {TIME: NO, FLAG: NO, NUMBER: SOME}),
        (r"\.groupby\([^()]*\)\[\[?[\"']\Z", NUMBERS),
        (r"\.(rolling|resample)\(.{0,200}\)\[[\"']\Z", NUMBERS),
        (r"\bcrosstab\([^)]*\[[\"']\Z", GROUPS),
        (r"\.plot\.barh?\([^()]*\bx\s*=\s*[\"']\Z", {NUMBER: SOME, FLAG: SOME}),
        (r"\bscatter\b[^)]*\bx=[\"']\Z", {**ORDERED, TIME: SOME}),
        (r"^\s*y\s*=\s*[\w.]+\[[\"']\Z", {TIME: RARE, TEXT: SOME}),
        (r"^\s*\w+\[[\"'][^\"'\n]+[\"']\]\s*=\s*\(?\w+\[[\"']\Z", COUNTED),
    )
)
# A mask is a column of flags, or goes on with a comparison.
MASK = re.compile(r"(?<!\w)(\w+)(?:\.loc)?\[~?\1\[[\"']\Z")
NO_MASK: Fit = {NUMBER: 2 * NO, TIME: 2 * NO, TEXT: 2 * NO}
# Hardly a text, unless its author wants one of its values.
COMPARED: Fit = {TEXT: SOME, TIME: SOME}
MASK_ENDS = re.compile(r"\W{0,2}\](\]|,)")
SECOND_OF_TWO = re.compile(r"\[[\"']([^\"']+)[\"']\]\s*(?:-|[!=]=|[<>]=?)\s*\w+\[[\"']\Z")
FIRST_OF_TWO = re.compile(r"[\"']?\]\s*(?:-|[!=]=|[<>]=?)\s*\w+\[[\"']([^\"']+)[\"']\]")
# By the method or keyword that takes it.
_TAKERS: tuple[tuple[str, Fit], ...] = (
    ("groupby group_by by hue color style unique value_counts", GROUPS),
    ("index columns facet_col facet_row names id_vars", {**GROUPS, TIME: 0.0}),
    ("sort_values sort", {FLAG: RARE, TEXT: SOME}),
    ("nlargest nsmallest values column size weights agg value_vars", NUMBERS),
    ("y", HEIGHTS),
    ("set_index on left_on right_on", {FLAG: RARE, NUMBER: -2.0, TIME: -SOME}),
    ("drop_duplicates", {NUMBER: -2.0, FLAG: RARE}),
    ("x", {FLAG: RARE, TEXT: SOME, TIME: -SOME / 2}),
)
TAKERS: Mapping[str, Fit] = {kind: fit for kinds, fit in _TAKERS for kind in kinds.split()}
GROUPERS = frozenset(["groupby", "group_by", "by", "hue", "index", "columns", "value_counts"])
CROSSES = "crosstab("
SORTS = re.compile(r"\bsort(?:_values)?\(\s*(?:by\s*=\s*)?\[?[\"']\Z")
CONVERTS = re.compile(
    r"\b(to_datetime|to_numeric|to_timedelta)\(|\.(astype|fillna|str|map|replace|apply)\b|\blog"
)
STRINGS = re.compile(r"[\"']([^\"'\n]{3,})[\"']")
# Who makes a table puts what counts first, and lists go on in the table's order.
EARLIER, LATE = -0.05, 10
ORDERLY = frozenset(["argument", "query"])
# In the index, among columns.
LEVEL = -2.0
# Named so many lines above, it is named again; MENTIONED for the last line, half of it so many above.
MENTIONED, HALF = 1.0, 3
QUOTED = re.compile(r"[\"']([^\"'\n]+)[\"']")
WORDS = re.compile(r"\w+")
# Whose bracket is open; ``left`` may be cut to so many characters for it.
OWNER = re.compile(r"(?<!\w)(\w+)(?:\.\w+)?[\[(]*\Z")
OWNER_LENGTH = 80
# Further on in the same list.
LISTED = re.compile(r"\A[\"'](?:\s*,\s*[\"'][^\"'\n]*[\"'])+")
STRING = re.compile(r"[\[({= ][\"']([^\"'\n]+)[\"']")
# What the line makes, and what a plot says of it.
TARGET = re.compile(r"\s*([\w.]+)(?:\[[\"']([^\"'\n]*)[\"']\])?\s*=(?!=)")
# What is called with it.
CALLED = re.compile(r"(?<![\w.])([\w.]+)\(\w+\[[\"']?\Z")
LABEL = re.compile(r"(?:label|title)\w*(?:=|\()[\"']([^\"'\n]+)")
WORD = re.compile(r"[^\W\d_]+")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
PLURAL = re.compile(r"(?<=\w\w)(?:(?<!spec)(?<!ser)ies|(?<=ss|sh|ch)es|(?<=x)es|(?<![sui])(?<!ie)s)\Z")
# Named in the same statement already; the very column that it makes.
NAMED, MADE = -3.0, -5.0
# Said around it; said by a word for the same thing.
SAID, MEANT = 2.0, 1.2
STEM = 4
# Words for the same things, in the singular: a line that looks for the longest wants a length.
CONCEPTS = tuple(
    frozenset(words.split())
    for words in (
        "long longest short shortest length distance dist km mile far farthest",
        "heavy heaviest light lightest weight mass ton tonnage kg load cargo",
        "old older oldest young younger youngest adult minor age year born built birth",
        "hot hottest warm warmer warmest cold colder coldest frost temp temperature celsius heat degree",
        "rain rainy wet wettest dry driest precipitation humidity moisture damp",
        "cheap cheapest expensive price cost fee fare rent pay paid spent worth",
        "revenue sale turnover income earning profit amount total",
        "rich richest poor poorest income salary wage wealth gdp",
        "fast faster fastest slow slower slowest speed pace velocity knot kmh mph",
        "tall taller tallest high highest height elevation altitude climb ascent steep",
        "deep deepest shallow shallowest depth draught draft",
        "big bigger biggest large largest small smallest size area population volume surface",
        "late later latest early earlier earliest recent time date timestamp when",
        "hour month week weekday day year quarter season time date timestamp at on start started begin",
        "duration elapsed took take minute hour second time lasted",
        "country nation city town region state district place location site station",
        "best worst top score grade mark point rating rated result",
        "many most count number quantity unit sold amount piece",
        "wind windy windiest storm stormy gust breeze",
        "busy busiest crowded passenger visitor people crew staff guest",
        "bright dark light cloud cloudy sky sunny sun",
        "name who title called",
        "kind type category group class genre species",
        "sick ill patient healthy diagnosis",
        "man men woman women gender sex",
        "seed random",
        "epoch round iteration step",
        "dir directory folder path file output out",
        "ill broken failed status state condition ok",
    )
)
# What is so by a number.
SUPERLATIVES = frozenset(word for words in CONCEPTS for word in words if word.endswith("est")) - frozenset(
    ["oldest", "youngest", "latest", "earliest"]
)
# What tells one row from all others, and so groups nothing.
NAMES_ONE = frozenset(
    [
        "address",
        "code",
        "comment",
        "customer",
        "description",
        "email",
        "id",
        "identifier",
        "name",
        "no",
        "note",
        "number",
        "phone",
        "street",
        "text",
        "title",
        "url",
        "user",
    ]
)
IDS = frozenset(["id", "year", "code", "zip", "no", "nr", "number", "index", "lat", "lon", "month", "day"])
# Takers of what tells rows apart.
KEYS = frozenset(["on", "left_on", "right_on", "set_index", "drop", "drop_duplicates"])
# Made of a time, where nothing says of what.
TIME_PARTS = frozenset(["hour", "day", "weekday", "week", "month", "quarter", "year", "date"])
GROUPING = re.compile(r"\.(?:value_counts|unique|nunique|mode|isin)\b")
EQUAL = re.compile(r"\s*[!=]=\s*[\"']")
TOTALS = re.compile(r"[\"']?\]?\)?\.(?:sum|mean|median|std|var|max|min|hist|quantile)\b|[\"']\s*:\s*[\"']")


@dataclass(frozen=True)
class Spot:
    """Where a name stands: its ``kind`` (attribute, argument, file, query, value, key, loc, agg or a taker),

    what of it is ``begun``, the string's ``quote``, the ``opening`` one where that is still missing, the
    ``dtypes`` of the columns, what is ``named`` in the statement and ``made`` by it, the line ``left``
    and ``right`` of it with what is said ``above``, the columns with ``repeating`` values, if known, and
    what the code above ``mentions``, see :func:`mentions`.
    """

    kind: str
    begun: str = ""
    quote: str = ""
    opening: str = ""
    dtypes: Mapping[str, str] = field(default_factory=dict)
    named: Sequence[str] = ()
    made: str = ""
    left: str = ""
    right: str = ""
    above: str = ""
    repeating: frozenset[str] | None = None
    mentions: Mapping[str, int] = field(default_factory=dict)


# A name's weight, as far as one thing tells it.
Part = Callable[[str], float]


def weights(names: Sequence[str], spot: Spot) -> list[float]:
    """One for each name."""
    parts = (_by_dtype(spot), _by_order(names, spot), _by_use(spot), _by_words(spot))
    return [sum(part(name) for part in parts) for name in names]


def mentions(code: str) -> dict[str, int]:
    """How many lines above the end of the code each of its words, and each text in quotes, stands last."""
    found: dict[str, int] = {}
    for ago, line in enumerate(reversed(code.split("\n"))):
        for word in (*WORDS.findall(line), *QUOTED.findall(line)):
            found.setdefault(word, ago)
    return found


def _by_dtype(spot: Spot) -> Part:
    """Whether the place wants what its column holds."""
    fits = [*_fits(spot)]
    right = _line(spot.right)
    follows = right.lstrip("\"'])")
    is_sort = bool(SORTS.search(spot.left.removesuffix(spot.begun)))
    groups = not is_sort and bool(spot.kind in GROUPERS or CROSSES in spot.left or GROUPING.match(follows))
    counts = NUMBERS in fits or HEIGHTS in fits
    compares, totals = EQUAL.match(follows), TOTALS.match(right)

    def part(name: str) -> float:
        weight = sum(fit.get(kind_of(spot.dtypes.get(name, "")), 0.0) for fit in fits)
        if spot.kind == "attribute" and spot.dtypes:
            weight += _called(name in spot.dtypes, right)
        if groups:
            weight += _grouping(name, spot)
        elif compares and spot.repeating and name in spot.repeating:
            weight -= SOME
        if not IDS.isdisjoint(_words(name, 2)):
            weight += -SOME if spot.kind in KEYS else RARE if totals else SOME * counts
        return weight + LEVEL * (bool(spot.dtypes) and name not in spot.dtypes)

    return part


def _by_order(names: Sequence[str], spot: Spot) -> Part:
    """The sooner it comes in the table, or behind the one that the same list names last, the likelier."""
    _, opened, inside = spot.left.removesuffix(spot.begun).rpartition("[")
    listed = QUOTED.findall(inside) if opened and "]" not in inside else []
    places = {name: place for place, name in enumerate(names)}
    last = places.get(listed[-1], -1) if listed else -1

    def part(name: str) -> float:
        is_ordered = spot.kind in ORDERLY or name in spot.dtypes
        return EARLIER * min((places[name] - last - 1) % len(names), LATE) * is_ordered

    return part


def _by_use(spot: Spot) -> Part:
    """Not again in the same statement, nor what it makes; rather what was named above."""
    right = _line(spot.right)
    used = {*spot.named, *STRING.findall(right)}
    more = LISTED.match(right)
    listed = STRINGS.findall(more[0]) if more else ()
    converts = CONVERTS.search(spot.left + spot.right)

    def part(name: str) -> float:
        # Of a library's names a model knows better which ones come again.
        is_known = name in spot.mentions and (spot.kind != "attribute" or name in spot.dtypes)
        weight = MENTIONED / (1 + spot.mentions[name] / HALF) if is_known else 0.0
        if name == spot.made:
            weight += -MADE / 2 if converts else MADE
        elif name in used:
            weight += NAMED
        return weight + NO * (name in listed)

    return part


def _by_words(spot: Spot) -> Part:
    """What the line, its strings and the comment above say of it."""
    target = TARGET.match(spot.left)
    after = _line(spot.right).removeprefix(spot.quote)
    strings = [text for text in STRINGS.findall(f"{spot.left}\n{after}") if text not in spot.dtypes]
    labels, called = LABEL.findall(spot.right), CALLED.findall(spot.left)
    said = _words(" ".join([_made_of(target), spot.above, *called, *labels, *strings]))
    around = spot.left[: max(spot.left.rfind("["), spot.left.rfind("(")) + 1]
    owner = OWNER.search(around[-OWNER_LENGTH:])
    own = _words(owner[1]) if owner else frozenset[str]()
    return lambda name: _said(name, said, own)


def _line(text: str) -> str:
    return text.partition("\n")[0]


def _grouping(name: str, spot: Spot) -> float:
    """Whether rows can be put together by it: by what its column holds, or else by its name."""
    kind = kind_of(spot.dtypes.get(name, ""))
    if spot.repeating is not None and kind in (TEXT, NUMBER):
        return -SOME * (kind == NUMBER) if name in spot.repeating else RARE * (kind == TEXT)
    return SOME * (not NAMES_ONE.isdisjoint(_words(name, 2)))


def _made_of(target: re.Match[str] | None) -> str:
    """The name of what the line makes: a variable or a column."""
    return (target[2] or target[1]) if target else ""


def _called(is_column: bool, right: str) -> float:
    """Methods are called, columns aren't."""
    if right.startswith("("):
        return NO if is_column else 0.0
    if right.startswith("."):
        return 0.0 if is_column else NO
    return RARE if right.startswith((" ", ")", "]")) and not is_column else 0.0


def is_of_a_column(right: str) -> bool:
    """Whether what follows an attribute is done with a column."""
    return any(pattern.match('"]' + right) for pattern, _ in RIGHT)


def kind_of(dtype: str) -> str:
    """What it is made for; "" of none that is known."""
    return next((kind for kind, pattern in DTYPES if pattern.match(dtype.lower())), OTHER)


def _fits(spot: Spot) -> Iterator[Fit]:
    """What the place wants, from each thing that tells."""
    if not any(spot.dtypes.values()):
        return
    left = spot.left.removesuffix(spot.begun)
    right = spot.right.partition("\n")[0]
    if spot.kind == "attribute":
        right = '"]' + right
    if spot.kind == "query":
        right = "]" + right
    told = [fit for pattern, fit in RIGHT if pattern.match(right)]
    yield from told or (fit for pattern, fit in LEFT if pattern.search(left))
    if spot.kind in TAKERS:
        yield TAKERS["sort" if SORTS.search(left) else spot.kind]
    if not TIME_PARTS.isdisjoint(_words(_made_of(TARGET.match(left)))) and right.strip("\"')]") == "":
        yield {TIME: -SOME * 2}
    said = _words(f"{_made_of(TARGET.match(left))} {spot.above}")
    if spot.kind in ("key", "sort_values") and not SUPERLATIVES.isdisjoint(said):
        yield COUNTED
    if MASK.search(left) and MASK_ENDS.match(right) and len(right.strip("\"'])")) > 0:
        yield NO_MASK
    elif MASK.search(left) and not right.strip(" \"'])"):
        yield COMPARED
    for pattern, text, match in ((SECOND_OF_TWO, left, "search"), (FIRST_OF_TWO, right, "match")):
        found = getattr(pattern, match)(text)
        if found and found[1] in spot.dtypes:
            yield _same(kind_of(spot.dtypes[found[1]]))


def _same(kind: str) -> Fit:
    return {other: RARE for other in (NUMBER, FLAG, TIME, TEXT) if other != kind}


def _said(name: str, said: frozenset[str], own: frozenset[str]) -> float:
    """How much of the name the words around it say; ``own``: those of the table's name."""
    words = _words(name)
    hits = sum(max((_alike(word, other, other in own) for other in said), default=0.0) for word in words)
    return float(hits / max(1, len(words)) ** 0.5)


def _alike(word: str, other: str, is_own: bool) -> float:
    shorter, longer = sorted((word, other), key=len)
    if word == other or (len(shorter) >= STEM and longer.startswith(shorter)):
        return 0.0 if is_own else SAID  # in a table of ships any column may be a ship's
    return MEANT if any(word in concept and other in concept for concept in CONCEPTS) else 0.0


def _words(text: str, least: int = 3) -> frozenset[str]:
    """Of so many letters and more, in small letters and the singular."""
    words = (word.lower() for word in WORD.findall(CAMEL.sub(" ", text)))
    return frozenset(PLURAL.sub(_singular, word) for word in words if len(word) >= least)


def _singular(ending: re.Match[str]) -> str:
    return "y" if ending[0] == "ies" else ""
