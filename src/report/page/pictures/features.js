// Pictures of features: ranked, over positions, over spans, and those that the last token does not show.
'use strict';

// game, step, layer, rank, feature, score, importance, activation, position, token, attention, n_positions.
function featuresStep(rows, look) {
  const shown = rows.slice(0, look.most || 20);
  const categories = shown.map((row) => ({ label: featureName(row.layer, row.feature) }));
  const tipOf = (index) => {
    const row = shown[index];
    return tip(featureHtml(look, row.layer, row.feature), [
      ['score', number(row.score)],
      ['strongest at', number(row.position) + ' ' + tokenHtml(row.token)],
      ['activation there', number(row.activation)],
      ['attention there', percent(row.attention)],
      ['fires at', number(row.n_positions) + ' positions'],
      ['weight', number(row.importance)],
    ]);
  };
  const title = 'Features of what the decision attends to, ' + stepName(rows[0]);
  const colors = shown.map((row) => (row.score < 0 ? look.bet : look.accent));
  const series = barSeries(
    look,
    'score',
    shown.map((row) => row.score),
    look.accent,
    tipOf,
  );
  series.data.forEach((item, index) => {
    item.itemStyle = { color: colors[index] };
  });
  return sideways(look, title, categories, 'score: Σ attention × activation', [series]);
}

// layer, span, feature, n_steps, n_games, score, activation, share: one row a span, one dot a feature.
function featuresAll(rows, look) {
  const layer = chosenLayer(rows, look);
  const own = rows.filter((row) => row.layer === layer);
  const spans = distinct(own, 'span').slice(0, look.most || 24);
  const place = new Map(spans.map((span, index) => [span, index]));
  const shown = own.filter((row) => place.has(row.span));
  const tipOf = (index) => {
    const row = shown[index];
    return tip(featureHtml(look, row.layer, row.feature), [
      ['span', tokenHtml(row.span)],
      ['mean score', number(row.score)],
      ['activation where it fires', number(row.activation)],
      ['fires in', percent(row.share) + ' of ' + number(row.n_steps) + ' steps'],
    ]);
  };
  const points = shown.map((row) => [row.score, place.get(row.span)]);
  const categories = spans.map((span) => ({ label: label(span, 22) }));
  return sideways(
    look,
    'Features by span, layer ' + layer,
    categories,
    'mean score: Σ attention × activation',
    [dotSeries(look, 'feature', points, look.accent, tipOf)],
  );
}

// The layer that is looked at: the chosen one if the rows have it, or else their last.
function chosenLayer(rows, look, column) {
  const layers = distinct(rows, column || 'layer').filter((layer) => layer >= 0);
  return layers.includes(look.layer) ? look.layer : Math.max(...layers);
}

// game, step, layer, position, token, feature, activation: one column a position, one row a feature.
function heatmapStep(rows, look) {
  const layer = chosenLayer(rows, look);
  const own = rows.filter((row) => row.layer === layer);
  const tokens = new Map((look.tokens || own).map((row) => [row.position, row.token]));
  const last = Math.max(...tokens.keys());
  const positions = Array.from({ length: last + 1 }, (_, position) => position);
  const sums = new Map();
  own.forEach((row) => sums.set(row.feature, (sums.get(row.feature) || 0) + row.activation));
  const features = Array.from(sums.keys()).sort((a, b) => sums.get(b) - sums.get(a) || a - b);
  const place = new Map(features.map((feature, index) => [feature, index]));
  const [low, high] = extent(own.map((row) => row.activation));
  const scale = colorScale(look, 'activation', Math.min(0, low), high);
  const columns = positions.map((position) => ({
    label: position + ' ' + label(tokens.get(position) || '', 12),
  }));
  const lines = features.map((feature) => ({ label: featureName(layer, feature) }));
  const picture = matrix(
    look,
    'Features over positions, ' + stepName(rows[0]) + ', layer ' + layer,
    columns,
    lines,
    own.map((row) => [row.position, place.get(row.feature), row.activation]),
    scale,
    (index) => {
      const row = own[index];
      return tip(featureHtml(look, layer, row.feature), [
        ['position', String(row.position)],
        ['token', tokenHtml(tokens.get(row.position))],
        ['activation', number(row.activation)],
      ]);
    },
    { rowHeight: look.narrow ? 15 : 14 },
  );
  picture.option.series[0].itemStyle = { borderWidth: 0 };
  Object.assign(picture.option.xAxis.axisLabel, { interval: 'auto', fontSize: 10 });
  return zoomable(picture, look, columns.length, look.narrow ? 6 : 8);
}

// layer, span, feature, n_steps, share, activation: one column a feature, one row a span.
function heatmapAll(rows, look) {
  const layer = chosenLayer(rows, look);
  const own = rows.filter((row) => row.layer === layer);
  const spans = distinct(own, 'span').sort();
  const features = distinct(own, 'feature').sort((a, b) => a - b);
  const [, high] = extent(own.map((row) => row.activation));
  const picture = matrix(
    look,
    'Features by span, mean of the largest activation, layer ' + layer,
    features.map((feature) => ({ label: featureName(layer, feature) })),
    spans.map((span) => ({ label: label(span, 22) })),
    own.map((row) => [features.indexOf(row.feature), spans.indexOf(row.span), row.activation]),
    colorScale(look, 'activation', 0, high),
    (index) => {
      const row = own[index];
      return tip(featureHtml(look, layer, row.feature), [
        ['span', tokenHtml(row.span)],
        ['activation', number(row.activation)],
        ['fires in', percent(row.share) + ' of ' + number(row.n_steps) + ' steps'],
      ]);
    },
  );
  return zoomable(picture, look, features.length, 15);
}

// game, step, layer, feature, activation, position, token, n_positions: features silent at the decision.
function lastTokenStep(rows, look) {
  const own = look.layer === undefined ? rows : rows.filter((row) => row.layer === look.layer);
  const shown = own
    .slice()
    .sort((a, b) => b.activation - a.activation)
    .slice(0, look.most || 20);
  const categories = shown.map((row) => {
    return { label: featureName(row.layer, row.feature) + '  ' + label(row.token, 10) };
  });
  const tipOf = (index) => {
    const row = shown[index];
    return tip(featureHtml(look, row.layer, row.feature), [
      ['strongest at', row.position + ' ' + tokenHtml(row.token)],
      ['activation there', number(row.activation)],
      ['fires at', number(row.n_positions) + ' positions'],
      ['at the decision', 'silent'],
    ]);
  };
  return sideways(
    look,
    'Features the last token does not show, ' + stepName(rows[0]),
    categories,
    'largest activation in the prompt',
    [
      barSeries(
        look,
        'activation',
        shown.map((row) => row.activation),
        look.accent,
        tipOf,
      ),
    ],
  );
}

// layer, feature, n_steps, n_seen, n_missed, share: the sum over features first, then feature by feature.
function lastTokenAll(rows, look) {
  const own = look.layer === undefined ? rows : rows.filter((row) => row.layer === look.layer);
  const sums = own.filter((row) => row.feature === null);
  const each = own.filter((row) => row.feature !== null).slice(0, look.most || 20);
  const shown = sums.concat(each);
  const categories = shown.map((row) => {
    return {
      label: row.feature === null ? 'layer ' + row.layer + ', all' : featureName(row.layer, row.feature),
    };
  });
  const tipOf = (index) => {
    const row = shown[index];
    return tip(escapeHtml(categories[index].label), [
      ['missed', percent(row.share)],
      ['seen in the prompt', number(row.n_seen)],
      ['silent at the decision', number(row.n_missed)],
    ]);
  };
  const series = barSeries(
    look,
    'missed',
    shown.map((row) => row.share * 100),
    look.accent,
    tipOf,
  );
  series.data.forEach((item, index) => {
    if (index < sums.length) item.itemStyle = { color: look.bet };
  });
  return sideways(
    look,
    'What a reading of the last token alone misses',
    categories,
    '% of the times a feature fires in the prompt',
    [series],
    {
      axis: { max: 100 },
    },
  );
}
