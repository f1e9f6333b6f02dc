//! A function's log lines, which are also CloudWatch metrics (embedded metric format).
//!
//! The member `_aws` of a JSON log line names the fields that CloudWatch extracts as metrics. CloudWatch charges for
//! each metric that a line names, so a line names only the metrics that it reports.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// CloudWatch namespace of all metrics.
const NAMESPACE: &str = "hookbridge";

/// A log line with metrics. Every metric has the dimension `function`.
pub struct MetricLine {
    fields: Map<String, Value>,
    metrics: Vec<Value>,
    /// Names of fields, each of which is a second dimension of every metric, next to `function`.
    dimensions: Vec<&'static str>,
}

impl MetricLine {
    /// Creates a line without metrics. `function` is the function's name.
    pub fn new(function: &str) -> Self {
        let fields = Map::from_iter([("function".to_owned(), function.into())]);
        Self { fields, metrics: Vec::new(), dimensions: Vec::new() }
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a field that is also a second dimension of every metric of this line, next to `function`.
    pub fn dimension(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.dimensions.push(name);
        self.field(name, value)
    }

    /// Adds a metric that is a count.
    pub fn count(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.metric_in(name, "Count", value)
    }

    /// Adds a metric that counts one if `value` is true, else zero.
    pub fn count_if(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.count(name, u8::from(value))
    }

    /// Adds a metric that is a duration in milliseconds.
    pub fn milliseconds(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.metric_in(name, "Milliseconds", value)
    }

    /// Adds a metric that is a duration in seconds.
    pub fn seconds(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.metric_in(name, "Seconds", value)
    }

    /// Adds a metric without a unit, in a line that must be short.
    pub fn metric(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.metrics.push(json!({"Name": name}));
        self.field(name, value)
    }

    fn metric_in(&mut self, name: &'static str, unit: &str, value: impl Into<Value>) -> &mut Self {
        self.metrics.push(json!({"Name": name, "Unit": unit}));
        self.field(name, value)
    }
}

impl From<MetricLine> for String {
    fn from(MetricLine { mut fields, metrics, dimensions }: MetricLine) -> Self {
        if !metrics.is_empty() {
            let by_function = [json!(["function"])];
            let dimensions =
                by_function.into_iter().chain(dimensions.iter().map(|name| json!(["function", name])));
            let dimensions: Vec<_> = dimensions.collect();
            let directive = json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics});
            let aws =
                json!({"Timestamp": Timestamp::now().as_millisecond(), "CloudWatchMetrics": [directive]});
            fields.insert("_aws".to_owned(), aws);
        }
        Value::Object(fields).to_string()
    }
}
