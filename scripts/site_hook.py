"""A hook of MkDocs, for what the site shows that does not lie in docs/.

Files outside docs/ become pages. They are read as they are, so that a link to them
works in the repository and on the site: ``../CHANGELOG.md`` leads to the page
``changelog.md``. And public names of sencap that the page ``api.md`` does not list in
one of its sections come at its end, so that none is forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import sencap

ROOT = Path(__file__).parents[1]
# Where a file lies in the repository, and what its page is called.
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "src/sencap/weights/siamese-lite0/README.md": "card.md",
}


def names_not_listed(markdown: str) -> str:
    """What the page of Python lacks, by where it lives, as mkdocstrings takes it."""
    homes = [home.replace(":", ".") for home in sencap._HOMES.values()]
    missing = [home for home in homes if f"::: {home}\n" not in markdown]
    if not missing:
        return ""
    listed = "\n".join(f"::: {home}" for home in missing)
    return f"\n## More\n\n{listed}\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files as pages."""
    for source, name in OUTSIDE.items():
        path = str(ROOT / source)
        files.append(File.generated(config, name, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links lead to the pages."""
    name = page.file.src_uri
    if name == "api.md":
        return markdown + names_not_listed(markdown)
    if name in OUTSIDE.values():
        return markdown.replace("](docs/", "](")
    to_root = "../" * name.count("/")
    for source, target in OUTSIDE.items():
        link = re.compile(r"\]\((\.\./)+" + re.escape(source))
        markdown = link.sub(f"]({to_root}{target}", markdown)
    return markdown
