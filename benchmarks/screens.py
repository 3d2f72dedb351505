"""What the borrowers' pages weigh and take, in a real browser and beside a plain service.

Founds a registry with ``--consents`` consents, serves it, a development issuer and a portal as
processes of their own, and looks at the portal in Chromium as a borrower does: bytes of the first
page, a receipt checked by ``verify.js``, the borrower's journeys in taps beside the most that each
may take (``taps_over`` names those above it), a withdrawal until a lender's check refuses, axe on
every page in both languages. ``ratio_portal_to_plain`` is the 99th percentile of the first page
beside that of one read of the plain service (``benchmarks.yardsticks``), one request at a time, in
the same run: the page asks the registry four things and is drawn.

    python -m benchmarks.screens --json
    python -m benchmarks.screens --consents 200 --seconds 2 --repeat 5
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks import population, yardsticks
from benchmarks.load import Load, http_request, running, served
from benchmarks.population import Borrower, Population
from benchmarks.report import SERVICES, latency, parser, percentile, show, versions
from consent.identity.devissuer import public_jwks
from consent.identity.settings import ENVIRONMENT, ISSUERS_FILE
from crypto.keys import SigningKey, save_signing_key
from ops.processes import free_port
from protocol.client.lenders import LenderClient
from protocol.terms import TRAINING_PURPOSE
from screens.homes import create_public_home
from screens.portal.home import PortalSettings
from screens.portal.visit import SESSION

LENDERS = 2
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
LANGUAGES = ("en", "zh")
PAGES = (
    "/",
    "/withdraw-all",
    "/uses",
    "/receipts",
    "/export",
    "/erase",
    "/erased",
    "/requests",
    "/requests/new",
    "/imports",
    "/lenders",
    "/link",
    "/incidents",
    "/keys",
)
CHECKED = """async ([module, receipt, consortium, times]) => {
  const { openConsortium, verifyReceipt } = await import(module);
  const trusted = await openConsortium(consortium);
  const took = [];
  for (let at = 0; at < times; at += 1) {
    const began = performance.now();
    await verifyReceipt(receipt, trusted, () => {});
    took.push(performance.now() - began);
  }
  return took;
}"""
WEIGHED = """() => performance.getEntries()
  .filter((one) => "transferSize" in one)
  .map((one) => [one.name, one.transferSize])"""


def chromium() -> str | None:
    """Where the browser is, if there is one."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@dataclass(frozen=True)
class Borrowers:
    """A portal at work, and the people who may look at it."""

    people: Population
    origin: str
    issuer: str

    @property
    def port(self) -> int:
        return urlsplit(self.origin).port or 0

    def silent(self) -> list[str]:
        """Who has never been asked, nor answered."""
        return [name for names in self.people.names.values() for name in names[self.people.asked :]]

    def session(self, name: str) -> str:
        """A log-in as a browser does it, without one."""
        with httpx.Client(timeout=60) as http:
            left = http.get(f"{self.origin}/login")
            fields = dict(parse_qsl(urlsplit(left.headers["location"]).query))
            back = http.post(f"{self.issuer}/login", data={**fields, "subject": name})
            kept = left.headers["set-cookie"].partition(";")[0]
            arrived = http.get(back.headers["location"], headers={"Cookie": kept})
        if arrived.status_code != 303:
            raise RuntimeError(f"no log-in: {arrived.status_code} {arrived.text[-900:]}")
        return next(one for key, one in arrived.cookies.items() if key == SESSION)

    def look(self, browser: Browser, name: str, language: str) -> Page:
        """The start page, for somebody at a phone who is logged in."""
        context = browser.new_context(
            viewport={"width": 360, "height": 640}, locale={"en": "en-GB", "zh": "zh-CN"}[language]
        )
        page = context.new_page()
        page.goto(f"{self.origin}/login")
        page.locator("input[name='subject']").fill(name)
        page.get_by_role("button").click()
        page.wait_for_url(f"{self.origin}/")
        return page


@contextmanager
def at_work(folder: Path, consents: int, seed: int) -> Iterator[Borrowers]:
    each = max(4, round(consents / (2 * LENDERS) / (1 - population.KEPT_BACK)))
    people = Population.founded(folder / "home", LENDERS, each, None, seed)
    key, ports = SigningKey.generate(), (free_port(), free_port())
    save_signing_key(folder / "issuer.key", key)
    issuer, origin = (f"http://127.0.0.1:{port}" for port in ports)
    trusted = people.home / "registry" / ISSUERS_FILE
    said = json.loads(trusted.read_text(encoding="utf-8"))
    said["issuers"][0] |= {"issuer": issuer, "jwks": public_jwks(key)}
    trusted.write_text(json.dumps(said), encoding="utf-8")
    population.enrol(people, lambda _: None)
    with ExitStack() as stack:
        server = stack.enter_context(served("registry", people.home / "registry"))
        people.url = server.url
        population.load(people, 2, lambda _: None)
        command = ("tahini", "issuer", "serve", "--key", str(folder / "issuer.key"))
        page = "/.well-known/openid-configuration"
        stack.enter_context(running(command, folder / "issuer.log", page, ports[0]))
        with people.registry() as registry:
            document, anchor = registry.consortium_token, registry.signing_key.public.text
        settings = {
            "registry_url": people.url,
            "registry_key": anchor,
            "origin": origin,
            "issuers": [{"issuer": issuer, "client_id": "portal"}],
            "per_minute": 1_000_000,
            "ways_in_per_minute": 1_000_000,  # one visit asks as fast as it is answered
        }
        create_public_home(folder / "portal", PortalSettings, settings, document, None)
        command = ("tahini", "portal", "serve", "--home", str(folder / "portal"))
        stack.enter_context(running(command, folder / "portal.log", "/", ports[1]))
        yield Borrowers(people, origin, issuer)


def first_page(site: Borrowers, folder: Path, seconds: float) -> dict[str, Any]:
    """The portal's first page over one connection, and one read of the plain service."""
    names = [name for names in site.people.names.values() for name in names[:10]]
    cookies = [f"{SESSION}={site.session(name)}" for name in names]
    turn = iter(range(10**9))

    def asked() -> tuple[bytes, Any]:
        cookie = cookies[next(turn) % len(cookies)]
        return f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode(), len

    Load(site.port, asked, 1, 200).run(min(1.0, seconds))
    portal = Load(site.port, asked, 1, 200)
    portal.run(seconds)
    where = f"sqlite:///{folder / 'plain.db'}"
    with running(("benchmarks.yardsticks", "--url", where), folder / "plain.log") as server:
        body = json.dumps(yardsticks.EXAMPLE).encode()
        Load(
            server.port, lambda: (http_request("POST", "/rows", "Bearer x", body), len), 1, 201
        ).run(0.5)
        read = http_request("GET", "/rows/1", "Bearer x")
        plain = Load(server.port, lambda: (read, len), 1, 200)
        plain.run(seconds)
    ratio = percentile(portal.latencies, 0.99) / percentile(plain.latencies, 0.99)
    return {
        "portal": latency(portal.latencies),
        "plain": latency(plain.latencies),
        "ratio_portal_to_plain": round(ratio, 2),
    }


def weight(site: Borrowers, browser: Browser, name: str) -> dict[str, Any]:
    page = site.look(browser, name, "zh")
    entries = page.evaluate(WEIGHED)
    page.context.close()
    return {
        "portal_first_page_kb": round(sum(size for _, size in entries) / 1000, 2),
        "portal_first_page_requests": len(entries),
    }


def withdrawal(site: Borrowers, browser: Browser, lender: str, name: str) -> dict[str, Any]:
    """Two taps, and how long after the second one a lender's check refuses."""
    page = site.look(browser, name, "en")
    client = LenderClient(*site.people.as_lender(lender))
    client.begin_session()
    asked = {"purpose": TRAINING_PURPOSE, "subjects": [name]}
    taps = 0
    for _ in range(2):
        began = time.perf_counter()
        button = page.locator("main").get_by_role("button", name="Take back", exact=True)
        link = page.locator("main").get_by_role("link", name="Take back", exact=True)
        (button if button.count() else link).first.click()
        taps += 1
    while client._send("POST", "/v1/checks", asked).json()["decisions"][0]["rule"] != "withdrawn":
        if time.perf_counter() - began > 60:
            raise RuntimeError("a withdrawn consent was not refused within a minute")
    seen = time.perf_counter() - began
    page.context.close()
    client.close()
    return {"taps_to_withdraw": taps, "withdrawal_seen_s": round(seen, 3)}


JOURNEYS: Mapping[str, tuple[str, int, tuple[str, ...]]] = {
    "withdraw one": ("gave", 2, ("Take back", "Take back")),
    "withdraw all": ("gave", 2, ("Take back everything", "Take back everything")),
    "pause": ("gave", 2, ("See all of it", "Pause")),
    "no to all": ("silent", 2, ("Read and answer", "No to all of it")),
    "give ordinary only": ("silent", 4, ("Read and answer", "+", "-", "Save my answers")),
    "give both": ("silent", 4, ("Read and answer", "+", "+", "Save my answers")),
    "who used my data": ("gave", 1, ("Who used it",)),
    "check a receipt": ("took back", 2, ("Receipts", "Check it")),
    "take it with me": ("gave", 2, ("Take it with me", "A file for programs")),
}
"""By what is done: by whom, how many taps it may take at most, and what is tapped; ``+`` and ``-``
answer the next question yes and no."""


def journeys(
    site: Borrowers, browser: Browser, gave: list[str], silent: list[str]
) -> dict[str, Any]:
    """Each by somebody of their own, None where nobody is left to do it; what cannot be done by
    these taps ends the run."""
    taps: dict[str, int | None] = dict.fromkeys(JOURNEYS)
    people: dict[str, list[str]] = {"gave": gave, "silent": silent, "took back": []}
    for name, (who, _, tapped) in JOURNEYS.items():
        if people[who]:
            person = people[who].pop()
            page = site.look(browser, person, "en")
            _tap(page, tapped)
            taps[name] = len(tapped)
            if name.startswith("withdraw"):
                people["took back"].append(person)
            page.context.close()
    over = [name for name, (_, most, _) in JOURNEYS.items() if (taps[name] or 0) > most]
    return {"taps": taps, "taps_over": over}


def _tap(page: Page, tapped: Sequence[str]) -> None:
    question = 0
    for label in tapped:
        if label in {"+", "-"}:
            asked = page.locator("fieldset").nth(question)
            asked.get_by_label("Yes, I agree" if label == "+" else "No, I do not agree").check()
            question += 1
        else:
            button = page.get_by_role("button", name=label, exact=True)
            link = page.get_by_role("link", name=label, exact=True)
            (button if button.count() else link).first.click()
            page.wait_for_load_state()


def receipt(site: Borrowers, browser: Browser, name: str, repeat: int) -> dict[str, Any]:
    page = site.look(browser, name, "en")
    page.goto(f"{site.origin}/receipts")
    page.locator("main").get_by_role("link", name="Check it", exact=True).first.click()
    expect(page.locator("#verdict")).not_to_have_attribute("data-verdict", "unchecked")
    verdict = page.locator("#verdict").get_attribute("data-verdict")
    if verdict != "verified":
        raise RuntimeError(f"the receipt is {verdict}")
    held = [page.locator(f"#{one}").get_attribute("value") for one in ("receipt", "consortium")]
    sources = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    module = next(one for one in sources if "/verify." in one)
    took = page.evaluate(CHECKED, [urlsplit(module).path, *held, repeat])
    size = len(gzip.compress(httpx.get(module).content, 9, mtime=0))
    page.context.close()
    return {
        "receipt_check_ms": round(statistics.median(took), 2),
        "verify_js_gzip_bytes": size,
    }


def access(site: Borrowers, browser: Browser, name: str) -> dict[str, Any]:
    """axe on every page that needs no number of its own, and on the first of each kind that
    does."""
    found = pages = 0
    for language in LANGUAGES:
        page = site.look(browser, name, language)
        paths = list(PAGES)
        for kind in ("/consents/", "/receipts/", "/withdraw/", "/ask/"):
            for start in ("/", "/receipts"):
                page.goto(site.origin + start)
                links = page.locator(f"a[href^='{kind}']")
                if links.count():
                    paths.append(links.first.get_attribute("href") or "/")
                    break
        for path in paths:
            page.goto(site.origin + path)
            page.evaluate(AXE_SCRIPT)
            result = page.evaluate("(rules) => axe.run({ runOnly: rules })", RULES)
            found += len(result["violations"])
            pages += 1
        page.context.close()
    return {"axe_violations": found, "axe_pages": pages}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = {
        "machine": versions(SERVICES, "playwright", "jinja2", "starlette"),
        "consents": options.consents,
        "seed": options.seed,
        "load_average": [os.getloadavg()],
    }
    with at_work(folder, options.consents, options.seed) as site:
        report |= first_page(site, folder, options.seconds)
        people = population.logged_in(site.people, min(200, options.consents // 8))
        report |= seen(site, [one for one in people if one.given], options.repeat)
    report["load_average"].append(os.getloadavg())
    return report


def seen(site: Borrowers, people: Sequence[Borrower], repeat: int) -> dict[str, Any]:
    """What takes a browser."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        found: dict[str, Any] = {"chromium": browser.version}
        found |= weight(site, browser, people[0].name)
        found |= withdrawal(site, browser, people[0].lender, people[0].name)
        gave = [one.name for one in people[2:]]
        found |= journeys(site, browser, gave, site.silent())
        found |= receipt(site, browser, people[0].name, repeat)
        found |= access(site, browser, people[1].name)
        browser.close()
        return found


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--consents", type=int, default=1000, help="in the registry, two for each person")
    option("--seconds", type=float, default=10.0, help="how long each page is asked for")
    option("--repeat", type=int, default=50, help="how often the receipt is checked")
    option("--seed", type=int, default=0)
    chosen = options.parse_args()
    os.environ[ENVIRONMENT] = "development"  # for the issuer, which believes anybody
    if chromium() is None:
        sys.exit("there is no Chromium: install chromium-headless-shell")
    with tempfile.TemporaryDirectory(prefix="tahini-screens-bench-") as name:
        show(measure(chosen, Path(name)), chosen.json)


if __name__ == "__main__":
    main()
