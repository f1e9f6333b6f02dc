//! `hookbridge load` and `export`: from an archive into a log, and out of it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::actors::database::Database;
use crate::actors::run;
use crate::actors::server::hookbridge;

#[test]
fn an_exported_log_loads_into_an_equal_one() {
    let folder = tempfile::tempdir().unwrap();
    let batches = folder.path().join("raw/sparkpost");
    std::fs::create_dir_all(&batches).unwrap();
    for n in 0..30 {
        let event = json!({"type": "open", "subject": "a \"quoted\", subject", "n": n, "event_id": n});
        let element = json!({"msys": {"track_event": event}});
        std::fs::write(batches.join(format!("{n}.json")), json!([element, 17]).to_string()).unwrap();
    }
    let command = |arguments: &[&str]| {
        let mut command = hookbridge();
        run(command.current_dir(folder.path()).args(arguments))
    };
    let loaded: Value =
        serde_json::from_str(&command(&["load", "raw", "--database", "log.db", "--json"])).unwrap();
    assert_eq!(
        (&loaded["batches"], &loaded["unrecognized"], &loaded["failed"]),
        (&json!(30), &json!(30), &json!(0))
    );
    let events = loaded["events"].as_u64().unwrap();
    let repeated: Value =
        serde_json::from_str(&command(&["load", "raw", "--database", "log.db", "--json"])).unwrap();
    assert_eq!((&repeated["before"], &repeated["events"]), (&json!(30), &json!(0)));

    let lines = command(&["export", "--database", "log.db", "--type", "open"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 30);
    assert_eq!(lines[0]["detail"]["msys"]["track_event"]["subject"], "a \"quoted\", subject");
    let csv = command(&["export", "--database", "log.db", "--format", "csv"]);
    assert_eq!(csv.split("\r\n").filter(|row| !row.is_empty()).count() as u64, events + 1);
    assert!(csv.contains(r#","a ""quoted"", subject","#), "{}", &csv[..500]);
    let bounce_row = |arguments: &[&str]| {
        let csv = command(
            &[&["export", "--database", "log.db", "--format", "csv", "--type", "bounce"], arguments].concat(),
        );
        csv.split("\r\n").nth(1).unwrap().to_owned()
    };
    let batch = json!([{"msys": {"message_event": {
        "type": "bounce", "event_id": "formulas", "rcpt_to": "=HYPERLINK(1)@Example.com", "subject": "+1", "reason": "-1",
        "campaign_id": "@SUM(A1)", "template_id": "\t=1", "ip_pool": "\r=1", "ab_test_id": "a=1"
    }}}]);
    std::fs::create_dir_all(folder.path().join("formulas/sparkpost")).unwrap();
    std::fs::write(folder.path().join("formulas/sparkpost/formulas.json"), batch.to_string()).unwrap();
    command(&["load", "formulas", "--database", "log.db"]);
    let (escaped, raw) = (bounce_row(&[]), bounce_row(&["--raw"]));
    for formula in ["=HYPERLINK(1)@Example.com", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
        assert!(escaped.contains(&format!(",\"'{formula}\",")), "{formula:?} in {escaped:?}");
        assert!(raw.contains(&format!(",\"{formula}\",")), "{formula:?} in {raw:?}");
    }
    assert!(escaped.contains(",\"a=1\","), "{escaped:?}");
    let missing_log = hookbridge().args(["export", "--database", "/nonexistent.db"]).output().unwrap();
    assert!(String::from_utf8_lossy(&missing_log.stderr).contains("no log exists at /nonexistent.db"));
    command(&["load", "raw", "--database", "a/new/folder/log.db"]);
    let missing_archive =
        hookbridge().args(["load", "/nonexistent", "--database"]).arg(folder.path().join("x.db")).output();
    assert!(String::from_utf8_lossy(&missing_archive.unwrap().stderr).contains("contains no batches"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_repeatedly_killed_load_produces_the_same_log() {
    let (database, folder) = (Database::new().await, tempfile::tempdir().unwrap());
    let batches = folder.path().join("sparkpost");
    std::fs::create_dir(&batches).unwrap();
    for n in 0..150 {
        // Each batch repeats half of the events of the one before.
        let event = |id: u32| json!({"msys": {"message_event": {"type": "open", "event_id": id, "timestamp": 1_763_800_000 + id}}});
        let events: Vec<_> = (n * 100..n * 100 + 200).map(event).collect();
        std::fs::write(batches.join(format!("{n:03}.json")), Value::from(events).to_string()).unwrap();
    }
    let load = || {
        let mut command = hookbridge();
        command.arg("load").arg(folder.path()).args(["--json", "--database", &database.url]);
        command
    };
    let mut kills = 0;
    let output = loop {
        let mut child = load().stdout(Stdio::piped()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(40 + 25 * kills)).await;
        if child.try_wait().unwrap().is_some() {
            break child.wait_with_output().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    };
    assert!(output.status.success() && kills > 0, "killed {kills} times");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["batches"], &summary["failed"]), (&json!(150), &json!(0)));
    assert_eq!(database.number("select count(*) from hookbridge.events").await, 15_100);
    assert_eq!(database.number("select count(*) from hookbridge.batches").await, 150);
    let recorded_per_batch = "select sum(events)::bigint from hookbridge.batches";
    assert_eq!(database.number(recorded_per_batch).await, 15_100, "the events per batch add up");
    let repeated = run(&mut load());
    assert_eq!(serde_json::from_str::<Value>(&repeated).unwrap()["before"], 150);
}
