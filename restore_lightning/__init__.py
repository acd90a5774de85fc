"""restore-lightning: train and use multi-branch networks for image restoration.

Importing the package is cheap: torch and lightning load with the parts that need them.
"""

__version__ = "0.1.0"
