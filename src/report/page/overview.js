// What the lake holds, in numbers and words.
'use strict';

function tile(value, name) {
  return element('div', { class: 'tile' }, [element('b', {}, value), element('span', {}, name)]);
}

function showOverview(report) {
  const read = answer(report.all.overview);
  const value = (kind, name) => {
    const row = read.rows.find((candidate) => candidate.kind === kind && candidate.name === name);
    return row ? row.n : null;
  };
  const counts = ['games', 'steps', 'tokens', 'failed'].filter((name) => value('count', name));
  const decisions = read.rows.filter((row) => row.kind === 'decision');
  byId('tiles').replaceChildren(
    ...counts.map((name) => tile(number(value('count', name)), name === 'failed' ? 'failed steps' : name)),
    ...decisions.map((row) =>
      tile(number(row.n), row.name === 'none' ? 'without decision' : row.name + ' decisions'),
    ),
  );
  const outcomes = read.rows.filter((row) => row.kind === 'outcome');
  byId('outcomes').replaceChildren(...shares(outcomes));
  panel('overview', {
    rows: read.rows.filter((row) => row.kind === 'layer'),
    missing: 'No layer was captured.',
  });
  byId('runs').replaceChildren(factTable(unpack(report.runs), RUN_COLUMNS, 'Runs'));
  byId('dictionaries').replaceChildren(
    factTable(unpack(report.dictionaries), DICTIONARY_COLUMNS, 'Dictionaries'),
  );
}

// Outcomes as one bar with a legend in words.
function shares(outcomes) {
  const total = outcomes.reduce((sum, row) => sum + row.n, 0);
  if (total === 0) return [];
  const colors = LOOKS[scheme()].groups;
  const part = (row, index) =>
    element('span', {
      style: 'flex-grow: ' + row.n + '; background: ' + colors[index % colors.length],
    });
  const named = (row, index) =>
    element('li', {}, [
      element('i', { style: 'background: ' + colors[index % colors.length] }),
      (row.name === 'none' ? 'no outcome' : row.name.replace(/_/g, ' ')) +
        ' ' +
        number(row.n) +
        ' (' +
        percent(row.n / total) +
        ')',
    ]);
  return [
    element('h3', {}, 'How games ended'),
    element('div', { class: 'stack', 'aria-hidden': 'true' }, outcomes.map(part)),
    element('ul', { class: 'legend' }, outcomes.map(named)),
  ];
}

const RUN_COLUMNS = [
  'model',
  'source',
  'decide',
  'seed',
  'layers',
  'top_k',
  'attention',
  'device',
  'dtype',
  'saelake_version',
  'started_at',
  'run',
];
const DICTIONARY_COLUMNS = [
  'hook',
  'source',
  'format',
  'd_sae',
  'measured_l0',
  'measured_explained_variance',
  'verified',
  'neuronpedia',
];

const HEADS = {
  d_sae: 'features',
  measured_l0: 'measured L0',
  measured_explained_variance: 'explained variance',
  top_k: 'top k',
  saelake_version: 'saelake',
  started_at: 'started',
  neuronpedia: 'Neuronpedia',
};

function factTable(rows, names, caption) {
  const shown = names.filter((name) => rows.some((row) => row[name] !== null && row[name] !== undefined));
  const text = (row, name) => {
    const value = row[name];
    if (name === 'verified') {
      return element(
        'span',
        { class: value ? 'badge good' : 'badge bad' },
        value ? 'verified' : 'not verified',
      );
    }
    if (value === null || value === undefined) return '–';
    return typeof value === 'number' && name !== 'seed' ? number(value) : element('bdi', {}, String(value));
  };
  const head = shown.map((name) => element('th', { scope: 'col' }, HEADS[name] || name));
  const body = rows.map((row) =>
    element(
      'tr',
      {},
      shown.map((name) => element('td', {}, text(row, name))),
    ),
  );
  return element(
    'div',
    { class: 'scroll', tabindex: '0' },
    element('table', {}, [
      element('caption', {}, caption),
      element('thead', {}, element('tr', {}, head)),
      element('tbody', {}, body),
    ]),
  );
}

// What the page leaves out, in a sentence each.
function showLeftOut(report) {
  const { sample } = report;
  const lines = [];
  if (report.where)
    lines.push(element('li', {}, ['Only games with ', element('bdi', {}, report.where), '.']));
  lines.push(
    element(
      'li',
      {},
      sample.steps_shown < sample.steps_total
        ? `The step panels hold ${grouped(sample.steps_shown)} of ${grouped(sample.steps_total)} steps, those of ${grouped(sample.games_shown)} of ${grouped(sample.games_total)} games, spread evenly over outcomes and games; --steps changes how many. The panels about all games count every step.`
        : `The step panels hold all ${grouped(sample.steps_total)} steps.`,
    ),
  );
  lines.push(...sample.rules.map((rule) => element('li', {}, rule)));
  byId('left-out').replaceChildren(...lines);
}
