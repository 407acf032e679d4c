// The data of the page: JSON in script elements that run nothing, read when they are needed.
'use strict';

// The rows of a table as the page holds it: columns, of which one with a single value is written once, and one
// with long runs of a value as values and lengths.
function unpack(table) {
  const names = Object.keys(table.columns);
  const columns = names.map((name) => {
    const column = table.columns[name];
    if (Array.isArray(column)) return column;
    if (column.runs === undefined) return new Array(table.n).fill(column.one);
    return column.runs.flatMap((value, index) => new Array(column.lengths[index]).fill(value));
  });
  return Array.from({ length: table.n }, (_, row) => {
    return Object.fromEntries(names.map((name, column) => [name, columns[column][row]]));
  });
}

// The answer to a question: rows, or a sentence that says why there are none.
function answer(packed) {
  if (packed === undefined || packed === null)
    return { rows: [], missing: 'This lake has nothing to show here.' };
  if (packed.missing !== undefined) return { rows: [], missing: packed.missing };
  return { rows: unpack(packed), missing: packed.n === 0 ? 'There are no rows.' : null };
}

const BLOCKS = new Map();

// What a script element of JSON holds.
function block(id) {
  if (!BLOCKS.has(id)) BLOCKS.set(id, JSON.parse(document.getElementById(id).textContent));
  return BLOCKS.get(id);
}

// The columns that the page leaves out of an answer, since they say the same in every row or are in the tokens.
function complete(read, known, tokens) {
  read.rows.forEach((row) => {
    Object.assign(row, known);
    [
      ['position', 'token'],
      ['from_position', 'from_token'],
      ['to_position', 'to_token'],
    ].forEach(([position, token]) => {
      if (row[position] !== undefined && row[token] === undefined) row[token] = tokens.get(row[position]);
    });
  });
  return read;
}

// The rank of a token, which is the order, and the attention paid to it, which stands with the positions.
function withAttention(at) {
  if (!at.attribution || !at.positions) return;
  const attention = new Map(at.positions.rows.map((row) => [row.position, row.attention]));
  at.attribution.rows.forEach((row, index) => {
    row.rank = index + 1;
    row.attention = attention.get(row.position);
  });
}

// One step: its tokens, spans and trace, and what there is at each layer.
function readStep(index) {
  const id = 'step-' + index;
  const known = BLOCKS.get(id + '-rows');
  if (known) return known;
  const raw = block(id);
  const { game, step: number } = block('report').steps[index];
  const tokens = answer(raw.tokens).rows;
  const text = new Map(tokens.map((row) => [row.position, row.token]));
  const layers = {};
  Object.keys(raw.layers).forEach((layer) => {
    const names = { game, step: number, layer: Number(layer) };
    layers[layer] = Object.fromEntries(
      Object.entries(raw.layers[layer]).map(([name, packed]) => [
        name,
        complete(answer(packed), names, text),
      ]),
    );
  });
  Object.values(layers).forEach((at) => withAttention(at));
  const trace = complete(answer(raw.trace), { game, step: number }, text);
  const effects = answer(raw.effects);
  effects.rows.forEach((row) => Object.assign(row, { token: text.get(row.position_start) }));
  const edges = answer(raw.edges);
  edges.rows.forEach((row) => {
    ['target', 'source'].forEach((end) => {
      row[end + '_token'] = text.get(row[end + '_position']);
    });
  });
  const step = { tokens, spans: answer(raw.spans).rows, trace, layers, effects, edges };
  BLOCKS.set(id + '-rows', step);
  return step;
}
