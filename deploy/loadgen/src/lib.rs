//! Open-loop load of signed transfers and latency histograms.
