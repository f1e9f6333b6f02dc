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
    /// Additional directives of the embedded metric format: one for each call of [`MetricLine::also_count_by`].
    directives: Vec<Value>,
}

impl MetricLine {
    /// Creates a line without metrics. `function` is the function's name, `request_id` the id of the invocation.
    pub fn new(function: &str, request_id: &str) -> Self {
        let fields = [("function", function), ("request_id", request_id)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
        Self { fields, metrics: Vec::new(), dimensions: Vec::new(), directives: Vec::new() }
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
        self.metric(name, "Count", value)
    }

    /// Adds a metric that counts one if `value` is true, else zero.
    pub fn count_if(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.count(name, u8::from(value))
    }

    /// Adds a metric that is a duration in milliseconds.
    pub fn milliseconds(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.metric(name, "Milliseconds", value)
    }

    /// Adds a metric that is a duration in seconds.
    pub fn seconds(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.metric(name, "Seconds", value)
    }

    /// Reports the count `name` of this line a second time, with the field `dimension` as a second dimension.
    pub fn also_count_by(&mut self, dimension: &'static str, name: &'static str) -> &mut Self {
        self.directives.push(json!({
            "Namespace": NAMESPACE,
            "Dimensions": [["function", dimension]],
            "Metrics": [{"Name": name, "Unit": "Count"}],
        }));
        self
    }

    fn metric(&mut self, name: &'static str, unit: &str, value: impl Into<Value>) -> &mut Self {
        self.metrics.push(json!({"Name": name, "Unit": unit}));
        self.field(name, value)
    }
}

impl From<MetricLine> for String {
    fn from(MetricLine { mut fields, metrics, dimensions, directives }: MetricLine) -> Self {
        if !metrics.is_empty() {
            let by_function = [json!(["function"])];
            let dimensions =
                by_function.into_iter().chain(dimensions.iter().map(|name| json!(["function", name])));
            let dimensions: Vec<_> = dimensions.collect();
            let directive = json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics});
            let directives: Vec<_> = [directive].into_iter().chain(directives).collect();
            let aws =
                json!({"Timestamp": Timestamp::now().as_millisecond(), "CloudWatchMetrics": directives});
            fields.insert("_aws".to_owned(), aws);
        }
        Value::Object(fields).to_string()
    }
}
