"""How good suggestions are: notebook replay and single-line infilling, through the server's own path."""
