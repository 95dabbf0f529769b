//! One measured answer, with everything that is needed to judge it.

use serde_json::{Map, Value, json};

use crate::placement::Placement;
use crate::timing::Rounds;

/// What was asked of the store while it was measured.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `in_memory`, `buffered` or `strict`.
    pub mode: &'static str,
    /// Bytes of a value.
    pub value_size: usize,
    /// Operations of one call.
    pub batch_size: usize,
    /// Threads that call.
    pub clients: usize,
    /// Shards of the store.
    pub shards: usize,
    /// Where they run.
    pub placement: Placement,
}

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The figure itself is at most this.
    AtMost(f64),
    /// The figure itself is at least this.
    AtLeast(f64),
    /// The ratio to the limit is at most this.
    RatioAtMost(f64),
    /// The ratio to the limit is at least this.
    RatioAtLeast(f64),
}

/// One measured answer.
#[derive(Clone, Debug)]
pub struct Figure {
    question: String,
    unit: &'static str,
    rounds: Rounds,
    setting: Option<Setting>,
    limit: Option<(String, Rounds)>,
    goal: Option<Goal>,
    notes: Map<String, Value>,
}

impl Figure {
    /// The answer to `question`, in `unit`.
    pub fn new(question: impl Into<String>, unit: &'static str, rounds: Rounds) -> Figure {
        Figure {
            question: question.into(),
            unit,
            rounds,
            setting: None,
            limit: None,
            goal: None,
            notes: Map::new(),
        }
    }

    /// Tells what was asked of the store.
    pub fn with(mut self, setting: &Setting) -> Figure {
        self.setting = Some(setting.clone());
        self
    }

    /// Holds the figure against `name`, measured in the same rounds and in the same unit.
    pub fn against(mut self, name: &str, limit: &Rounds) -> Figure {
        self.limit = Some((name.to_string(), limit.clone()));
        self
    }

    /// Tells what the figure is to reach.
    pub fn goal(mut self, goal: Goal) -> Figure {
        self.goal = Some(goal);
        self
    }

    /// Adds a number or a word to the JSON line.
    pub fn note(mut self, name: &str, value: impl Into<Value>) -> Figure {
        self.notes.insert(name.to_string(), value.into());
        self
    }

    /// The middle round.
    pub fn median(&self) -> f64 {
        self.rounds.median()
    }

    /// Round by round, the figure over its limit.
    pub fn ratio(&self) -> Option<Rounds> {
        self.limit.as_ref().map(|(_, limit)| self.rounds.ratio_to(limit))
    }

    /// Whether the goal is reached; `None` without one.
    ///
    /// # Panics
    /// If the goal is a ratio and there is no limit.
    pub fn is_met(&self) -> Option<bool> {
        self.reaches(Rounds::median, Rounds::median)
    }

    /// Whether at least one round reaches the goal; `None` without one.
    ///
    /// # Panics
    /// If the goal is a ratio and there is no limit.
    pub fn is_met_in_a_round(&self) -> Option<bool> {
        self.reaches(Rounds::low, Rounds::high)
    }

    /// Whether the goal is reached by what `lowest` or `highest` takes from the rounds, whichever is bounded.
    fn reaches(&self, lowest: fn(&Rounds) -> f64, highest: fn(&Rounds) -> f64) -> Option<bool> {
        let ratio = || self.ratio().expect("a ratio has a limit");
        self.goal.map(|goal| match goal {
            Goal::AtMost(most) => lowest(&self.rounds) <= most,
            Goal::AtLeast(least) => highest(&self.rounds) >= least,
            Goal::RatioAtMost(most) => lowest(&ratio()) <= most,
            Goal::RatioAtLeast(least) => highest(&ratio()) >= least,
        })
    }

    /// The figure as one line for a program.
    pub fn to_json(&self, bench: &str) -> Value {
        let mut line = json!({
            "bench": bench,
            "question": self.question,
            "median": rounded(self.median()),
            "low": rounded(self.rounds.low()),
            "high": rounded(self.rounds.high()),
            "unit": self.unit,
            "rounds": self.rounds.values().iter().copied().map(rounded).collect::<Vec<_>>(),
        });
        if let Some(setting) = &self.setting {
            line["mode"] = json!(setting.mode);
            line["value_size"] = json!(setting.value_size);
            line["batch_size"] = json!(setting.batch_size);
            line["clients"] = json!(setting.clients);
            line["shards"] = json!(setting.shards);
            line["placement"] = setting.placement.to_json();
        }
        if let (Some((name, limit)), Some(ratio)) = (&self.limit, self.ratio()) {
            line["limit"] = json!({
                "name": name,
                "median": rounded(limit.median()),
                "low": rounded(limit.low()),
                "high": rounded(limit.high()),
            });
            line["ratio"] = json!({
                "median": rounded(ratio.median()),
                "low": rounded(ratio.low()),
                "high": rounded(ratio.high()),
            });
        }
        if let (Some(goal), Some(met)) = (self.goal, self.is_met()) {
            line["target"] = json!(goal.to_string());
            line["met"] = json!(met);
        }
        for (name, value) in &self.notes {
            line[name] = value.clone();
        }
        line
    }

    /// The figure as one row of a table for people.
    pub fn to_row(&self) -> String {
        let mut row = format!(
            "{:<46} {:>11} {:<12} [{} .. {}]",
            self.question,
            short(self.median()),
            self.unit,
            short(self.rounds.low()),
            short(self.rounds.high())
        );
        if let (Some((name, limit)), Some(ratio)) = (&self.limit, self.ratio()) {
            row += &format!("  {:.2} x {name} ({})", ratio.median(), short(limit.median()));
        }
        if let (Some(goal), Some(met)) = (self.goal, self.is_met()) {
            row += &format!("  target {goal}: {}", if met { "met" } else { "MISSED" });
        }
        row
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Goal::AtMost(most) => write!(f, "<= {}", short(*most)),
            Goal::AtLeast(least) => write!(f, ">= {}", short(*least)),
            Goal::RatioAtMost(most) => write!(f, "<= {most} x the limit"),
            Goal::RatioAtLeast(least) => write!(f, ">= {least} x the limit"),
        }
    }
}

/// A number with the digits that mean something.
fn short(number: f64) -> String {
    match number.abs() {
        1e6.. => format!("{:.2} M", number / 1e6),
        1e4.. => format!("{:.1} k", number / 1e3),
        100.0.. => format!("{number:.0}"),
        _ => format!("{number:.2}"),
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[f64]) -> Rounds {
        let mut rounds = Rounds::new();
        values.iter().for_each(|&value| rounds.push(value));
        rounds
    }

    #[test]
    fn a_goal_is_judged_on_the_median() {
        let figure = Figure::new("put", "us", rounds(&[1.0, 9.0, 1.5]));
        assert_eq!(figure.is_met(), None);
        assert_eq!(figure.clone().goal(Goal::AtMost(2.0)).is_met(), Some(true));
        assert_eq!(figure.clone().goal(Goal::AtLeast(2.0)).is_met(), Some(false));
        let figure = figure.against("bare", &rounds(&[1.0, 3.0, 1.0]));
        assert_eq!(figure.clone().goal(Goal::RatioAtMost(1.4)).is_met(), Some(false));
        assert_eq!(figure.goal(Goal::RatioAtLeast(1.4)).is_met(), Some(true));
    }

    #[test]
    fn a_line_tells_figure_limit_ratio_and_notes() {
        let figure = Figure::new("put", "us", rounds(&[2.0]))
            .against("bare", &rounds(&[1.0]))
            .goal(Goal::RatioAtMost(1.5))
            .note("records", 7);
        let line = figure.to_json("speed");
        assert_eq!(line["question"], "put");
        assert_eq!(line["limit"]["median"], 1.0);
        assert_eq!(line["ratio"]["median"], 2.0);
        assert_eq!(line["met"], false);
        assert_eq!(line["records"], 7);
        assert!(figure.to_row().contains("MISSED"));
    }

    #[test]
    fn numbers_are_told_with_the_digits_that_mean_something() {
        assert_eq!(short(2_345_678.0), "2.35 M");
        assert_eq!(short(23_456.0), "23.5 k");
        assert_eq!(short(432.1), "432");
        assert_eq!(short(1.234), "1.23");
    }
}
