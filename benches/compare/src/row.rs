//! One question and what everybody answered.

use strata_benches::timing::Rounds;

use crate::engine::Engine;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Operations a second: more is better.
    Rate,
    /// Milliseconds: less is better.
    Milliseconds,
    /// Bytes: less is better.
    Bytes,
}

impl Unit {
    /// A figure for people.
    pub fn text(self, figure: f64) -> String {
        match self {
            Unit::Rate => format!("{}/s", short(figure)),
            Unit::Milliseconds => format!("{} ms", short(figure)),
            Unit::Bytes => format!("{} B", short(figure)),
        }
    }

    fn is_more_better(self) -> bool {
        self == Unit::Rate
    }
}

/// One question and what everybody answered, who could.
pub struct Row {
    /// The question.
    pub question: String,
    /// What its figures count.
    pub unit: Unit,
    /// Who answered, and what, in every round.
    pub answers: Vec<(&'static dyn Engine, Rounds)>,
}

impl Row {
    /// What the engine of this name answered.
    pub fn answer(&self, name: &str) -> Option<&Rounds> {
        self.answers.iter().find(|(engine, _)| engine.name() == name).map(|(_, rounds)| rounds)
    }

    /// The best of the peers, or of the limits.
    pub fn best(&self, is_limit: bool) -> Option<(&'static str, &Rounds)> {
        let others = self.answers.iter().filter(|(engine, _)| engine.name() != "strata");
        let wanted = others.filter(|(engine, _)| engine.is_limit() == is_limit);
        let key = |rounds: &Rounds| match self.unit.is_more_better() {
            true => rounds.median(),
            false => -rounds.median(),
        };
        let best = wanted.max_by(|(_, left), (_, right)| key(left).total_cmp(&key(right)));
        best.map(|(engine, rounds)| (engine.name(), rounds))
    }

    /// How much better strata is than the best of the others, round by round and in the middle: above 1 it is the better
    /// one, whatever the unit.
    pub fn ratio(&self, is_limit: bool) -> Option<f64> {
        let (own, (_, best)) = (self.answer("strata")?, self.best(is_limit)?);
        Some(match self.unit.is_more_better() {
            true => own.ratio_to(best).median(),
            false => best.ratio_to(own).median(),
        })
    }
}

/// How far the rounds lie apart: half of it, in per cent of the middle one.
pub fn spread(rounds: &Rounds) -> f64 {
    50.0 * (rounds.high() - rounds.low()) / rounds.median()
}

/// A number with the digits that mean something.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        1e6.. => format!("{:.2} M", number / 1e6),
        1e4.. => format!("{:.1} k", number / 1e3),
        100.0.. => format!("{number:.0}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::ENGINES;

    fn row(unit: Unit, figures: &[(&str, f64)]) -> Row {
        let answer = |(name, figure): &(&str, f64)| {
            let engine = ENGINES.iter().copied().find(|engine| engine.name() == *name).unwrap();
            let mut rounds = Rounds::new();
            rounds.push(*figure);
            (engine, rounds)
        };
        Row { question: "put".to_string(), unit, answers: figures.iter().map(answer).collect() }
    }

    #[test]
    fn the_best_peer_is_the_fastest_and_the_smallest() {
        let rate = row(Unit::Rate, &[("strata", 2.0), ("redb", 1.0), ("LMDB", 4.0), ("FxHashMap", 8.0)]);
        assert_eq!(rate.best(false).unwrap().0, "LMDB");
        assert_eq!(rate.ratio(false), Some(0.5));
        assert_eq!(rate.ratio(true), Some(0.25));
        let bytes = row(Unit::Bytes, &[("strata", 2.0), ("redb", 1.0), ("LMDB", 4.0)]);
        assert_eq!(bytes.best(false).unwrap().0, "redb");
        assert_eq!(bytes.ratio(false), Some(0.5));
        assert_eq!(bytes.ratio(true), None);
    }
}
