//! The recorder behind `/metrics`.

use std::sync::LazyLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::metric;

/// Bounds of the poll histogram, in seconds.
const POLL_BUCKETS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0,
];

/// Bounds of the delivery histogram, in seconds.
const DELIVERY_BUCKETS: [f64; 13] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

static HANDLE: LazyLock<Result<PrometheusHandle, String>> = LazyLock::new(install);

/// Installs the recorder of this process at the first call, and returns its handle. The owner
/// must call [`PrometheusHandle::run_upkeep`] every few seconds, or histograms keep every sample.
pub fn install_metrics() -> Result<PrometheusHandle, String> {
    HANDLE.clone()
}

fn install() -> Result<PrometheusHandle, String> {
    let poll_seconds = Matcher::Full(metric::POLL_SECONDS.to_owned());
    let delivery_seconds = Matcher::Full(metric::DELIVERY_SECONDS.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(poll_seconds, &POLL_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(delivery_seconds, &DELIVERY_BUCKETS))
        .map_err(|error| error.to_string())?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    metric::describe();
    Ok(handle)
}
