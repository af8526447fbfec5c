// The answer as it is shown: its text, what is quoted of it, what is chosen to be quoted.

import { joined, tidy, words } from './words.js';

export class Answer {
  #element;
  #text = '';
  #quotes = [];
  /** Words that the arrow keys have chosen: from one to the other, in any direction. */
  #from = null;
  #to = null;

  constructor(element) {
    this.#element = element;
  }

  /** The quotes, in their order, as { start, end } in UTF-16 units. */
  get quotes() {
    return this.#quotes;
  }

  get text() {
    return this.#text;
  }

  show(text, quotes) {
    this.#text = text;
    this.#quotes = joined(quotes);
    this.#draw();
  }

  remove(index) {
    this.#quotes.splice(index, 1);
    this.#draw();
  }

  /** Quotes what is chosen. Whether there was something. */
  quote() {
    const place = this.chosen();
    if (place === null) return false;
    this.#quotes = joined([...this.#quotes, place]);
    this.#draw();
    return true;
  }

  /** What is selected of the answer, by keys or by the mouse; else null. */
  chosen() {
    const selection = getSelection();
    if (selection.rangeCount === 0 || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    if (!range.intersectsNode(this.#element)) return null;
    const own = document.createRange();
    own.selectNodeContents(this.#element);
    const begins = range.compareBoundaryPoints(Range.START_TO_START, own) < 0;
    const ends = range.compareBoundaryPoints(Range.END_TO_END, own) > 0;
    const start = begins ? 0 : this.#unit(range.startContainer, range.startOffset);
    const end = ends ? this.#text.length : this.#unit(range.endContainer, range.endOffset);
    return tidy(this.#text, { start, end });
  }

  /** Chooses the next word (1) or the one before (-1), or lets the choice grow by it. */
  step(direction, grows) {
    const all = words(this.#text);
    if (all.length === 0) return;
    if (this.#to === null || this.chosen() === null) {
      this.#to = direction > 0 ? 0 : all.length - 1;
      this.#from = this.#to;
    } else {
      this.#to = Math.min(Math.max(this.#to + direction, 0), all.length - 1);
      if (!grows) this.#from = this.#to;
    }
    const [first, last] = [this.#from, this.#to].sort((a, b) => a - b);
    this.#select(all[first].start, all[last].end);
  }

  /** Chooses nothing. */
  drop() {
    this.#from = null;
    this.#to = null;
    getSelection().removeAllRanges();
  }

  #draw() {
    const nodes = [];
    let at = 0;
    for (const { start, end } of this.#quotes) {
      const mark = document.createElement('mark');
      mark.textContent = this.#text.slice(start, end);
      nodes.push(this.#text.slice(at, start), mark);
      at = end;
    }
    this.#element.replaceChildren(...nodes, this.#text.slice(at));
    this.drop();
  }

  #unit(node, offset) {
    const before = document.createRange();
    before.setStart(this.#element, 0);
    before.setEnd(node, offset);
    return before.toString().length;
  }

  /** The text node in which a unit stands, and where. */
  #point(unit) {
    const nodes = document.createTreeWalker(this.#element, NodeFilter.SHOW_TEXT);
    let rest = unit;
    while (nodes.nextNode()) {
      if (rest <= nodes.currentNode.length) return [nodes.currentNode, rest];
      rest -= nodes.currentNode.length;
    }
    return [this.#element, 0];
  }

  #select(start, end) {
    getSelection().setBaseAndExtent(...this.#point(start), ...this.#point(end));
    const { top, bottom } = getSelection().getRangeAt(0).getBoundingClientRect();
    if (top < 0 || bottom > innerHeight * 0.8) scrollBy(0, top - innerHeight / 3);
  }
}
