import os
from pathlib import Path

import pytest
from support.house import Ground
from support.portal import browser, open_portal, visiting


def test_look(ground: Ground, tmp_path: Path) -> None:
    out = Path("/tmp/look"); out.mkdir(exist_ok=True)
    with open_portal(ground, tmp_path) as site, browser() as b:
        for language in ("en", "zh"):
            ctx = b.new_context(viewport={"width": 360, "height": 640}, locale=language)
            p0 = ctx.new_page(); p0.on("console", lambda m: print("console", m.text))
            p0.goto(site.url + "/"); p0.screenshot(path=out / f"welcome-{language}.png", full_page=True)
            page = visiting(ctx, site, site.person(at=0))
            page.on("console", lambda m: print("console", m.text)); page.on("pageerror", lambda e: print("error", e))
            page.goto(site.url + "/")
            page.screenshot(path=out / f"start-{language}.png", full_page=True)
            link = page.get_attribute("a[href^='/consents/']", "href")
            for name, path in {"consent": link, "withdraw": link.replace("consents", "withdraw"), "all": "/withdraw-all",
                "receipts": "/receipts", "uses": "/uses", "export": "/export", "erase": "/erase", "ask": f"/ask/{site.house.notice.id}/1"}.items():
                r = page.goto(site.url + path)
                print(name, r.status)
                page.screenshot(path=out / f"{name}-{language}.png", full_page=True)
            page.goto(site.url + "/receipts"); href = page.get_attribute("a[href^='/receipts/']", "href")
            page.goto(site.url + href); page.wait_for_timeout(500)
            print(page.inner_text("#verdict"), page.inner_text("#steps"))
            page.screenshot(path=out / f"receipt-{language}.png", full_page=True)
            ctx.close()
