//! Instruments that can only be used as they were declared: no free labels, durations in seconds.

use super::{Kind, Metric, labels::Label};
use opentelemetry::{KeyValue, metrics};
use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Key of the one label that counters may have.
const REASON: &str = "reason";

/// Builds an instrument from its declaration.
pub(super) trait Instrument {
    fn build(meter: &metrics::Meter, metric: &Metric) -> Self;
}

/// Counts events.
#[derive(Clone, Debug)]
pub struct Counter(metrics::Counter<u64>);

impl Counter {
    /// Counts `count` events.
    pub fn add(&self, count: u64) {
        self.0.add(count, &[]);
    }

    /// Counts one event.
    pub fn increment(&self) {
        self.add(1);
    }
}

impl Instrument for Counter {
    fn build(meter: &metrics::Meter, metric: &Metric) -> Self {
        let counter = Self(build_counter(meter, metric));
        counter.add(0);
        counter
    }
}

/// Counts events by their reason.
#[derive(Clone, Debug)]
pub struct LabelledCounter<L> {
    counter: metrics::Counter<u64>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> LabelledCounter<L> {
    /// Counts `count` events with this reason.
    pub fn add(&self, count: u64, reason: L) {
        self.add_text(count, reason.text());
    }

    /// Counts one event with this reason.
    pub fn increment(&self, reason: L) {
        self.add(1, reason);
    }

    fn add_text(&self, count: u64, reason: &'static str) {
        self.counter.add(count, &[KeyValue::new(REASON, reason)]);
    }
}

impl<L: Label> Instrument for LabelledCounter<L> {
    fn build(meter: &metrics::Meter, metric: &Metric) -> Self {
        let counter = Self { counter: build_counter(meter, metric), label: PhantomData };
        for reason in L::TEXTS {
            counter.add_text(0, reason);
        }
        counter
    }
}

/// Shows the present value of something.
#[derive(Clone, Debug)]
pub struct Gauge(metrics::Gauge<u64>);

impl Gauge {
    /// Sets the present value.
    pub fn set(&self, value: u64) {
        self.0.record(value, &[]);
    }
}

impl Instrument for Gauge {
    fn build(meter: &metrics::Meter, metric: &Metric) -> Self {
        let builder = meter.u64_gauge(metric.name).with_unit(metric.unit);
        Self(builder.with_description(metric.description).build())
    }
}

/// Shows the present value of something that is looked at whenever the metrics are read, since nobody is told when it
/// changes.
#[derive(Clone)]
pub struct ObservedGauge(Arc<OnceLock<Observe>>);

/// Looks.
type Observe = Box<dyn Fn() -> u64 + Send + Sync>;

impl ObservedGauge {
    /// Looks by `observe` from now on, which must not wait. Only the first one counts.
    pub fn watch(&self, observe: impl Fn() -> u64 + Send + Sync + 'static) {
        self.0.set(Box::new(observe)).ok();
    }
}

impl fmt::Debug for ObservedGauge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ObservedGauge").field(&self.0.get().map(|observe| observe())).finish()
    }
}

impl Instrument for ObservedGauge {
    fn build(meter: &metrics::Meter, metric: &Metric) -> Self {
        let observed = Self(Arc::default());
        let source = Arc::clone(&observed.0);
        let builder = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
        builder
            .with_description(metric.description)
            .with_callback(move |observer| {
                if let Some(observe) = source.get() {
                    observer.observe(observe(), &[]);
                }
            })
            .build();
        observed
    }
}

/// Distribution of durations.
#[derive(Clone, Debug)]
pub struct Histogram(metrics::Histogram<f64>);

impl Histogram {
    /// Records one duration.
    pub fn record(&self, duration: Duration) {
        self.0.record(duration.as_secs_f64(), &[]);
    }
}

impl Instrument for Histogram {
    fn build(meter: &metrics::Meter, metric: &Metric) -> Self {
        let builder = meter.f64_histogram(metric.name).with_unit(metric.unit);
        let builder = builder.with_description(metric.description);
        Self(match metric.kind {
            Kind::Histogram(bounds) => builder.with_boundaries(bounds.to_vec()).build(),
            Kind::Counter | Kind::Gauge => builder.build(),
        })
    }
}

fn build_counter(meter: &metrics::Meter, metric: &Metric) -> metrics::Counter<u64> {
    meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.description).build()
}
