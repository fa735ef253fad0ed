//! Pictures of the result, as SVG.
//!
//! Owns two kinds: horizontal bars, and lines over a logarithmic axis.

use std::fmt::Write as _;

/// The width of a picture.
const WIDTH: f64 = 760.0;
/// The space left of the bars, for their names.
const NAMES: f64 = 150.0;
/// The space right of the bars, for their values.
const VALUES: f64 = 90.0;
/// The height of a bar with the space around it.
const ROW: f64 = 24.0;
/// The height of the title.
const TITLE: f64 = 40.0;
/// The colours of Okabe and Ito, which people with colour blindness can tell apart.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A bar: a name, a value, and whether it is highlighted.
#[derive(Clone, Debug)]
pub struct Bar {
    /// The name.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Whether the bar is one of ours.
    pub is_ours: bool,
}

/// A line: a name and its points.
#[derive(Clone, Debug)]
pub struct Line {
    /// The name.
    pub name: String,
    /// The points. The horizontal axis is logarithmic.
    pub points: Vec<(f64, f64)>,
}

/// Draws bars from zero, the values in `unit`.
#[must_use]
pub fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    let largest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut body = String::new();
    let mut top = TITLE;
    for Bar { name, value, is_ours } in bars {
        let width = (WIDTH - NAMES - VALUES) * value / largest;
        let colour = COLOURS[usize::from(!is_ours)];
        let (middle, end) = (top + ROW / 2.0 + 4.0, NAMES + width + 6.0);
        // Writing to a `String` never fails.
        writeln!(
            body,
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{NAMES:.0}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\n\
             <text x=\"{end:.1}\" y=\"{middle:.0}\">{} {unit}</text>",
            NAMES - 8.0,
            top + 3.0,
            ROW - 6.0,
            short(*value)
        )
        .ok();
        top += ROW;
    }
    picture(title, top + 12.0, &body)
}

/// Draws lines over a logarithmic horizontal axis. The vertical axis starts at zero.
#[must_use]
pub fn lines(title: &str, horizontal: &str, vertical: &str, lines: &[Line]) -> String {
    const HEIGHT: f64 = 320.0;
    const LEFT: f64 = 70.0;
    let (bottom, right) = (HEIGHT - 50.0, WIDTH - 30.0);
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let most = points().map(|(x, _)| x).fold(1.0, f64::max);
    let highest = points().map(|(_, y)| y).fold(f64::MIN_POSITIVE, f64::max);
    let at = |x: f64, y: f64| {
        (LEFT + (right - LEFT) * x.ln() / most.ln().max(f64::MIN_POSITIVE), bottom - (bottom - TITLE) * y / highest)
    };
    let mut body = format!(
        "<path d=\"M{LEFT:.0} {TITLE:.0}V{bottom:.0}H{right:.0}\" fill=\"none\" stroke=\"#666\"/>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{horizontal}</text>\n\
         <text x=\"{LEFT:.0}\" y=\"{:.0}\">{vertical}</text>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\n\
         <text x=\"{:.0}\" y=\"{bottom:.0}\" text-anchor=\"end\">0</text>\n",
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0,
        TITLE - 6.0,
        LEFT - 6.0,
        TITLE + 8.0,
        short(highest),
        LEFT - 6.0
    );
    let mut marked: Vec<_> = points().map(|(x, _)| x).collect();
    marked.sort_by(f64::total_cmp);
    marked.dedup();
    for x in marked {
        let (left, _) = at(x, 0.0);
        let below = bottom + 16.0;
        writeln!(body, "<text x=\"{left:.1}\" y=\"{below:.0}\" text-anchor=\"middle\">{}</text>", short(x)).ok();
    }
    for (index, Line { name, points }) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<_> = points.iter().map(|(x, y)| at(*x, *y)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (left, top) = (LEFT + 20.0 + 160.0 * f64::from(u32::try_from(index).unwrap_or_default()), bottom - 12.0);
        writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{left:.0}\" y=\"{top:.0}\" fill=\"{colour}\">{name}</text>",
            path.join(" ")
        )
        .ok();
    }
    picture(title, HEIGHT, &body)
}

/// Returns a number with two or three digits that count.
#[must_use]
pub fn short(value: f64) -> String {
    match value {
        _ if value.fract().abs() < f64::EPSILON && value >= 1.0 || value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn picture(title: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bar_fills_the_width_and_half_of_it_is_half() {
        let bar = |name: &str, value| Bar { name: name.into(), value, is_ours: name == "a" };
        let picture = bars("t", "ms", &[bar("a", 1.5), bar("b", 3.0)]);
        for expected in ["width=\"260.0\"", "width=\"520.0\"", ">1.50 ms<", ">3 ms<", ">b<", COLOURS[0], COLOURS[1]] {
            assert!(picture.contains(expected), "{expected} in {picture}");
        }
    }

    #[test]
    fn a_line_ends_at_the_corners_of_its_axes() {
        let line = Line { name: "login".into(), points: vec![(1.0, 0.0), (100.0, 50.0)] };
        let picture = lines("t", "x", "y", &[line]);
        assert!(picture.contains("points=\"70.0,270.0 730.0,40.0\""), "{picture}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.123, 4.0, 12.34, 284.4].map(short), ["0.12", "4", "12.3", "284"]);
    }
}
