// Draws what draw.py has asked of Prometheus, with the components that Grafana itself draws panels with.
import React from 'react';
import { createRoot } from 'react-dom/client';
import {
  FieldType, ThresholdsMode, createDataFrame, createTheme, getDisplayProcessor,
} from '@grafana/data';
import {
  BarGauge, BigValue, BigValueColorMode, BigValueGraphMode, LegendDisplayMode, Table, ThemeContext, TimeSeries,
} from '@grafana/ui';

const theme = createTheme({ colors: { mode: 'dark' } });

function fieldConfig(panel) {
  const { unit, thresholds, color, min, max, custom } = panel.fieldConfig.defaults;
  const steps = (thresholds?.steps ?? [{ value: null, color: 'green' }]).map((s) => ({ ...s, value: s.value ?? -Infinity }));
  return { unit, min, max, color, custom, thresholds: { mode: ThresholdsMode.Absolute, steps } };
}

function seriesFrames(panel, series) {
  return series.map((each, index) => numbered(index, createDataFrame({
    refId: `S${index}`,
    fields: [
      { name: 'Time', type: FieldType.time, values: each.times, config: {} },
      {
        name: each.legend, type: FieldType.number, values: each.values,
        config: {
          ...fieldConfig(panel), displayName: each.legend,
          color: panel.type === 'timeseries' ? { mode: 'palette-classic' } : fieldConfig(panel).color,
        },
      },
    ],
  })));
}

// The place in the palette, and the ends of a sparkline, which Grafana's own pipeline notes down as well.
function numbered(index, frame) {
  const known = frame.fields[1].values.filter((value) => value !== null);
  const [min, max] = [Math.min(0, ...known), Math.max(0.001, ...known)];
  frame.fields[1].state = { seriesIndex: index, range: { min, max, delta: max - min } };
  return frame;
}

function displayed(frames) {
  for (const frame of frames) {
    for (const field of frame.fields) {
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
    }
  }
  return frames;
}

function Lines({ panel, series, range, width, height }) {
  const frames = displayed(seriesFrames(panel, series));
  return (
    <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height}
      legend={{ displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] }} />
  );
}

function Number({ panel, series, width, height }) {
  const frames = displayed(seriesFrames(panel, series.slice(0, 1)));
  if (!frames.length) return null;
  const field = frames[0].fields[1];
  const last = field.values[field.values.length - 1];
  return (
    <BigValue theme={theme} width={width} height={height} value={field.display(last)}
      colorMode={BigValueColorMode.Background} graphMode={BigValueGraphMode.Area}
      sparkline={{ x: frames[0].fields[0], y: field, timeRange: undefined }} />
  );
}

function Bars({ panel, series, width, height }) {
  const most = Math.max(...series.map((each) => each.values[each.values.length - 1]));
  const row = Math.min(34, height / Math.max(1, series.length));
  return series.slice(0, 8).map((each) => {
    const [frame] = displayed(seriesFrames(panel, [{ ...each }]));
    const field = { ...frame.fields[1] };
    field.config = { ...field.config, min: 0, max: most, color: { mode: 'continuous-GrYlRd' } };
    const display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
    const value = display(each.values[each.values.length - 1]);
    return (
      <BarGauge key={each.legend} theme={theme} width={width} height={row - 4} orientation="horizontal"
        displayMode="gradient" field={field.config} display={display} value={{ ...value, title: each.legend }}
        itemSpacing={4} lcdCellWidth={12} />
    );
  });
}

function Rows({ panel, table, width, height }) {
  const frame = createDataFrame({
    fields: table.columns.map((column) => ({
      name: column.name,
      type: column.unit === null ? FieldType.string : FieldType.number,
      values: column.values,
      config: { unit: column.unit ?? undefined, decimals: column.decimals ?? undefined, custom: { width: column['custom.width'] } },
    })),
  });
  return <Table data={displayed([frame])[0]} width={width} height={height} />;
}

function Panel({ shown, range }) {
  const { panel } = shown;
  const width = Math.floor((panel.gridPos.w * 1560) / 24) - 26;
  const height = panel.gridPos.h * 34 - 44;
  const Drawn = { timeseries: Lines, stat: Number, bargauge: Bars, table: Rows }[panel.type];
  return (
    <div className="panel" style={{ gridColumn: `span ${panel.gridPos.w}` }}>
      <h2>{panel.title}</h2>
      <div style={{ height, overflow: 'hidden' }}><Drawn {...shown} range={range} width={width} height={height} /></div>
    </div>
  );
}

async function draw() {
  const { panels, from, to } = await (await fetch('./data.json')).json();
  const { dateTime } = await import('@grafana/data');
  const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  createRoot(document.getElementById('page')).render(
    <ThemeContext.Provider value={theme}>
      {panels.map((shown) => <Panel key={shown.panel.id} shown={shown} range={range} />)}
    </ThemeContext.Provider>
  );
  setTimeout(() => document.body.setAttribute('data-drawn', 'yes'), 3000);
}

draw();
