"""How Sphinx builds these pages."""

import shutil
from pathlib import Path

import threadwise

# Sphinx reads what is below this folder only.
HERE = Path(__file__).parent
shutil.rmtree(HERE / "lessons", ignore_errors=True)
(HERE / "lessons").mkdir()
for lesson in [*HERE.glob("../notebooks/*.ipynb"), *HERE.glob("../notebooks/*.py")]:
    shutil.copy(lesson, HERE / "lessons")

project = "threadwise"
author = "The threadwise developers"
copyright = author  # noqa: A001 - Sphinx's name
version = release = threadwise.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
]
exclude_patterns = ["_build", ".lessons", "jupyter_execute"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Parallel deep learning on the CPU, from NumPy",
    "page_width": "1220px",
    "body_max_width": "none",
}
html_static_path = ["_static"]
html_css_files = ["pages.css"]

# A name in single backquotes is a Python object, in Rust's documentation too.
default_role = "py:obj"
autosummary_generate = True
# What pages link to has to be there. Docstrings put their parameters in single backquotes, too.
nitpicky = True
nitpick_ignore_regex = [("py:obj", r"(?!threadwise\.).*")]
autodoc_typehints = "none"  # numpydoc's sections say them
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]  # formulas of notebooks

# What lessons say is computed as they run; those that did not change keep what was computed.
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / ".lessons")
nb_execution_timeout = 120  # seconds for a cell, as in the tests
nb_execution_raise_on_error = True
nb_render_markdown_format = "myst"  # what lessons say has tables
