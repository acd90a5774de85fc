"""Training data by the cyclic schedule, and the images that are scored.

Nothing is imported here, so that what needs no torch (layouts, names of images) comes without it.
"""
