//! SQLite through rusqlite: a table of keys without row ids and a table of events; prepared statements, kept.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::engine::{Engine, Promise, Session, Store, seen};

/// How long a client waits for another one's write.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections to databases in memory, of which each client has one of its own.
const MEMORY_COUNT: usize = 2;
/// The statements a call may need, so that none is prepared twice.
const STATEMENT_COUNT: usize = 16;

const TABLES: &str = "\
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY, payload TEXT NOT NULL);";
const PUT: &str = "INSERT INTO keys VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const GET: &str = "SELECT value FROM keys WHERE key = ?1";
const APPEND: &str = "INSERT INTO events (payload) VALUES (?1)";
const LAST: &str = "SELECT payload FROM events ORDER BY sequence DESC LIMIT ?1";
const SCAN: &str = "SELECT value FROM keys ORDER BY key LIMIT ?1";

/// The engine.
pub(crate) struct Sqlite;

impl Engine for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        Some(match promise {
            Promise::Nothing => "`:memory:`, one for each client, `journal_mode=OFF`, `synchronous=OFF`",
            Promise::Kernel => "`journal_mode=WAL`, `synchronous=NORMAL`",
            Promise::Disk => "`journal_mode=WAL`, `synchronous=FULL`",
        })
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        let path = dir.join("sqlite");
        let open = |settings: &'static str| Open::File { path: path.clone(), settings };
        let open = match promise {
            Promise::Nothing => {
                let settings = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;";
                let connection = || {
                    let connection = Connection::open_in_memory().expect("SQLite opens");
                    Mutex::new(prepared(connection, settings))
                };
                return Box::new(Open::Memory((0..MEMORY_COUNT).map(|_| connection()).collect()));
            }
            Promise::Kernel => open("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"),
            Promise::Disk => open("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"),
        };
        drop(open.session(0));
        Box::new(open)
    }
}

fn prepared(connection: Connection, settings: &str) -> Connection {
    connection.busy_timeout(PATIENCE).expect("SQLite waits");
    connection.set_prepared_statement_cache_capacity(STATEMENT_COUNT);
    connection.execute_batch(settings).expect("SQLite takes settings");
    connection.execute_batch(TABLES).expect("SQLite makes tables");
    connection
}

enum Open {
    Memory(Vec<Mutex<Connection>>),
    File { path: PathBuf, settings: &'static str },
}

impl Open {
    fn client(&self, number: usize) -> Client<'_> {
        match self {
            Open::Memory(connections) => {
                Client::Shared(connections[number].lock().expect("no client panics with a connection"))
            }
            Open::File { path, settings } => {
                Client::Own(prepared(Connection::open(path).expect("SQLite opens"), settings))
            }
        }
    }
}

impl Store for Open {
    fn session(&self, number: usize) -> Box<dyn Session + '_> {
        Box::new(self.client(number))
    }

    fn compact(&mut self) {
        let mut client = self.client(0);
        client
            .connection()
            .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
            .expect("SQLite compacts");
    }
}

enum Client<'a> {
    Shared(MutexGuard<'a, Connection>),
    Own(Connection),
}

impl Client<'_> {
    fn connection(&mut self) -> &mut Connection {
        match self {
            Client::Shared(connection) => connection,
            Client::Own(connection) => connection,
        }
    }

    fn begin(&mut self) -> Transaction<'_> {
        let begun = self.connection().transaction_with_behavior(TransactionBehavior::Immediate);
        begun.expect("SQLite begins")
    }
}

/// How many bytes the text of a row has.
fn text_seen(row: &Row<'_>) -> rusqlite::Result<usize> {
    Ok(seen(row.get_ref(0)?.as_bytes()?))
}

fn put(connection: &Connection, key: &str, value: &str) {
    let mut statement = connection.prepare_cached(PUT).expect("SQLite prepares");
    statement.execute(params![key, value]).expect("SQLite puts");
}

fn get(connection: &Connection, key: &str) -> usize {
    let mut statement = connection.prepare_cached(GET).expect("SQLite prepares");
    statement.query_row([key], text_seen).optional().expect("SQLite gets").unwrap_or(0)
}

fn walk(connection: &Connection, statement: &str, count: usize) -> usize {
    let mut statement = connection.prepare_cached(statement).expect("SQLite prepares");
    let rows = statement.query_map([count as i64], text_seen).expect("SQLite scans");
    rows.map(|row| row.expect("SQLite scans")).sum()
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        // A statement alone is a transaction.
        if let [key] = keys {
            return put(self.connection(), key, value);
        }
        let transaction = self.begin();
        keys.iter().for_each(|key| put(&transaction, key, value));
        transaction.commit().expect("SQLite commits");
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        if let [key] = keys {
            return get(self.connection(), key);
        }
        let transaction = self.connection().transaction().expect("SQLite begins");
        keys.iter().map(|key| get(&transaction, key)).sum()
    }

    fn append(&mut self, count: usize, payload: &str) {
        let transaction = self.begin();
        for _ in 0..count {
            let mut statement = transaction.prepare_cached(APPEND).expect("SQLite prepares");
            statement.execute([payload]).expect("SQLite appends");
        }
        transaction.commit().expect("SQLite commits");
    }

    fn last(&mut self, count: usize) -> usize {
        walk(self.connection(), LAST, count)
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let transaction = self.begin();
        for key in [from, to] {
            std::hint::black_box(get(&transaction, key));
        }
        [from, to].into_iter().for_each(|key| put(&transaction, key, value));
        transaction.commit().expect("SQLite commits");
    }

    fn scan(&mut self, count: usize) -> usize {
        walk(self.connection(), SCAN, count)
    }
}
