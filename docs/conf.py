"""Settings of the documentation's build (Sphinx)."""

from pycloud import __version__

project = "pycloud"
copyright = "the pycloud developers"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_typehints = "none"
default_role = "code"
