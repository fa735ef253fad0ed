//! Draws lines over a day as an SVG picture, with a logarithmic vertical axis.
//!
//! Owns the axes, the colours and the legend. The background is white, so that the picture is also readable on a dark
//! page. Leaves the values to the caller.

use std::fmt::Write as _;

/// A picture: values over the 24 hours of a day.
pub struct Chart {
    /// What the picture shows, with the unit.
    pub title: &'static str,
    /// The lines. The first one has the first colour.
    pub lines: Vec<Line>,
}

/// A line of a picture.
pub struct Line {
    /// The name in the legend.
    pub name: &'static str,
    /// The values, at equal intervals from midnight to midnight. Values below 0.1 are not drawn.
    pub values: Vec<f64>,
}

const COLOURS: [&str; 6] = ["#0969da", "#bf5700", "#1a7f37", "#8250df", "#cf222e", "#7d6600"];

const STYLE: &str = "<style>text { font: 12px sans-serif; fill: #24292f } .end { text-anchor: end } \
                     .middle { text-anchor: middle }</style>";

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const PLOT: f64 = 240.0;

/// The smallest value that is drawn.
const SMALLEST: f64 = 0.1;

impl Chart {
    /// Returns the picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let ticks = self.ticks();
        let (low, high) = (ticks.first().copied().unwrap_or(SMALLEST), ticks.last().copied().unwrap_or(1.0));
        let y = |value: f64| TOP + PLOT - (value / low).log10() / (high / low).log10() * PLOT;
        let x = |hour: f64| LEFT + hour / 24.0 * (WIDTH - LEFT - RIGHT);
        let rows = u32::try_from(self.lines.len().div_ceil(2)).unwrap_or_default();
        let height = TOP + PLOT + 40.0 + 20.0 * f64::from(rows);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{title}</title>\n{STYLE}\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{title}</text>\n",
            title = self.title
        );
        let mut draw = |element: String| {
            // Writing to a `String` never fails.
            writeln!(svg, "{element}").ok();
        };
        for &tick in &ticks {
            let (at, end) = (y(tick), WIDTH - RIGHT);
            draw(format!("<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#d0d7de\"/>"));
            draw(format!("<text class=\"end\" x=\"{}\" y=\"{:.1}\">{tick}</text>", LEFT - 8.0, at + 4.0));
        }
        for hour in (0..=24_u32).step_by(3) {
            let (at, below) = (x(hour.into()), TOP + PLOT + 18.0);
            draw(format!("<text class=\"middle\" x=\"{at:.1}\" y=\"{below}\">{hour}:00</text>"));
        }
        for (index, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let path = Self::path(line, x, y);
            draw(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"));
            let (column, row) = ([LEFT, WIDTH / 2.0][index % 2], u32::try_from(index / 2).unwrap_or_default());
            let at = TOP + PLOT + 44.0 + 20.0 * f64::from(row);
            draw(format!("<path d=\"M{column} {:.1}h20\" stroke=\"{colour}\" stroke-width=\"3\"/>", at - 4.0));
            draw(format!("<text x=\"{}\" y=\"{at}\">{}</text>", column + 28.0, line.name));
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Returns the commands that draw a line. A value that is too small interrupts it.
    fn path(line: &Line, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
        let count = f64::from(u32::try_from(line.values.len()).unwrap_or(u32::MAX));
        let (mut path, mut is_drawing) = (String::new(), false);
        for (index, &value) in line.values.iter().enumerate() {
            let is_visible = value >= SMALLEST;
            if is_visible {
                let middle = f64::from(u32::try_from(index).unwrap_or(u32::MAX)) + 0.5;
                let command = if is_drawing { 'L' } else { 'M' };
                write!(path, "{command}{:.1} {:.1}", x(middle * 24.0 / count), y(value)).ok();
            }
            is_drawing = is_visible;
        }
        path
    }

    /// Returns the values on the vertical axis, the smallest first: 1, 2, 5, 10 and so on, from a value below all lines
    /// to a value above them.
    fn ticks(&self) -> Vec<f64> {
        let values = || self.lines.iter().flat_map(|line| &line.values).copied().filter(|&value| value >= SMALLEST);
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(SMALLEST, f64::max));
        let all = (-1..=9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        let all: Vec<_> = all.collect();
        let first = all.iter().rposition(|&tick| tick <= low).unwrap_or_default();
        let last = all.iter().position(|&tick| tick >= high && tick > all[first]).unwrap_or(all.len() - 1);
        all.into_iter().take(last + 1).skip(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<f64>) -> String {
        Chart { title: "A title", lines: vec![Line { name: "a line", values }] }.svg()
    }

    #[test]
    fn a_line_goes_from_the_bottom_to_the_top_of_its_axis() {
        let svg = chart(vec![1.0, 10.0, 100.0]);
        assert!(svg.contains("<path d=\"M177.3 280.0L404.0 160.0L630.7 40.0\""), "{svg}");
        assert!(svg.contains(">a line</text>") && svg.contains(">A title</title>"));
        let ticks = [1, 2, 5, 10, 20, 50, 100].map(|tick| svg.contains(&format!(">{tick}</text>")));
        assert!(ticks == [true; 7] && !svg.contains(">200</text>") && !svg.contains(">0.5</text>"), "{svg}");
    }

    #[test]
    fn a_line_has_a_gap_where_the_value_is_zero() {
        let svg = chart(vec![10.0, 0.0, 100.0]);
        assert!(svg.contains("<path d=\"M177.3 280.0M630.7 40.0\""), "{svg}");
    }

    #[test]
    fn equal_values_are_drawn_at_the_bottom() {
        assert!(chart(vec![5.0, 5.0]).contains("<path d=\"M234.0 280.0L574.0 280.0\""));
        assert!(chart(vec![0.0]).starts_with("<svg "));
    }
}
