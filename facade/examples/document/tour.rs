//! The document looked at from all sides: versions of places, queries, merges, refusals, and how it was before.

use strata::{ErrorKind, JsonMatch, Reads, RunHandle, Snapshot, Version, Writes, parse_json, to_json};

use crate::Result;
use crate::trip::{SPENT, TRIP, nights_of};

/// Shows what else a document can do; `before` saw it as commit `created` left it.
pub(crate) fn look_around(run: &RunHandle, before: &Snapshot, created: Version) -> Result<()> {
    show_versions(run, created)?;
    merge(run)?;
    query(run)?;
    fail_a_test(run)?;
    look_back(run, before)
}

fn show_versions(run: &RunHandle, created: Version) -> Result<()> {
    say!("\nEvery place has the version of the commit that last changed it");
    for path in ["", SPENT, &nights_of(0), "/stays/0/city", "/traveller"] {
        let found = run.json_get(TRIP, path)?.ok_or(format!("nothing is at {path}"))?;
        let note = if found.version == created { "as created" } else { "" };
        say!("  {:<18} version {:<8} {note}", format!("{path:?}"), found.version.to_string());
    }
    Ok(())
}

fn merge(run: &RunHandle) -> Result<()> {
    let patch = r#"{"traveller": null, "paid": {"by": "card", "in": "NOK"}}"#;
    let commit = run.json_merge(TRIP, "", parse_json(patch)?)?.ok_or("the merge changed nothing")?;
    say!("\nA merge patch writes what it changes, here by commit {}", commit.version);
    say!("  {patch}");
    let again = run.json_merge(TRIP, "", parse_json(patch)?)?;
    say!("  again          {}", if again.is_none() { "nothing to change, no commit" } else { "a commit" });
    Ok(())
}

fn query(run: &RunHandle) -> Result<()> {
    let path = "$.stays[?@.nights > 0].city";
    let found = run.json_query(TRIP, path)?.ok_or("the document is gone")?;
    say!("\n{path} finds");
    for JsonMatch { path: place, value: city } in found.value.iter().take(3) {
        say!("  {place:<18} {city}");
    }
    Ok(())
}

fn fail_a_test(run: &RunHandle) -> Result<()> {
    let patch = parse_json(
        r#"[{"op": "remove", "path": "/stays"}, {"op": "test", "path": "/paid/by", "value": "cash"}]"#,
    )?;
    let (text, version) = (text(run)?, run.info()?.version);
    let error = run.json_patch(TRIP, &patch).err().ok_or("a test that fails was passed")?;
    if error.kind() != ErrorKind::Conflict || self::text(run)? != text || run.info()?.version != version {
        return Err(format!("a failed test has changed something: {error}").into());
    }
    say!("\nA patch whose test fails changes nothing, the stays are still there");
    say!("  {}", error.message());
    Ok(())
}

fn look_back(run: &RunHandle, before: &Snapshot) -> Result<()> {
    let (then, now) = (text(before)?.len() as u64, text(run)?.len() as u64);
    let spent = before.json_get(TRIP, SPENT)?.ok_or("the snapshot has lost the sum")?;
    if spent.value.as_int() != Some(0) {
        return Err(format!("the snapshot shows {} spent", spent.value).into());
    }
    say!("\nA snapshot from the beginning still shows it all");
    say!("  then           version {}, spent {}, {then} bytes of JSON", before.version(), spent.value);
    say!("  now            version {}, {now} bytes of JSON", run.info()?.version);
    Ok(())
}

fn text(run: &impl Reads) -> Result<String> {
    Ok(to_json(&run.json_get(TRIP, "")?.ok_or("the document is gone")?.value)?)
}
