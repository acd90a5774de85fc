"""The papers' tables beside our scores. Nothing here imports torch, so that `restore table` starts fast."""
