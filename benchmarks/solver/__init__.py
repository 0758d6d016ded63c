"""The parts of the solver benchmark."""
