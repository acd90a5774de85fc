"""What the verbs of `restore` do."""

TRAINER_VERBS = ("fit", "validate", "test", "predict")
