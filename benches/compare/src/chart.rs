//! Figures as a drawing: a line for each question, a dot for everybody who answered, to the right of 1 when it is better
//! than strata.

use std::fmt::Write as _;

use crate::engine::Engine;
use crate::row::{Row, Unit};

const WIDTH: f64 = 980.0;
const LEFT: f64 = 360.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 70.0;
const LINE: f64 = 24.0;
/// The decades of the axis to both sides of 1.
const DECADES: f64 = 3.0;

/// One colour for each engine, in their order; limits are hollow.
const COLOURS: [&str; 12] = [
    "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf", "#555555",
    "#777777", "#999999", "#bcbd22",
];

/// The drawing as SVG.
pub fn svg(rows: &[Row], engines: &[&'static dyn Engine]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.answer("strata").is_some()).collect();
    let height = TOP + LINE * (rows.len() as f64 + 1.5);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    legend(&mut text, engines);
    let bottom = TOP + LINE * rows.len() as f64;
    for decade in -DECADES as i32..=DECADES as i32 {
        let x = place(10_f64.powi(decade));
        let width = if decade == 0 { 2 } else { 1 };
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ccc\" stroke-width=\"{width}\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            10_f64.powi(decade)
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + LINE * (index as f64 + 0.5);
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            y + 4.0,
            row.question
        );
        for (number, engine) in engines.iter().enumerate() {
            if let Some(times) = times_better(row, engine.name()) {
                dot(&mut text, place(times), y, number, *engine);
            }
        }
    }
    text + "</svg>\n"
}

/// How many times better than strata: more a second, or fewer milliseconds or bytes.
fn times_better(row: &Row, name: &str) -> Option<f64> {
    let (own, other) = (row.answer("strata")?.median(), row.answer(name)?.median());
    Some(if row.unit == Unit::Rate { other / own } else { own / other })
}

/// Where on the axis; what lies beyond its ends is drawn at them.
fn place(times: f64) -> f64 {
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let decade = (WIDTH - RIGHT - LEFT) / (2.0 * DECADES);
    middle + times.log10().clamp(-DECADES, DECADES) * decade
}

fn dot(text: &mut String, x: f64, y: f64, number: usize, engine: &dyn Engine) {
    let colour = COLOURS[number % COLOURS.len()];
    let (fill, radius) = match engine.is_limit() {
        true => ("none", 4.0),
        false => (colour, if number == 0 { 6.0 } else { 4.0 }),
    };
    let _ = writeln!(
        text,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
    );
}

fn legend(text: &mut String, engines: &[&'static dyn Engine]) {
    text.push_str(
        "<text x=\"10\" y=\"20\">how many times better than strata; hollow dots are limits</text>\n",
    );
    let step = (WIDTH - RIGHT) / engines.len().max(1) as f64;
    for (number, engine) in engines.iter().enumerate() {
        let x = 16.0 + step.min(86.0) * number as f64;
        dot(text, x, 44.0, number, *engine);
        let _ = writeln!(text, "<text x=\"{:.1}\" y=\"48\">{}</text>", x + 10.0, engine.name());
    }
}

#[cfg(test)]
mod tests {
    use strata_benches::timing::Rounds;

    use super::*;
    use crate::engines::ENGINES;

    #[test]
    fn who_is_ten_times_better_stands_a_decade_to_the_right() {
        let rounds = |figure| {
            let mut rounds = Rounds::new();
            rounds.push(figure);
            rounds
        };
        let row = |unit, other| Row {
            question: "put".to_string(),
            unit,
            answers: vec![(ENGINES[0], rounds(10.0)), (ENGINES[1], rounds(other))],
        };
        let (rate, bytes) = (row(Unit::Rate, 100.0), row(Unit::Bytes, 1.0));
        assert_eq!(times_better(&rate, ENGINES[1].name()), Some(10.0));
        assert_eq!(times_better(&bytes, ENGINES[1].name()), Some(10.0));
        assert!(place(10.0) > place(1.0) && place(1e9) <= WIDTH - RIGHT);
        let drawn = svg(&[rate, bytes], ENGINES);
        assert_eq!(drawn.matches("<circle").count(), ENGINES.len() + 4);
    }
}
