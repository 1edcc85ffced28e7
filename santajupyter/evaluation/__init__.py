"""How good suggestions are: notebook replay, fresh tables and infilling, by the server's own path."""

from importlib.util import find_spec

for _name in ("jupyter_client", "nbformat", "pandas"):
    if find_spec(_name) is None:
        raise ModuleNotFoundError(
            f"the evaluation needs {_name}: pip install 'santajupyter[evaluation]'", name=_name
        )
