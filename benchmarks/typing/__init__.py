"""Typing in notebooks, replayed against the server and its peers; see ../README.md."""
