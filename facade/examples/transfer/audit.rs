//! What must hold at the end, read from one snapshot.

use strata::{Direction, Reads, RunHandle, Version};

use crate::Result;
use crate::bank::{ACCOUNTS, OPENING, SUM, Transfer, balance, sum};

const PAGE: usize = 1_000;

/// Checks the run, whose accounts were opened by commit `opened`, behind `moved` transfers that were acknowledged.
pub(crate) fn audit(run: &RunHandle, opened: Version, moved: u64) -> Result<()> {
    let end = run.snapshot()?;
    let (sum, events, chain) = (sum(&end)?, end.event_count()?.value, end.verify_chain()?);
    if sum != SUM {
        return Err(format!("the accounts held {SUM} and hold {sum}").into());
    }
    // Commits of a run are numbered without gaps, so their number is a difference.
    let commits = end.version().0 - opened.0;
    if events != moved || commits != moved {
        return Err(format!("{moved} transfers were made, by {commits} commits with {events} events").into());
    }
    if !chain.valid || chain.length != events {
        return Err(format!("the chain of {events} events is broken: {chain:?}").into());
    }
    for (number, told) in (0..ACCOUNTS).zip(retold(&end)?) {
        let held = balance(&end, number)?;
        if held != told {
            return Err(format!("account {number} holds {held}, by its events {told}").into());
        }
    }
    Ok(())
}

/// The balances as the events tell them, from the first to the last.
fn retold(end: &impl Reads) -> Result<Vec<i64>> {
    let mut balances = vec![OPENING; ACCOUNTS as usize];
    let mut next = Some(0);
    while let Some(start) = next {
        let page = end.events(start, PAGE, Direction::Forward)?;
        for event in page.events {
            let Transfer { from, to, amount } = Transfer::from_value(&event.payload)
                .ok_or(format!("event {} is no transfer", event.sequence))?;
            balances[from as usize] -= amount;
            balances[to as usize] += amount;
            if balances[from as usize] < 0 {
                return Err(format!("event {} overdraws account {from}", event.sequence).into());
            }
        }
        next = page.next;
    }
    Ok(balances)
}
