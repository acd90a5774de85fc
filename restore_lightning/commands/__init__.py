"""What the verbs of `restore` do."""

TRAINER_VERBS = ("fit", "validate", "test", "predict")
COMMANDS = ("apply", "convert", "export", "score", "mix", "search", "shards", "table")
"""Verbs with a module of their own in this package: its `run(words) -> exit code`."""
