// The page of `cutq judge --judge human`: what its keys do, and what it shows.

import { Answer } from './answer.js';
import { toCharacters, toUnits } from './words.js';

const byId = (id) => document.getElementById(id);
const [sheet, end, field, help, message] = ['sheet', 'end', 'criticism', 'help', 'message'].map(byId);
const answer = new Answer(byId('answer'));

/** An answer of more UTF-16 units is set smaller. */
const LONG = 400;

/** What cutq says that there is to show. */
let view = null;
/** Whether cutq is being asked: no key counts twice. */
let busy = false;

// ---- asking ------------------------------------------------------------------------------------

async function ask(path, value) {
  const headers = { 'Content-Type': 'application/json' };
  const options = value && { method: 'POST', headers, body: JSON.stringify(value) };
  const response = await fetch(path, options).catch(() => {
    throw new Error('cutq does not answer. What was saved is safe: start the same command again.');
  });
  const found = await response.json();
  if (response.ok) return found;
  const error = new Error(found.error);
  error.status = response.status;
  throw error;
}

function draft() {
  const { text } = answer;
  const quotes = answer.quotes.map(({ start, end: stop }) => ({
    text: text.slice(start, stop),
    start: toCharacters(text, start),
    end: toCharacters(text, stop),
  }));
  return { judgment: field.value, quotes };
}

async function act(name) {
  if (busy || view === null || view.is_finished) return;
  busy = true;
  try {
    const empty = { judgment: '', quotes: [] };
    const found = await ask('act', { turn: view.turn, act: name, draft: view.answer ? draft() : empty });
    if (found.refused) say(found.refused);
    else show(found);
  } catch (error) {
    say(error.message);
    if (error.status === 409) await ask('state').then((found) => show(found, error.message), () => {});
  } finally {
    busy = false;
  }
  if (view.is_finished) waitForMore();
}

/** The next answers come when cutq has some; when it has ended, nothing does. */
async function waitForMore() {
  try {
    show(await ask('state'));
  } catch {
    byId('end-note').textContent = 'This page can be closed.';
  }
}

// ---- showing -----------------------------------------------------------------------------------

const say = (text) => {
  message.textContent = text;
};

function show(found, why = '') {
  view = found;
  say(why);
  const { counts, number } = view;
  const done = counts.total - counts.open;
  byId('progress').max = counts.total;
  byId('progress').value = done;
  byId('counter').textContent = view.answer ? `${number} of ${counts.total}` : `${done} of ${counts.total}`;
  byId('left').textContent = view.answer ? timeLeft(view.seconds_left) : '';
  sheet.hidden = view.answer === null;
  end.hidden = view.answer !== null;
  if (view.answer) showAnswer(view.answer);
  else showEnd(counts);
  showKeys();
  scrollTo(0, 0);
}

function timeLeft(seconds) {
  if (seconds === null) return '';
  return seconds < 60 ? 'less than a minute left' : `about ${Math.round(seconds / 60)} min left`;
}

function showAnswer({ instruction, response, draft: { judgment, quotes } }) {
  byId('instruction').textContent = instruction;
  const place = (quote) => ({ start: toUnits(response, quote.start), end: toUnits(response, quote.end) });
  answer.show(response, quotes.map(place));
  byId('answer').classList.toggle('long', response.length > LONG);
  field.value = judgment;
  showQuotes();
  const complaint = (text, index) => item(`${index + 1}`, text, () => complain(index));
  byId('complaints').replaceChildren(...view.complaints.map(complaint));
  byId('answer').focus({ preventScroll: true });
}

function showEnd({ good, criticised, skipped, open }) {
  const title = open === 0 ? 'That was the last answer.' : 'You have left the rest.';
  byId('end-title').textContent = view.is_finished ? 'Finished.' : title;
  const totals = { good, criticised, skipped, ...(open > 0 && { 'not judged': open }) };
  byId('totals').replaceChildren(...Object.entries(totals).map(([name, count]) => {
    const part = document.createElement('div');
    part.append(element('dt', name), element('dd', count));
    return part;
  }));
  const again = skipped + open > 0 ? ' What is not judged is left out; cutq judge asks about it again.' : '';
  byId('end-note').textContent = view.is_finished
    ? 'If cutq has more to judge, it appears here; else this page can be closed.'
    : `Everything is saved.${again}`;
  byId('end-title').focus();
}

function showQuotes() {
  byId('quotes').replaceChildren(...answer.quotes.map(({ start, end: stop }, index) => {
    const text = answer.text.slice(start, stop);
    const quote = item('×', `“${text}”`, () => {
      answer.remove(index);
      showQuotes();
      byId('answer').focus({ preventScroll: true });
    });
    quote.firstChild.setAttribute('aria-label', `Remove the quote ${text}`);
    return quote;
  }));
}

/** A button in a list, with its key. */
function item(key, text, press) {
  const listed = document.createElement('li');
  listed.append(button(key, text, press));
  return listed;
}

function button(key, text, press) {
  const made = document.createElement('button');
  made.type = 'button';
  made.append(element('kbd', key), element('span', text));
  made.addEventListener('click', press);
  return made;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function showKeys() {
  const undo = button('u', 'Undo', () => act('undo'));
  undo.disabled = !view.can_undo;
  const keys = view.answer
    ? [button('g', 'Good', good), button('Enter', 'Save', enter), button('← →', 'Quote', chooseOrQuote),
       button('s', 'Skip', () => act('skip')), undo, button('?', 'Keys', toggleHelp)]
    : [button('f', 'Finish', () => act('finish')), undo];
  byId('keys').replaceChildren(...(view.is_finished ? [] : keys));
}

// ---- keys --------------------------------------------------------------------------------------

function toggleHelp() {
  if (help.open) help.close();
  else help.showModal();
}

/** Quotes what is chosen; whether there was something. */
function quote() {
  const done = answer.quote();
  if (done) {
    showQuotes();
    say('Quoted. Say what is wrong with it.');
  }
  return done;
}

function chooseOrQuote() {
  if (!quote()) answer.step(1, false);
}

function enter() {
  if (!quote()) act('criticise');
}

/** Words that are chosen are criticism, too. */
function good() {
  quote();
  act('good');
}

function complain(index) {
  const text = view.complaints[index];
  if (text === undefined) {
    say(`There is no complaint ${index + 1} yet.`);
    return;
  }
  quote();
  field.value = [field.value.trim(), text].filter(Boolean).join(' ');
  say('Enter saves it; type to write on.');
}

/** Puts the cursor behind what is written. The key that is being pressed is written by the browser. */
function write() {
  quote();
  if (field.value !== '' && !/\s$/.test(field.value)) field.value += ' ';
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function removeLast() {
  answer.remove(answer.quotes.length - 1);
  showQuotes();
}

const COMMANDS = {
  g: good,
  s: () => act('skip'),
  u: () => act('undo'),
  e: () => act('leave'),
  '?': toggleHelp,
  Enter: enter,
  Escape: () => answer.drop(),
  ' ': write,
  Backspace: removeLast,
  Delete: removeLast,
};
const AT_THE_END = { f: () => act('finish'), u: () => act('undo'), '?': toggleHelp };

function inField(event) {
  if (event.key === 'Escape') byId('answer').focus({ preventScroll: true });
  else if (event.key === 'Enter' && !event.shiftKey) event.repeat || act('criticise');
  else return;
  event.preventDefault();
}

function onAnswer(event) {
  const { key, shiftKey } = event;
  const command = COMMANDS[key];
  if (key === 'ArrowRight' || key === 'ArrowLeft') answer.step(key === 'ArrowRight' ? 1 : -1, shiftKey);
  else if (command !== undefined) command();
  else if (/^[1-9]$/.test(key)) complain(Number(key) - 1);
  else {
    if ([...key].length === 1 || key === 'Dead' || key === 'Process') write();
    return;
  }
  event.preventDefault();
}

document.addEventListener('keydown', (event) => {
  if (view === null || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (help.open) {
    if (event.key === '?') help.close();
    return;
  }
  // A key that is held is pressed once, but where it writes or moves.
  if (event.repeat && event.target !== field && !/^Arrow|^Page|^Tab$/.test(event.key)) {
    event.preventDefault();
    return;
  }
  const isPressed = event.key === 'Enter' || event.key === ' ';
  if (isPressed && event.target.closest('button') !== null) return;
  if (view.answer === null) AT_THE_END[event.key]?.();
  else if (event.target === field) inField(event);
  else onAnswer(event);
});

// A mouse quotes by itself; a finger may have to move the ends first, and then presses Quote.
byId('answer').addEventListener('pointerdown', () => answer.drop());
document.addEventListener('pointerup', (event) => {
  if (event.pointerType === 'mouse' && view?.answer && event.target.closest?.('button, textarea') === null) quote();
});

byId('close').addEventListener('click', toggleHelp);

ask('state').then((found) => show(found), (error) => say(error.message));
