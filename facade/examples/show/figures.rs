//! How the examples print numbers: aligned, rounded to what a reader needs, always with a unit.
#![allow(dead_code, reason = "each example uses its part of this file")]

use std::time::Duration;

/// A count with thousands apart: `5,308`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count with its noun, in the plural where it needs one: `1 file`, `12 files`.
pub(crate) fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

/// A size in the unit that leaves at most four digits: `317 B`, `4.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// A duration in the unit that leaves at most four digits: `310 us`, `12.4 ms`, `3.20 s`.
pub(crate) fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// How many of something a second: `812 /s`, `14.3 k/s`, `1.20 M/s`.
pub(crate) fn rate(count: u64, elapsed: Duration) -> String {
    let rate = per_second(count, elapsed);
    if rate < 1e3 {
        format!("{rate:.0} /s")
    } else if rate < 1e6 {
        format!("{:.1} k/s", rate / 1e3)
    } else {
        format!("{:.2} M/s", rate / 1e6)
    }
}

/// The plain number behind [`rate`], for ratios.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// A part as percent of its whole: `50 %`.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.0} %", part as f64 * 100.0 / whole as f64) }
}

/// The first characters of `text` that fit into `width`, on one line; `...` says that something is missing.
pub(crate) fn fit(text: &str, width: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// Like [`fit`], but keeps the end: of a path the last names tell the most.
pub(crate) fn fit_end(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return fit(text, width);
    }
    let kept: String = text.chars().skip(length - width.saturating_sub(3)).collect();
    format!("...{}", fit(&kept, width))
}
