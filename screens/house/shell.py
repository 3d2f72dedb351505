"""An app out of its pages: templates, assets under names that hold their hash, errors as pages."""

from __future__ import annotations

import gzip
import hashlib
import logging
import mimetypes
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route

from protocol.languages import chosen
from screens.house.errors import PageError
from screens.house.headers import HEADERS, PRIVATE, Headers
from screens.house.origin import OwnForms
from screens.house.sessions import COOKIE, cookie
from screens.house.words import LANGUAGES, PageWords, catalogue

logger = logging.getLogger("tahini.screens")
HOUSE = Path(__file__).parent
FOREVER = "public, max-age=31536000, immutable"
_REMARK, _INDENTED = re.compile(r"/\*.*?\*/", re.DOTALL), re.compile(r"\n\s+")
_IMPORTED = re.compile(r'"\./([a-z]+\.js)"')


class Hex(Convertor[str]):
    """A part of a path that names something by a hash, in lower case: ``{record:hex}``."""

    regex = "[0-9a-f]{32,64}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Number(Convertor[int]):
    """A number in a path, of at most nine digits: ``{version:number}``."""

    regex = "[0-9]{1,9}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("hex", Hex())
register_url_convertor("number", Number())


@dataclass(frozen=True)
class Assets:
    """Files of our own that pages load, each under a name that holds its hash: what a browser keeps
    is what was served, and what was served can be compared."""

    paths: Mapping[str, str]
    """``house.css`` to ``/assets/house.1a2b3c4d5e6f.css``."""
    bodies: Mapping[str, bytes] = field(repr=False)
    packed: Mapping[str, bytes] = field(init=False, repr=False)
    """The same, compressed: once, and not at every request."""

    def __post_init__(self) -> None:
        packed = {path: gzip.compress(body, 9, mtime=0) for path, body in self.bodies.items()}
        object.__setattr__(self, "packed", packed)

    @classmethod
    def of(cls, *folders: Path) -> Assets:
        """What stands in these folders, without remarks and indentation. A module's imports are
        rewritten to the names of what it imports, so those come first."""
        sources = {
            path.name: path.read_bytes()
            for folder in folders
            for path in sorted(folder.iterdir())
            if path.suffix in {".css", ".js", ".svg"}
        }
        paths: dict[str, str] = {}
        bodies: dict[str, bytes] = {}

        def take(name: str) -> str:
            if name not in paths:
                body = sources[name]
                if name.endswith((".js", ".css")):
                    bare = _INDENTED.sub("\n", _REMARK.sub("", body.decode())).lstrip()
                    body = _IMPORTED.sub(lambda m: f'"{take(m[1])}"', bare).encode()
                stem, _, kind = name.rpartition(".")
                paths[name] = f"/assets/{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{kind}"
                bodies[paths[name]] = body
            return paths[name]

        for name in sources:
            take(name)
        return cls(paths, bodies)

    @property
    def manifest(self) -> dict[str, str]:
        """SHA-256 of what is served, by path: for a log, so that a change can be found."""
        return {path: hashlib.sha256(body).hexdigest() for path, body in self.bodies.items()}

    def text(self, name: str) -> str:
        """A file as it is served."""
        return self.bodies[self.paths[name]].decode()

    async def serve(self, request: Request) -> Response:
        path = request.url.path
        if path not in self.bodies:
            raise PageError("not-found", 404)
        body, headers = self.bodies[path], {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = self.packed[path], "gzip"
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return Response(body, media_type=kind, headers=headers)


LANGUAGE = "language"
"""What a query calls the language that a page is asked for in."""


@dataclass(frozen=True)
class Look:
    """How an app's pages are made."""

    app: str
    environments: Mapping[str, jinja2.Environment]
    assets: Assets
    zone: str
    catalogues: Path
    layout: str
    """SHA-256 of what pages are made of: templates, catalogues and assets, the house's too. It
    stands in the record of whoever answered on such a page, and in the journal at each start."""

    @classmethod
    def of(cls, app: str, views: Path, zone: str, known: Mapping[str, Any], *assets: Path) -> Look:
        """
        Args:
            views: the app's own templates, its catalogues beside them in ``words``; the house's
                stand behind both.
            known: what its templates can name.
            assets: folders of files that pages load, besides the house's.
        """
        served, catalogues = Assets.of(HOUSE / "assets", *assets), views.parent / "words"
        made_of = (views, catalogues, HOUSE / "views", HOUSE / "words", HOUSE / "assets", *assets)
        environments, layout = {}, layout_of(*made_of)
        for language in LANGUAGES:
            environment = jinja2.Environment(
                loader=jinja2.FileSystemLoader([views, HOUSE / "views"]),
                autoescape=True,
                undefined=jinja2.StrictUndefined,
                extensions=["jinja2.ext.i18n"],
                trim_blocks=True,
                lstrip_blocks=True,
            )
            environment.install_gettext_translations(  # type: ignore[attr-defined]
                catalogue(language, catalogues), newstyle=True
            )
            environment.globals |= {"asset": served.paths.__getitem__, "app": app, "layout": layout}
            environment.globals |= known
            environments[language] = environment
        return cls(app, environments, served, zone, catalogues, layout)

    def language(self, request: Request) -> str:
        """What this page is shown in: as it was chosen, else as the browser reads."""
        asked = request.query_params.get(LANGUAGE)
        kept = request.cookies.get(cookie(self.app, "language"))
        for said in (asked, kept):
            if said in LANGUAGES:
                return str(said)
        return chosen(request.headers.get("accept-language", ""), list(LANGUAGES))

    def words(self, request: Request) -> PageWords:
        return PageWords(self.language(request), self.zone, self.catalogues)

    def page(self, request: Request, view: str, status: int = 200, **shown: Any) -> Response:
        """A page out of a template. A language that was asked for is remembered."""
        words = self.words(request)
        template = self.environments[words.language].get_template(view)
        text = template.render(
            words=words,
            languages=LANGUAGES,
            here=request.url.path,
            turned=turned(request),
            session=getattr(request.state, "session", None),
            **shown,
        )
        answer = HTMLResponse(text, status, {"Content-Language": words.tag})
        if request.query_params.get(LANGUAGE) in LANGUAGES:
            answer.set_cookie(
                cookie(self.app, "language"), words.language, max_age=31_536_000, **COOKIE
            )
        return answer


def layout_of(*folders: Path) -> str:
    """SHA-256 over lines ``sha256 folder/name`` of every file there, in order, as ``sha256sum``
    writes them: from a copy of this version everybody finds the same."""
    lines = sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.parent.name}/{path.name}\n"
        for folder in folders
        for path in folder.iterdir()
        if path.suffix in {".html", ".po", ".js", ".css", ".svg"}
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def has_page(request: Request) -> bool:
    """Whether there is a page at the address to which a form was sent: where whoever filled it in
    goes on, once they have come in again."""
    asked = {**request.scope, "method": "GET"}
    return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)


def turned(request: Request) -> dict[str, str]:
    """By language, the query that shows this page in it; whatever else it asked for stays."""
    asked = [(name, said) for name, said in request.query_params.multi_items() if name != LANGUAGE]
    return {code: f"?{urlencode([*asked, (LANGUAGE, code)])}" for code in LANGUAGES}


def go(path: str) -> Response:
    """On to another page, by GET."""
    return RedirectResponse(path, 303)


def shell(
    look: Look,
    origin: str,
    routes: Sequence[BaseRoute],
    around: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Starlette:
    """The application.

    Args:
        origin: this app's own, ``https://…`` without a path: never read off a request.
        around: what is open as long as the application runs.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # fields of their own: in a message the journal leaves out what may be a key
        hashes = {"sha256": look.assets.manifest, "layout": look.layout}
        logger.info("assets", extra={"tahini_fields": hashes})
        async with around():
            yield

    def told(request: Request, error: PageError) -> Response:
        shown = {"code": error.code, "parameters": error.parameters, "way": error.way}
        answer = look.page(request, "problem.html", error.status, **shown)
        if error.status == 429:
            answer.headers["Retry-After"] = "60"
        return answer

    async def refused(request: Request, error: Exception) -> Response:
        return told(request, error if isinstance(error, PageError) else PageError())

    async def missing(request: Request, _: Exception) -> Response:
        return told(request, PageError("not-found", 404))

    async def failed(request: Request, error: Exception) -> Response:
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        answer = told(request, PageError("internal", 500))
        answer.headers.update({**HEADERS, "Cache-Control": PRIVATE})  # made outside of Headers
        return answer

    served = Starlette(
        routes=[*routes, Route("/assets/{name}", look.assets.serve)],
        middleware=[Middleware(Headers), Middleware(OwnForms, origin=origin, refusal=told)],
        exception_handlers={PageError: refused, 404: missing, 405: missing, 500: failed},
        lifespan=lifespan,
    )
    served.router.redirect_slashes = False
    return served
