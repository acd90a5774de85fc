"""The life of a run: its folder, what it may go on with, its processes, signals and logs."""
