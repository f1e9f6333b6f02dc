//! A running `hookbridge serve`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use hookbridge::providers::{self, Provider};
use serde_json::Value;
use tempfile::TempDir;

use super::raw_http::{self, Reply};

pub const SECRET: &str = "It's a Secret to Everybody";

/// A server on a free port, with its own data folder; killed when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub folder: TempDir,
    process: Child,
    output_lines: Mutex<mpsc::Receiver<String>>,
}

pub fn hookbridge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookbridge"));
    command.env_remove("HOOKBRIDGE_DATA");
    command
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more flags and waits until it listens.
    pub fn start_with(flags: &[&str]) -> Self {
        Self::start_with_environment(flags, &[])
    }

    /// Starts a server with more flags and environment variables and waits until it listens.
    pub fn start_with_environment(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = spawn_with_environment(folder.path(), &secret_flags(), flags, environment);
        Self::from_process(folder, process)
    }

    /// Starts a server in an existing data folder, whose development secrets it uses, and waits until it listens.
    pub fn start_in(folder: TempDir, flags: &[&str]) -> Self {
        let process = spawn(folder.path(), &[], flags);
        Self::from_process(folder, process)
    }

    fn from_process(folder: TempDir, (process, lines): (Child, Mutex<mpsc::Receiver<String>>)) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { address, folder, process, output_lines: lines };
        server.wait_until_listening();
        server
    }

    /// Stops the server with SIGTERM and starts it again in the same folder.
    pub fn restart_with(&mut self, flags: &[&str]) {
        self.signal("TERM");
        assert!(self.wait_for_exit().success());
        (self.process, self.output_lines) = spawn(self.folder.path(), &secret_flags(), flags);
        self.wait_until_listening();
    }

    /// Stops the server with SIGTERM and starts it again in the same folder and at the same address.
    pub fn restart_at_same_address(&mut self, flags: &[&str]) {
        self.signal("TERM");
        assert!(self.wait_for_exit().success());
        let listen = self.address.to_string();
        (self.process, self.output_lines) =
            spawn_at(&listen, self.folder.path(), &secret_flags(), flags, &[]);
        self.wait_until_listening();
    }

    /// Starts a new process in the folder of this one, which has exited.
    pub fn start_in_same_folder(mut self, flags: &[&str]) -> Self {
        (self.process, self.output_lines) = spawn(self.folder.path(), &secret_flags(), flags);
        self.wait_until_listening();
        self
    }

    fn wait_until_listening(&mut self) {
        let line = self.wait_for_line("listen");
        self.address = line.rsplit_once('/').unwrap().1.trim_end_matches("\"}").parse().unwrap();
    }

    /// Waits for the next output line that contains `text`, and returns it.
    pub fn wait_for_line(&self, text: &str) -> String {
        loop {
            let line = self.output_lines.lock().unwrap().recv_timeout(Duration::from_secs(60));
            let line = line.unwrap_or_else(|_| panic!("the server never printed '{text}'"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Posts to `/hooks/<provider>`.
    pub fn post(&self, provider: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Reply {
        let path = format!("/hooks/{provider}");
        let bytes = raw_http::request("POST", &path, &self.address.to_string(), headers, body);
        raw_http::exchange(self.address, &bytes).expect("a response")
    }

    /// Sends a GET request and parses the JSON response.
    pub fn get(&self, path: &str, headers: &[(&str, &[u8])]) -> (u16, Value) {
        let reply = self.request("GET", path, headers, b"");
        (reply.status, serde_json::from_str(&reply.body).unwrap())
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Reply {
        let bytes = raw_http::request(method, path, &self.address.to_string(), headers, body);
        let reply = raw_http::exchange(self.address, &bytes).expect("a response");
        assert!(reply.head.to_lowercase().matches("content-type:").count() <= 1, "{}", reply.head);
        reply
    }

    /// Sends a GitHub webhook with the body `{"n": n}`.
    pub fn push(&self, n: usize) {
        let body = format!("{{\"n\":{n}}}");
        let signature = super::github_signature(body.as_bytes());
        let headers: [(&str, &[u8]); 4] = [
            ("content-type", b"application/json"),
            ("x-github-event", if n.is_multiple_of(2) { b"push" } else { b"issues" }),
            ("x-github-delivery", format!("delivery-{n}").leak().as_bytes()),
            ("x-hub-signature-256", signature.as_bytes()),
        ];
        assert_eq!(self.post("github", &headers, body.as_bytes()).status, 202);
    }

    pub fn events_file(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.events_file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        super::run(Command::new("kill").args([format!("-{name}"), self.pid().to_string()]));
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

fn secret_flags() -> Vec<String> {
    providers::PROVIDERS.iter().map(|Provider { name, .. }| format!("--secret={name}={SECRET}")).collect()
}

fn spawn(folder: &Path, secrets: &[String], flags: &[&str]) -> (Child, Mutex<mpsc::Receiver<String>>) {
    spawn_with_environment(folder, secrets, flags, &[])
}

fn spawn_with_environment(
    folder: &Path,
    secrets: &[String],
    flags: &[&str],
    environment: &[(&str, &str)],
) -> (Child, Mutex<mpsc::Receiver<String>>) {
    spawn_at("127.0.0.1:0", folder, secrets, flags, environment)
}

fn spawn_at(
    listen: &str,
    folder: &Path,
    secrets: &[String],
    flags: &[&str],
    environment: &[(&str, &str)],
) -> (Child, Mutex<mpsc::Receiver<String>>) {
    let mut process = hookbridge()
        .args(["serve", "--listen", listen])
        .args(secrets)
        .arg("--data")
        .arg(folder)
        .args(flags)
        .env("AWS_ENDPOINT_URL", std::env::var("HOOKBRIDGE_TEST_AWS").unwrap_or_default())
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (line_sender, lines) = mpsc::channel();
    let output = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if line_sender.send(line).is_err() {
                break;
            }
        }
    });
    (process, Mutex::new(lines))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
