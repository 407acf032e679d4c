// The tokens of a step as text: colored, with arcs of attention to and from the chosen token.
'use strict';

const SHADES = {
  importance: ['importance (share)', percent],
  attention: ['attention of the decision', percent],
  unexplained: ['unexplained share of the residual norm', percent],
  l0: ['active features (L0)', number],
};

const STRIP = { step: null, layer: null, shade: 'importance', chosen: null, span: null, tokens: new Map() };

// Shows a step at a layer; the chosen token is the decision at first.
function showStrip(step, layer, decision) {
  const other = STRIP.step !== step;
  Object.assign(STRIP, { step, layer, decision, values: stripValues(step, layer) });
  if (other) Object.assign(STRIP, { chosen: decision, span: null });
  writeSpans();
  writeTokens();
  choose(STRIP.chosen);
}

// What is known of each position at the layer.
function stripValues(step, layer) {
  const values = new Map(step.tokens.map((row) => [row.position, Object.assign({}, row)]));
  const at = step.layers[layer] || {};
  const add = (read, names) =>
    (read ? read.rows : []).forEach((row) => {
      const of = values.get(row.position);
      if (of)
        names.forEach((name) => {
          of[name] = row[name];
        });
    });
  add(at.attribution, ['importance', 'feature_norm']);
  add(at.positions, ['l0', 'unexplained', 'attention']);
  return values;
}

function writeSpans() {
  const names = distinct(STRIP.step.spans, 'name');
  byId('spans').replaceChildren(
    ...names.map((name) =>
      element(
        'button',
        {
          type: 'button',
          class: 'chip',
          'aria-pressed': String(STRIP.span === name),
          onclick: () => {
            STRIP.span = STRIP.span === name ? null : name;
            writeSpans();
            markSpan();
          },
        },
        tokenElement(name),
      ),
    ),
  );
  markSpan();
}

function markSpan() {
  const spans = STRIP.step.spans.filter((span) => span.name === STRIP.span);
  STRIP.tokens.forEach((made, position) => {
    const inside = spans.some((span) => position >= span.position_start && position < span.position_end);
    made.classList.toggle('in-span', inside);
  });
}

function writeTokens() {
  STRIP.tokens.clear();
  const [, most] = extent(Array.from(STRIP.values.values()).map((row) => row[STRIP.shade] || 0));
  const nodes = STRIP.step.tokens.flatMap((row) => {
    const made = stripToken(row, most);
    STRIP.tokens.set(row.position, made);
    const breaks = (String(row.token).match(/\n/g) || []).slice(0, 2).map(() => element('br'));
    return [made].concat(breaks.length > 0 ? breaks : [element('wbr')]);
  });
  byId('strip-text').replaceChildren(...nodes);
  markSpan();
  writeLegend(most);
}

function stripToken(row, most) {
  const value = STRIP.values.get(row.position)[STRIP.shade];
  const classes = ['tok', row.is_special ? 'special' : '', row.is_generated ? 'generated' : ''].join(' ');
  const made = element(
    'span',
    { class: classes, id: 'token-' + row.position, role: 'option', 'data-position': row.position },
    tokenElement(row.token),
  );
  // The square root, as the legend says: a few tokens hold most of the attention.
  if (value !== undefined && value !== null && most > 0) {
    const color = shade(LOOKS[scheme()].ramp, Math.sqrt(Math.max(0, value) / most));
    made.style.backgroundColor = color;
    made.style.color = inkOn(color);
  }
  if (row.position === STRIP.decision) made.classList.add('decision');
  return made;
}

function writeLegend(most) {
  const [name, text] = SHADES[STRIP.shade];
  const ramp = LOOKS[scheme()].ramp;
  const bar = element('span', {
    class: 'ramp',
    style: 'background: linear-gradient(to right, ' + ramp.join(', ') + ')',
  });
  const ticks = [0, 0.5, 1].map((at) => element('span', {}, text(most * at * at)));
  byId('strip-legend').replaceChildren(
    element('span', {}, name + ', square root scale'),
    element('span', { class: 'scale' }, [bar, element('span', { class: 'ticks' }, ticks)]),
  );
}

// Chooses a token: marks it, draws its arcs, says what is known of it.
function choose(position) {
  STRIP.chosen = position;
  STRIP.tokens.forEach((made, at) => {
    made.classList.toggle('chosen', at === position);
    made.setAttribute('aria-selected', String(at === position));
  });
  byId('strip-text').setAttribute('aria-activedescendant', 'token-' + position);
  drawArcs(position);
  describe(position);
}

// The weights kept from a position, the heaviest first.
function attends(position) {
  const at = STRIP.step.layers[STRIP.layer] || {};
  const rows = at.pattern ? at.pattern.rows : [];
  return rows
    .filter((row) => row.query === position)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, 8);
}

function drawArcs(position) {
  const svg = byId('arcs');
  const box = byId('strip').getBoundingClientRect();
  svg.setAttribute('viewBox', '0 0 ' + box.width + ' ' + box.height);
  const colors = LOOKS[scheme()];
  const arcs = attends(position).map((row) => arc(box, position, row.key, row.weight, colors.accent));
  const seen = STRIP.values.get(position);
  if (position !== STRIP.decision && seen && seen.attention > 0) {
    arcs.push(arc(box, STRIP.decision, position, seen.attention, colors.bet));
  }
  svg.replaceChildren(...arcs.filter(Boolean));
}

// An arc from a token to one that it attends to; its width says how much.
function arc(box, from, to, weight, color) {
  const [start, end] = [STRIP.tokens.get(from), STRIP.tokens.get(to)];
  if (!start || !end) return null;
  const middle = (made) => {
    const own = made.getClientRects()[0] || made.getBoundingClientRect();
    return [own.left - box.left + own.width / 2, own.top - box.top + 2];
  };
  const [[x1, y1], [x2, y2]] = [middle(start), middle(end)];
  const lift = Math.min(70, 14 + Math.hypot(x2 - x1, y2 - y1) / 4);
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const shape =
    from === to
      ? `M${x1 - 5} ${y1} c-8 -18 18 -18 10 0`
      : `M${x1} ${y1} Q${(x1 + x2) / 2} ${Math.min(y1, y2) - lift} ${x2} ${y2}`;
  path.setAttribute('d', shape);
  path.setAttribute('stroke', color);
  path.setAttribute('stroke-width', String(Math.max(1, 7 * Math.sqrt(Math.min(weight, 0.5)))));
  // The first token takes what attention is not needed elsewhere, and would cover the text.
  const resting = to === 0 || STRIP.values.get(to).is_special;
  path.setAttribute('class', resting ? 'resting' : '');
  return path;
}

// Says in words what is known of a token.
function describe(position) {
  const row = STRIP.values.get(position);
  if (!row) return;
  const facts = Object.entries(SHADES).filter(([name]) => row[name] !== undefined && row[name] !== null);
  const name = [tokenElement(row.token), element('small', {}, ' position ' + position + kindOf(row))];
  const lines = [
    ...facts.map(([fact, [title, text]]) => factLine(title, [text(row[fact])])),
    factLine('spans', listed(spansAt(position).map(tokenElement)), true),
    factLine('attends to', listed(attends(position).slice(0, 5).map(attendedTo)), true),
    factLine('features shown below', listed(featuresAt(position).map(activeFeature)), true),
  ];
  byId('token-facts').replaceChildren(
    element('p', { class: 'token-name' }, name),
    element('dl', {}, lines.filter(Boolean)),
  );
}

function spansAt(position) {
  const inside = (span) => position >= span.position_start && position < span.position_end;
  return distinct(STRIP.step.spans.filter(inside), 'name');
}

// The strongest of the features that the heat map shows.
function featuresAt(position) {
  const { heatmap } = STRIP.step.layers[STRIP.layer] || {};
  const here = (heatmap ? heatmap.rows : []).filter((row) => row.position === position);
  return here.sort((a, b) => b.activation - a.activation).slice(0, 5);
}

function attendedTo(kept) {
  const { token } = STRIP.values.get(kept.key);
  return element('span', {}, [kept.key + ' ', tokenElement(token), ' ' + percent(kept.weight)]);
}

function activeFeature(row) {
  const name = featureElement(look(), STRIP.layer, row.feature);
  return element('span', {}, [name, ' ' + number(row.activation)]);
}

function factLine(name, parts, wide) {
  if (parts.length === 0) return null;
  const line = [element('dt', {}, name), element('dd', {}, parts)];
  return element('div', { class: wide ? 'wide' : null }, line);
}

// Elements with commas between them.
function listed(items) {
  const comma = () => element('span', { class: 'comma' }, ', ');
  return items.flatMap((item, index) => (index === 0 ? [item] : [comma(), item]));
}

function kindOf(row) {
  if (row.position === STRIP.decision) return ', where the decision is made';
  return row.is_special ? ', special token' : row.is_generated ? ', generated' : '';
}

// Pointer, touch and keys.
function listenToStrip() {
  const text = byId('strip-text');
  const positionOf = (event) => {
    const made = event.target.closest('.tok');
    return made ? Number(made.dataset.position) : null;
  };
  ['pointerover', 'click'].forEach((kind) =>
    text.addEventListener(kind, (event) => {
      const position = positionOf(event);
      if (position !== null && position !== STRIP.chosen) choose(position);
    }),
  );
  text.addEventListener('keydown', (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
    const last = STRIP.step.tokens.length - 1;
    const to = event.key === 'Home' ? 0 : event.key === 'End' ? last : move ? STRIP.chosen + move : null;
    if (to === null) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(last, to)));
    STRIP.tokens.get(STRIP.chosen).scrollIntoView({ block: 'nearest' });
  });
}
