"""How Sphinx builds these pages."""

import threadwise

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
exclude_patterns = ["_build"]
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
nb_execution_mode = "off"  # the tests execute notebooks
