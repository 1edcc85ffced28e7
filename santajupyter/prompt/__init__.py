"""Pure text: from a notebook's cells to a prompt, and from what a model wrote to a suggestion.

Nothing in here knows torch, tornado or a process."""
