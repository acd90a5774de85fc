"""Scripts for who works on the package; none of them is installed."""
