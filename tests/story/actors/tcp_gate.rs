//! A TCP proxy whose target can become unreachable and reachable again.

use std::io::{ErrorKind, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub struct TcpGate {
    pub address: SocketAddr,
    is_closed: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl TcpGate {
    pub fn in_front_of(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_closed, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let gate = Self { address, is_closed: is_closed.clone(), streams: streams.clone() };
        let target = target.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                streams.lock().unwrap().push(client.try_clone().unwrap());
                // While the gate is closed, a connection is accepted and never answered.
                if !is_closed.load(Ordering::SeqCst) {
                    let server = TcpStream::connect(&target).unwrap();
                    streams.lock().unwrap().push(server.try_clone().unwrap());
                    forward(client.try_clone().unwrap(), server.try_clone().unwrap());
                    forward(server, client);
                }
            }
        });
        gate
    }

    /// Breaks all connections, and answers no new one.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.break_connections();
    }

    pub fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
        self.break_connections();
    }

    fn break_connections(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            match stream.shutdown(Shutdown::Both) {
                Err(error) if error.kind() != ErrorKind::NotConnected => panic!("{error}"),
                _ => {}
            }
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
