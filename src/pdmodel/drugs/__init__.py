"""The library of drugs: one file each, found by its name."""
