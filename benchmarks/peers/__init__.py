"""Contenders of the solver benchmark: other integrators on the same patients."""
