"""What runs in a user's kernel or script: magics, widgets, functions, and the client of the server."""
