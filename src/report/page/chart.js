// One picture in the page: drawn when the data, the width or the colors change.
'use strict';

const CHARTS = [];

// A place for the picture of a question inside `holder`, which says what it shows to those who do not see it.
function chart(holder, question, about) {
  const made = { holder, question, rows: [], more: {}, drawn: null, width: 0, scheme: '' };
  holder.setAttribute('role', 'img');
  holder.setAttribute('aria-label', about);
  CHARTS.push(made);
  return made;
}

// Shows the rows of an answer, or says why there are none.
function show(made, read, more) {
  made.rows = read.rows;
  made.missing = read.rows.length === 0 ? read.missing || 'There are no rows.' : null;
  made.more = more || {};
  draw(made);
}

function draw(made) {
  const { holder } = made;
  const width = Math.floor(holder.getBoundingClientRect().width);
  if (made.missing || width === 0) {
    if (made.drawn) made.drawn.dispose();
    made.drawn = null;
    holder.style.height = 'auto';
    holder.replaceChildren(element('p', { class: 'missing' }, made.missing || ''));
    return;
  }
  const look = Object.assign({ width, narrow: width < 560, neuronpedia: NEURONPEDIA }, made.more);
  const { option, height } = picture(made.question, made.rows, scheme(), look);
  holder.style.height = height + 'px';
  if (!made.drawn) {
    holder.replaceChildren();
    made.drawn = echarts.init(holder, null, { renderer: 'canvas' });
  }
  made.drawn.resize({ width, height });
  made.drawn.setOption(option, { notMerge: true });
  made.width = width;
}

// The pages of dictionaries on Neuronpedia by layer, filled when the page starts.
const NEURONPEDIA = {};

// Light or dark, as chosen or else as the system has it.
function scheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return window.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

function look() {
  return Object.assign({ neuronpedia: NEURONPEDIA }, LOOKS[scheme()]);
}

// Draws every picture again whose width changed.
function redrawResized() {
  CHARTS.forEach((made) => {
    const width = Math.floor(made.holder.getBoundingClientRect().width);
    if (width !== made.width && made.rows.length > 0) draw(made);
  });
}
