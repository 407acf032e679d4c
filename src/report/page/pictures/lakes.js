// Pictures of whole lakes: what one holds, and how two differ.
'use strict';

const LAYER_NAMES = {
  l0: ['features active at a token (L0)', number],
  kept_share: ['kept share of the feature norm², %', percent],
  unexplained: ['unexplained: error / residual norm, %', percent],
};

// One small plot in a row of them.
function facet(look, index, count, name, categories, series, tall, limit) {
  const across = look.narrow ? 1 : count;
  const width = ((look.width || 600) - 16) / across;
  const left = 8 + width * (index % across);
  const top = above(look, 4) + Math.floor(index / across) * (tall + 70);
  const room = Math.min(150, Math.max(70, labelWidth(look, categories)));
  return {
    title: {
      text: name,
      left,
      top,
      textStyle: { fontSize: 12, fontWeight: look.titled ? 400 : 600, color: look.muted },
    },
    grid: { left: left + room, width: width - room - 26, top: top + 22, height: tall },
    xAxis: valueAxis(look, '', { gridIndex: index, splitNumber: 3, min: 0, max: limit }),
    yAxis: categoryAxis(look, categories, {
      gridIndex: index,
      inverse: true,
      axisLabel: { color: look.text, fontSize: 11, interval: 0, width: room - 6, overflow: 'truncate' },
    }),
    series: series.map((one) => Object.assign(one, { xAxisIndex: index, yAxisIndex: index })),
    bottom: top + 22 + tall + 28,
  };
}

function facets(look, title, parts) {
  const option = base(look, title);
  option.title = [option.title].concat(parts.map((part) => part.title)).filter(Boolean);
  ['grid', 'xAxis', 'yAxis'].forEach((name) => {
    option[name] = parts.map((part) => part[name]);
  });
  option.series = parts.flatMap((part) => part.series);
  return { option, height: Math.max(...parts.map((part) => part.bottom)) + 8 };
}

// kind, layer, name, n, mean: what is measured at each layer.
function overviewAll(rows, look) {
  const own = rows.filter((row) => row.kind === 'layer' && LAYER_NAMES[row.name]);
  const names = Object.keys(LAYER_NAMES).filter((name) => own.some((row) => row.name === name));
  const parts = names.map((name, index) => {
    const shown = own.filter((row) => row.name === name).sort((a, b) => a.layer - b.layer);
    const [title, text] = LAYER_NAMES[name];
    const values = shown.map((row) => (text === percent ? row.mean * 100 : row.mean));
    const tipOf = (at) =>
      tip('layer ' + shown[at].layer, [
        [title.replace(', %', ''), text(shown[at].mean)],
        ['tokens', number(shown[at].n)],
      ]);
    const series = barSeries(look, title, values, look.accent, tipOf);
    series.label = {
      show: true,
      position: 'right',
      color: look.text,
      fontSize: 11,
      formatter: (item) => number(item.value),
    };
    return facet(
      look,
      index,
      names.length,
      title,
      shown.map((row) => 'layer ' + row.layer),
      [series],
      Math.max(1, shown.length) * 24,
      name === 'kept_share' ? 100 : undefined,
    );
  });
  return facets(look, 'What the dictionaries see, mean over tokens', parts);
}

// kind, layer, name, feature, first, second, difference, n_first, n_second: pairs of bars.
function compareAll(rows, look) {
  const names = look.groupNames || ['first', 'second'];
  const narrow = Object.assign({}, look, { narrow: look.narrow || (look.width || 600) < 700 });
  let top = above(look, 28);
  const parts = Array.from(compareGroups(rows).entries()).map(([group, all], index) => {
    const part = comparePart(narrow, index, group, all.slice(0, 12), names);
    const shift = top - part.title.top;
    part.title.top += shift;
    part.grid.top += shift;
    top = part.bottom + shift + 6;
    return Object.assign(part, { bottom: top });
  });
  const picture = facets(look, 'Two selections of games compared', parts);
  picture.option.legend = legend(look);
  return picture;
}

// The rows that share an axis: numbers of one name, or of one kind.
function compareGroups(rows) {
  const groups = new Map();
  const compared = rows.filter((row) => row.kind !== 'games');
  compared.forEach((row) => {
    const single = row.kind === 'decision' ? row.name : row.kind;
    const group = row.kind === 'layer' ? 'layer: ' + row.name : single;
    groups.set(group, (groups.get(group) || []).concat([row]));
  });
  return groups;
}

function compareName(row) {
  if (row.feature !== null && row.feature !== undefined) return featureName(row.layer, row.feature);
  return row.kind === 'layer' ? 'layer ' + row.layer : label(row.name, 14);
}

function comparePart(look, index, group, shown, [first, second]) {
  const tipOf = (at) =>
    tip(escapeHtml(group + ' ' + compareName(shown[at])), [
      [first, number(shown[at].first)],
      [second, number(shown[at].second)],
      ['difference', number(shown[at].difference)],
    ]);
  const values = (column) => shown.map((row) => row[column]);
  const series = [
    barSeries(look, first, values('first'), look.accent, tipOf),
    barSeries(look, second, values('second'), look.bet, tipOf),
  ];
  return facet(look, index, 1, group, shown.map(compareName), series, shown.length * 26);
}
