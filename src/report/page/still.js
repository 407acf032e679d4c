// Draws a picture that stands alone, without a document: rows in, SVG out.
'use strict';

// The engine has no clock, and a still picture needs none.
globalThis.setTimeout = () => 0;
globalThis.clearTimeout = () => {};

// The SVG of an answer, `rows` being JSON; an empty text if the question has no picture.
function drawStill(question, rows, width) {
  const more = { width, titled: true, background: LOOKS.light.surface };
  const drawn = picture(question, JSON.parse(rows), 'light', more);
  if (drawn === null) return '';
  const chart = echarts.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width,
    height: Math.ceil(drawn.height),
  });
  chart.setOption(drawn.option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
