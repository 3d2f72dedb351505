"""Pictures of the pages for the docs, out of what a demo left: ``python -m trials.pictures
WORKSPACE``.

Every app at the page that says most, in both languages, as a phone or a desk shows it. Made anew
whenever pages change; fonts differ between machines, so nothing is compared with them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from demo.looking import looked_at, somebody
from demo.pages import Address

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
COLOURS = 64
"""Enough for letters and lines; a picture is some 30 kB."""


def enter(page: Page, address: Address, person: str) -> None:
    """Come in as that page's people do."""
    if address.opens.startswith("code "):
        page.goto(f"{address.url}/enter")
        page.locator("input[name='code']").fill(address.opens.removeprefix("code "))
        page.locator("main button").click()
    else:
        page.goto(address.url)
        page.locator("main .actions a").first.click()
        page.locator("input[name='subject']").fill(person)
        page.get_by_role("button").click()
    page.wait_for_load_state()


def campaign(page: Page) -> None:
    page.locator("main a[href^='/campaigns/']").first.click()
    page.wait_for_load_state()


def verified(page: Page) -> None:
    page.locator("main form button").first.click()
    page.wait_for_selector(".verdict[data-verdict='verified']", timeout=120_000)


SHOWN: dict[str, tuple[str, int, Callable[[Page], None]]] = {
    "consents": ("portal", 400, lambda page: None),
    "borrowers": ("counter", 400, lambda page: None),
    "staff": ("office", 900, lambda page: None),
    "coordinator": ("console", 900, campaign),
    "auditor": ("viewer", 900, verified),
}
"""By the last word of whose pages they are: the picture's name, its width, how to get there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="what tahini demo left")
    chosen = parser.parse_args()
    browser_at = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if browser_at is None:
        sys.exit("there is no Chromium: install chromium-headless-shell")
    FOLDER.mkdir(exist_ok=True)
    with looked_at(chosen.workspace) as found, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=browser_at, args=arguments)
        person = somebody(chosen.workspace.resolve())
        for address in found:
            name, width, onward = SHOWN[address.pages.rpartition(" ")[2]]
            for language, locale in LANGUAGES.items():
                size = {"width": width, "height": 760}
                context = browser.new_context(viewport=size, locale=locale)  # type: ignore[arg-type]
                page = context.new_page()
                enter(page, address, person)
                onward(page)
                path = FOLDER / f"{name}-{language}.png"
                page.screenshot(path=path)
                with Image.open(path) as picture:
                    picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)
                sys.stdout.write(f"{path.relative_to(FOLDER.parents[1])}\n")
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
