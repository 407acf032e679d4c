// Pictures of attention between spans.
'use strict';

// The rows of the mean over heads at one layer; layer −1 is the rollout.
function flowRows(rows, look) {
  const means = rows.filter((row) => row.head === -1 || row.layer === -1);
  const layer = look.layer === -1 && means.some((row) => row.layer === -1) ? -1 : chosenLayer(means, look);
  return { layer, own: means.filter((row) => row.layer === layer) };
}

// Spans in an order of reading: named ones as they come, then the rest.
function flowSpans(rows, column) {
  const late = (name) => (name === '(not kept)' ? 3 : name === '(other)' ? 2 : name === 'decision' ? 1 : 0);
  return distinct(rows, column).sort((a, b) => late(a) - late(b));
}

function flowMatrix(look, title, own, column, scale, tipOf) {
  const [from, to] = [flowSpans(own, 'from_span'), flowSpans(own, 'to_span')];
  const cells = own.map((row) => [to.indexOf(row.to_span), from.indexOf(row.from_span), row[column] * 100]);
  const named = (span) => ({ label: label(span, 18) });
  const picture = matrix(look, title, to.map(named), from.map(named), cells, scale, tipOf);
  const series = picture.option.series[0];
  const inkOf = (value) => inkOn(shade(scale.inRange.color, (value - scale.min) / (scale.max - scale.min)));
  series.data = cells.map((value) => ({ value, label: { color: inkOf(value[2]) } }));
  series.label = {
    show: !look.narrow && to.length <= 16,
    fontSize: 10,
    formatter: (item) => flowLabel(item.value[2], column),
  };
  return zoomable(picture, look, to.length, 15);
}

function flowLabel(value, column) {
  if (value === null || value === undefined) return '';
  const shown = value.toFixed(Math.abs(value) < 9.95 ? 1 : 0);
  return (column === 'difference' && value > 0 ? '+' : '') + shown.replace('-', '−');
}

// game, step, layer, head, from_span, to_span, weight, n_queries.
function flowStep(rows, look) {
  const { layer, own } = flowRows(rows, look);
  const [, high] = extent(own.map((row) => row.weight));
  const title =
    'Attention between spans, %, ' + stepName(rows[0]) + (layer < 0 ? ', rollout' : ', layer ' + layer);
  return flowMatrix(look, title, own, 'weight', colorScale(look, '% of a row', 0, high * 100), (index) => {
    const row = own[index];
    return tip(tokenHtml(row.from_span) + ' → ' + tokenHtml(row.to_span), [
      ['weight', percent(row.weight)],
      ['tokens that attend', number(row.n_queries)],
    ]);
  });
}

// layer, head, from_span, to_span, bet, stop, difference, n_bet, n_stop; look.value picks the column.
function flowAll(rows, look) {
  const { layer, own } = flowRows(rows, look);
  const column = look.value || 'difference';
  const shown = own.filter((row) => row[column] !== null && row[column] !== undefined);
  const [, high] = extent(shown.map((row) => row[column]));
  const scale =
    column === 'difference'
      ? balancedScale(
          look,
          '% of a row, bet − stop',
          shown.map((row) => row[column] * 100),
        )
      : colorScale(look, '% of a row', 0, high * 100);
  const names = { bet: 'before a bet', stop: 'before a stop', difference: 'bet minus stop' };
  const title =
    'Attention between spans, %, ' + names[column] + (layer < 0 ? ', rollout' : ', layer ' + layer);
  return flowMatrix(look, title, shown, column, scale, (index) => {
    const row = shown[index];
    return tip(tokenHtml(row.from_span) + ' → ' + tokenHtml(row.to_span), [
      ['bet', percent(row.bet)],
      ['stop', percent(row.stop)],
      ['difference', percent(row.difference)],
      ['bet steps, stop steps', number(row.n_bet) + ', ' + number(row.n_stop)],
    ]);
  });
}
