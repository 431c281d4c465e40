//! The comparison at the end of a run: `report.json`, a list of the reports of the `metrics` crate.

use serde::Deserialize;

#[derive(Deserialize)]
struct Report {
    sampler: String,
    nfe: Option<u64>,
    n_images: i64,
    latency: Option<Latency>,
    measurements: Vec<Measurement>,
}

#[derive(Deserialize)]
struct Latency {
    per_image_ms: f64,
}

#[derive(Deserialize)]
struct Measurement {
    info: Metric,
    value: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) unit: String,
    pub(crate) recipe: String,
}

/// Rows of samplers, columns of metrics. Values of different recipes have columns of their own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) sampler: String,
    pub(crate) cells: Vec<String>,
}

impl Table {
    /// The table of a `report.json`, or why it is none.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let reports: Vec<Report> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let mut metrics: Vec<Metric> = Vec::new();
        for measurement in reports.iter().flat_map(|report| &report.measurements) {
            if !metrics.contains(&measurement.info) {
                metrics.push(measurement.info.clone());
            }
        }
        let rows = reports.into_iter().map(|report| row(report, &metrics)).collect();
        Ok(Self { metrics, rows })
    }
}

fn row(report: Report, metrics: &[Metric]) -> Row {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let mut cells = vec![
        or_dash(report.nfe.map(|nfe| nfe.to_string())),
        report.n_images.to_string(),
        or_dash(report.latency.map(|latency| format!("{:.2}", latency.per_image_ms))),
    ];
    cells.extend(metrics.iter().map(|metric| {
        let found = report.measurements.iter().find(|m| m.info == *metric);
        or_dash(found.and_then(|m| m.value).map(|value| format!("{value:.4}")))
    }));
    Row { sampler: report.sampler.replace('_', " "), cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(recipe: &str, value: &str) -> String {
        format!(
            r#"{{"info":{{"name":"n","label":"SW1","unit":"u","direction":"LowerIsBetter","recipe":"{recipe}"}},"value":{value}}}"#
        )
    }

    #[test]
    fn recipes_have_columns_of_their_own() {
        let (one, two) = (measured("one", "0.5"), measured("two", "null"));
        let json = format!(
            r#"[{{"sampler":"real","nfe":null,"n_images":4,"latency":null,"measurements":[{one}]}},
                {{"sampler":"a_b","nfe":1,"n_images":4,"latency":{{"per_image_ms":0.25}},"measurements":[{two},{one}]}}]"#
        );
        let table = Table::parse(json.as_bytes()).unwrap();
        assert_eq!(table.metrics.iter().map(|m| &m.recipe[..]).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(table.rows[0].cells, ["–", "4", "–", "0.5000", "–"]);
        assert_eq!(table.rows[1].sampler, "a b");
        assert_eq!(table.rows[1].cells, ["1", "4", "0.25", "0.5000", "–"]);
    }

    #[test]
    fn another_file_is_no_table() {
        assert!(Table::parse(b"{}").is_err());
        assert!(Table::parse(b"[{]").is_err());
    }
}
