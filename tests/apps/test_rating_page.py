"""People rate by hand in a browser: what they press is what the store holds, and what the flow learns from."""

import http.client
import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import sync_playwright

from apps.loopback import listen
from apps.rating.__main__ import ready
from core.config import load_config
from core.dataset import read_rows
from core.errors import ConfigError
from core.rating_files import ratings_in
from core.store.engine import connection
from core.store.rating_feedback import add_feedback
from core.store.ratings import ingest_entries
from core.use_cases.widget_ratings.catalogue import SIZES, WIDGETS
from core.use_cases.widget_ratings.config import SIMULATED, SimulationSettings, WidgetRatingsConfig
from core.use_cases.widget_ratings.rows import NAME, collect, reward
from core.use_cases.widget_ratings.simulation import entry_rows

ROOT = Path(__file__).parents[2]
SCENARIOS = ("pumps", "transformers", "chillers")
MARKUP = "<img src=x onerror=alert(1)></script><b>bold</b> & \"'"
ODD = (
    {"entry_id": "gauge", "widget": "gauge", "fixture": "round", "context": {"values": {"x": [1, 2]}}},
    {"entry_id": "no-look", "widget": "kpi", "context": {"values": {"x": [1, 2]}}},
    {"entry_id": "no-values", "widget": "trend", "fixture": "line"},
    {"entry_id": "a-list", "widget": "trend", "fixture": "line", "context": [1, 2]},
    {"entry_id": "words", "widget": "trend", "fixture": "line", "context": {"values": {"x": ["high"]}}},
    {"entry_id": "size", "widget": "kpi", "fixture": "plain-number", "size": "wall", "context": {"values": {"x": [1]}}},
    {"entry_id": "below", "widget": "composition", "fixture": "treemap", "context": {"values": {"x": [-1], "y": [2]}}},
    {"entry_id": MARKUP, "widget": MARKUP, "fixture": MARKUP, "question": MARKUP, "context": {MARKUP: MARKUP}},
    {"entry_id": "thing", "widget": "kpi", "fixture": "plain-number", "context": {"values": {MARKUP: [1]}}},
    {"entry_id": "answer", "response": MARKUP, "prompt": "Say <b>it</b>."},
)  # fmt: skip


def chromium():
    """Where the system's Chromium is; a machine without one can't say that the page works."""
    found = [
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    ]
    if not found:
        pytest.fail(
            "no Chromium on the search path: apt-get install -y chromium, or `make test` does it",
            pytrace=False,
        )
    return found[0]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium())
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(database_of_module):
    """The page over a small plant and some oddities, as a process of its own."""
    plant = entry_rows(SimulationSettings(scenarios=len(SCENARIOS), questions=2))
    odd = [{"question_id": "odd", "question": "What is it?", "scenario": "odd"} | row for row in ODD]
    for rows in (plant, odd):
        assert not any(page.quarantined for page in ingest_entries(SIMULATED, rows))
    command = [sys.executable, "-m", "apps.rating", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline().split()
        yield next(word for word in said if word.startswith("http://127.0.0.1:"))
        process.kill()


class Visitor:
    """Somebody with a browser."""

    def __init__(self, page):
        self.page = page
        self.wrong = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: self.wrong.append(dialog.message))

    def come(self, address, name, **filters):
        """Open the page, say who it is, and choose what to see."""
        self.page.goto(address)
        self.page.fill("#rater", name)
        self.page.press("#rater", "Enter")
        self.settled()
        for what, value in filters.items():
            self.page.focus(f"#{what}")
            self.page.select_option(f"#{what}", value)
            self.settled()
        return self

    def settled(self):
        """Wait until the page has done what it was asked for."""
        self.page.wait_for_selector("main[aria-busy=false]")

    def press(self, *keys):
        """Press one key after another, each when the one before has done its work."""
        for key in keys:
            self.page.keyboard.press(key)
            self.settled()

    def click(self, selector):
        """Click, and wait for what it does."""
        self.page.click(selector)
        self.settled()

    @property
    def entry(self):
        """What is shown."""
        return self.page.get_attribute("main", "data-entry")

    @property
    def count(self):
        """How far one is, in words."""
        return self.page.text_content("#count")


@pytest.fixture
def visit(browser):
    """Opens a browser of its own for each visitor, who must not meet an error."""
    visitors = []

    def open_page(width=1280, height=900):
        visitors.append(Visitor(browser.new_page(viewport={"width": width, "height": height})))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.page.close()
        assert visitor.wrong == []


def votes(rater):
    with connection() as held:
        query = "SELECT entry_id, rating, tags, notes FROM overnight.ratings WHERE rater_id = %s ORDER BY rated_at"
        return held.execute(query, (rater,)).fetchall()


def test_thumbs_are_given_by_click_and_by_key(address, visit):
    """With tags and a note, each in the store before the next entry is shown; what is typed into the note is no key."""
    ann = visit().come(address, "ann", scenario="pumps")
    first = ann.entry
    ann.click("[data-tag=clear]")
    ann.click("[data-tag=good-size]")
    ann.page.fill("#note", "seen <at> once")
    ann.click("#up")
    second = ann.entry
    assert second != first
    ann.press("7", "4", "4", "n")
    ann.page.keyboard.type("ducks")
    assert ann.entry == second
    ann.press("Enter", "ArrowDown")
    ann.press("u")
    third = votes("ann")[2][0]
    assert votes("ann") == [
        (first, "up", ["clear", "good-size"], "seen <at> once"),
        (second, "down", ["cluttered"], "ducks"),
        (third, "up", [], None),
    ]
    assert ann.count == "3 of 192"


def test_a_thumb_is_undone(address, visit):
    """It is gone from the store, and shown again with its tags and note, also after those before it."""
    ben = visit().come(address, "ben", scenario="pumps")
    first = ben.entry
    ben.press("1", "u")
    second = ben.entry
    ben.press("d", "z")
    assert (ben.entry, [vote[0] for vote in votes("ben")]) == (second, [first])
    ben.click("#undo")
    assert (ben.entry, votes("ben"), ben.count) == (first, [], "0 of 192")
    assert ben.page.get_attribute("[data-tag=clear]", "aria-pressed") == "true"
    assert ben.page.is_disabled("#undo")
    ben.press("d")
    assert votes("ben") == [(first, "down", ["clear"], None)]
    assert ben.entry == second


def test_undoing_gives_way_to_the_vote_before(address, visit):
    """A rater's latest vote stands, so that one which replaced another is undone by that one; a later one stays as it is."""
    cleo = visit().come(address, "cleo", scenario="pumps")
    entry = cleo.entry
    vote = {"entry_id": entry, "rater_id": "cleo", "tags": ["too-small"], "notes": "elsewhere"}
    add_feedback(SIMULATED, vote | {"rating": "down"})
    cleo.press("u")
    assert votes("cleo") == [(entry, "up", [], None)]
    cleo.press("z")
    assert votes("cleo") == [(entry, "down", ["too-small"], "elsewhere")]
    cleo.press("s")
    other = cleo.entry
    cleo.press("u")
    add_feedback(SIMULATED, vote | {"entry_id": other, "rating": "down"})
    cleo.press("z")
    assert votes("cleo")[-1][:2] == (other, "down")
    assert "stays" in cleo.page.text_content("#said")


def test_a_filter_and_how_far_one_is(address, visit):
    """By scenario and by widget; who skips sees another one, and whoever comes back goes on where he was."""
    dan = visit().come(address, "dan")
    assert dan.count == f"0 of {len(SCENARIOS) * 192 + len(ODD)}"
    dan.come(address, "dan", scenario="chillers", widget="flow")
    assert dan.count == "0 of 24"
    seen = []
    for key in "udsu":
        seen.append(dan.entry)
        dan.press(key)
    assert len({*seen}) == 4
    assert all(entry.startswith("chillers-") and "/flow/" in entry for entry in seen)
    assert dan.count == "3 of 24"
    assert dan.page.evaluate("document.getElementById('progress').position") == 3 / 24
    assert len({entry.rpartition("/")[0] for entry in seen[:2]}) == 1, "a widget's looks follow each other"
    dan.page.reload()
    dan.settled()
    assert dan.page.input_value("#rater") == "dan"
    dan.come(address, "dan", scenario="odd", widget="trend")
    dan.press("d", "d", "d")
    assert "All of it is rated" in dan.page.text_content("#empty")
    assert dan.page.is_disabled("#up")
    dan.press("z")
    assert dan.count == "2 of 3"


def test_the_page_fits_a_phone(address, visit):
    """Nothing is wider than 360 pixels, whatever is shown, and every button is large enough for a thumb."""
    eve = visit(360, 740).come(address, "eve", scenario="pumps")
    ids = [f"pumps-001/{kind}/hero/{look.name}" for kind, looks in WIDGETS.items() for look in looks]
    ids += [str(row["entry_id"]) for row in ODD]
    widest = eve.page.evaluate(
        """async (ids) => {
            const room = document.getElementById("main").clientWidth, found = {};
            for (const id of ids) {
                const answer = await fetch(`entry?${new URLSearchParams({ entry_id: id, room })}`);
                document.getElementById("stage").innerHTML = (await answer.json()).drawing;
                found[id] = document.documentElement.scrollWidth;
            }
            return found;
        }""",
        ids,
    )
    assert {name: width for name, width in widest.items() if width > 360} == {}
    for button in eve.page.locator("button").all():
        box = button.bounding_box()
        assert box["height"] >= 40
        assert box["width"] >= 40
    buttons = eve.page.locator("nav").bounding_box()
    assert buttons["y"] + buttons["height"] <= 740, "thumbs are in reach without scrolling"


def test_what_can_not_be_drawn_is_shown_as_text(address, visit):
    """An unknown kind or look, values that are none, and answers in words: never a blank page, and no markup out of data."""
    fay = visit().come(address, "fay", scenario="odd")
    shown = {}
    while fay.page.is_visible("#rating"):
        shown[fay.entry] = fay.page.text_content("#stage")
        assert fay.page.locator("#stage img, #stage script, #stage pre b").count() == 0
        fay.press("u")
    assert {*shown} == {row["entry_id"] for row in ODD}
    assert {name for name, text in shown.items() if "Shown as text" not in text} == {"thing", "answer"}
    assert MARKUP in shown["thing"]
    assert shown["answer"] == MARKUP
    assert "below zero" in shown["below"]


def test_what_was_pressed_is_what_the_flow_learns_from(address, visit, tmp_path):
    """Liked and disliked answers of a question are its groups' rewards; the page's own file holds the same ratings."""
    gus = visit().come(address, "gus", scenario="transformers")
    keys = [key for _ in range(8) for key in "ud"]
    for key in keys:
        gus.press(key)
    given = [(entry, rating) for entry, rating, _, _ in votes("gus")]
    assert [rating[0] for _, rating in given] == keys
    config = load_config(WidgetRatingsConfig, NAME, overrides={"problems": ["widget", "fixture"]})
    (tmp_path / "votes").mkdir()
    (tmp_path / "rewards").mkdir()
    snapshot = collect(config, tmp_path / "votes", lambda _done, _words: None)
    rows = [row for row in read_rows(snapshot) if row["scenario"] == "transformers"]
    counts = {"up": 0, "down": 0}
    expected = {}
    for entry, rating in given:
        question, kind, size, _ = entry.split("/")
        counts[rating] += 1
        expected.setdefault(f"{question}/widget", {}).setdefault(f"{kind} ({size})", {"up": 0, "down": 0})[
            rating
        ] += 1
    found = {
        row["id"]: {told["text"]: {"up": told["up"], "down": told["down"]} for told in row["answers"]}
        for row in rows
        if row["problem"] == "widget"
    }
    assert found == expected
    rewards = reward(config, snapshot, tmp_path / "rewards", lambda _done, _words: None)
    groups = [row for row in read_rows(rewards) if row["metadata"]["scenario"] == "transformers"]
    assert any({*row["rewards"]} == {1.0, -1.0} for row in groups), "there is a pair soon"
    with gus.page.expect_download() as download:
        gus.page.click("#file")
    file = tmp_path / "ratings.json"
    download.value.save_as(file)
    assert [(row["entry_id"], row["rating"], row["rater_id"]) for row in ratings_in(file)] == [
        (*vote, "gus") for vote in given
    ]


def test_nobody_else_is_answered(address):
    """Neither another page in the browser, nor a name that resolves to this machine, nor a form's post."""
    thumb = json.dumps({"entry_id": "pumps-000/kpi/hero/plain-number", "rater_id": "mallory", "rating": "up"})
    own = {"Content-Type": "application/json"}

    def call(method, path, **headers):
        client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        client.request(method, path, thumb if method == "POST" else None, headers)
        answer = client.getresponse()
        return answer.status, answer.read(), answer.headers

    assert call("POST", "/ratings", **own, Origin="http://evil.example")[0] == 403
    assert call("POST", "/ratings", **own, Origin="null")[0] == 403
    assert call("POST", "/ratings", **own, Host="evil.example")[0] == 400
    assert call("GET", "/", Host="evil.example")[0] == 400
    assert call("POST", "/ratings", **{"Content-Type": "text/plain"})[0] == 415
    assert votes("mallory") == []
    status, _, headers = call("GET", "/")
    assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, told, _ = call("GET", f"/entry?entry_id={quote(MARKUP + 'x')}")
    assert (status, json.loads(told)["detail"][:16]) == (404, "no entry has the")
    assert call("POST", "/ratings", **own, Origin=address)[0] == 200
    assert len(votes("mallory")) == 1


def test_an_empty_store_is_filled_with_the_catalogue(database, tmp_path):
    """As the generator fills it, once, and rated by nobody; another source is rated only when it has something to show."""
    found = ready(SIMULATED, None)
    simulation = load_config(WidgetRatingsConfig, NAME).simulation
    assert found.entries == simulation.scenarios * simulation.questions * len(SIZES) * sum(
        map(len, WIDGETS.values())
    )
    assert found.ratings == 0
    assert ready(SIMULATED, None) == found
    with pytest.raises(ConfigError, match="has nothing to rate"):
        ready("desk", None)
    file = tmp_path / "entries.json"
    file.write_text(
        json.dumps({"entries": [{"entry_id": "e1", "question": "How is it?", "scenario": "kpi"}]})
    )
    assert ready("files", file).entries == 1


def test_a_port_that_is_taken_is_one_clear_line(address):
    """It says which, and what to do."""
    port = urlsplit(address).port
    with pytest.raises(ConfigError, match=rf"port {port} of 127.0.0.1 can't be had .*: choose another one"):
        listen(port)
