// Pictures of which tokens and spans count: attribution, and what is special about a position.
'use strict';

function stepName(row) {
  return 'step ' + row.step + ' of game ' + row.game;
}

// game, step, layer, rank, position, token, importance, attention, feature_norm: one bar a token.
function attributionStep(rows, look) {
  const ranked = rows.filter((row) => row.rank !== null).slice(0, look.most || 20);
  const categories = ranked.map((row) => ({ label: row.position + '  ' + label(row.token, 14) }));
  const tipOf = (index) => {
    const row = ranked[index];
    return tip(tokenHtml(row.token), [
      ['position', String(row.position)],
      ['importance', percent(row.importance)],
      ['attention of the decision', percent(row.attention)],
      ['feature norm', number(row.feature_norm)],
    ]);
  };
  const title = 'Tokens the decision attends to, ' + stepName(rows[0]) + ', layer ' + rows[0].layer;
  const attention = ranked.map((row, index) => [row.attention * 100, index]);
  return sideways(
    look,
    title,
    categories,
    '%; importance is attention × feature norm as a share',
    [
      barSeries(
        look,
        'importance',
        ranked.map((row) => row.importance * 100),
        look.accent,
        tipOf,
      ),
      dotSeries(look, 'attention of the decision', attention, look.bet, tipOf, 'diamond'),
    ],
    { legend: true },
  );
}

// layer, span, n_games, n_steps, n_tokens, importance, attention, feature_norm: one row a span, one dot a layer.
function attributionAll(rows, look) {
  const layers = distinct(rows, 'layer').sort((a, b) => a - b);
  const most = new Map();
  rows.forEach((row) => most.set(row.span, Math.max(most.get(row.span) || 0, row.importance)));
  const spans = Array.from(most.keys())
    .sort((a, b) => most.get(b) - most.get(a))
    .slice(0, look.most || 24);
  const place = new Map(spans.map((span, index) => [span, index]));
  const series = layers.map((layer, index) => {
    const shown = rows.filter((row) => row.layer === layer && place.has(row.span));
    const points = shown.map((row) => [row.importance * 100, place.get(row.span)]);
    const symbol = ['circle', 'diamond', 'triangle', 'rect'][index % 4];
    return dotSeries(
      look,
      'layer ' + layer,
      points,
      look.groups[index % look.groups.length],
      (at) => {
        const row = shown[at];
        return tip(tokenHtml(row.span), [
          ['layer', String(row.layer)],
          ['mean importance', percent(row.importance)],
          ['mean attention', percent(row.attention)],
          ['mean feature norm', number(row.feature_norm)],
          ['steps, games', number(row.n_steps) + ', ' + number(row.n_games)],
        ]);
      },
      symbol,
    );
  });
  const categories = spans.map((span) => ({ label: label(span, 22) }));
  return sideways(
    look,
    'What decisions attend to, by span',
    categories,
    'importance, % (mean over steps)',
    series,
    { legend: true },
  );
}

// Rows of one kind as bars in one part of the picture.
function positionPart(look, name, rows, at, top, several) {
  const labels = rows.map((row) => {
    if (row.kind === 'feature')
      return featureName(row.layer, row.feature) + (several ? ' @' + row.position : '');
    const here = several ? row.position + (row.kind === 'attends_to' ? ' → ' : ' ← ') : '';
    return 'L' + row.layer + '  ' + here + row.other_position + '  ' + label(row.other_token, 12);
  });
  const height = rows.length * 18;
  const tipOf = (index) => {
    const row = rows[index];
    const elsewhere =
      row.kind === 'feature'
        ? [
            ['mean elsewhere', number(row.elsewhere_mean)],
            ['largest elsewhere', number(row.elsewhere_max)],
            ['fires at', percent(row.elsewhere_share) + ' of the others'],
          ]
        : [['token', tokenHtml(row.other_token)]];
    return tip(escapeHtml(labels[index]), [[name, number(row.value)]].concat(elsewhere));
  };
  return {
    title: {
      text: name,
      left: 12,
      top: top - 4,
      textStyle: { fontSize: 12, fontWeight: look.titled ? 400 : 600, color: look.muted },
    },
    grid: { left: Math.max(110, labelWidth(look, labels)), right: 24, top: top + 18, height },
    xAxis: valueAxis(look, '', { gridIndex: at, splitNumber: 4 }),
    yAxis: categoryAxis(look, labels, {
      gridIndex: at,
      inverse: true,
      axisLabel: { color: look.text, fontSize: 11, interval: 0 },
    }),
    series: Object.assign(
      barSeries(
        look,
        name,
        rows.map((row) => row.value),
        look.groups[at],
        tipOf,
      ),
      { xAxisIndex: at, yAxisIndex: at },
    ),
    bottom: top + 18 + height + 40,
  };
}

// The long table of one position: features, whom it attends to, who attends to it.
function positionStep(rows, look) {
  const kinds = [
    ['feature', 'features here, activation'],
    ['attends_to', 'attends to, weight'],
    ['attended_by', 'attended by, weight'],
  ];
  const positions = distinct(rows, 'position');
  const parts = [];
  let top = above(look, 8);
  kinds.forEach(([kind, name]) => {
    const size = (row) => Math.abs(row.value || 0);
    const shown = rows
      .filter((row) => row.kind === kind)
      .sort((a, b) => size(b) - size(a))
      .slice(0, 12);
    if (shown.length === 0) return;
    const part = positionPart(look, name, shown, parts.length, top, positions.length > 1);
    parts.push(part);
    top = part.bottom;
  });
  const where =
    positions.length > 1
      ? 'Positions ' + positions.join(', ')
      : 'Position ' + positions[0] + ' (' + label(rows[0].token, 16) + ')';
  const title = where + ', ' + stepName(rows[0]);
  const option = base(look, title);
  option.title = [option.title].concat(parts.map((part) => part.title)).filter(Boolean);
  ['grid', 'xAxis', 'yAxis', 'series'].forEach((name) => {
    option[name] = parts.map((part) => part[name]);
  });
  return { option, height: top };
}

// layer, feature, n_steps, share, activation, elsewhere_share, elsewhere_activation, lift: here against elsewhere.
function positionAll(rows, look) {
  const shown = rows.slice(0, look.most || 24);
  const categories = shown.map((row) => ({ label: featureName(row.layer, row.feature) }));
  const tipOf = (index) => {
    const row = shown[index];
    return tip(featureHtml(look, row.layer, row.feature), [
      ['fires in the span', percent(row.share)],
      ['fires elsewhere', percent(row.elsewhere_share)],
      ['activation', number(row.activation)],
      ['elsewhere', number(row.elsewhere_activation)],
      ['lift', number(row.lift)],
    ]);
  };
  return sideways(
    look,
    'Where features fire: in the span and elsewhere',
    categories,
    '% of positions',
    [
      dotSeries(
        look,
        'in the span',
        shown.map((row, index) => [row.share * 100, index]),
        look.accent,
        tipOf,
      ),
      dotSeries(
        look,
        'elsewhere',
        shown.map((row, index) => [row.elsewhere_share * 100, index]),
        look.none,
        tipOf,
        'diamond',
      ),
    ],
    { legend: true },
  );
}
