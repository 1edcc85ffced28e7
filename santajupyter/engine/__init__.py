"""Engines run a model. Importing this package imports no torch: the model has a process of its own."""
