//! The accounts, and how money moves between two of them.

use strata::{Error, ErrorKind, Reads, RunHandle, Value, Version, Writes};

/// Few, so that threads meet.
pub(crate) const ACCOUNTS: u32 = 4;
/// What each account holds at first.
pub(crate) const OPENING: i64 = 1_000;
/// The most that one transfer asks for.
const AMOUNT_MAX: i64 = 250;
/// What all of them hold together, for ever.
pub(crate) const SUM: i64 = ACCOUNTS as i64 * OPENING;

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) amount: i64,
}

impl Transfer {
    /// Between two accounts, of an amount that is not always there.
    pub(crate) fn at_random() -> Transfer {
        let from = rand::random_range(0..ACCOUNTS);
        let to = (from + rand::random_range(1..ACCOUNTS)) % ACCOUNTS;
        Transfer { from, to, amount: rand::random_range(1..=AMOUNT_MAX) }
    }

    /// Moves the money and tells of it, unless there is too little. Whether it was moved.
    ///
    /// Written once for a transaction and for a closure on the shard: both read and write alike.
    pub(crate) fn make(self, run: &impl Writes) -> strata::Result<bool> {
        let Transfer { from, to, amount } = self;
        let (left, held) = (balance(run, from)?, balance(run, to)?);
        if left < amount {
            return Ok(false);
        }
        run.put(&account(from), left - amount)?;
        run.put(&account(to), held + amount)?;
        run.append("transfer", self.to_value())?;
        Ok(true)
    }

    fn to_value(self) -> Value {
        Value::from([("from", self.from.into()), ("to", self.to.into()), ("amount", self.amount.into())])
    }

    pub(crate) fn from_value(value: &Value) -> Option<Transfer> {
        let number = |name| value.get(name).and_then(Value::as_int);
        let account = |name| number(name).and_then(|number| u32::try_from(number).ok());
        Some(Transfer { from: account("from")?, to: account("to")?, amount: number("amount")? })
    }
}

/// Puts the opening balances into the accounts; returns the version of the run then.
pub(crate) fn open_accounts(run: &RunHandle) -> strata::Result<Version> {
    let opened = run.put_many((0..ACCOUNTS).map(|number| (account(number), OPENING)))?;
    Ok(opened.expect("there are accounts to open").version)
}

pub(crate) fn balance(run: &impl Reads, number: u32) -> strata::Result<i64> {
    let found = run.get(&account(number))?;
    found
        .and_then(|found| found.value.as_int())
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{} holds no number", account(number))))
}

/// All accounts together, read one by one: only what reads one version gets the same sum every time.
pub(crate) fn sum(run: &impl Reads) -> strata::Result<i64> {
    (0..ACCOUNTS).map(|number| balance(run, number)).sum()
}

fn account(number: u32) -> String {
    format!("account/{number}")
}
