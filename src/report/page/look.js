// What every picture shares: colors, readable text, numbers, axes. Pure, and free of the document, so that
// the same text draws in a browser and in an engine without one.
'use strict';

// Lightness falls (or, on dark, rises) in equal steps of OKLCH, so that equal differences look equal and the
// order survives color blindness and gray print. The two ends of a diverging scale are blue and orange, which
// the color blind tell apart.
const LOOKS = {
  light: {
    dark: false,
    text: '#1d2430',
    muted: '#5b6676',
    line: '#d9dee6',
    surface: '#ffffff',
    faint: '#f1f4f8',
    accent: '#1f6cb0',
    bet: '#c85d02',
    stop: '#1f6cb0',
    none: '#8a94a3',
    ramp: ['#eff7f7', '#c4e2e5', '#97ccd7', '#6ab5cb', '#3f9cc5', '#1981bd', '#2d64a0', '#304a82', '#2c3362'],
    diverging: [
      '#0e5caf',
      '#4e82c4',
      '#83a8d7',
      '#b9cee8',
      '#f3f3f3',
      '#e3c5b2',
      '#cd9875',
      '#b56c35',
      '#8f4802',
    ],
    groups: ['#1f6cb0', '#c85d02', '#4b8b3b', '#8a5aa8', '#a8862a', '#5b6676'],
  },
  dark: {
    dark: true,
    text: '#e4e9f0',
    muted: '#9aa6b5',
    line: '#343d4a',
    surface: '#171c23',
    faint: '#202731',
    accent: '#55aee8',
    bet: '#f19a4b',
    stop: '#55aee8',
    none: '#7b8796',
    ramp: ['#2c2e32', '#364355', '#3b5b78', '#34769a', '#0995b4', '#09b3c1', '#4cd1b7', '#a7e3a5', '#eef1ab'],
    diverging: [
      '#71bfff',
      '#5499d0',
      '#487398',
      '#3b5062',
      '#2e2e2e',
      '#5d4936',
      '#8d653e',
      '#c08445',
      '#f4a34b',
    ],
    groups: ['#55aee8', '#f19a4b', '#7fc36c', '#c39be0', '#d8bd5e', '#9aa6b5'],
  },
};

// No quotes: ECharts writes the list into an attribute as it is.
const FONT = 'system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, DejaVu Sans, sans-serif';

// Text as HTML.
function escapeHtml(text) {
  const names = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return String(text).replace(/[&<>"']/g, (character) => names[character]);
}

// A token as one can see it: line breaks and tabs as arrows, outer spaces as dots, control characters as their
// pictures, and what no XML may hold as the replacement character.
function visible(token) {
  const text = String(token === null || token === undefined ? '' : token);
  if (text === '') return '∅';
  const dots = (spaces) => '·'.repeat(spaces.length);
  return text
    .replace(/^ +/, dots)
    .replace(/ +$/, dots)
    .replace(/\r\n|\n|\r/g, '↵')
    .replace(/\t/g, '⇥')
    .replace(/[\u0000-\u001f]/g, (character) => String.fromCharCode(0x2400 + character.charCodeAt(0)))
    .replace(/[\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
    .replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (character) => {
      return '‹' + character.charCodeAt(0).toString(16).toUpperCase() + '›';
    });
}

// The same, cut to a length, for axes. Text that runs from right to left is isolated from its surroundings.
function label(token, length) {
  const shown = Array.from(visible(token));
  const text = shown.length > length ? shown.slice(0, length - 1).join('') + '…' : shown.join('');
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(text) ? '\u2068' + text + '\u2069' : text;
}

// The same for HTML.
function tokenHtml(token) {
  return '<bdi class="token">' + escapeHtml(visible(token)) + '</bdi>';
}

// A number with three significant digits, for people; answers themselves are not rounded.
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (Number.isInteger(value)) return grouped(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2).replace('-', '−').replace('e+', 'e');
  const shown = size >= 1000 ? grouped(Math.round(value)) : String(Number(value.toPrecision(3)));
  return shown.replace('-', '−');
}

// A whole number with thin spaces between its thousands.
function grouped(value) {
  const digits = String(Math.abs(value)).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
  return (value < 0 ? '−' : '') + digits;
}

function percent(value) {
  return value === null || value === undefined ? '–' : number(value * 100) + ' %';
}

// A feature as it is written on the command line.
function featureName(layer, feature) {
  return 'L' + layer + '-' + feature;
}

// The page of a feature on Neuronpedia, where its dictionary has one. An id has one slash.
function neuronpedia(look, layer, feature) {
  const id = (look.neuronpedia || {})[layer];
  if (!id || !/^[\w.-]+\/[\w.-]+$/.test(id)) return null;
  return 'https://www.neuronpedia.org/' + id + '/' + feature;
}

// The name of a feature as HTML, with a link to its page where there is one.
function featureHtml(look, layer, feature) {
  const page = neuronpedia(look, layer, feature);
  const name = featureName(layer, feature);
  return page
    ? name + ' <a href="' + page + '" target="_blank" rel="noopener noreferrer">Neuronpedia</a>'
    : name;
}

// The distinct values of a column, in the order in which they come.
function distinct(rows, column) {
  return Array.from(new Set(rows.map((row) => row[column])));
}

function extent(values) {
  return values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
}

// Lines of a tooltip: pairs of a name and HTML that is escaped already.
function tip(title, pairs) {
  const lines = pairs.map(([name, html]) => {
    return '<div class="tip-row"><span>' + escapeHtml(name) + '</span><b>' + html + '</b></div>';
  });
  return '<div class="tip"><div class="tip-title">' + title + '</div>' + lines.join('') + '</div>';
}

// What every option starts from.
function base(look, title) {
  return {
    animation: false,
    backgroundColor: look.background || 'transparent',
    textStyle: { fontFamily: FONT, color: look.text, fontSize: 12 },
    title: look.titled
      ? {
          text: title,
          left: 12,
          top: 8,
          textStyle: { fontSize: 15, fontWeight: 400, color: look.text },
        }
      : undefined,
    tooltip: {
      confine: true,
      enterable: true,
      hideDelay: 250,
      backgroundColor: look.surface,
      borderColor: look.line,
      padding: [8, 10],
      textStyle: { color: look.text, fontSize: 12, fontFamily: FONT },
      extraCssText: 'max-width: min(340px, 86vw); white-space: normal;',
    },
    aria: { enabled: !look.titled },
  };
}

// The room above a plot: for the title of a picture that stands alone.
function above(look, more) {
  return (look.titled ? 36 : 8) + (more || 0);
}

function categoryAxis(look, data, more) {
  return Object.assign(
    {
      type: 'category',
      data,
      axisLine: { lineStyle: { color: look.line } },
      axisTick: { show: false },
      axisLabel: { color: look.text, fontSize: 11, hideOverlap: true },
      splitLine: { show: false },
      nameTextStyle: { color: look.muted },
    },
    more,
  );
}

function valueAxis(look, name, more) {
  return Object.assign(
    {
      type: 'value',
      name,
      nameLocation: 'middle',
      nameGap: 28,
      nameTextStyle: { color: look.muted, fontSize: 12 },
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { color: look.muted, fontSize: 11, hideOverlap: true, formatter: (value) => number(value) },
      splitLine: { lineStyle: { color: look.line } },
    },
    more,
  );
}

// The scale of a heat map, drawn below it.
function colorScale(look, name, low, high, colors) {
  return {
    type: 'continuous',
    min: low,
    max: high === low ? low + 1 : high,
    calculable: false,
    orient: 'horizontal',
    left: 'center',
    bottom: 4,
    itemWidth: 12,
    itemHeight: Math.min(220, (look.width || 600) * 0.4),
    text: [number(high), number(low) + '  ' + name],
    textStyle: { color: look.muted, fontSize: 11 },
    textGap: 8,
    inRange: { color: colors || look.ramp },
    formatter: (value) => number(value),
  };
}

// A scale with zero in the middle.
function balancedScale(look, name, values) {
  const [low, high] = extent(values);
  const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
  return colorScale(look, name, -size, size, look.diverging);
}

// The color of a value between 0 and 1, mixed between the steps of a scale.
function shade(colors, share) {
  const at = Math.max(0, Math.min(1, share)) * (colors.length - 1);
  const lower = Math.min(Math.floor(at), colors.length - 2);
  const mixed = [1, 3, 5].map((start) => {
    const [from, to] = [colors[lower], colors[lower + 1]].map((color) =>
      parseInt(color.slice(start, start + 2), 16),
    );
    return Math.round(from + (to - from) * (at - lower));
  });
  return 'rgb(' + mixed.join(', ') + ')';
}

// Black or white, whichever is read better on a color of the form rgb(r, g, b).
function inkOn(color) {
  const [red, green, blue] = color.match(/\d+/g).map((part) => (Number(part) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 ? '#10151c' : '#ffffff';
}
