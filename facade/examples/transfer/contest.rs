//! Threads that move money at once, and one that looks at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strata::{Reads, RunHandle, Transacted};

use crate::Result;
use crate::bank::{SUM, Transfer, sum};

/// In which form a transfer reaches the run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Transaction,
    Execute,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Transaction => "transaction",
            Form::Execute => "execute",
        }
    }
}

/// What one form came to.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) form: Form,
    pub(crate) moved: u64,
    pub(crate) refused: u64,
    pub(crate) closures: u64,
    pub(crate) observed: u64,
    pub(crate) elapsed: Duration,
}

/// Lets `threads` ask for `transfers` together, while another thread observes.
pub(crate) fn play(run: &RunHandle, form: Form, threads: u64, transfers: u64) -> Result<Played> {
    // A flag and a counter, by which nothing else is told: the joins order the rest.
    let (is_over, closures) = (&AtomicBool::new(false), &Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    thread::scope(|scope| {
        let observer = scope.spawn(|| observe(run, is_over));
        let share = |thread| transfers / threads + u64::from(thread < transfers % threads);
        let movers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || move_money(run, form, share(thread), closures)))
            .collect();
        let moved: Vec<_> = movers.into_iter().map(|mover| mover.join()).collect();
        let elapsed = started.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let observed = observer.join().expect("the observer does not panic")?;
        let moved = moved.into_iter().map(|moved| moved.expect("no mover panics")).sum::<Result<u64>>()?;
        let closures = closures.load(Ordering::Relaxed);
        Ok(Played { form, moved, refused: transfers - moved, closures, observed, elapsed })
    })
}

/// Asks for `transfers`; returns how many were made, which is how many made a commit.
fn move_money(run: &RunHandle, form: Form, transfers: u64, closures: &Arc<AtomicU64>) -> Result<u64> {
    let mut moved = 0;
    for _ in 0..transfers {
        let transfer = Transfer::at_random();
        let Transacted { value: is_moved, receipt, .. } = ask(run, form, transfer, closures)?;
        if is_moved != receipt.commit.is_some() {
            return Err(format!("{transfer:?} was answered {is_moved} with {receipt:?}").into());
        }
        moved += u64::from(is_moved);
    }
    Ok(moved)
}

/// One transfer, counting how often its closure runs.
fn ask(
    run: &RunHandle,
    form: Form,
    transfer: Transfer,
    closures: &Arc<AtomicU64>,
) -> strata::Result<Transacted<bool>> {
    match form {
        Form::Transaction => run.transaction(|tx| {
            closures.fetch_add(1, Ordering::Relaxed);
            transfer.make(tx)
        }),
        // This closure travels to another thread, so it takes along what it needs.
        Form::Execute => {
            let closures = Arc::clone(closures);
            run.execute(move |run| {
                closures.fetch_add(1, Ordering::Relaxed);
                transfer.make(run)
            })
        }
    }
}

/// Adds the accounts up until it is over; returns how often. A transaction that only reads never conflicts.
fn observe(run: &RunHandle, is_over: &AtomicBool) -> Result<u64> {
    let mut observed = 0;
    while !is_over.load(Ordering::Relaxed) {
        run.transaction(|tx| -> Result<()> {
            let (sum, events) = (sum(tx)?, tx.event_count()?.value);
            match sum {
                SUM => Ok(()),
                _ => Err(format!("behind {events} transfers the accounts hold {sum}, not {SUM}").into()),
            }
        })?;
        observed += 1;
    }
    Ok(observed)
}
