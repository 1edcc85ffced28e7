"""How fast the whole way from a key to ghost text is; see README.md."""
