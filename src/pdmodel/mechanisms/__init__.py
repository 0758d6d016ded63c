"""The library of mechanisms: one file each, found by its name."""
