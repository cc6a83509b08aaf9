// What the pages do beyond links and a form: local times, new frames, older ones while scrolling, the keyboard.
// The server renders everything; this fetches its pages again and takes the parts that changed.

const MOST_CARDS = 480;
const FULL_EVERY = 5; // refreshes: the timeline is dearer than the pictures
const PICTURE_AGAIN_MS = 4000;
const PLACEHOLDER_WIDTH = 16;

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
const parse = html => new DOMParser().parseFromString(html, 'text/html');
const refreshMs = Number(document.body.dataset.refresh);
const form = $('#search');

// --- times: links and documents are in UTC, people are not

const short = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'medium'});
const exact = new Intl.DateTimeFormat(undefined, {dateStyle: 'full', timeStyle: 'long'});
const two = number => String(number).padStart(2, '0');

function localInput(utc) {
  const at = new Date(utc);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

function localize(root) {
  for (const time of $$('time', root)) {
    time.title = time.dateTime;
    time.textContent = ('exact' in time.dataset ? exact : short).format(new Date(time.dateTime));
  }
  for (const title of $$('title[data-at]', root))
    title.textContent = `${title.dataset.count}: ${short.format(new Date(title.dataset.at))}`;
  for (const zone of $$('.zone', root)) zone.remove();
  for (const input of $$('input[data-utc]', root)) if (input.dataset.utc) input.value = localInput(input.dataset.utc);
}

// --- the search is the link

function asked() {
  const said = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (!value) continue;
    const input = form.elements[name];
    if (name !== 'from' && name !== 'to') said.append(name, value);
    // What nobody has touched stays as exact as the link was.
    else if (input.dataset.utc && +new Date(value) === +new Date(localInput(input.dataset.utc))) said.append(name, input.dataset.utc);
    else said.append(name, new Date(value).toISOString().replace('.000Z', 'Z'));
  }
  return said.toString().replaceAll('%3A', ':').replaceAll('%2C', ',');
}

function go() {
  const query = asked(), link = query ? `/?${query}` : '/';
  if (link !== location.pathname + location.search) history.pushState(null, '', link);
  return refresh(true);
}

let changed;
function onChange(event) {
  const {name, value} = event.target;
  if (name === 'last' && value) for (const other of ['from', 'to']) form.elements[other].value = '';
  if ((name === 'from' || name === 'to') && value) form.elements.last.value = '';
  clearTimeout(changed);
  changed = setTimeout(go, name === 'from' || name === 'to' || name === 'score' ? 500 : 0);
}

// --- taking over what the server says

function swap(selector, page, keepFocused = false) {
  const old = $(selector), fresh = $(selector, page);
  if (!old || !fresh || old.innerHTML === fresh.innerHTML || (keepFocused && old.contains(document.activeElement))) return;
  const open = $('details', old)?.open;
  old.replaceWith(document.adoptNode(fresh));
  if (open && $('details', fresh)) $('details', fresh).open = true;
}

function notify(text) {
  const notices = $('#notices');
  if (text === undefined || notices.textContent.includes(text)) return;
  const notice = document.createElement('p');
  notice.className = 'notice';
  notice.dataset.away = '';
  notice.textContent = text;
  notices.replaceChildren(notice);
}

const order = card => {
  const [at, id] = card.dataset.key.split(',');
  return [Number(at), id];
};
const newer = ([at, id], [otherAt, otherId]) => at > otherAt || (at === otherAt && id > otherId);

function merge(page) {
  const grid = $('#grid'), fresh = $$('.card', page), known = $$('.card', grid);
  const overlap = fresh.some(card => document.getElementById(card.id));
  if (!known.length || !fresh.length || (!overlap && $('#older', page))) {
    if (fresh.length || !known.length) swap('#found', page);
    return;
  }
  let next = 0;
  for (const card of fresh) {
    if (document.getElementById(card.id)) continue;
    while (next < known.length && newer(order(known[next]), order(card))) next++;
    card.classList.add('new');
    grid.insertBefore(document.adoptNode(card), known[next] ?? null);
  }
  const cards = $$('.card', grid), older = $('#older');
  if (older && cards.length > MOST_CARDS && !grid.contains(document.activeElement)) {
    for (const card of cards.slice(MOST_CARDS)) card.remove();
    const link = new URL(older.href);
    link.searchParams.set('before', cards[MOST_CARDS - 1].dataset.key);
    older.href = link;
  }
}

let asking = 0, pending = 0, shown = location.search;
async function refresh(full) {
  const mine = ++asking, query = location.search;
  let page, status;
  pending++;
  try {
    const answer = await fetch((full ? '/' : '/results') + query);
    status = answer.status;
    page = parse(await answer.text());
  } catch {
    page = null;
  }
  pending--;
  if (mine !== asking) return; // another search was asked for meanwhile
  if (!page || !$('#notices', page)) {
    lost();
    return;
  }
  localize(page);
  const was = $$('#notices [data-away]').length;
  if ($('#notices').textContent !== $('#notices', page).textContent) swap('#notices', page);
  document.body.classList.toggle('lost', status === 503);
  const anew = query !== shown;
  if (anew) swap('#found', page);
  shown = query;
  if (status !== 200) return;
  if (full) {
    document.title = page.title;
    for (const part of ['#summary', '#timeline']) swap(part, page);
    for (const part of ['#classes', '#camera']) swap(part, page, true);
  }
  if (!anew) merge(page);
  watchOlder();
  if (was && !$$('#notices [data-away]').length) {
    picturesAgain();
    if (!full) await refresh(true);
  }
}

function lost() {
  document.body.classList.add('lost');
  notify('The connection to the server is lost. This page tries again by itself.');
}

async function live() {
  for (let turn = 1; ; turn++) {
    await wait(refreshMs);
    const away = $('#notices [data-away]');
    if (!document.hidden && !pending && (away || $('#found[data-live]'))) await refresh(turn % FULL_EVERY === 0);
  }
}

// --- older frames, while scrolling

const reached = new IntersectionObserver(entries => {
  if (entries.some(entry => entry.isIntersecting)) older();
}, {rootMargin: '600px'});

function watchOlder() {
  reached.disconnect();
  if ($('#older')) reached.observe($('#older'));
}

async function older() {
  const link = $('#older');
  if (!link || link.dataset.asked) return;
  link.dataset.asked = '';
  try {
    const answer = await fetch('/results' + new URL(link.href).search);
    if (!answer.ok) throw new Error(answer.statusText);
    const page = parse(await answer.text());
    if (!link.isConnected) return;
    localize(page);
    const cards = $$('.card', page).filter(card => !document.getElementById(card.id));
    $('#grid').append(...cards.map(card => document.adoptNode(card)));
    const next = $('#older', page);
    if (next) link.href = next.getAttribute('href');
    else link.parentElement.remove();
    delete link.dataset.asked;
    watchOlder();
  } catch {
    await wait(PICTURE_AGAIN_MS);
    delete link.dataset.asked;
    if (link.isConnected) watchOlder();
  }
}

// --- pictures that were not there, not yet archived or of a store that was away

let again = 0;
function picturesAgain() {
  for (const image of $$('img[src^="/images/"]'))
    if (image.complete && (!image.naturalWidth || image.naturalWidth === PLACEHOLDER_WIDTH))
      image.src = `${image.getAttribute('src').split('?')[0]}?again=${++again}`;
}

setInterval(() => {
  if (!document.hidden) picturesAgain();
}, PICTURE_AGAIN_MS);

// --- keyboard

function step(key) {
  const cards = $$('.card > a');
  if (!cards.length) return false;
  const at = cards.indexOf(document.activeElement);
  const perRow = cards.findIndex(card => card.offsetTop > cards[0].offsetTop);
  const by = {ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1, ArrowDown: perRow < 0 ? 0 : perRow, ArrowUp: perRow < 0 ? 0 : -perRow}[key];
  if (by === undefined) return false;
  const to = at < 0 ? 0 : at + by;
  if (cards[to]) cards[to].focus();
  return true;
}

const FRAME_KEYS = {ArrowLeft: '#newer', k: '#newer', ArrowRight: '#older-frame', j: '#older-frame'};
let latest; // the picture that had the focus

document.addEventListener('focusin', event => {
  if (event.target.matches('.card > a')) latest = event.target;
});

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const {key, target} = event;
  let taken = true;
  if (target.matches('input, select')) {
    if (key !== 'Escape') return;
    target.blur();
    (latest?.isConnected ? latest : $('.card > a'))?.focus();
  } else if (key === 'Escape') $('#back')?.click();
  else if (key === '/' && form) form.elements.camera.focus();
  else if (FRAME_KEYS[key] && $('.frame')) $(FRAME_KEYS[key])?.click();
  else taken = step(key);
  if (taken) event.preventDefault();
});

// --- a frame's boxes, one by one

for (const row of $$('[data-row]')) {
  const box = $(`[data-box="${row.dataset.row}"]`);
  row.addEventListener('pointerenter', () => box.classList.add('on'));
  row.addEventListener('pointerleave', () => box.classList.remove('on'));
}

async function recover() {
  for (;;) {
    await wait(refreshMs);
    if (document.hidden) continue;
    const answer = await fetch(location.href).catch(() => null);
    if (answer && answer.status !== 503) location.reload();
  }
}

localize(document);
if (form) {
  form.addEventListener('submit', event => {
    event.preventDefault();
    clearTimeout(changed);
    go();
  });
  form.addEventListener('change', onChange);
  addEventListener('popstate', () => location.reload());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && !pending && $('#found[data-live]')) refresh(true);
  });
  if (location.hash.startsWith('#frame-')) {
    const card = document.getElementById(location.hash.slice(1));
    history.replaceState(null, '', location.pathname + location.search);
    $('a', card ?? document.createElement('p'))?.focus();
  }
  watchOlder();
  live();
} else if ($('[data-again]')) recover();
