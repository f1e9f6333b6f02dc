//! `hookbridge events`, `completions` and `man`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::actors::server::{Server, hookbridge};
use crate::actors::{run, wait_until};

fn events(server: &Server, arguments: &[&str]) -> Command {
    let mut command = hookbridge();
    command.args(["events", "--from", &format!("http://{}", server.address)]).args(arguments);
    command
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn error_of(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

#[test]
fn events_are_printed_from_a_point_on_and_as_they_are_recorded() {
    let server = Server::start();
    (1..=3).for_each(|n| server.push(n));
    let all = wait_until("three events in the log", || {
        Some(lines(&mut events(&server, &[]))).filter(|lines| lines.len() == 3)
    });
    assert!(all[1].contains("  github.com  push  "), "{all:?}");
    assert_eq!(lines(&mut events(&server, &["--limit", "1"])), all[2..]);
    assert_eq!(lines(&mut events(&server, &["--after", "start", "--type", "pu*"])), all[1..2]);
    assert_eq!(lines(&mut events(&server, &["--source", "stripe.com"])), [""; 0]);
    let json = lines(&mut events(&server, &["--after", "start", "--json"]));
    let last: Value = serde_json::from_str(&json[2]).unwrap();
    assert_eq!((json.len(), &last["detail"]["n"]), (3, &3.into()));

    let mut following =
        events(&server, &["--follow", "--limit", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(followed.next().unwrap().unwrap(), all[2]);
    server.push(4);
    assert!(followed.next().unwrap().unwrap().contains("  github.com  push  "));
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn an_error_of_events_says_what_to_do() {
    let server = Server::start_with(&["--token", "a-secret-token"]);
    let error = error_of(&mut events(&server, &[]));
    assert!(
        error.contains("answered 401: the API token is missing or invalid; pass a valid token with --token"),
        "{error}"
    );
    assert_eq!(lines(&mut events(&server, &["--token", "a-secret-token"])), [""; 0]);
    let error = error_of(&mut events(&server, &["--token", "a-secret-token", "--after", "nonsense"]));
    assert!(error.contains("answered 400: invalid cursor"), "{error}");
    assert!(!error.contains("a-secret-token"), "{error}");
    let error = error_of(hookbridge().args(["events", "--from", "http://127.0.0.1:1"]));
    assert!(error.contains("no response from http://127.0.0.1:1/events"), "{error}");
    assert!(error.contains("start `hookbridge serve`, or name another server with --from"), "{error}");
    let path = format!("http://{}/hooks", server.address);
    let error = error_of(hookbridge().args(["events", "--token", "a-secret-token", "--from", &path]));
    assert!(
        error.contains("/hooks/events answered 404; pass the base URL of the server in --from"),
        "{error}"
    );
}

#[test]
fn bash_completes_subcommands_options_and_names() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = lines(hookbridge().args(["completions", shell])).join("\n");
        assert!(script.contains("COMPLETE") && script.contains("hookbridge"), "{shell}: {script}");
    }
    let script = lines(hookbridge().args(["completions", "bash"])).join("\n");
    std::fs::write(folder.path().join("completions"), script).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_hookbridge")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let complete = |words: &[&str]| {
        let commands = format!(
            "source ./completions\nCOMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9\n\
             function=$(complete -p hookbridge | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n$function hookbridge \"${{COMP_WORDS[COMP_CWORD]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &commands]).current_dir(folder.path()).env("PATH", &path);
        run(bash.env_remove("HOOKBRIDGE_DATABASE")).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["hookbridge", "subscriber", "rot"]), ["rotate-secret"]);
    assert_eq!(complete(&["hookbridge", "events", "--fol"]), ["--follow"]);
    assert_eq!(complete(&["hookbridge", "send", "spark"]), ["sparkpost"]);
    assert_eq!(complete(&["hookbridge", "verify", "gitl"]), ["gitlab"]);
    assert_eq!(complete(&["hookbridge", "template", "event"]), ["event-log"]);
    // Without a log there are no subscribers.
    assert!(complete(&["hookbridge", "subscriber", "show", "cr"]).is_empty());
    let server = Server::start_with(&["--allow-to", "127.0.0.1"]);
    let create = json!({"name": "crm", "url": "https://127.0.0.1/"}).to_string();
    assert_eq!(server.request("POST", "/subscribers", &[], create.as_bytes()).status, 201);
    std::os::unix::fs::symlink(server.folder.path(), folder.path().join("hookbridge-data")).unwrap();
    assert_eq!(complete(&["hookbridge", "subscriber", "show", "cr"]), ["crm"]);
    assert_eq!(complete(&["hookbridge", "delivery", "list", "--subscriber", "c"]), ["crm"]);
}

#[test]
fn manual_pages_cover_every_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("man1");
    lines(hookbridge().arg("man").arg(&target));
    let page = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
    assert!(page("hookbridge.1").contains("subscriber"));
    assert!(page("hookbridge-subscriber-rotate-secret.1").contains("signing secret"));
    let error = error_of(hookbridge().args(["man", "/proc/none"]));
    assert!(error.contains("choose a folder that you can write to"), "{error}");
}
