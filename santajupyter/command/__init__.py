"""The command line: santajupyter COMMAND."""
