//! One question asked of 1, 2, 4 ... shards, in rounds that take turns.

use std::time::Duration;

use strata_benches::arguments::Arguments;
use strata_benches::bare_map::BareMap;
use strata_benches::clients::{Seats, together};
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::{Placement, allowed_cpus};
use strata_benches::report::Report;
use strata_benches::timing::{Rounds, rate};

/// The unit of a speed-up by shards.
pub(crate) const ONE_SHARD: &str = "x one shard";

/// What one round with one number of shards gave.
pub(crate) struct Round {
    /// Operations a second of the store.
    pub(crate) own: f64,
    /// Operations a second of the bare limit with as many threads.
    pub(crate) limit: f64,
    /// Where it ran.
    pub(crate) setting: Setting,
}

/// What is asked, and how it is told.
pub(crate) struct Question {
    /// Its name, without the number of shards.
    pub(crate) name: String,
    /// The unit of the rates.
    pub(crate) unit: &'static str,
    /// What the limit is.
    pub(crate) limit: &'static str,
    /// What the speed-up compares with: the rate of one of these.
    pub(crate) one: &'static str,
    /// The least speed-up for a number of shards, where one is promised.
    pub(crate) least: fn(usize) -> Option<f64>,
}

/// Asks `question` of every number of shards in turn, round after round, and tells rate and speed-up.
pub(crate) fn measure(
    arguments: &Arguments,
    question: &Question,
    round_count: usize,
    mut round: impl FnMut(usize) -> Round,
    report: &mut Report,
) {
    let counts = &arguments.shards;
    let mut own = vec![Rounds::new(); counts.len()];
    let mut limit = vec![Rounds::new(); counts.len()];
    let mut settings: Vec<Option<Setting>> = vec![None; counts.len()];
    for _ in 0..round_count {
        for (place, &shards) in counts.iter().enumerate() {
            let measured = round(shards);
            own[place].push(measured.own);
            limit[place].push(measured.limit);
            settings[place] = Some(measured.setting);
        }
    }
    for (place, &shards) in counts.iter().enumerate() {
        let setting = settings[place].as_ref().expect("every number of shards was measured");
        let name = format!("{}/{shards}", question.name);
        let rate = Figure::new(name, question.unit, own[place].clone());
        report.add(&rate.with(setting).against(question.limit, &limit[place]));
        if place > 0 {
            let name = format!("{}_speed_up/{shards}", question.name);
            let bare = limit[place].ratio_to(&limit[0]);
            let figure = Figure::new(name, question.one, own[place].ratio_to(&own[0])).with(setting);
            let figure = figure.against(&format!("speed-up of {}", question.limit), &bare);
            // A target needs the CPUs it speaks of.
            let least = (question.least)(shards).filter(|_| shards <= allowed_cpus().len());
            report.add(&match least {
                Some(least) => figure.goal(Goal::AtLeast(least)),
                None => figure,
            });
        }
    }
}

/// Puts a second of `threads` threads, each on a CPU of its own with a bare map of its own.
pub(crate) fn bare_maps(threads: usize, keys: &[String], value: &str, put_count: usize) -> f64 {
    let everywhere = Placement { clients: allowed_cpus(), shards: Vec::new() };
    let mut maps: Vec<BareMap> = (0..threads).map(|_| BareMap::new()).collect();
    for map in &mut maps {
        keys.iter().for_each(|key| map.put(key, value));
    }
    let elapsed: Duration = together(Seats::Apart(&everywhere), &mut maps, |_, map| {
        keys.iter().cycle().take(put_count).for_each(|key| map.put(key, value));
    });
    rate(threads * put_count, elapsed)
}
