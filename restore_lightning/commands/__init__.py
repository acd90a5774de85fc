"""What the verbs of `restore` do."""
