"""Published tumor-growth curves as mechanisms: one file each, found by its name."""
