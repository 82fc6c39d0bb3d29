'use strict';

/* The page of sencap: it sends two images to /explain and shows what comes back. */

const $ = (id) => document.getElementById(id);
const DATES = ['before', 'after'];
const CELLS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis

// What the page knows; nothing of it is kept when the page is left.
const files = {before: null, after: null};
let shown = null; // the answer on the page: {answer, files}
let kept = null; // the word that was pressed
let asked = 0; // answers that are overtaken are not shown

/* ---- what is asked ---- */

function take(date, file) {
  files[date] = file;
  const list = new DataTransfer(); // so that the input names a file that was dropped, too
  if (file) list.items.add(file);
  $(date).files = list.files;
  $(`${date}-name`).textContent = file ? size(file.size) : 'Drop it here, or choose a file';
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/* Files that were dropped or pasted: two fill both dates, one the date meant or the first that is free. */
function takeAll(list, meant) {
  const images = [...list].slice(0, 2);
  if (images.length === 2) {
    DATES.forEach((date, number) => take(date, images[number]));
  } else if (images.length === 1) {
    take(meant || (files.before ? 'after' : 'before'), images[0]);
  }
  // Both dates are there, so nobody has to press the button.
  if (images.length && files.before && files.after) ask();
}

for (const date of DATES) {
  const input = $(date);
  const drop = input.closest('.drop');
  input.addEventListener('change', () => takeAll(input.files, date));
  drop.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('aimed'); });
  drop.addEventListener('dragleave', () => drop.classList.remove('aimed'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    // The listener of the whole page would else take the same files again.
    event.stopPropagation();
    drop.classList.remove('aimed');
    takeAll(event.dataTransfer.files, date);
  });
}
// Else a browser would leave the page and open a file that is dropped beside the fields.
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => { event.preventDefault(); takeAll(event.dataTransfer.files); });
document.addEventListener('paste', (event) => {
  if (event.clipboardData.files.length) { event.preventDefault(); takeAll(event.clipboardData.files); }
});

$('swap').addEventListener('click', () => {
  const {before, after} = files;
  take('before', after);
  take('after', before);
  if (before && after) ask();
});

$('example').addEventListener('change', async (event) => {
  const name = event.target.value;
  if (!name) return;
  try {
    for (const date of DATES) {
      // An example is sent as if it had been chosen from a disk.
      const answer = await fetch(`examples/${name}_${date}.png`);
      take(date, new File([await answer.blob()], `${name}_${date}.png`));
    }
  } catch {
    return tell('The example cannot be fetched: the server is not reached.');
  }
  ask();
});

$('ask').addEventListener('submit', (event) => { event.preventDefault(); ask(); });

function form(pair) {
  const data = new FormData();
  // Sent as "before" and "after": the names of the files stay here.
  for (const date of DATES) data.append(date, pair[date], date);
  for (const name of ['threshold', 'weights']) data.append(name, $(name).value);
  // Empty: each weights' own.
  if ($('beam').value) data.append('beam', $('beam').value);
  return data;
}

function headers() {
  // The field is there only if the server wants a token.
  const token = $('token') && $('token').value;
  return token ? {Authorization: `Bearer ${token}`} : {};
}

/* An answer of the server as JSON; what went wrong as an Error in its words. */
async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {headers: headers(), ...options});
  } catch {
    throw new Error('The server is not reached.');
  }
  if (answer.status === 204) return null;
  // A proxy in front may answer with a page of its own, which is no JSON.
  const body = await answer.json().catch(() => ({detail: `The server answered ${answer.status}.`}));
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

/* What a screen reader says, too; quiet: what eyes see elsewhere. */
function say(text, kind = '') {
  $('status').textContent = text;
  $('status').className = kind;
}

function tell(problem) {
  $('problem').textContent = problem;
  $('problem').hidden = !problem;
}

async function ask() {
  if (!files.before || !files.after) return tell('Choose an image before and one after.');
  const most = Number(document.body.dataset.maxBytes);
  if (files.before.size + files.after.size > most) return tell(`Together they may have ${size(most)}.`);
  // An answer is shown only if nothing was asked after it. The files are kept with it, as the fields may
  // change while it is on its way.
  const number = ++asked;
  const pair = {...files};
  tell('');
  say('Looking …');
  $('go').disabled = true;
  try {
    const answer = await call('explain', {method: 'POST', body: form(pair)});
    if (number !== asked) return;
    show({answer, files: pair});
    remember(shown);
    say(`It says: ${answer.said.caption || '(nothing)'}.`, 'quiet');
  } catch (problem) {
    if (number !== asked) return;
    say('');
    tell(problem.message);
    // a large scene is refused as one picture, and can still be scanned
    if (/pixels, above/.test(problem.message)) scan(pair);
  } finally {
    if (number === asked) $('go').disabled = false;
  }
}

/* ---- what is answered ---- */

function percent(share) {
  // Never "0 %" of what is merely unlikely.
  if (share > 0 && share < 0.001) return 'less than 0.1\u00a0%';
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`;
}

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function show(one) {
  shown = one;
  kept = null;
  const {answer} = one;
  const {said} = answer;
  $('answer').hidden = false;
  $('scanned').hidden = true;
  $('sentence').textContent = said.caption || '(no words)';
  $('chance').replaceChildren(...chance(answer));
  $('note').textContent = said.note;
  for (const date of DATES) $(`shown-${date}`).src = answer[date];
  $('words').replaceChildren(...answer.words.map(word));
  $('others').replaceChildren(...said.alternatives.map((other) => {
    const item = element('li', `${other.caption} `);
    item.append(element('span', percent(other.probability), 'share'));
    return item;
  }));
  $('others').previousElementSibling.hidden = !said.alternatives.length;
  $('save-geojson').hidden = !said.geometry;
  // From two windows of 256 pixels a side on, a scan sees more than the one sentence.
  $('scan').hidden = !(said.read.pixels && Math.max(...said.read.pixels) >= 512);
  light(null);
}

/* What the probability of change is, and what it means. */
function chance({said, threshold}) {
  const verdict = element('span', said.changed ? 'Changed' : 'No change', said.changed ? 'changed' : 'same');
  if (said.change_probability === null) return [verdict, ' – these weights tell no probability of change.'];
  const least = percent(threshold);
  const p = percent(said.change_probability);
  return [verdict, ` – probability of change ${p}: how likely the model holds it that anything changed, ` +
    `in whatever words. From ${least} on a pair counts as changed here. ` +
    `This very sentence has ${percent(said.probability)}.`];
}

function word(one) {
  const button = element('button', one.word);
  button.type = 'button';
  button.setAttribute('aria-pressed', 'false');
  // A decoder without attention has no map to show.
  button.disabled = !one.looked;
  for (const start of ['mouseenter', 'focus']) button.addEventListener(start, () => light(one, button));
  for (const end of ['mouseleave', 'blur']) button.addEventListener(end, () => light(...(kept || [null])));
  button.addEventListener('click', () => {
    // A second press lets the word go.
    kept = kept && kept[1] === button ? null : [one, button];
    for (const other of $('words').children) other.setAttribute('aria-pressed', String(kept !== null && kept[1] === other));
    light(...(kept || [null]));
  });
  return button;
}

// What the page says there at first, to be put back.
const HINT = $('said').textContent;

/* Lay a word's map over both dates; no word: take it away. */
function light(one, button) {
  for (const other of $('words').children) other.classList.toggle('lit', other === button);
  const map = $('map');
  map.hidden = !one;
  if (!one) { $('said').textContent = HINT; return; }
  // The brightest cell of all words, so that the maps of two words can be compared.
  const most = Math.max(...shown.answer.words.flatMap(({looked}) => looked ? looked.flat() : []));
  draw(map, one.looked, most);
  const flat = one.looked.flat();
  const best = flat.indexOf(Math.max(...flat));
  const columns = one.looked[0].length;
  $('said').textContent = `“${one.word}”: most attention in row ${Math.floor(best / columns) + 1} of ` +
    `${one.looked.length}, column ${best % columns + 1} of ${columns}, ${flat[best].toFixed(1)} times an even share.`;
}

function colour(share) {
  // Between the two nearest colours of the table, band by band.
  const place = Math.min(Math.max(share, 0), 1) * (CELLS.length - 1);
  const low = Math.min(Math.floor(place), CELLS.length - 2);
  return CELLS[low].map((value, band) => Math.round(value + (place - low) * (CELLS[low + 1][band] - value)));
}

function draw(canvas, rows, most) {
  // One pixel for each cell; the style sheet enlarges it without blurring.
  canvas.height = rows.length;
  canvas.width = rows[0].length;
  const context = canvas.getContext('2d');
  rows.forEach((row, y) => row.forEach((value, x) => {
    context.fillStyle = `rgb(${colour(value / most).join(' ')})`;
    context.fillRect(x, y, 1, 1);
  }));
}

/* The swipe: the range below is what keys and screen readers move; mouse and finger move it too. */
function cut(share) {
  $('divider').value = share;
  // The style sheet clips the later image and moves the line by this number.
  $('swipe').style.setProperty('--cut', `${share}%`);
}
$('divider').addEventListener('input', () => cut(Number($('divider').value)));
for (const kind of ['pointerdown', 'pointermove']) {
  $('swipe').addEventListener(kind, (event) => {
    // A mouse moves the line only while it is pressed; a finger on the page always does.
    if (event.pointerType === 'mouse' && !event.buttons) return;
    const box = $('swipe').getBoundingClientRect();
    cut(Math.min(Math.max(100 * (event.clientX - box.left) / box.width, 0), 100));
  });
}
// Else the browser would drag the picture away instead.
$('swipe').addEventListener('dragstart', (event) => event.preventDefault());

/* ---- this visit ---- */

function remember(one) {
  $('no-history').hidden = true;
  const button = element('button', '');
  button.type = 'button';
  const picture = document.createElement('img');
  picture.src = one.answer.after;
  picture.alt = '';
  button.append(picture, element('span', one.answer.said.caption || '(no words)'));
  button.addEventListener('click', () => {
    for (const date of DATES) take(date, one.files[date]);
    show(one);
    $('sentence').scrollIntoView({block: 'start'});
  });
  const item = document.createElement('li');
  item.append(button);
  $('history').prepend(item);
  // Each keeps its two images in memory.
  while ($('history').children.length > 20) $('history').lastChild.remove();
}

/* ---- downloads ---- */

function save(content, name, type) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
  link.download = name;
  link.click();
  // The download has begun by then, and the memory is given back.
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function facts({answer}) {
  const {weights, beam, threshold, said} = answer;
  return {weights, beam, threshold, ...said};
}

$('save-json').addEventListener('click', () =>
  save(JSON.stringify({...facts(shown), words: shown.answer.words}, null, 1), 'sencap.json', 'application/json'));

$('save-geojson').addEventListener('click', () => {
  const {geometry, ...properties} = facts(shown);
  const feature = {type: 'Feature', geometry, properties};
  save(JSON.stringify({type: 'FeatureCollection', features: [feature]}, null, 1), 'sencap.geojson', 'application/geo+json');
});

$('save-picture').addEventListener('click', () => {
  const images = DATES.map((date) => $(`shown-${date}`));
  // Both dates side by side, the sentence below them. Numbers are pixels.
  const side = 448;
  const height = Math.round(side * images[0].naturalHeight / images[0].naturalWidth);
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d');
  const font = '20px system-ui, sans-serif';
  context.font = font;
  // Before the canvas gets its size, which depends on how many lines there are. Setting the size clears it,
  // its font too.
  const lines = wrapped(context, shown.answer.said.caption, 2 * side + 12);
  canvas.width = 2 * side + 44;
  canvas.height = height + 60 + 28 * lines.length;
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  images.forEach((image, number) => {
    const left = 16 + number * (side + 12);
    context.drawImage(image, left, 32, side, height);
    context.fillStyle = '#5f666e';
    context.font = '15px system-ui, sans-serif';
    context.fillText(DATES[number], left, 22);
  });
  context.fillStyle = '#14181c';
  context.font = font;
  lines.forEach((line, number) => context.fillText(line, 16, height + 62 + 28 * number));
  canvas.toBlob((blob) => save(blob, 'sencap.png'));
});

function wrapped(context, text, width) {
  const lines = [''];
  for (const one of text.split(' ')) {
    const longer = `${lines.at(-1)} ${one}`.trim();
    // A word that is too wide for any line stays whole on one of its own.
    if (lines.at(-1) && context.measureText(longer).width > width) lines.push(one);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

/* ---- scans ---- */

$('scan').addEventListener('click', () => scan(shown.files));

/* A line for a scan: its files, how far it is, and a button that cancels it or shows it again. */
function scanLine(pair) {
  const line = $('job').content.firstElementChild.cloneNode(true);
  const names = DATES.map((date) => pair[date].name).join(' → ');
  line.querySelector('.files').textContent = names;
  line.querySelector('progress').setAttribute('aria-label', `Windows captioned of ${names}`);
  $('jobs').append(line);
  return line;
}

function showState(line, {state, done, total}) {
  const progress = line.querySelector('progress');
  progress.max = Math.max(total, 1);
  progress.value = done;
  // The server scans one scene after the other.
  const waits = 'waits for the scan before it';
  line.querySelector('.state').textContent = state === 'waiting' ? waits : `${done} of ${total} windows`;
}

async function scan(pair) {
  tell('');
  say('Scanning window by window …');
  let line = null;
  try {
    // A scan takes longer than a request may, so it is a job that is asked after.
    let state = await call('scan', {method: 'POST', body: form(pair)});
    const {id} = state;
    const forget = () => call(`scan/${id}`, {method: 'DELETE'}).catch(() => {});
    line = scanLine(pair);
    const button = line.querySelector('button');
    button.onclick = () => {
      // The loop below sees that its line is gone, and ends.
      line.remove();
      say('The scan was cancelled.');
      forget();
    };
    while (state.state === 'waiting' || state.state === 'running') {
      showState(line, state);
      await new Promise((done) => { setTimeout(done, 300); });
      if (!line.isConnected) return;
      state = await call(`scan/${id}`);
    }
    if (state.state !== 'finished') throw new Error(state.problem || 'The scan was cancelled.');
    const found = await call(`scan/${id}/result`);
    if (!line.isConnected) return;
    forget();
    showState(line, state);
    // Another scan may end at once, and its map takes the place of this one.
    // The image of another pair must not lie under these windows.
    const again = () => showScan(found, shown && shown.files === pair ? $('shown-after') : null);
    button.textContent = 'Show';
    button.onclick = again;
    again();
  } catch (problem) {
    // An answer about a scan that was cancelled meanwhile.
    if (line && !line.isConnected) return;
    if (line) line.remove();
    say('');
    tell(problem.message);
  }
}

function showScan(found, image) {
  $('scanned').hidden = false;
  const empty = found.without_data ? `, ${found.without_data} hold too little data` : '';
  const summary = `${found.changed} of ${found.windows} windows changed${empty}.`;
  say(summary, 'quiet');
  $('scan-summary').textContent = [summary, ...found.notes].join(' ');
  drawScan(found, image);
  const changed = found.features.map(({properties}) => properties).filter((one) => one.changed);
  // Weights without a probability of change have null, and keep their order.
  changed.sort((one, other) => (other.change_probability || 0) - (one.change_probability || 0));
  $('scan-list').replaceChildren(...changed.slice(0, 50).map((one) => {
    const item = element('li', `${one.caption} `);
    const place = `rows ${one.row}–${one.row + one.height - 1}, columns ${one.column}–${one.column + one.width - 1}`;
    const share = one.change_probability === null ? '' : `, ${percent(one.change_probability)}`;
    item.append(element('span', `(${place}${share})`, 'share'));
    return item;
  }));
  $('save-scan').onclick = () => save(JSON.stringify(found, null, 1), 'sencap-scan.geojson', 'application/geo+json');
  $('scanned').scrollIntoView({block: 'start'});
}

/* The windows in the colours of their probability of change, the likeliest on top, over the image if
   it is known. */
function drawScan(found, image) {
  const [width, height] = found.pixels;
  const canvas = $('scan-map');
  // As large as the style sheet lets it be.
  const scale = 560 / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext('2d');
  context.fillStyle = '#888';
  context.fillRect(0, 0, canvas.width, canvas.height);
  const shares = found.features.map(({properties: one}) =>
    [one.change_probability === null ? Number(one.changed) : one.change_probability, one]);
  // Windows overlap: what is drawn last is seen.
  shares.sort(([one], [other]) => one - other);
  for (const [share, one] of shares) {
    context.fillStyle = `rgb(${colour(share).join(' ')})`;
    context.fillRect(...[one.column, one.row, one.width, one.height].map((value) => value * scale));
  }
  if (!image) return;
  context.globalAlpha = 0.5;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
}
