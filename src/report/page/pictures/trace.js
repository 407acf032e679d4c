// The picture of a trace: from tokens through features to the decision, drawn from left to right.
'use strict';

// The nodes of one end of an edge.
function traceNode(look, kind, layer, position, token, feature) {
  const name = feature === null || feature === undefined ? null : featureName(layer, feature);
  if (kind === 'token') {
    return {
      id: 't' + position,
      column: -1,
      order: position,
      position,
      token,
      label: position + ' ' + label(token, look.narrow ? 6 : 12),
    };
  }
  return {
    id: layer + '/' + position + '/' + feature,
    column: layer,
    order: position,
    position,
    token,
    layer,
    feature,
    label: name + (look.narrow ? '' : ' @' + position),
  };
}

const DECISION_NODE = { id: 'decision', column: Infinity, order: 0, label: 'decision' };

// The edges that are drawn: the strongest outputs, of each the strongest features where the decision is made and
// elsewhere (the decision's own position carries everything that it keeps, and would crowd out the others), and the
// strongest tokens of these.
function traceEdges(rows, look) {
  const size = (row) => Math.abs(row.score || 0);
  const strongest = (edges, most) =>
    edges
      .slice()
      .sort((a, b) => size(b) - size(a))
      .slice(0, most);
  const key = (layer, position, feature) => layer + '/' + position + '/' + feature;
  const outputs = strongest(
    rows.filter((row) => row.kind === 'output'),
    look.narrow ? 6 : 8,
  );
  const targets = new Set(outputs.map((row) => row.from_feature));
  const features = Array.from(targets).flatMap((target) => {
    const own = rows.filter((row) => row.kind === 'feature' && row.to_feature === target);
    const here = own.filter((row) => row.from_position === row.to_position);
    const elsewhere = own.filter((row) => row.from_position !== row.to_position);
    return strongest(here, look.narrow ? 1 : 2).concat(strongest(elsewhere, look.narrow ? 2 : 4));
  });
  const sources = new Set(features.map((row) => key(row.from_layer, row.from_position, row.from_feature)));
  const perSource = new Map();
  const tokens = strongest(
    rows.filter((row) => row.kind === 'token'),
    rows.length,
  ).filter((row) => {
    const to = key(row.to_layer, row.to_position, row.to_feature);
    const count = (perSource.get(to) || 0) + 1;
    perSource.set(to, count);
    return sources.has(to) && count <= (look.narrow ? 1 : 2);
  });
  return { outputs, features, tokens };
}

function edgeNodes(row, look) {
  const from = traceNode(
    look,
    row.kind === 'token' ? 'token' : 'feature',
    row.from_layer,
    row.from_position,
    row.from_token,
    row.from_feature,
  );
  const to =
    row.kind === 'output'
      ? DECISION_NODE
      : traceNode(look, 'feature', row.to_layer, row.to_position, row.to_token, row.to_feature);
  return { from, to };
}

// game, step, kind, from_layer, from_position, from_token, from_feature, to_layer, to_position, to_token,
// to_feature, attention, activation, coupling, score, correlation.
function traceStep(rows, look) {
  const { outputs, features, tokens } = traceEdges(rows, look);
  const edges = tokens.concat(features, outputs).map((row) => Object.assign({ row }, edgeNodes(row, look)));
  return layered(
    edges,
    look,
    'What the decision can be traced to (observational), ' + stepName(rows[0]),
    (edge) => {
      const { row } = edge;
      return [
        ['score', number(row.score)],
        ['attention', percent(row.attention)],
        ['activation', number(row.activation)],
        ['coupling', number(row.coupling)],
        ['correlation over steps', number(row.correlation)],
      ].filter(([, shown]) => shown !== '–');
    },
  );
}

// to_layer, to_feature, from_layer, from_span, from_feature, n_steps, activation, coupling, score, correlation.
function traceAll(rows, look) {
  const strongest = rows
    .slice()
    .sort((a, b) => Math.abs(b.correlation || 0) - Math.abs(a.correlation || 0))
    .slice(0, look.narrow ? 16 : 32);
  const edges = strongest.map((row) => ({
    row,
    from: {
      id: row.from_layer + '/' + row.from_span + '/' + row.from_feature,
      column: row.from_layer,
      order: row.from_feature,
      token: row.from_span,
      layer: row.from_layer,
      feature: row.from_feature,
      label:
        featureName(row.from_layer, row.from_feature) +
        (look.narrow ? '' : ' in ' + label(row.from_span, 12)),
    },
    to: {
      id: row.to_layer + '//' + row.to_feature,
      column: row.to_layer,
      order: row.to_feature,
      layer: row.to_layer,
      feature: row.to_feature,
      label: featureName(row.to_layer, row.to_feature),
    },
  }));
  return layered(edges, look, 'Features that go together over steps (observational)', ({ row }) =>
    [
      ['correlation', number(row.correlation)],
      ['score', number(row.score)],
      ['coupling', number(row.coupling)],
      ['mean activation', number(row.activation)],
      ['steps', number(row.n_steps)],
    ].filter(([, shown]) => shown !== '–'),
  );
}

// The nodes of the edges, each once, with places: a column a layer, in each column by the order of reading.
function placed(edges, look, height) {
  const nodes = new Map();
  edges.forEach((edge) => [edge.from, edge.to].forEach((node) => nodes.set(node.id, node)));
  const columns = Array.from(new Set(Array.from(nodes.values()).map((node) => node.column))).sort(
    (a, b) => a - b,
  );
  // Tokens stand left of their nodes, so that no edge runs through them.
  const left = columns[0] === -1 ? (look.narrow ? 58 : 112) : 10;
  const width = (look.width || 600) - left - (look.narrow ? 62 : 118);
  return columns.flatMap((column, index) => {
    const own = Array.from(nodes.values()).filter((node) => node.column === column);
    own.sort((a, b) => a.order - b.order || (a.feature || 0) - (b.feature || 0));
    return own.map((node, row) =>
      Object.assign(
        {
          x: left + (width * index) / Math.max(1, columns.length - 1),
          y: above(look, 26) + ((row + 0.5) * (height - above(look, 26) - 12)) / own.length,
        },
        node,
      ),
    );
  });
}

function columnSizes(edges) {
  const columns = new Map();
  edges.forEach((edge) =>
    [edge.from, edge.to].forEach((node) => {
      if (!columns.has(node.column)) columns.set(node.column, new Set());
      columns.get(node.column).add(node.id);
    }),
  );
  return columns;
}

function nodeColor(node, look, columns) {
  if (node.column === Infinity) return look.bet;
  if (node.column === -1) return look.none;
  return look.groups[
    columns.filter((column) => column >= 0 && column < Infinity).indexOf(node.column) % 2 === 0 ? 0 : 2
  ];
}

function layered(edges, look, title, pairsOf) {
  const sizes = columnSizes(edges);
  const tallest = Math.max(...Array.from(sizes.values()).map((ids) => ids.size));
  const height = above(look, 26) + (tallest < 12 ? Math.max(6, tallest) * 26 : tallest * 17) + 12;
  const nodes = placed(edges, look, height);
  const columns = Array.from(sizes.keys()).sort((a, b) => a - b);
  // The scores of the kinds are no one scale: each column of edges has its own widest one.
  const widest = new Map();
  edges.forEach(({ row }) =>
    widest.set(row.kind, Math.max(widest.get(row.kind) || 0, Math.abs(row.score || row.correlation || 0))),
  );
  const width = ({ row }) =>
    0.6 + 3.4 * (Math.abs(row.score || row.correlation || 0) / (widest.get(row.kind) || 1));
  const sign = ({ row }) => (row.score || row.correlation || 0) < 0;
  const option = Object.assign(base(look, title), {
    graphic: columnHeads(columns, nodes, look),
    series: [
      {
        type: 'graph',
        layout: 'none',
        coordinateSystem: undefined,
        left: 0,
        right: 0,
        top: 0,
        bottom: 0,
        roam: false,
        preserveAspect: false,
        data: nodes.map((node) => graphNode(node, look, columns)),
        links: edges.map((edge) => ({
          source: edge.from.id,
          target: edge.to.id,
          lineStyle: {
            width: width(edge),
            color: sign(edge) ? look.bet : look.accent,
            opacity: 0.38,
            curveness: 0.12,
          },
          tooltip: {
            formatter: () => tip(edgeTitle(edge), pairsOf(edge)),
          },
        })),
        emphasis: { focus: 'adjacency', lineStyle: { opacity: 0.95 } },
        tooltip: {},
      },
    ],
  });
  return { option: pinned(option, look, height), height };
}

function edgeTitle(edge) {
  return nodeTitle(edge.from) + ' → ' + nodeTitle(edge.to);
}

function nodeTitle(node) {
  if (node.column === Infinity) return 'decision';
  const token = node.token === undefined || node.token === null ? '' : tokenHtml(node.token);
  if (node.feature === null || node.feature === undefined)
    return token + ' <small>position ' + escapeHtml(node.position) + '</small>';
  return escapeHtml(featureName(node.layer, node.feature)) + (token ? ' at ' + token : '');
}

function graphNode(node, look, columns) {
  return {
    id: node.id,
    name: node.id,
    x: node.x,
    y: node.y,
    symbolSize: node.column === Infinity ? 14 : 8,
    itemStyle: { color: nodeColor(node, look, columns), borderColor: look.surface, borderWidth: 1 },
    symbol: node.column === -1 ? 'rect' : 'circle',
    label: {
      show: true,
      position: node.column === -1 ? 'left' : 'right',
      distance: 4,
      fontSize: look.narrow ? 9 : 11,
      color: look.text,
      textBorderColor: look.surface,
      textBorderWidth: 2,
      formatter: () => node.label,
    },
    tooltip: {
      formatter: () =>
        tip(nodeTitle(node), node.position === undefined ? [] : [['position', String(node.position)]]),
    },
    page: node.feature === undefined ? null : neuronpedia(look, node.layer, node.feature),
  };
}

// The two corners, so that the layout without stretching keeps to the coordinates given.
function pinned(option, look, height) {
  const corner = (id, x, y) => ({
    id,
    name: id,
    x,
    y,
    symbolSize: 0,
    label: { show: false },
    tooltip: { show: false },
    silent: true,
  });
  option.series[0].data.push(corner('corner-a', 0, 0), corner('corner-b', look.width || 600, height));
  return option;
}

function columnHeads(columns, nodes, look) {
  return columns.map((column) => ({
    type: 'text',
    left: column === -1 ? 2 : nodes.find((node) => node.column === column).x - 4,
    top: above(look),
    silent: true,
    style: {
      text: column === -1 ? 'tokens' : column === Infinity ? '' : (look.narrow ? 'L' : 'layer ') + column,
      fill: look.muted,
      font: (look.titled ? '' : '600 ') + '11px ' + FONT,
    },
  }));
}
