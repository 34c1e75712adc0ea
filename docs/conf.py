"""How Sphinx builds the site from `docs/`: `make docs`. Nothing is fetched while it builds, nor by its pages."""

import os
import re
import sys
from pathlib import Path

# Set before a framework is imported, for the reference and for the examples of the gallery alike.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler of torch would print when it starts and stops
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several libraries would wait for each other

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS / "_ext"), str(ROOT / "examples")]

from public import DOORS  # noqa: E402

project = "focal_loss"
project_copyright = "the authors of focal_loss, Apache License 2.0"
version = release = re.search(r'__version__ = "(.+)"', (ROOT / "src/focal_loss/__init__.py").read_text())[1]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "doors",
    "outside",
]
exclude_patterns = ["_*", "conf.py"]
templates_path = ["_templates"]

# Markdown: the anchors of headings are those of a repository browser.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# The reference. Types stand in the docstrings.
default_role = "py:obj"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autosummary_generate = [f"reference/{door}.rst" for door in DOORS]  # if True, only those of the build before
numpydoc_show_class_members = False
toc_object_entries = False

# The gallery: every script of `examples/gallery` is run, and an error in one is an error of the build.
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = f"focal_loss {release}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "focal_loss", "image_light": "_static/favicon.svg", "image_dark": "_static/favicon.svg"},
    "navbar_persistent": ["search-button"],
    "navbar_end": ["versions", "theme-switcher"],
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "curves": [], "gallery/*": []}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .go, .gt"
