//! The built examples, started as a reader would start them.

use std::path::Path;
use std::process::{Command, Output};

/// The built example: `target/<profile>/examples`, beside the `deps` this test runs from.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("a test lies in <profile>/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: `cargo build --examples` or a whole `cargo test` does it",
        path.display()
    );
    Command::new(path)
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (shown, error) = texts(&output);
    assert!(output.status.success(), "{command:?} ended with {}:\n{shown}{error}", output.status);
    shown
}

pub(crate) fn fail(code: i32, command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (shown, error) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}:\n{shown}{error}");
    error
}

pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
