"""Tar shards of images that are read without decoding."""
