// One entry at a time: tags and a note, then a thumb. The server says what comes next and keeps what was said.

const at = (id) => document.getElementById(id);
const NAME = "overnight.rater";
const given = []; // thumbs of this visit that can be undone, the last one last
let entry = null; // what is shown
let busy = false; // a request is under way: what is pressed meanwhile is not meant for what comes
let done = Promise.resolve(); // when it is over

const rater = () => at("rater").value.trim();
const room = () => Math.floor(at("main").clientWidth);
const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null && value !== ""));

async function asked(path, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, sent);
  const found = await answer.json();
  if (!answer.ok) throw new Error(typeof found.detail === "string" ? found.detail : `the server answered ${answer.status}`);
  return found;
}

// One thing at a time, and whatever goes wrong is said.
function alone(work) {
  if (!busy) done = worked(work);
}

// What was chosen meanwhile is done afterwards.
function afterwards(work) {
  done = done.then(() => worked(work));
}

async function worked(work) {
  busy = true;
  at("main").setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    say(error instanceof TypeError ? "The server does not answer: is `make rate` still running?" : error.message, true);
  } finally {
    busy = false;
    at("main").setAttribute("aria-busy", "false");
  }
}

function say(words, isWrong = false) {
  at("said").textContent = words;
  at("said").classList.toggle("wrong", isWrong);
}

async function next(after = null) {
  at("file").href = `ratings?${query({ rater: rater() })}`;
  if (!rater()) return nothing("Who rates? Write your name above: it keeps your ratings apart from those of others.");
  const filter = { scenario: at("scenario").value, widget: at("widget").value };
  const found = await asked(`next?${query({ rater: rater(), ...filter, after, room: room() })}`);
  count(found);
  if (found.entry) return show(found.entry);
  nothing(found.entries ? "All of it is rated. Choose another scenario or widget, or come back when there is more." : "There is nothing of this to rate.");
}

function count({ rated, entries }) {
  at("progress").max = Math.max(entries, 1);
  at("progress").value = rated;
  at("count").value = `${rated.toLocaleString("en")} of ${entries.toLocaleString("en")}`;
}

function nothing(words) {
  entry = null;
  at("empty").textContent = words;
  at("empty").hidden = false;
  at("rating").hidden = true;
  enable();
}

function show(found, draft = { tags: [], notes: "" }) {
  entry = found;
  at("main").dataset.entry = found.entry_id;
  at("empty").hidden = true;
  at("rating").hidden = false;
  at("about").textContent = found.scenario ?? "";
  at("question").textContent = found.question;
  at("stage").innerHTML = found.drawing; // made by the server out of elements and texts, never of markup in data
  at("caption").textContent = found.caption;
  at("tags").replaceChildren(...found.tags.map((tag, place) => chip(tag, place, draft.tags.includes(tag))));
  at("note").value = draft.notes ?? "";
  enable();
}

function chip(tag, place, pressed) {
  const made = document.createElement("button");
  const key = document.createElement("kbd");
  key.textContent = place + 1;
  made.type = "button";
  made.dataset.tag = tag;
  made.append(tag.replaceAll("-", " "), key);
  made.setAttribute("aria-pressed", pressed);
  made.setAttribute("aria-keyshortcuts", place + 1);
  made.addEventListener("click", () => toggle(made));
  return made;
}

const toggle = (made) => made.setAttribute("aria-pressed", made.getAttribute("aria-pressed") !== "true");

function enable() {
  for (const id of ["up", "down", "skip"]) at(id).disabled = !entry;
  at("undo").disabled = !given.length;
}

const rate = (rating) => alone(async () => {
  if (!entry) return;
  const tags = [...at("tags").querySelectorAll("[aria-pressed=true]")].map((made) => made.dataset.tag);
  const said = { rating, tags, notes: at("note").value.trim() || null };
  const of = { entry_id: entry.entry_id, rater_id: rater() };
  const kept = await asked("ratings", { ...of, ...said });
  given.push({ of, said, ...kept });
  say(`Thumb ${rating}${tags.length ? `, ${tags.join(", ")}` : ""}.`);
  at("note").blur();
  await next(of.entry_id);
});

// A thumb that came first is forgotten; one that replaced another gives way to it again.
const undo = () => alone(async () => {
  const last = given.at(-1);
  if (!last) return;
  let taken = true;
  if (last.changed && last.before) await asked("ratings", { ...last.of, ...last.before });
  else if (last.changed) taken = (await asked("ratings/undo", { ...last.of, ...last.said, rated_at: last.rated_at })).changed;
  given.pop();
  await next();
  show(await asked(`entry?${query({ entry_id: last.of.entry_id, room: room() })}`), last.said);
  say(taken ? `Undone: thumb ${last.said.rating}.` : "That rating was changed elsewhere since: it stays.");
});

const skip = () => alone(async () => {
  if (!entry) return;
  say("Skipped.");
  await next(entry.entry_id);
});

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select")) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target.id === "note")) event.target.blur();
    return;
  }
  const does = {
    u: () => rate("up"), ArrowUp: () => rate("up"), d: () => rate("down"), ArrowDown: () => rate("down"),
    s: skip, ArrowRight: skip, z: undo, n: () => at("note").focus(),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const tag = at("tags").children[Number(event.key) - 1];
  if (!does && !tag) return;
  event.preventDefault();
  if (does) does();
  else if (entry) toggle(tag);
}

function changed() {
  localStorage.setItem(NAME, rater());
  afterwards(() => {
    given.length = 0;
    say("");
    return next();
  });
}

function filtered(event) {
  event.target.blur(); // keys rate again
  afterwards(() => next());
}

// A widget is drawn for the room that it has.
let drawnFor = 0;
let waiting = 0;
function resized() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (!entry || room() === drawnFor) return;
    drawnFor = room();
    afterwards(async () => {
      at("stage").innerHTML = (await asked(`entry?${query({ entry_id: entry.entry_id, room: room() })}`)).drawing;
    });
  }, 200);
}

async function start() {
  at("rater").value = localStorage.getItem(NAME) ?? "";
  for (const [name, values] of Object.entries(await asked("choices"))) {
    at(name).append(...values.map((value) => new Option(value, value)));
    at(name).closest("label").hidden = values.length < 2;
  }
  drawnFor = room();
  await next();
  if (!rater()) at("rater").focus();
}

at("up").addEventListener("click", () => rate("up"));
at("down").addEventListener("click", () => rate("down"));
at("skip").addEventListener("click", skip);
at("undo").addEventListener("click", undo);
at("rater").addEventListener("change", changed);
at("rater").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());
for (const id of ["scenario", "widget"]) at(id).addEventListener("change", filtered);
document.addEventListener("keydown", pressed);
addEventListener("resize", resized);
alone(start);
