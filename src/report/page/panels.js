// What each panel shows and which numbers stand below it.
'use strict';

const COLUMNS = {
  layer: { name: 'layer', left: true },
  span: { name: 'span', numeric: false, show: (row) => tokenElement(row.span) },
  token: { name: 'token', numeric: false, show: (row) => tokenElement(row.token) },
  position: { name: 'position', plain: true },
  mean_first: {
    name: 'mean_first',
    get text() {
      return 'mean, ' + GROUPS[STATE.groups][0];
    },
  },
  mean_second: {
    name: 'mean_second',
    get text() {
      return 'mean, ' + GROUPS[STATE.groups][1];
    },
  },
  feature: {
    name: 'feature',
    show: (row) => (row.feature === null ? 'all' : featureElement(look(), row.layer, row.feature)),
  },
};

// Known columns by their names, others as numbers.
function columns(names) {
  return names.map((name) => (typeof name === 'string' ? COLUMNS[name] || { name } : name));
}

const share = (name) => ({ name, percent: true });
const words = (name, shown) => ({ name, numeric: false, show: shown });

const NUMBERS = {
  tokens: ['rank', 'position', 'token', share('importance'), share('attention'), 'feature_norm'],
  heatmap: ['feature', 'position', 'token', 'activation'],
  features: [
    'rank',
    'feature',
    'score',
    'activation',
    'position',
    'token',
    share('attention'),
    'n_positions',
  ],
  spans: ['layer', 'span', share('importance'), share('attention'), 'feature_norm', 'n_steps', 'n_games'],
  'span-features': ['span', 'feature', 'activation', share('share'), 'n_steps'],
  flow: [
    words('from_span', (row) => tokenElement(row.from_span)),
    words('to_span', (row) => tokenElement(row.to_span)),
    share('bet'),
    share('stop'),
    share('difference'),
    'n_bet',
    'n_stop',
  ],
  contrast: [
    'layer',
    'span',
    'feature',
    'effect',
    'difference',
    'mean_first',
    'mean_second',
    'support',
    'games',
    'p_value',
    'q_value',
  ],
  trace: [
    words('kind'),
    words('from', (row) => traceEnd(row, 'from')),
    words('to', (row) => traceEnd(row, 'to')),
    share('attention'),
    'activation',
    'coupling',
    'score',
    'correlation',
  ],
  effects: [
    words('node', nodeElement),
    { name: 'position_start', text: 'position', plain: true },
    'token',
    'exact',
    share('share'),
    'integrated',
    'estimate',
    'attention',
  ],
  edges: [
    words('target', (row) => graphEnd(row, 'target')),
    words('source', (row) => graphEnd(row, 'source')),
    'weight',
    share('share'),
  ],
  missed: ['layer', 'feature', 'activation', 'position', 'token', 'n_positions'],
  'missed-all': ['layer', 'feature', 'n_seen', 'n_missed', share('share')],
};

function traceEnd(row, end) {
  const [layer, feature, token, position] = ['layer', 'feature', 'token', 'position'].map(
    (name) => row[end + '_' + name],
  );
  if (position === null) return 'decision';
  const name = feature === null ? [] : [featureElement(look(), layer, feature), ' at '];
  return element('span', {}, name.concat([position + ' ', tokenElement(token)]));
}

// What was changed: a feature by its name, all else by its kind and layer.
function nodeElement(row) {
  if (row.node === 'feature') return featureElement(look(), row.layer, row.feature);
  const head = row.head === null ? '' : ' ' + row.head;
  return (row.node === 'error' ? 'unexplained' : row.node + head) + ', layer ' + row.layer;
}

// An end of an edge of the causal trace.
function graphEnd(row, end) {
  const [node, layer, feature, position, token] = ['node', 'layer', 'feature', 'position', 'token'].map(
    (name) => row[end + '_' + name],
  );
  if (node === 'metric') return 'decision';
  const kind = { feature: '', token: '', error: 'unexplained, layer ' + layer, bias: 'bias, layer ' + layer };
  const name = node === 'feature' ? featureElement(look(), layer, feature) : kind[node];
  const at = name === '' ? '' : ' at ';
  return element('span', {}, [name, at + position + ' ', tokenElement(token)]);
}

// The rows that one can search and sort in a causal trace.
function graphRows(rows) {
  const text = (row, end) =>
    [row[end + '_layer'], row[end + '_feature'], row[end + '_node'], row[end + '_token']].join(' ');
  return rows.map((row) => Object.assign({ target: text(row, 'target'), source: text(row, 'source') }, row));
}

// The rows that one can search and sort in a trace.
function traceRows(rows) {
  return rows.map((row) =>
    Object.assign(
      {
        from: row.from_layer + '-' + row.from_feature + ' ' + row.from_token,
        to: row.to_layer + '-' + row.to_feature + ' ' + row.to_token,
      },
      row,
    ),
  );
}

// The numbers of a panel, made when they are opened.
function numbers(id, rows) {
  const details = byId(id + '-numbers');
  if (!details) return;
  const fill = () => {
    if (!details.open) return;
    const caption = details.dataset.caption;
    details.lastElementChild.replaceChildren(sortableTable(rows, columns(NUMBERS[id]), caption));
  };
  details.ontoggle = fill;
  details.hidden = rows.length === 0;
  fill();
}

// One picture with its numbers.
function panel(id, read, more) {
  show(PANELS[id], read, more);
  numbers(id, read.rows);
}

// The groups that a contrast tells apart.
const GROUPS = { decision: ['bet', 'stop'], outcome: ['bankruptcy', 'voluntary stop'] };

const PANELS = {};

function makePanels() {
  const questions = {
    overview: 'overview',
    tokens: 'attribution',
    heatmap: 'heatmap',
    features: 'features',
    spans: 'attribution',
    'span-features': 'heatmap',
    flow: 'flow',
    contrast: 'contrast',
    trace: 'trace',
    missed: 'last-token',
    'missed-all': 'last-token',
  };
  Object.entries(questions).forEach(([id, question]) => {
    const holder = byId(id + '-chart');
    PANELS[id] = chart(holder, question, holder.dataset.about);
  });
}

// The panels about the chosen step and layer.
function showStep(state) {
  const at = state.data.layers[state.layer] || {};
  const nothing = { rows: [], missing: 'This step has nothing at layer ' + state.layer + '.' };
  const of = (name) => at[name] || nothing;
  showStrip(state.data, state.layer, state.step.decision_position);
  panel('tokens', of('attribution'), { most: 15 });
  panel('heatmap', of('heatmap'), { layer: state.layer, tokens: state.data.tokens });
  panel('features', of('features'), { most: 15 });
  panel('missed', of('last_token'), { layer: state.layer, most: 15 });
}

// The trace, which is about all layers.
function showTrace(state) {
  show(PANELS.trace, state.data.trace);
  numbers('trace', traceRows(state.data.trace.rows));
}

// What changes in this step did, and what adds to its decision: tables, or why there are none.
function showCausal(state) {
  const fill = (id, read, rows) => {
    const holder = byId(id + '-table');
    const missing = () => element('p', { class: 'hint' }, read.missing || 'There are no rows.');
    const table = () => sortableTable(rows, columns(NUMBERS[id]), holder.dataset.caption);
    holder.replaceChildren(rows.length === 0 ? missing() : table());
  };
  fill('effects', state.data.effects, state.data.effects.rows);
  fill('edges', state.data.edges, graphRows(state.data.edges.rows));
}

// The rows of an answer at the chosen layer.
function ofLayer(read, layer) {
  const rows = read.rows.filter((row) => row.layer === layer);
  return { rows, missing: read.missing || 'There is nothing at layer ' + layer + '.' };
}

// The panels about all games.
function showAll(state, report) {
  const all = report.all;
  panel('spans', answer(all.attribution), {});
  const features = answer(all.heatmap);
  panel('span-features', ofLayer(features, state.layer), { layer: state.layer });
  const flow = answer(all.flow);
  const layer = state.flowLayer === null ? state.layer : state.flowLayer;
  show(PANELS.flow, flow, { layer, value: state.flowValue });
  numbers(
    'flow',
    flow.rows.filter((row) => row.layer === layer),
  );
  panel('contrast', answer(all[state.groups]), { groupNames: GROUPS[state.groups] });
  panel('missed-all', ofLayer(answer(all.last_token), state.layer), { layer: state.layer, most: 12 });
}
