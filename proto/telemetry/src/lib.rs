//! Tracing subscriber, metrics catalogue and Prometheus scrape of both services.
