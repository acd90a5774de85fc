"""Test images that are in the training data: found by hashes of their patches, then compared pixel by pixel."""
