//! Draws samples as box plots in text.
//!
//! Owns the table of quartiles and the scale, which all rows share. Leaves the output to the caller.

use std::fmt::Write as _;
use std::time::Duration;

use crate::statistics::Sample;

const WIDTH: usize = 48;

/// Returns a table of quartiles with a box plot in each row.
///
/// The box spans the first to the third quartile, and the bar in it is the median. The whiskers end at the 5th and the
/// 95th percentile.
#[must_use]
pub fn table(classes: &[(&str, &Sample)]) -> String {
    let at = |percent| classes.iter().map(move |(_, sample)| sample.percentile(percent));
    let (low, high) = (at(5).min().unwrap_or_default(), at(95).max().unwrap_or_default());
    let (unit, per_second) = if high < Duration::from_millis(1) { ("µs", 1e6) } else { ("ms", 1e3) };
    let show = |time: Duration| format!("{:.2}", time.as_secs_f64() * per_second);
    let scale = format!("{} {unit}", show(low));
    let end = format!("{} {unit}", show(high));
    let mut text = format!(
        "{:<16}{:>7}{:>9}{:>9}{:>9}{:>9}   {scale}{end:>rest$}\n",
        "",
        "n",
        "q1",
        "median",
        "q3",
        "p95",
        rest = WIDTH.saturating_sub(scale.len()),
    );
    for (name, sample) in classes {
        let [q1, median, q3, p95] = [25, 50, 75, 95].map(|percent| show(sample.percentile(percent)));
        let plot = line(sample, low, high);
        let n = sample.len();
        // Writing to a `String` never fails.
        writeln!(text, "{name:<16}{n:>7}{q1:>9}{median:>9}{q3:>9}{p95:>9}   {plot}").ok();
    }
    text
}

fn line(sample: &Sample, low: Duration, high: Duration) -> String {
    let column = |percent| {
        let (from_low, all) =
            (sample.percentile(percent).saturating_sub(low).as_nanos(), high.saturating_sub(low).as_nanos());
        let column = (from_low * (WIDTH as u128 - 1)).checked_div(all).unwrap_or_default();
        usize::try_from(column).unwrap_or(usize::MAX).min(WIDTH - 1)
    };
    let [start, q1, median, q3, end] = [5, 25, 50, 75, 95].map(column);
    let letter = |column| match column {
        _ if column == median => '┃',
        _ if (q1..=q3).contains(&column) => '▒',
        _ if column == start => '├',
        _ if column == end => '┤',
        _ if (start..=end).contains(&column) => '─',
        _ => ' ',
    };
    (0..WIDTH).map(letter).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_and_whiskers_are_drawn_at_the_percentiles() {
        let all = Sample::new((0..=1000).map(Duration::from_micros).collect());
        let upper = Sample::new((500..=1000).map(Duration::from_micros).collect());
        let text = table(&[("all", &all), ("upper", &upper)]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("975.00 µs") && lines[0].contains(" 50.00 µs"), "{text}");
        assert!(lines[1].starts_with("all                1001   250.00   500.00   750.00   950.00   ├"), "{text}");
        let columns = |line: &str| line.chars().filter(|letter| *letter == '▒').count();
        assert_eq!((columns(lines[1]), columns(lines[2])), (25, 12), "{text}");
        assert!(lines[2].ends_with('┤') && lines[2].contains("   ├"), "{text}");
    }

    #[test]
    fn equal_times_are_drawn_as_a_bar() {
        let equal = Sample::new(vec![Duration::from_millis(3); 5]);
        assert!(table(&[("equal", &equal)]).ends_with("3.00   ┃\n"));
    }
}
