"""How santa-mini, the built-in model, is made: see README.md."""
