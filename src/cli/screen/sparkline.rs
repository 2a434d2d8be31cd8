//! A row of bars, one for each sample.

/// From nothing to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The newest samples that fit, the newest at the right. A sample that is missing is a gap; the highest of those shown is a whole bar.
pub(in crate::cli) fn sparkline(
    samples: impl DoubleEndedIterator<Item = Option<f64>>,
    width: usize,
) -> String {
    let mut shown: Vec<_> = samples.rev().take(width).collect();
    shown.reverse();
    let most = shown.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |sample: &Option<f64>| match sample {
        None => ' ',
        Some(value) => BARS[height(*value, most)],
    };
    shown.iter().map(bar).collect()
}

fn height(value: f64, most: f64) -> usize {
    if most <= 0.0 || value <= 0.0 {
        return 0;
    }
    let above = BARS[1..].len();
    // Whatever is not nothing shows: the lowest bar is for nothing alone.
    let steps = (1..=above).rev();
    let reached = |step: &usize| value * as_float(above) >= most * (as_float(*step) - 0.5);
    steps.clone().find(reached).unwrap_or(1)
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_from_nothing_to_the_most() {
        let all = (0..8).map(|n| Some(f64::from(n) * 100.0));
        assert_eq!(sparkline(all, 20), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline([Some(0.0), Some(0.0)].into_iter(), 9), "▁▁");
        let little = [Some(0.001), None, Some(1000.0)].into_iter();
        assert_eq!(sparkline(little, 9), "▂ █", "something is not nothing");
    }

    #[test]
    fn only_the_newest_are_shown() {
        let samples = [Some(1000.0), Some(1.0), Some(0.0)].into_iter();
        assert_eq!(sparkline(samples, 2), "█▁");
    }
}
