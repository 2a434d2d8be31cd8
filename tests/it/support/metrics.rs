//! What `/metrics` says.

use super::gateway::Client;

/// The sum of a metric's series that have these labels; 0 if there are none.
pub async fn metric(client: &Client, name: &str, labels: &[(&str, &str)]) -> f64 {
    let page = client.get("/metrics").await.text;
    let series = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let rest = series.strip_prefix(name)?;
        let ours = rest.is_empty() || rest.starts_with('{');
        let all = labels
            .iter()
            .all(|(key, value)| rest.contains(&format!("{key}=\"{value}\"")));
        (ours && all).then(|| value.parse::<f64>().unwrap())
    });
    series.sum()
}
