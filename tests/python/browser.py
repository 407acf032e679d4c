"""Opens reports in a browser without a network, uses them as a reader would, and says what was seen.

usage: browser.py REPORT.html [PICTURES]

Prints JSON: for each color scheme and width what went wrong and how wide the page is, and what the reader saw.
With a folder PICTURES, it leaves a picture of each there.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = {"wide": 1280, "narrow": 390}


def chromium():
    """The browser of the machine: the one that SAELAKE_CHROMIUM names, or the first that is installed."""
    named = os.environ.get("SAELAKE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if found is None:
        sys.exit("there is no Chromium: install it, or name one with SAELAKE_CHROMIUM")
    return found


class Reader:
    """One visit to a page, and everything that should not happen during it."""

    def __init__(self, browser, path, scheme, width):
        self.trouble = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, has_touch=width < 600
        )
        self.page = self.context.new_page()
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.trouble.append("dialog"), dialog.dismiss()))
        self.page.on("request", self.asked)
        self.page.goto(Path(path).resolve().as_uri())
        self.page.wait_for_function("document.querySelectorAll('#strip-text .tok').length > 0")
        self.page.wait_for_timeout(300)

    def heard(self, message):
        if message.type in ("error", "warning"):
            self.trouble.append(f"{message.type}: {message.text}")

    def asked(self, request):
        if not request.url.startswith("file:"):
            self.trouble.append(f"request: {request.url}")

    def evaluate(self, script):
        return self.page.evaluate(script)

    def text(self, selector):
        return self.page.inner_text(selector)

    def close(self):
        self.context.close()


def layout(reader):
    return {
        "scroll_width": reader.evaluate("document.documentElement.scrollWidth"),
        "width": reader.evaluate("document.documentElement.clientWidth"),
        "background": reader.evaluate("getComputedStyle(document.body).backgroundColor"),
        "text": reader.evaluate("getComputedStyle(document.body).color"),
        "charts": reader.evaluate("[...document.querySelectorAll('.chart')].filter((holder) => holder.querySelector('canvas')).map((holder) => holder.id)"),
        "missing": reader.evaluate("[...document.querySelectorAll('.chart')].filter((holder) => !holder.querySelector('canvas')).map((holder) => holder.id + ': ' + holder.textContent)"),
    }


def every_token(reader):
    """The tokens of every step as the page holds them and as it shows them, and how often the two differ in number."""
    return reader.evaluate(
        """() => {
          const seen = { tokens: [], shown: [], scripts: document.scripts.length, pictures: document.images.length };
          report().steps.forEach((step, index) => {
            goTo(index);
            seen.tokens.push(...STATE.data.tokens.map((row) => row.token));
            seen.shown.push(...[...document.querySelectorAll('#strip-text .tok')].map((made) => made.textContent));
          });
          goTo(0);
          seen.scripts_after = document.scripts.length;
          return seen;
        }"""
    )


def hover_token(reader):
    """Points at a token in the middle of the strip."""
    tokens = reader.page.locator("#strip-text .tok")
    token = tokens.nth(tokens.count() // 2)
    token.scroll_into_view_if_needed()
    token.hover()
    return {
        "position": int(token.get_attribute("data-position")), "token": token.inner_text(),
        "facts": reader.text("#token-facts"), "arcs": reader.page.locator("#arcs path").count(),
    }


def hover_chart(reader, selector):
    """Points at places of a picture until it says something."""
    holder = reader.page.locator(selector)
    holder.scroll_into_view_if_needed()
    box = holder.bounding_box()
    tip = reader.page.locator(f"{selector} .tip")
    for across in range(30, 96, 3):
        for down in (10, 25, 45, 60):
            reader.page.mouse.move(box["x"] + box["width"] * across / 100, box["y"] + box["height"] * down / 100)
            reader.page.wait_for_timeout(25)
            if tip.count() and tip.first.is_visible():
                return tip.first.inner_text()
    return ""


def choose(reader):
    """Another layer, another step, another game, by the choices on the page."""
    selects = reader.page.locator("#choices select")
    seen = {}
    for index, name in [(2, "layer"), (1, "step"), (0, "game")]:
        before = reader.text("#step-facts") + reader.text("#token-facts")
        values = selects.nth(index).evaluate("(select) => [...select.options].map((option) => option.value)")
        current = selects.nth(index).input_value()
        other = next(value for value in values if value != current)
        selects.nth(index).select_option(other)
        seen[name] = {"to": other, "now": selects.nth(index).input_value(), "changed": before != reader.text("#step-facts") + reader.text("#token-facts")}
    return seen


def keys(reader):
    """The token before the chosen one, by the keyboard alone."""
    reader.page.locator("#strip-text").focus()
    before = reader.evaluate("STRIP.chosen")
    reader.page.keyboard.press("ArrowLeft")
    return {"before": before, "after": reader.evaluate("STRIP.chosen"), "facts": reader.text("#token-facts")}


def sort_table(reader, panel):
    """The first column of numbers of a table, before and after its head is pressed twice."""
    details = reader.page.locator(f"#{panel}-numbers")
    if not details.evaluate("(made) => made.open"):
        details.locator("summary").click()
    column = f"[...document.querySelectorAll('#{panel}-numbers tbody tr')].map((row) => row.cells[row.cells.length - 1].textContent)"
    head = details.locator("th button").last
    head.click()
    down = reader.evaluate(column)
    head.click()
    return {"down": down, "up": reader.evaluate(column)}


def theme(reader):
    seen = []
    for name in ("light", "dark"):
        reader.page.select_option("#theme", name)
        seen.append(reader.evaluate("getComputedStyle(document.body).backgroundColor"))
    return seen


def causal(reader):
    """The rows of the tables of effects and edges: the text of every cell."""
    rows = "[...document.querySelectorAll('#{}-table tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    return {name: reader.evaluate(rows.format(name)) for name in ("effects", "edges")}


def read(reader):
    return {
        "tokens": every_token(reader), "hover": hover_token(reader), "heatmap": hover_chart(reader, "#heatmap-chart"),
        "chosen": choose(reader), "keys": keys(reader), "table": sort_table(reader, "tokens"), "theme": theme(reader),
        "causal": causal(reader),
        "body": reader.text("body"), "links": reader.evaluate("[...document.links].map((link) => link.href)"),
    }


def main():
    path, folder = sys.argv[1], sys.argv[2:]
    seen = {"visits": {}}
    with sync_playwright() as playwright:
        # A sandbox needs a user that is not root.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        for scheme in ("light", "dark"):
            for name, width in WIDTHS.items():
                reader = Reader(browser, path, scheme, width)
                visit = layout(reader)
                if folder:
                    reader.page.screenshot(path=Path(folder[0]) / f"{scheme}-{name}.png", full_page=True)
                if (scheme, name) == ("light", "wide"):
                    seen.update(read(reader))
                visit["trouble"] = reader.trouble
                seen["visits"][f"{scheme} {name}"] = visit
                reader.close()
        browser.close()
    print(json.dumps(seen))


main()
