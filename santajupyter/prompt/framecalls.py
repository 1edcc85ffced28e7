"""Which calls of data frames, and of what draws them, take the names of columns, and which give frames."""

from __future__ import annotations

# Methods that return some rows of a frame, or groups of them, with the same columns.
SAME_COLUMNS = frozenset(
    [
        "cache",
        "coalesce",
        "copy",
        "distinct",
        "dropDuplicates",
        "drop_duplicates",
        "dropna",
        "ffill",
        "fillna",
        "filter",
        "groupBy",
        "group_by",
        "groupby",
        "head",
        "limit",
        "nlargest",
        "nsmallest",
        "orderBy",
        "persist",
        "query",
        "repartition",
        "resample",
        "rolling",
        "sample",
        "set_index",
        "sort",
        "sort_index",
        "sort_values",
        "tail",
        "where",
    ]
)
# Methods of frames whose first argument is a column or a list of them.
BY_COLUMN = frozenset(
    [
        "drop_duplicates",
        "explode",
        "get_column",
        "groupBy",
        "group_by",
        "groupby",
        "n_unique",
        "orderBy",
        "select",
        "set_index",
        "sort",
        "sort_values",
        "unique",
        "value_counts",
    ]
)
# Those that take any number of them.
SEVERAL = frozenset(["groupBy", "group_by", "orderBy", "select"])
# Functions of polars and Spark that take a column, within the call of a frame's method.
OF_COLUMN = frozenset(
    [
        *("asc", "avg", "col", "countDistinct", "count_distinct", "desc", "explode", "first", "last"),
        *("lower", "max", "mean", "median", "min", "month", "n_unique", "std", "stddev", "sum", "to_date"),
        *("trim", "upper", "year"),
    ]
)
GROUPED = frozenset(["groupBy", "groupby", "group_by", "resample", "rolling"])
# Those that take a level of the index as well.
BY_LEVEL = frozenset(["by", "groupby", "sort_values"])
SECOND = frozenset(["nlargest", "nsmallest"])
# Those whose first argument is a dict with columns as its keys.
BY_DICT = frozenset(["agg", "aggregate", "astype", "fillna", "transform"])
COLUMN_KEYWORDS = frozenset(
    [
        "by",
        "c",
        "color",
        "column",
        "columns",
        "facet_col",
        "facet_row",
        "hover_name",
        "hue",
        "id_vars",
        "index",
        "left_on",
        "names",
        "on",
        "right_on",
        "size",
        "style",
        "subset",
        "value_vars",
        "values",
        "weights",
        "x",
        "y",
    ]
)
# Hardly anything else than a column or a list of them is given to these: its quote may be missing.
PLAIN_COLUMN = frozenset(
    [
        *(
            "by",
            "groupBy",
            "group_by",
            "groupby",
            "hue",
            "left_on",
            "nlargest",
            "nsmallest",
            "on",
            "set_index",
        ),
        *("right_on", "sort_values", "subset", "value_vars", "values", "x", "y"),
    ]
)
# Functions that take no columns by those names, or others than those that there are.
OTHER_KEYWORDS = frozenset(
    [
        *(("drop", "index"), ("plot", "color"), ("plot", "style"), ("reindex", "columns")),
        *(("reindex", "index"), ("rename", "index")),
    ]
)
ROWS = frozenset(["iterrows", "itertuples", "groupby"])
