"""What pdmodel says when something cannot be used: one message with what, where and what to do."""


class PdmodelError(Exception):
    """A problem that the user can mend; the command line prints it without a traceback."""


class DataError(PdmodelError):
    """A table of sizes or doses cannot be used as it is."""


class DoseError(PdmodelError):
    """A dose, regimen or schedule is impossible or cannot be understood."""


class ModelError(PdmodelError):
    """A model, mechanism, drug or residual is not put together properly."""


class OptionError(PdmodelError):
    """An option has a value that cannot be used."""


class RunError(PdmodelError):
    """A run folder is missing, damaged, in use, or of another version."""


class FitError(PdmodelError):
    """A fit cannot start or cannot go on."""
