"""What the verbs of `restore` do."""

TRAINER_VERBS = ("fit", "validate", "test", "predict")
COMMANDS = (
    *("apply", "demo", "export", "convert", "score", "table", "bundle", "push", "weights"),
    *("search", "shards", "mix"),
)
"""Verbs with a module of their own in this package: its `run(words) -> exit code`."""
