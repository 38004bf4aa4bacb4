"""The built site in a browser: every page of _toc.yml, without internet."""

import functools
import gzip
import http.server
import json
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup

from rnnbook import scratch
from rnnbook.data.characters import CharVocab
from rnnbook.generate import generate, next_probabilities
from rnnbook.interop import read_safetensors, set_weights

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def toc_pages(entry=None):
    """The pages that _toc.yml names, in order."""
    entry = entry or yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [entry[key] for key in ("root", "file") if key in entry]
    for key in ("parts", "chapters", "sections"):
        for child in entry.get(key, []):
            pages += toc_pages(child)
    return pages


PAGES = toc_pages()
WRITER = "book/07-text/2-training-and-writing"
pytestmark = pytest.mark.skipif(not SITE.is_dir(), reason="no _build/html: run `make book` first")
every_page = pytest.mark.parametrize("name", PAGES)


@functools.cache
def parsed(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A browser that closes a page drops its requests: nothing to report."""


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(Quiet, directory=str(SITE))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome here (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """visit(page, width=, theme=) -> the loaded page and what its console complained about."""
    contexts = []

    def visit(name, width=1280, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        context.add_init_script(f"localStorage.setItem('mode', '{theme}')")
        outside = []

        def only_ours(route):
            if route.request.url.startswith((address, "data:", "blob:")):
                return route.continue_()
            outside.append(route.request.url)
            return route.abort()

        context.route("**/*", only_ours)
        page, complaints = context.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error"
                and message.location.get("url") not in outside
                and complaints.append(message.text)
            ),
        )
        page.goto(f"{address}{name}.html", wait_until="load")
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container", state="attached")
            page.evaluate("MathJax.startup.promise")
        return page, complaints

    yield visit
    for context in contexts:
        context.close()


@every_page
def test_the_page_loads_without_complaint_and_its_mathematics_renders(visit, name):
    page, complaints = visit(name)
    assert page.locator(".bd-article h1").count() == 1
    assert not complaints
    unrendered = (
        "[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))"
    )
    assert page.evaluate(f"{unrendered}.map(e => e.textContent)") == []
    assert page.evaluate("[...document.querySelectorAll('mjx-merror')].map(e => e.title)") == []


@every_page
def test_nothing_sticks_out_of_a_narrow_screen(visit, name):
    page, _ = visit(name, width=390)
    # Too wide is what ends beyond the screen and lies in no box that scrolls.
    too_wide = """[...document.querySelectorAll('.bd-article > section *')].filter(element => {
        if (element.getBoundingClientRect().right <= 391) return false;
        for (let box = element.parentElement; !box.matches('.bd-article'); box = box.parentElement)
            if (/auto|scroll|hidden/.test(getComputedStyle(box).overflowX)) return false;
        return true;
    }).map(element => element.outerHTML.slice(0, 200))"""
    assert page.evaluate(too_wide) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@every_page
def test_figures_are_inverted_on_dark_pages_only(visit, name):
    filters = """[...document.querySelectorAll('.bd-article img')]
        .filter(image => !image.matches('.no-invert, [src^="http"]'))
        .map(image => getComputedStyle(image).filter)"""
    dark, _ = visit(name, theme="dark")
    assert dark.evaluate("document.documentElement.dataset.theme") == "dark"
    assert all("invert" in value for value in dark.evaluate(filters))
    light, _ = visit(name, theme="light")
    assert all(value == "none" for value in light.evaluate(filters))


@pytest.fixture(scope="session")
def axe():
    """The script of axe-core, which tests accessibility inside a page."""
    package = Path(pytest.importorskip("axe_playwright_python").__file__).parent
    return next(package.rglob("axe.min.js")).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*PAGES, "search"])
def test_axe_finds_nothing_serious(visit, axe, name):
    """Contrast takes most of the time: of the pages of the API, which look alike, one is enough."""
    contrast = json.dumps("/api/" not in name or name.endswith("/init"))
    for width, theme in (1280, "light"), (390, "dark"):
        page, _ = visit(name, width, theme)
        page.evaluate(axe)
        found = page.evaluate(
            "axe.run({exclude: ['mjx-container']}, {resultTypes: ['violations'], "
            f"rules: {{'color-contrast': {{enabled: {contrast}}}}}}})"
        )["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in serious] == []


def test_the_keyboard_reaches_content_search_and_a_table_that_scrolls(visit):
    page, _ = visit("book/05-imdb/3-ladder", width=390)
    page.keyboard.press("Tab")
    assert "main" in page.evaluate("document.activeElement.textContent").lower()  # the skip link
    table = page.locator(".bd-article table[tabindex='0']").first
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("table => table.scrollLeft > 0", arg=table.element_handle())
    page.keyboard.press("Control+k")
    assert page.locator("input[type=search]:visible").count() == 1


def start_writer(page):
    """Start the network that writes, on page 7.2."""
    page.get_by_role("button", name="Start the network").click()
    page.wait_for_selector(".writer textarea")


def turn(page, knob, value):
    page.get_by_role("slider", name=knob).evaluate(
        "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", value
    )


def test_the_network_in_the_browser_expects_and_writes_what_ours_does(visit):
    weights, about = read_safetensors(ROOT / "book" / "results" / "text-lstm.safetensors")
    vocab = CharVocab(about["vocab"])
    model = scratch.LanguageModel(len(vocab), **json.loads(about["arguments"]))
    set_weights(model, weights)
    page, complaints = visit(WRITER)
    start_writer(page)
    text, prompt = page.locator(".writer textarea"), "To be, or not t"
    text.fill(prompt)
    logits = model(vocab.encode("\n" + prompt)[None])[0][0, -1]
    for temperature, nucleus in (0.7, 1), (1.2, 0.8), (1.5, 0.05):
        turn(page, "Temperature", temperature)
        turn(page, "Nucleus", nucleus)
        p = next_probabilities(logits, temperature, top_p=nucleus)
        best = [k for k in np.argsort(-p, kind="stable")[:6] if p[k]]
        names = {"\n": "line break", " ": "space", ",": "comma", ".": "period", ":": "colon",
                 ";": "semicolon", "'": "apostrophe", "-": "hyphen"}  # fmt: skip
        expected = [names.get(vocab.tokens[k], vocab.tokens[k]) for k in best]
        assert page.locator(".writer-bars code").all_inner_texts() == expected
        rows = page.locator(".writer-bars li").all_inner_texts()
        more = np.count_nonzero(p) - 6
        assert rows[6:] == ([f"and {more} more"] if more > 0 else [])
        for row, k in zip(rows, best, strict=False):
            assert float(row.split()[-2]) == pytest.approx(100 * p[k], abs=0.51)
    page.get_by_role("button", name="Write").click()  # the nucleus is one character
    page.wait_for_function("document.querySelector('.writer textarea').value.length > 60")
    page.get_by_role("button", name="Stop").click()
    assert "characters written" in page.get_by_role("status").inner_text()
    written = text.input_value()[len(prompt) :]
    ours = "".join(c for c, _ in generate(model, vocab, "\n" + prompt, len(written), greedy=True))
    assert written == ours
    assert not complaints


def test_the_network_in_the_browser_says_when_its_weights_cannot_be_had(visit):
    page, _ = visit(WRITER)
    page.route("**/*.safetensors", lambda route: route.abort())
    page.get_by_role("button", name="Start the network").click()
    page.wait_for_selector(".writer [role=alert]:has-text('could not be loaded')")
    page.unroute("**/*.safetensors")
    start_writer(page)  # the button is still there


def test_the_network_in_the_browser_names_what_it_does_not_know_and_goes_on_from_an_edit(visit):
    page, _ = visit(WRITER)
    start_writer(page)
    text, bars = page.locator(".writer textarea"), page.locator(".writer-bars")
    text.fill("To be")
    whole = bars.inner_text()
    text.fill("To bury 7 men")
    assert page.get_by_role("status").inner_text() == "Not known, and passed over: 7"
    text.fill("To")
    text.press("End")
    text.press_sequentially(" be")  # one step for each
    assert bars.inner_text() == whole and page.get_by_role("status").inner_text() == ""


def test_the_network_in_the_browser_stops_by_itself(visit):
    page, _ = visit(WRITER)
    page.emulate_media(reduced_motion="reduce")  # all at once
    start_writer(page)
    before = page.locator(".writer textarea").input_value()
    page.get_by_role("button", name="Write").click()
    assert page.get_by_role("status").inner_text() == "500 characters written."
    assert len(page.locator(".writer textarea").input_value()) == len(before) + 500


def test_the_network_in_the_browser_is_accessible_and_narrow(visit, axe):
    for width, theme in (1280, "light"), (390, "dark"):
        page, _ = visit(WRITER, width, theme)
        start_writer(page)
        page.evaluate(axe)
        assert page.evaluate("axe.run('.writer').then(found => found.violations)") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_search_finds_a_page(visit):
    page, complaints = visit("search")
    page.locator("main input[name=q]").fill("recurrent")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    assert not complaints


@every_page
def test_every_image_has_alternative_text(name):
    images = parsed(SITE / f"{name}.html").select(".bd-article img")
    nameless = [i["src"] for i in images if not i.get("alt", "").strip() or i["alt"] in i["src"]]
    assert nameless == [], "say what the figure shows (mystnb.image.alt in the cell's metadata)"


@every_page
def test_internal_links_lead_somewhere(name):
    page = f"{name}.html"
    broken = []
    for link in parsed(SITE / page).select("a[href], link[href], img[src], script[src]"):
        target = link.get("href") or link.get("src")
        if "://" in target or target.startswith(("mailto:", "data:", "javascript:", "//")):
            continue
        path, anchor = urldefrag(urljoin(f"/{page}", target.split("?")[0]))
        file = SITE / unquote(path).lstrip("/")
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or (
            anchor and file.suffix == ".html" and not parsed(file).find(id=unquote(anchor))
        ):
            broken.append(target)
    assert broken == []


@every_page
def test_a_shared_link_has_a_card(name):
    head = parsed(SITE / f"{name}.html").head
    content = {tag["property"]: tag["content"] for tag in head.select("meta[property^=og]")}
    assert content["og:title"] and content["og:description"]
    card = SITE / content["og:image"].removeprefix(CONFIG["html"]["baseurl"])
    assert card.is_file() and card.stat().st_size < 100_000
    assert content["og:image:alt"]


def test_pages_that_have_moved_lead_to_their_new_address():
    moved = CONFIG["sphinx"]["config"]["redirects"]
    assert moved
    for old, new in moved.items():
        page = SITE / f"{old}.html"
        assert new in page.read_text(encoding="utf-8")
        assert (page.parent / new).is_file()


def test_search_engines_are_told_every_page_and_no_other():
    listed = ElementTree.parse(SITE / "sitemap.xml").iterfind(".//{*}loc")
    base = CONFIG["html"]["baseurl"]
    assert {place.text for place in listed} == {f"{base}{name}.html" for name in PAGES}


def test_an_address_that_does_not_exist_shows_a_page_of_ours():
    """Every link on it is absolute, for it answers at any depth."""
    base = urlparse(CONFIG["html"]["baseurl"]).path
    for link in parsed(SITE / "404.html").select("a[href], link[href], img[src], script[src]"):
        target = link.get("href") or link.get("src")
        if "://" not in target and not target.startswith(("#", "data:")):
            assert target.startswith(base), target


@every_page
def test_no_page_is_heavy(visit, address, name):
    """Bytes without fonts, text compressed, as most servers send it."""
    page, _ = visit(name)
    urls = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    files = {urlparse(url).path.lstrip("/") for url in urls if url.startswith(address)}
    weight = sum(bytes_sent(SITE / unquote(file)) for file in {*files, f"{name}.html"})
    assert weight < (600_000 if name == PAGES[0] else 1_500_000)


@functools.cache
def bytes_sent(path):
    if path.suffix in (".woff", ".woff2") or not path.is_file():
        return 0
    content = path.read_bytes()
    return len(content if path.suffix == ".png" else gzip.compress(content))


def test_the_address_of_the_site_leads_to_the_home_page():
    assert f"{PAGES[0]}.html" in (SITE / "index.html").read_text(encoding="utf-8")
