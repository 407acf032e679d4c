// Which picture belongs to which question.
'use strict';

const PICTURES = {
  attribution: { step: attributionStep, all: attributionAll },
  features: { step: featuresStep, all: featuresAll },
  flow: { step: flowStep, all: flowAll },
  heatmap: { step: heatmapStep, all: heatmapAll },
  position: { step: positionStep, all: positionAll },
  contrast: { all: contrastAll },
  trace: { step: traceStep, all: traceAll },
  'last-token': { step: lastTokenStep, all: lastTokenAll },
  compare: { all: compareAll },
  overview: { all: overviewAll },
};

// The picture of an answer: an option of ECharts and a height in pixels. `rows` is the answer as JSON gives it,
// at least one row; `more` says how wide the picture is and what is chosen: width, narrow, titled, layer, value,
// groupNames, tokens, neuronpedia, background.
function picture(question, rows, scheme, more) {
  const scopes = PICTURES[question];
  const scope = rows.length > 0 && rows[0].game !== undefined ? 'step' : 'all';
  if (!scopes || !scopes[scope]) return null;
  return scopes[scope](rows, Object.assign({}, LOOKS[scheme], more));
}
