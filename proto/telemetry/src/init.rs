//! Setting up the subscriber of events and the registry of metrics.

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::{Resource, error::OTelSdkError, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use std::{io, str::FromStr};
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// Scope name of all instruments.
const SCOPE: &str = "metanode";
/// Environment variable that replaces the configured filter.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// How events are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one line an event.
    #[default]
    Text,
    /// For collectors: one JSON object a line, fields flattened beside `timestamp`, `level` and `message`.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::Format { found: text.to_owned() }),
        }
    }
}

/// Why observation cannot be set up. All are mistakes of the operator but the last two.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Neither `text` nor `json`.
    #[error("log format `{found}` is neither `text` nor `json`")]
    Format {
        /// What was given.
        found: String,
    },
    /// The filter is not one of tracing's.
    #[error("log filter `{filter}` is malformed")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The exporter could not be built.
    #[error("cannot set up metrics")]
    Metrics {
        /// What OpenTelemetry said.
        #[source]
        source: OTelSdkError,
    },
    /// Metrics could not be written as text.
    #[error("cannot write metrics as text")]
    Encode {
        /// What the encoder said.
        #[source]
        source: prometheus::Error,
    },
}

/// The metrics of one service. Cloning shares them.
///
/// Each value has a registry of its own, so several services in one process do not mix.
#[derive(Clone, Debug)]
pub struct Telemetry {
    registry: Registry,
    provider: SdkMeterProvider,
}

impl Telemetry {
    /// Sets up events on standard error and metrics for `service_name`, which becomes `service_name` of the series
    /// `target_info`. `filter` is in the syntax of tracing's `EnvFilter` (such as `info,consensus_svc=debug`);
    /// `RUST_LOG` replaces it. Where the process has a subscriber already, that one stays: events of all its services
    /// go there.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`], [`TelemetryError::Metrics`].
    pub fn init(service_name: &str, format: LogFormat, filter: &str) -> Result<Self, TelemetryError> {
        let filter = std::env::var(FILTER_VARIABLE)
            .ok()
            .filter(|filter| !filter.is_empty())
            .unwrap_or(filter.to_owned());
        let events =
            EnvFilter::try_new(&filter).map_err(|source| TelemetryError::Filter { filter, source })?;
        let telemetry = Self::new(service_name)?;
        let subscriber = tracing_subscriber::fmt().with_env_filter(events).with_writer(io::stderr);
        let first = match format {
            LogFormat::Text => subscriber.try_init().is_ok(),
            LogFormat::Json => subscriber.json().flatten_event(true).try_init().is_ok(),
        };
        if !first {
            tracing::debug!(service = service_name, "subscriber of the process is kept");
        }
        Ok(telemetry)
    }

    /// Metrics alone, for tests: no subscriber is installed, nothing global is touched.
    ///
    /// # Errors
    /// [`TelemetryError::Metrics`].
    pub fn for_test() -> Result<Self, TelemetryError> {
        Self::new("test")
    }

    /// Where instruments are made.
    pub fn meter(&self) -> Meter {
        self.provider.meter(SCOPE)
    }

    /// All metrics as Prometheus text.
    ///
    /// # Errors
    /// [`TelemetryError::Encode`].
    pub fn render(&self) -> Result<String, TelemetryError> {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).map_err(|source| TelemetryError::Encode { source })
    }

    fn new(service_name: &str) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|source| TelemetryError::Metrics { source })?;
        let resource = Resource::builder_empty().with_service_name(service_name.to_owned()).build();
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter).build();
        Ok(Self { registry, provider })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_init_keeps_the_subscriber_and_has_metrics_of_its_own() {
        let first = Telemetry::init("a", LogFormat::Text, "info").unwrap();
        let second = Telemetry::init("b", LogFormat::Json, "info").unwrap();
        first.meter().u64_counter("only.first").build().add(1, &[]);
        assert!(first.render().unwrap().contains("only_first_total 1"));
        let second = second.render().unwrap();
        assert!(!second.contains("only_first"));
    }

    #[test]
    fn the_service_is_named_once() {
        let telemetry = Telemetry::for_test().unwrap();
        telemetry.meter().u64_gauge("x").build().record(3, &[]);
        let text = telemetry.render().unwrap();
        assert!(text.contains("target_info{service_name=\"test\"} 1"), "{text}");
        assert!(text.contains("\nx 3\n"), "{text}");
    }

    #[test]
    fn log_formats_are_named_in_lower_case() {
        assert_eq!("text".parse::<LogFormat>().unwrap(), LogFormat::Text);
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!(matches!("JSON".parse::<LogFormat>(), Err(TelemetryError::Format { .. })));
    }
}
