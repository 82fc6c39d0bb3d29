"""The page: one template with its style sheet and script, and the example pairs to
try."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined

from sencap.demonstration import ATTRIBUTION, EXAMPLES
from sencap.images import find_pairs
from sencap.serving.settings import ServerSettings
from sencap.version import __version__

_FOLDER = Path(str(resources.files("sencap.serving")))


def install_page(app: FastAPI, settings: ServerSettings) -> None:
    """Let an application show the page at its root."""
    # Names of weights come from the operator, so they are escaped; a name that the
    # template has and we do not give is an error, not an empty place.
    templates = Environment(
        loader=PackageLoader("sencap.serving"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Rendered once: nothing in it depends on the request. ``base`` lets the page find
    # its files under a proxy's path.
    html = templates.get_template("page.html").render(
        version=__version__,
        settings=settings,
        weights=app.state.service.weights(),
        base=f"{settings.root_path}/" if settings.root_path else "",
        examples=[name for _, _, name in find_pairs(EXAMPLES)],
        attribution=ATTRIBUTION,
    )

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html)

    app.mount("/static", StaticFiles(directory=_FOLDER / "static"), name="static")
    app.mount("/examples", StaticFiles(directory=EXAMPLES), name="examples")
