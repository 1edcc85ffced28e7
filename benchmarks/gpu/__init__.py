"""What a GPU has to prove, in one command: session.py. Each other module here is one part of it."""
