//! Lambda's Runtime API for one function that runs as a process, with access to a response while it streams.
//!
//! Source: "Using the Lambda runtime API for custom runtimes", AWS Lambda Developer Guide.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running function; killed when dropped.
pub struct RunningFunction {
    process: Child,
    invoke: mpsc::Sender<(String, SystemTime)>,
    answers: mpsc::Receiver<RuntimeResponse>,
}

/// The response to one invocation.
pub struct RuntimeResponse {
    /// The request line and headers of the function's request.
    pub head: String,
    pieces: mpsc::Receiver<Vec<u8>>,
}

impl RunningFunction {
    pub fn start(program: &str, environment: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (invoke, events) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let events = Arc::new(Mutex::new(events));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (events, answer) = (events.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &events, &answer));
            }
        });
        let process = Command::new(program)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .envs([("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")])
            .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_LAMBDA_LOG_GROUP_NAME", "g"), ("AWS_LAMBDA_LOG_STREAM_NAME", "s")])
            .envs(environment.iter().copied())
            .spawn()
            .unwrap();
        Self { process, invoke, answers }
    }

    /// Invokes it, and returns when the response begins.
    pub fn invoke(&self, event: &Value, deadline: SystemTime) -> RuntimeResponse {
        self.invoke.send((event.to_string(), deadline)).unwrap();
        self.answers.recv_timeout(WAIT_TIMEOUT).expect("an answer")
    }
}

impl Drop for RunningFunction {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RuntimeResponse {
    /// The next chunk; `None` at the end.
    pub fn next(&self) -> Option<Vec<u8>> {
        match self.pieces.recv_timeout(WAIT_TIMEOUT) {
            Ok(piece) => Some(piece),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no chunk and no end within the timeout"),
        }
    }

    /// Reads until the text read so far contains `text`.
    pub fn read_until(&self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let piece = self.next().unwrap_or_else(|| panic!("the end, after: {all}"));
            all.push_str(std::str::from_utf8(&piece).unwrap());
        }
        all
    }

    pub fn read_rest(&self) -> Vec<u8> {
        std::iter::from_fn(|| self.next()).flatten().collect()
    }
}

fn serve(
    stream: TcpStream,
    events: &Mutex<mpsc::Receiver<(String, SystemTime)>>,
    answers: &mpsc::Sender<RuntimeResponse>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        if head.starts_with("GET") {
            let (event, deadline) = events.lock().ok()?.recv().ok()?;
            let deadline = deadline.duration_since(UNIX_EPOCH).ok()?.as_millis();
            let length = event.len();
            write!(stream, "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: {deadline}\r\nlambda-runtime-invoked-function-arn: arn:f\r\ncontent-length: {length}\r\n\r\n{event}").ok()?;
            continue;
        }
        let (tell, pieces) = mpsc::channel();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let length: Option<usize> = header("content-length").and_then(|length| length.parse().ok());
        answers.send(RuntimeResponse { head: head.clone(), pieces }).ok()?;
        if let Some(length) = length {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            tell.send(body).ok()?;
        } else {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut piece = vec![0; size + 2];
                reader.read_exact(&mut piece).ok()?;
                piece.truncate(size);
                if size == 0 {
                    break;
                }
                let _ = tell.send(piece);
            }
        }
        drop(tell);
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
