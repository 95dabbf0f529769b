//! Printing a line that nobody may be left to read: `println!` panics when its reader has gone (`inspect ... |
//! head`).

/// Prints a line to standard output, as `println!` does, and goes on when that is closed.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}
