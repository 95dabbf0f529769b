//! What one thread cost between two dumps, read from a file of callgrind.
//!
//! The format is described at <https://valgrind.org/docs/manual/cl-format.html>. Of it only what
//! `--dump-instr=no` without events beyond `Ir` writes is read: positions are line numbers, costs one number.

use std::collections::{BTreeMap, HashMap};

/// The functions that wait or wake, with all that they call: how often and how long is up to the scheduler.
pub(crate) const WAITING: [&str; 6] = [
    "question::settle",
    "Spin::look",
    "Slot<T>::park_by",
    "WakeWord::sleep",
    "WakeWord::rouse",
    "Waiter::unpark",
];

/// So many calls below one another are followed when the instructions of what is called by many are divided.
const CALL_DEPTH_MAX: usize = 24;

/// What one thread cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Instructions of each function, without those of what it calls.
    own: BTreeMap<String, u64>,
    /// Instructions of calls from one function to another: caller, callee, and what the calls took with all below.
    calls: BTreeMap<(String, String), u64>,
}

impl Cost {
    /// Reads one file.
    ///
    /// # Errors
    /// A sentence that quotes the line which is not understood.
    pub(crate) fn read(text: &str) -> Result<Cost, String> {
        let mut cost = Cost::default();
        let mut names: HashMap<String, String> = HashMap::new();
        let (mut function, mut callee, mut is_call) = (String::new(), String::new(), false);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                function = full_name(&mut names, name);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = full_name(&mut names, name);
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let number = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
                let number =
                    number.ok_or_else(|| format!("callgrind wrote a line without a cost: {line}"))?;
                if std::mem::take(&mut is_call) {
                    *cost.calls.entry((function.clone(), callee.clone())).or_default() += number;
                } else {
                    *cost.own.entry(function.clone()).or_default() += number;
                }
            }
        }
        Ok(cost)
    }

    /// What this thread cost more than `other`; nothing where it cost less.
    pub(crate) fn without(&self, other: &Cost) -> Cost {
        Cost { own: difference(&self.own, &other.own), calls: difference(&self.calls, &other.calls) }
    }

    /// Whether a function whose name contains `part` did anything.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.own.keys().any(|name| name.contains(part))
    }

    /// Instructions that neither wait nor wake.
    pub(crate) fn working(&self) -> u64 {
        let all: u64 = self.own.values().sum();
        let waiting = self.calls.iter().filter(|((caller, callee), _)| !waits(caller) && waits(callee));
        all.saturating_sub(waiting.map(|(_, cost)| cost).sum())
    }

    /// Instructions of each function that neither waits nor wakes, without what such functions make of it: where both
    /// call it, reading the clock above all, it is divided as what its calls took.
    pub(crate) fn functions(&self) -> BTreeMap<&str, f64> {
        let mut shares: BTreeMap<&str, f64> = self.own.keys().map(|name| (name.as_str(), 1.0)).collect();
        for _ in 0..CALL_DEPTH_MAX {
            let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
            for ((caller, callee), cost) in &self.calls {
                let share =
                    if waits(caller) { 0.0 } else { shares.get(caller.as_str()).copied().unwrap_or(1.0) };
                let (working, all) = sums.entry(callee).or_default();
                *working += *cost as f64 * share;
                *all += *cost as f64;
            }
            shares.extend(sums.into_iter().map(|(name, (working, all))| (name, working / all.max(1.0))));
        }
        let working = self.own.iter().filter(|(name, _)| !waits(name));
        working.map(|(name, cost)| (name.as_str(), *cost as f64 * shares[name.as_str()])).collect()
    }
}

fn difference<K: Ord + Clone>(more: &BTreeMap<K, u64>, less: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let left =
        |(key, cost): (&K, &u64)| (key.clone(), cost.saturating_sub(less.get(key).copied().unwrap_or(0)));
    more.iter().map(left).collect()
}

fn waits(name: &str) -> bool {
    WAITING.iter().any(|part| name.contains(part))
}

/// The name behind `(7) name`, which is written out once, and `(7)` from then on.
fn full_name(names: &mut HashMap<String, String>, written: &str) -> String {
    match written.split_once(' ') {
        Some((number, name)) => {
            names.insert(number.to_string(), name.to_string());
            name.to_string()
        }
        None => names.get(written).cloned().unwrap_or_else(|| written.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that works for 115 instructions, 30 of them below it, and waits for 500 in two functions.
    const FILE: &str = "\
# callgrind format
events: Ir
fl=(1) client.rs
fn=(1) client::call
16 80
+2 5
cfn=(2) primitives::get
calls=3 20
* 30
cfn=(3) strata_runtime::spin::Spin::look
calls=1 30
+1 500

fn=(2)
20 30

fn=(3)
30 100
cfn=(4) clock_gettime
calls=4 50
32 400

fn=(4)
50 400
";

    #[test]
    fn what_waits_is_not_counted_with_all_that_it_calls() {
        let cost = Cost::read(FILE).unwrap();
        assert_eq!(cost.working(), 115);
        let functions = cost.functions();
        assert_eq!(
            functions,
            BTreeMap::from([("client::call", 85.0), ("clock_gettime", 0.0), ("primitives::get", 30.0)])
        );
        assert!(cost.has("Spin::look") && !cost.has("Shard::turn"));
    }

    #[test]
    fn what_a_second_process_does_more_is_what_its_calls_cost() {
        let once = Cost::read(FILE).unwrap();
        let twice = Cost::read(&FILE.replace("16 80", "16 200")).unwrap();
        assert_eq!(twice.without(&once).working(), 120);
    }

    #[test]
    fn a_line_that_is_not_understood_is_quoted() {
        assert!(Cost::read("fn=(1) call\n16 many\n").unwrap_err().contains("16 many"));
    }
}
