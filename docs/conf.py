"""Settings of the documentation site: ``sphinx-build -W docs docs/_build``."""

import reworld

project = "reworld"
author = "The reworld authors"
version = release = reworld.__version__
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "reworld"
exclude_patterns = ["_build"]
