"""How the pages are built: offline, examples run, every warning an error (see `make docs`)."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pdmodel"
author = "The pdmodel developers"
copyright = "The pdmodel developers"
release = version = installed_version("pdmodel")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "mathml",
]
exclude_patterns = ["_build"]

# Pages are Markdown; those with a kernel in their header are run.
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # a page shows the package as it is, not as it was
nb_execution_in_temp = True  # what the examples write is not kept
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_output_stderr = "remove-warn"  # what an example says on stderr is an error too
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # no widgets, and none wanted
nb_ipywidgets_js = {}  # nothing is fetched from elsewhere

# Docstrings are NumPy's, and already say the types.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["math.css"]
html_title = f"pdmodel {release}"
html_math_renderer = "mathml"  # formulas need neither scripts nor a network
