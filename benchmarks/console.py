"""How soon the console's campaign page shows a release, without a reload, in a real browser.

Brings a consortium up (``tahini up``: all of it processes of this machine), opens the console's
page of one campaign, launches it, and takes for each release the time from when the coordinator
kept it until the page says so.

    python -m benchmarks.console --json
    python -m benchmarks.console --releases 5
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.report import SERVICES, parser, show, versions
from benchmarks.rounds import brought_up, command, proposed
from benchmarks.screens import chromium
from screens.console.home import listening_of
from screens.house.staff import staff_code

LONGEST_S = 900
SEEN = """() => {
  globalThis.seen = [];
  const look = () => {
    const made = document.querySelectorAll(".course .made").length;
    while (globalThis.seen.length < made) globalThis.seen.push(Date.now() / 1000);
  };
  const all = { childList: true, subtree: true, attributes: true };
  new MutationObserver(look).observe(document.body, all);
}"""


def shown(page: Page, home: Path, campaign: str, releases: int) -> list[float]:
    """Seconds from when each release was kept until the page said so."""
    listening = listening_of(home)
    page.goto(f"{listening.reached_at}/enter")
    page.get_by_role("textbox").fill(staff_code(home))
    page.locator("main button").click()
    page.goto(f"{listening.reached_at}/campaigns/{campaign}")
    page.evaluate(SEEN)
    command("campaign", "launch", campaign[:12], "--home", str(home))
    deadline = time.monotonic() + LONGEST_S
    while page.evaluate("globalThis.seen.length") < releases:  # the page's policy lets none wait
        if time.monotonic() > deadline:
            raise RuntimeError(f"not every release was shown within {LONGEST_S} s")
        time.sleep(0.5)
    folder = home / "campaigns" / campaign
    kept = [(folder / f"release-{n:03d}.npz").stat().st_mtime for n in range(releases)]
    return [at - when for at, when in zip(page.evaluate("globalThis.seen"), kept, strict=True)]


def measure(root: Path, releases: int) -> dict[str, Any]:
    report: dict[str, Any] = {
        "machine": versions(SERVICES, "playwright"),
        "releases": releases,
        "load_average": [os.getloadavg()],
    }
    with brought_up(root) as loans, sync_playwright() as playwright:
        campaign = proposed(root, loans, releases)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        took = shown(browser.new_page(), root / "coordinator", campaign, releases)
        browser.close()
    report["load_average"].append(os.getloadavg())
    found = {"console_shown_s": statistics.median(took), "console_shown_slowest_s": max(took)}
    return report | {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--releases", type=int, default=13)
    chosen = options.parse_args()
    if chromium() is None:
        sys.exit("there is no Chromium: install chromium-headless-shell")
    with tempfile.TemporaryDirectory(prefix="tahini-console-bench-") as name:
        show(measure(Path(name) / "up", chosen.releases), chosen.json)


if __name__ == "__main__":
    main()
