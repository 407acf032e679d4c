// The picture of a contrast: how large each difference is, and how sure.
'use strict';

// The smallest q that is drawn as it is; smaller ones lie at the upper edge.
const SMALLEST_Q = 1e-30;

function sureness(q) {
  return -Math.log10(Math.max(q, SMALLEST_Q));
}

function contrastTip(row, look) {
  const [first, second] = look.groupNames || ['first', 'second'];
  return tip(featureHtml(look, row.layer, row.feature) + ' in ' + tokenHtml(row.span), [
    ['effect (Cohen’s d)', number(row.effect)],
    ['q', number(row.q_value)],
    ['p', number(row.p_value)],
    ['mean, ' + first, number(row.mean_first) + ' (' + number(row.n_first) + ' steps)'],
    ['mean, ' + second, number(row.mean_second) + ' (' + number(row.n_second) + ' steps)'],
    ['fires in', number(row.support) + ' of ' + number(row.games) + ' games'],
  ]);
}

// layer, span, feature, n_first, n_second, games, support, mean_first, mean_second, difference, effect,
// statistic, p_value, q_value.
function contrastAll(rows, look) {
  const tested = rows.filter((row) => row.q_value !== null && row.effect !== null);
  const layers = distinct(tested, 'layer').sort((a, b) => a - b);
  const [first, second] = look.groupNames || ['first', 'second'];
  const sure = tested.filter((row) => row.q_value < 0.05).sort((a, b) => a.q_value - b.q_value);
  const named = new Set(sure.slice(0, look.narrow ? 4 : 8));
  const series = layers.map((layer, index) => {
    const own = tested.filter((row) => row.layer === layer);
    return contrastSeries(own, layer, index, named, look);
  });
  if (series.length > 0) series[0].markLine = significance(look);
  const [less, more] = ['← more at ' + label(second, 16), 'more at ' + label(first, 16) + ' →'];
  const option = Object.assign(base(look, 'Features that differ: ' + first + ' against ' + second), {
    grid: { left: 52, right: 20, top: above(look, 26), bottom: 48 },
    legend: legend(look),
    xAxis: valueAxis(look, [less, 'effect (Cohen’s d)', more].join('   ')),
    yAxis: valueAxis(look, '−log10 q', {
      nameGap: 34,
      min: 0,
      max: (range) => Math.max(1.5, Math.ceil(range.max * 1.05)),
    }),
    series,
  });
  return { option, height: 400 };
}

// The points of one layer; those in `named` have their name beside them.
function contrastSeries(own, layer, index, named, look) {
  const name = (item) => {
    const row = own[item.dataIndex];
    return named.has(row) ? featureName(layer, row.feature) : '';
  };
  return {
    type: 'scatter',
    name: 'layer ' + layer,
    symbol: ['circle', 'diamond', 'triangle', 'rect'][index % 4],
    symbolSize: own.length > 400 ? 5 : 8,
    itemStyle: { color: look.groups[index % look.groups.length], opacity: 0.7 },
    data: own.map((row) => ({
      value: [row.effect, sureness(row.q_value)],
      itemStyle: { opacity: row.q_value < 0.05 ? 0.85 : 0.35 },
    })),
    tooltip: { formatter: (item) => contrastTip(own[item.dataIndex], look) },
    label: { show: true, position: 'top', fontSize: 10, color: look.text, formatter: name },
    labelLayout: { hideOverlap: true },
  };
}

function significance(look) {
  return {
    silent: true,
    symbol: 'none',
    lineStyle: { color: look.muted, type: 'dashed' },
    data: [{ yAxis: sureness(0.05) }],
    label: { formatter: 'q = 0.05', color: look.muted, fontSize: 10, position: 'insideEndTop' },
  };
}
