//! Lambda's Runtime API for one function that runs as a process, with access to a response while it streams.
//!
//! Source: "Using the Lambda runtime API for custom runtimes", AWS Lambda Developer Guide.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::front_door::{FrontDoor, Request};

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running function; killed when dropped.
pub struct RunningFunction {
    process: Mutex<Child>,
    invocations: mpsc::Sender<(String, SystemTime)>,
    responses: mpsc::Receiver<RuntimeResponse>,
    log: Arc<Mutex<Vec<String>>>,
}

/// The response to one invocation.
pub struct RuntimeResponse {
    /// The request line and headers of the function's request.
    pub head: String,
    chunks: mpsc::Receiver<Vec<u8>>,
}

impl RunningFunction {
    pub fn start(program: &str, environment: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (invocations, events) = mpsc::channel();
        let (response_sender, responses) = mpsc::channel();
        let events = Arc::new(Mutex::new(events));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (events, response_sender) = (events.clone(), response_sender.clone());
                std::thread::spawn(move || serve(stream, &events, &response_sender));
            }
        });
        let mut process = Command::new(program)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .envs([("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")])
            .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_LAMBDA_LOG_GROUP_NAME", "g"), ("AWS_LAMBDA_LOG_STREAM_NAME", "s")])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stdout, lines) = (process.stdout.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { process: Mutex::new(process), invocations, responses, log }
    }

    /// The lines that the function has logged so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Starts the function `bridge` for `provider`, in front of LocalStack.
    pub fn start_bridge(provider: &str, secret_arn: &str) -> Self {
        Self::start_bridge_with(&[("PROVIDER", provider), ("WEBHOOK_SECRET_ARN", secret_arn)])
    }

    /// Starts the function `bridge` with these variables, in front of LocalStack.
    pub fn start_bridge_with(variables: &[(&str, &str)]) -> Self {
        let endpoint = super::aws::endpoint();
        let environment = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        Self::start(env!("CARGO_BIN_EXE_bridge"), &[&environment[..], variables].concat())
    }

    /// Sends a POST to the function `bridge` through its Function URL, and returns the status and the body of the response.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u64, String) {
        let request = Request { method: "POST", path, query: "", headers, body: body.as_bytes() };
        let event = FrontDoor::FunctionUrl.event(&request);
        let response = self.invoke(&event, SystemTime::now() + Duration::from_secs(8));
        let response: Value = serde_json::from_slice(&response.read_to_end()).unwrap();
        let (status, _, body) = FrontDoor::FunctionUrl.read_response(&response);
        (status, body)
    }

    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap().id()
    }

    /// Invokes the function, and returns its response; `None` if the process ended without one.
    pub fn try_invoke(&self, event: &Value, deadline: SystemTime) -> Option<Value> {
        self.invocations.send((event.to_string(), deadline)).unwrap();
        loop {
            match self.responses.recv_timeout(Duration::from_millis(50)) {
                Ok(response) => return serde_json::from_slice(&response.read_to_end()).ok(),
                Err(_) if self.process.lock().unwrap().try_wait().unwrap().is_some() => return None,
                Err(_) => {}
            }
        }
    }

    /// Invokes the function, and returns when the response begins.
    pub fn invoke(&self, event: &Value, deadline: SystemTime) -> RuntimeResponse {
        self.invocations.send((event.to_string(), deadline)).unwrap();
        self.responses.recv_timeout(WAIT_TIMEOUT).expect("a response")
    }
}

impl Drop for RunningFunction {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl RuntimeResponse {
    /// The next chunk; `None` at the end.
    pub fn next(&self) -> Option<Vec<u8>> {
        match self.chunks.recv_timeout(WAIT_TIMEOUT) {
            Ok(chunk) => Some(chunk),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no chunk and no end within the timeout"),
        }
    }

    /// Reads until the text read so far contains `text`.
    pub fn read_until(&self, text: &str) -> String {
        let mut received = String::new();
        while !received.contains(text) {
            let chunk = self.next().unwrap_or_else(|| panic!("the response ended after: {received}"));
            received.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        received
    }

    pub fn read_to_end(&self) -> Vec<u8> {
        std::iter::from_fn(|| self.next()).flatten().collect()
    }
}

fn serve(
    stream: TcpStream,
    events: &Mutex<mpsc::Receiver<(String, SystemTime)>>,
    responses: &mpsc::Sender<RuntimeResponse>,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
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
        let (chunk_sender, chunks) = mpsc::channel();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let length: Option<usize> = header("content-length").and_then(|length| length.parse().ok());
        responses.send(RuntimeResponse { head: head.clone(), chunks }).ok()?;
        if let Some(length) = length {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            chunk_sender.send(body).ok()?;
        } else {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).ok()?;
                chunk.truncate(size);
                if size == 0 {
                    break;
                }
                let _ = chunk_sender.send(chunk);
            }
        }
        drop(chunk_sender);
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
