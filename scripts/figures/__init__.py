"""Figures of the documentation: `make figures` writes all of them into docs/figures."""
