// Bars and dots from the side, which most pictures are made of.
'use strict';

// The width that labels need, at most two fifths of the picture.
function labelWidth(look, labels) {
  const longest = labels.reduce((most, text) => Math.max(most, Array.from(text).length), 0);
  return Math.round(Math.min(14 + longest * 6.8, (look.width || 600) * 0.42));
}

// The height of a picture with rows of bars.
function barsHeight(look, rows, more) {
  return above(look) + Math.max(1, rows) * 20 + 56 + (more || 0);
}

// A narrow legend takes two lines.
function legendHeight(look, more) {
  if (!(more || {}).legend) return 0;
  return look.narrow ? 42 : 24;
}

function legend(look) {
  return {
    top: look.titled ? 34 : 0,
    left: 8,
    itemHeight: 10,
    itemWidth: 10,
    itemGap: 18,
    textStyle: { color: look.muted, fontSize: 11 },
  };
}

// A plot of rows: categories from top to bottom, values from left to right.
function sideways(look, title, categories, valueName, series, more) {
  const labels = categories.map((category) => category.label);
  const height = barsHeight(look, categories.length, legendHeight(look, more));
  const option = Object.assign(base(look, title), {
    grid: {
      left: labelWidth(look, labels),
      right: 24,
      top: above(look, legendHeight(look, more)),
      bottom: 44,
    },
    legend: (more || {}).legend ? legend(look) : undefined,
    xAxis: valueAxis(look, valueName, (more || {}).axis),
    yAxis: categoryAxis(look, labels, {
      inverse: true,
      axisLabel: {
        color: look.text,
        fontSize: 11,
        interval: 0,
        width: labelWidth(look, labels) - 10,
        overflow: 'truncate',
      },
    }),
    series,
  });
  return { option, height };
}

// One series of bars with a tooltip for each row.
function barSeries(look, name, data, color, tipOf) {
  return {
    type: 'bar',
    name,
    barMaxWidth: 12,
    barCategoryGap: '30%',
    itemStyle: { color, borderRadius: 2 },
    data: data.map((value) => ({ value })),
    tooltip: { formatter: (item) => tipOf(item.dataIndex) },
  };
}

// Dots on the same axis; `points` are pairs of a value and the row it lies on.
function dotSeries(look, name, points, color, tipOf, symbol) {
  return {
    type: 'scatter',
    name,
    symbol: symbol || 'circle',
    symbolSize: 9,
    itemStyle: { color, opacity: 0.9 },
    data: points,
    z: 3,
    tooltip: { formatter: (item) => tipOf(item.dataIndex) },
  };
}

// A matrix of cells: `cells` are [column, row, value].
function matrix(look, title, columns, rows, cells, scale, tipOf, more) {
  const rowLabels = rows.map((row) => row.label);
  const left = labelWidth(look, rowLabels);
  const slanted = columns.reduce((most, column) => Math.max(most, Array.from(column.label).length), 0);
  const below = Math.min(110, 14 + slanted * 5.4);
  const top = above(look);
  const height = top + rows.length * ((more || {}).rowHeight || 22) + below + 52;
  const option = Object.assign(base(look, title), {
    grid: { left, right: 16, top, bottom: below + 48 },
    xAxis: categoryAxis(
      look,
      columns.map((column) => column.label),
      {
        axisLabel: {
          color: look.text,
          fontSize: 11,
          rotate: 45,
          interval: 0,
          width: 120,
          overflow: 'truncate',
        },
      },
    ),
    yAxis: categoryAxis(look, rowLabels, {
      inverse: true,
      axisLabel: { color: look.text, fontSize: 11, interval: 0, width: left - 10, overflow: 'truncate' },
    }),
    visualMap: scale,
    series: [
      {
        type: 'heatmap',
        data: cells,
        itemStyle: { borderColor: look.surface, borderWidth: 1 },
        emphasis: { itemStyle: { borderColor: look.text, borderWidth: 1 } },
        progressive: 0,
        tooltip: { formatter: (item) => tipOf(item.dataIndex) },
      },
    ],
  });
  return { option, height };
}

// A matrix whose columns are too narrow to read at once gets a slider; a picture that stands alone shows all of it.
function zoomable(picture, look, columns, narrowest) {
  const { option } = picture;
  const room = ((look.width || 600) - option.grid.left - option.grid.right) / narrowest;
  if (columns <= room) return picture;
  Object.assign(option.xAxis.axisLabel, { interval: 'auto', hideOverlap: true, fontSize: 10 });
  if (look.titled) return picture;
  option.dataZoom = [
    {
      type: 'slider',
      bottom: 44,
      height: 18,
      start: 0,
      end: (100 * room) / columns,
      showDetail: false,
      brushSelect: false,
      borderColor: look.line,
      fillerColor: 'rgba(85, 140, 190, 0.22)',
      handleStyle: { color: look.accent },
      moveHandleSize: 0,
    },
    { type: 'inside', zoomOnMouseWheel: 'ctrl', moveOnMouseWheel: 'shift', moveOnMouseMove: true },
  ];
  option.grid.bottom += 26;
  return { option, height: picture.height + 26 };
}
