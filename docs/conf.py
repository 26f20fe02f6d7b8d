"""The documentation as a site: `make docs` builds it into `docs/_site`, without the network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext")]
_version: dict[str, str] = {}
exec((HERE.parent / "hog_dagster" / "_version.py").read_text("utf-8"), _version)  # noqa: S102

project = "hog_dagster"
author = "hog_dagster maintainers"
copyright = author
version = release = _version["__version__"]
extensions = ["myst_parser", "site_pages"]
exclude_patterns = ["_ext", "_site"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
# Examples show YAML with templates and output of commands, which no lexer knows as a whole.
highlight_language = "text"
html_theme = "furo"
html_title = f"hog_dagster {release}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"footer_icons": []}
