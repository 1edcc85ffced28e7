"""What a column of pandas' has, by its dtype, since pandas 1.0; the kernel tells of variables only."""

from __future__ import annotations

from .fitting import FLAG, NUMBER, OTHER, TEXT, TIME, kind_of

ALWAYS = """
    agg aggregate any all apply astype at bfill copy count describe drop drop_duplicates dropna dtype
    dtypes duplicated empty eq equals explode factorize ffill fillna first_valid_index get groupby head
    hasnans iat iloc index info is_unique isin isna isnull item items keys last_valid_index loc map mask
    memory_usage mode name nbytes ndim ne notna notnull nunique pipe plot pop reindex rename rename_axis
    repeat replace reset_index sample set_axis shape shift size sort_index sort_values squeeze tail take
    to_csv to_dict to_excel to_frame to_json to_list to_markdown to_numpy to_pickle to_string tolist
    transform unique unstack update value_counts values where xs
"""
ORDERED = """
    argmax argmin argsort between ge gt idxmax idxmin le lt max min nlargest nsmallest rank searchsorted
    is_monotonic_decreasing is_monotonic_increasing
"""
NUMBERS = """
    abs add autocorr clip corr cov cummax cummin cumprod cumsum diff div dot ewm expanding hist
    interpolate kurt mean median mod mul multiply pct_change pow prod product quantile resample rolling
    round sem skew std sub subtract sum truediv var
"""
TIMES = "dt diff mean median quantile resample"
GROUPED = """
    agg aggregate all any apply corr count cov cumcount cummax cummin cumprod cumsum describe diff
    expanding ffill first head hist idxmax idxmin last max mean median min ngroup nlargest nsmallest nth
    nunique pct_change pipe plot prod quantile rank resample rolling sample sem shift size skew std sum
    tail transform unique value_counts var
"""
OF_KIND = {
    NUMBER: f"{ALWAYS} {ORDERED} {NUMBERS}",
    FLAG: f"{ALWAYS} {ORDERED} mean sum cumsum diff",
    TIME: f"{ALWAYS} {ORDERED} {TIMES}",
    TEXT: f"{ALWAYS} max min str sum",
    OTHER: f"{ALWAYS} {ORDERED} {NUMBERS} cat dt str",
}


def attributes(dtype: str, grouped: bool) -> tuple[str, ...]:
    """The names after a column's dot, or after that of one in groups."""
    return tuple((GROUPED if grouped else OF_KIND[kind_of(dtype)]).split())
