"""The pages in a real browser: nothing missing, nothing fetched, nothing cut off."""

import shutil

import pytest
from tests.tiny_runs import PROTOCOLS, edit_document

from eosin.artifacts.audit import AuditReport
from eosin.reporting import write_protocols_page, write_report

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.drawn,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(run_of, tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    for name, kind in {"run": "grouped", "odd": "three classes"}.items():
        shutil.copytree(run_of(kind), root / name)
    for name, kind in PROTOCOLS.items():
        shutil.copytree(run_of(kind), root / "both" / name)
    return {
        "run": write_report(root / "run"),
        "odd": write_report(root / "odd"),
        "protocols": write_protocols_page(root / "both"),
        "unknown": write_report(_without_patients(root / "run", root / "unknown")),
    }


def _without_patients(run, copy):
    """Copy a run, with an audit that could not check the patients."""
    shutil.copytree(run, copy)
    edit_document(copy, "audit.json", AuditReport, n_patients=0, n_unknown_patients=1)
    return copy


@pytest.fixture
def visit(browser, pages):
    """Open a page, all that is folded away included, and record its complaints and requests."""
    opened = []

    def open_page(name, width):
        page = browser.new_page(viewport={"width": width, "height": 900})
        opened.append(page)
        page.complaints, page.requested = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(pages[name].as_uri())
        page.folded_height = page.evaluate("document.documentElement.scrollHeight")
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        return page

    yield open_page
    for page in opened:
        page.close()


NAMES = pytest.mark.parametrize("name", ["run", "odd", "protocols", "unknown"])

#: Text that its box cuts off, outside of the containers that scroll.
CUT_OFF = """() => [...document.querySelectorAll("h1, h2, h3, p, li, dt, dd, figcaption")]
  .filter(e => !e.closest(".scroll, details:not([open])"))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.textContent.slice(0, 60))"""

#: Text with less contrast to the colour behind it than WCAG's 4.5.
PALE = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const [r, g, b] = numbers(colour).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const isText = node => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
  return [...document.querySelectorAll("body *")]
    .filter(e => !e.closest("svg, script, style") && [...e.childNodes].some(isText))
    .filter(e => {
      const [dark, light] = [getComputedStyle(e).color, behind(e)].map(luminance)
        .sort((a, b) => a - b);
      return (light + 0.05) / (dark + 0.05) < 4.5;
    })
    .map(e => e.textContent.slice(0, 60));
}"""


@NAMES
def test_every_text_can_be_read_on_its_background(visit, name):
    assert visit(name, 1200).evaluate(PALE) == []


@NAMES
@pytest.mark.parametrize("width", [390, 1200])
def test_shows_whole(visit, name, width):
    page = visit(name, width)
    assert page.complaints == []
    outside = [url for url in page.requested if not url.startswith(("data:", "file://"))]
    assert outside == []
    assert len([url for url in page.requested if url.startswith("file://")]) == 1
    images = page.eval_on_selector_all(
        "img", "all => all.map(i => [i.naturalWidth, i.alt.trim().length])"
    )
    assert images
    assert all(width > 0 and alt > 0 for width, alt in images)
    widths = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1]
    assert page.evaluate(CUT_OFF) == []


def test_the_page_of_a_plain_run_is_short_and_its_result_is_on_the_first_screens(visit):
    page = visit("run", 1200)
    assert page.folded_height < 5000
    last = page.locator("img[alt^=Misclassified]").first.bounding_box()
    assert last["y"] + last["height"] < 1300


@pytest.mark.parametrize("name", ["run", "odd"])
def test_a_table_that_is_wider_than_a_phone_says_so(visit, name):
    page = visit(name, 400)
    wide = page.eval_on_selector_all(
        ".scroll",
        """all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => [
            getComputedStyle(e).backgroundImage, e.parentNode.classList.contains("wide"),
            getComputedStyle(e.parentNode, "::before").content])""",
    )
    assert wide
    # A shadow at the edge, and of a table of several columns also a line of text.
    assert all("gradient" in shadow for shadow, _, _ in wide)
    assert all("sideways" in text for _, is_wide, text in wide if is_wide)
    assert any(is_wide for _, is_wide, _ in wide)


@NAMES
def test_every_link_inside_the_page_leads_somewhere(visit, name):
    page = visit(name, 1200)
    lost = page.eval_on_selector_all(
        'a[href^="#"]',
        "all => all.map(a => a.getAttribute('href')).filter(h => !document.querySelector(h))",
    )
    assert lost == []


@NAMES
def test_prints_whole(visit, name):
    page = visit(name, 718)  # the printed width of A4 in CSS pixels, less the margins
    page.emulate_media(media="print")
    clipped = page.eval_on_selector_all(
        ".scroll, pre", "all => all.filter(e => getComputedStyle(e).overflowX !== 'visible').length"
    )
    assert clipped == 0
    wide = page.eval_on_selector_all(
        "table", "all => all.map(t => t.getBoundingClientRect().right).filter(r => r > 719)"
    )
    assert wide == []
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.complaints == []


def test_scrolling_tables_can_be_reached_by_keyboard(visit):
    page = visit("run", 390)
    assert page.eval_on_selector_all(".scroll", "all => all.every(e => e.tabIndex === 0)")
