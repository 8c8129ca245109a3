// The type of a dashboard, by Grafana's schema. An unknown name is an error, and so is a value of another type.

import type {
  AnnotationQuery,
  Dashboard,
  FieldConfigSource,
  Panel,
  RowPanel,
} from "@grafana/schema";
import type * as Heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as Logs from "@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen";
import type * as NodeGraph from "@grafana/schema/dist/esm/raw/composable/nodegraph/panelcfg/x/NodeGraphPanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as StateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// Missing fields have defaults, and the value of an enumeration is its text.
type Written<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer Item)[]
      ? Written<Item>[]
      : { [Name in keyof T]?: Written<T[Name]> };

// The kind of a panel determines its options, and the `custom` part of its fields.
type Kind<Type, Options, Custom> = Written<Omit<Panel, "type" | "options" | "fieldConfig">> & {
  type: Type;
  options?: Written<Options>;
  fieldConfig?: {
    defaults?: Written<Omit<FieldConfigSource["defaults"], "custom">> & { custom?: Written<Custom> };
    overrides?: Written<FieldConfigSource["overrides"]>;
  };
};

export type Whole = Written<Omit<Dashboard, "panels" | "annotations">> & {
  // Each data source has its own names for queries.
  annotations?: { list: (Written<AnnotationQuery> & { expr?: string; step?: string; textFormat?: string; titleFormat?: string })[] };
  panels: (
    | (Written<Omit<RowPanel, "type">> & { type: "row" })
    | Kind<"heatmap", Heatmap.Options, Heatmap.FieldConfig>
    | Kind<"logs", Logs.Options, never>
    | Kind<"nodeGraph", NodeGraph.Options, never>
    | Kind<"stat", Stat.Options, never>
    | Kind<"state-timeline", StateTimeline.Options, StateTimeline.FieldConfig>
    | Kind<"table", Table.Options, Table.FieldConfig>
    | Kind<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>
  )[];
};
