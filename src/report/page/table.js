// Tables that can be sorted by each column and searched.
'use strict';

const ROWS_AT_FIRST = 25;

// `columns` are {name, text, numeric, left, percent, plain, show}; `show` makes the text or element of a cell from its row.
function sortableTable(rows, columns, caption) {
  const state = { column: null, down: true, words: '', all: false };
  const body = element('tbody');
  const showAll = () => {
    state.all = true;
    fill();
  };
  const more = element('button', { type: 'button', class: 'quiet', onclick: showAll });
  const heads = columns.map((column) => sortHead(column, state, () => fill()));
  const texts = new Map(rows.map((row) => [row, rowText(row, columns)]));
  function fill() {
    const matching = rows.filter((row) => texts.get(row).includes(state.words));
    const found = sorted(matching, state);
    const shown = state.all ? found : found.slice(0, ROWS_AT_FIRST);
    body.replaceChildren(...shown.map((row) => tableRow(columns.map((column) => cell(row, column)))));
    more.textContent = 'Show all ' + grouped(found.length) + ' rows';
    more.hidden = shown.length === found.length;
    heads.forEach((head) => head.mark());
  }
  const search = searchField(caption, (words) => {
    state.words = words;
    fill();
  });
  fill();
  const head = element('thead', {}, tableRow(heads.map((made) => made.cell)));
  const table = element('table', {}, [element('caption', {}, caption), head, body]);
  const scroll = element('div', { class: 'scroll', tabindex: '0' }, table);
  return element('div', { class: 'table' }, [search, scroll, more]);
}

function tableRow(cells) {
  return element('tr', {}, cells);
}

// What a row is searched by.
function rowText(row, columns) {
  const texts = columns.map((column) => cellText(row, column));
  return texts.join(' ').toLowerCase();
}

function searchField(caption, search) {
  const label = 'Search ' + caption;
  const oninput = () => search(field.value.toLowerCase());
  const field = element('input', { type: 'search', placeholder: 'Search', 'aria-label': label, oninput });
  return field;
}

function sortHead(column, state, fill) {
  const arrow = element('span', { class: 'arrow', 'aria-hidden': 'true' });
  const press = () => {
    state.down = state.column === column ? !state.down : column.numeric !== false;
    state.column = column;
    fill();
  };
  const button = element('button', { type: 'button', onclick: press }, [
    column.text || column.name.replace(/_/g, ' '),
    arrow,
  ]);
  const cell = element(
    'th',
    { scope: 'col', class: column.numeric === false || column.left ? '' : 'number' },
    button,
  );
  const mark = () => {
    const own = state.column === column;
    arrow.textContent = own ? (state.down ? ' ↓' : ' ↑') : '';
    cell.setAttribute('aria-sort', own ? (state.down ? 'descending' : 'ascending') : 'none');
  };
  return { cell, mark };
}

function sorted(rows, state) {
  if (!state.column) return rows;
  const value = (row) => row[state.column.name];
  const rank = (a, b) => {
    if (value(a) === null || value(b) === null) return (value(a) === null) - (value(b) === null);
    const order =
      typeof value(a) === 'number' ? value(a) - value(b) : String(value(a)).localeCompare(String(value(b)));
    return state.down ? -order : order;
  };
  return rows.slice().sort(rank);
}

function cellText(row, column) {
  const value = row[column.name];
  if (typeof value === 'number')
    return column.percent ? percent(value) : column.plain ? String(value) : number(value);
  return value === null || value === undefined ? '–' : String(value);
}

function cell(row, column) {
  const shown = column.show ? column.show(row) : cellText(row, column);
  return element('td', { class: column.numeric === false || column.left ? '' : 'number' }, shown);
}
