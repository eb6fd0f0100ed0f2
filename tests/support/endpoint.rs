//! A real HTTP server on loopback that behaves as a script says: the faults of model endpoints, to the byte.
//!
//! Each connection is one request and takes the next act of the script; the last act repeats. All that arrives is kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with this text, as a model does.
    Say(String),
    /// Answers with a proposal in the form that is asked for: the program of the prompt with this text before its
    /// `balanced_packing`. `{n}` in it becomes the number of the request.
    Insert(String),
    /// Answers with a status, further headers and a body.
    Reply { status: u16, headers: String, body: String },
    /// The same with a body that may be no text.
    Bytes { status: u16, headers: String, body: Vec<u8> },
    /// Behaves as in [`Act::Insert`], but refuses the role of the system with this status.
    WithoutSystem(u16, String),
    /// Announces more than it sends, and closes.
    BreakOff,
    /// Sends nothing and closes.
    Close,
    /// Sends invalid HTTP.
    Garble,
    /// Sends without end.
    Flood,
    /// Sends a head, and then a byte now and then, without end.
    Drip,
    /// Sends nothing and does not close.
    Silence,
    /// Answers with what it received, headers and all, as an answer or with a status.
    Echo { status: u16 },
}

impl Act {
    /// A status with an error as endpoints put it.
    pub fn refuse(status: u16, headers: &str, message: &str) -> Self {
        let body = format!("{{\"error\": {{\"message\": \"{message}\"}}}}");
        Self::Reply { status, headers: headers.to_owned(), body }
    }

    /// Success with this body.
    pub fn body(body: &str) -> Self {
        Self::Reply { status: 200, headers: String::new(), body: body.to_owned() }
    }
}

/// The body of an answer with this text, 100 tokens asked and 10 answered.
pub fn answer(text: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    })
    .to_string()
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Request line and headers.
    pub head: String,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Arrived {
    fn has_system(&self) -> bool {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["messages"][0]["role"] == "system"
    }

    /// What its messages say.
    pub fn said(&self) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        let messages = body["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    }
}

/// The server. It ends when this is dropped.
pub struct Endpoint {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Plays the acts in order, and then the last one again and again.
    pub fn playing(acts: Vec<Act>) -> Self {
        assert!(!acts.is_empty(), "a script has an act");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let (log, over) = (Arc::clone(&arrived), Arc::clone(&is_over));
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (acts, log, over) = (acts.clone(), Arc::clone(&log), Arc::clone(&over));
                thread::spawn(move || serve(stream, &acts, &log, &over));
            }
        });
        Self { address, arrived, is_over, accepting: Some(accepting) }
    }

    /// The `base_url` of a model.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// An address without a listener.
    pub fn refusing() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    }

    /// All requests so far.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, acts: &[Act], log: &Mutex<Vec<Arrived>>, is_over: &AtomicBool) {
    let Some(arrived) = receive(&mut stream) else { return };
    let place = {
        let mut log = log.lock().unwrap();
        log.push(arrived.clone());
        log.len() - 1
    };
    let act = match &acts[place.min(acts.len() - 1)] {
        Act::WithoutSystem(status, _) if arrived.has_system() => &Act::refuse(*status, "", "System role not supported"),
        Act::Insert(text) | Act::WithoutSystem(_, text) => {
            &Act::Say(inserting(&text.replace("{n}", &place.to_string()), place, &arrived))
        }
        act => act,
    };
    // A client that has gone is not the fault of the server.
    let _ = play(&mut stream, act, &arrived, is_over);
}

/// A proposal for the program that was shown first.
fn inserting(text: &str, place: usize, arrived: &Arrived) -> String {
    let asked = arrived.said().into_iter().find(|said| said.contains("````python\n"));
    let Some(asked) = asked else { return "nothing to edit".to_owned() };
    let (_, shown) = asked.split_once("````python\n").unwrap();
    let program = shown.split_once("\n````").unwrap().0;
    let line = program.lines().find(|line| line.starts_with("def balanced_packing(")).unwrap();
    let head = format!("<NAME>\nidea_{place}\n</NAME>\n<DESCRIPTION>\nIt is idea {place}.\n</DESCRIPTION>\n");
    match asked.contains("<<<<<<< SEARCH") {
        true => {
            let edit = format!("<<<<<<< SEARCH\n{line}\n=======\n{text}\n{line}\n>>>>>>> REPLACE");
            format!("{head}<DIFF>\n{edit}\n</DIFF>\n")
        }
        false => format!("{head}```python\n{}\n```\n", program.replacen(line, &format!("{text}\n{line}"), 1)),
    }
}

fn receive(stream: &mut TcpStream) -> Option<Arrived> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let whole = end + 4 + length.unwrap_or(0);
            if bytes.len() >= whole {
                return Some(Arrived { head, body: bytes[end + 4..whole].to_vec(), at: Instant::now() });
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn play(stream: &mut TcpStream, act: &Act, arrived: &Arrived, is_over: &AtomicBool) -> std::io::Result<()> {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    let is_going_on = || !is_over.load(Ordering::SeqCst);
    match act {
        Act::Say(text) => reply(stream, 200, "", answer(text).as_bytes()),
        Act::Insert(_) | Act::WithoutSystem(..) => unreachable!("became what is said"),
        Act::Reply { status, headers, body } => reply(stream, *status, headers, body.as_bytes()),
        Act::Bytes { status, headers, body } => reply(stream, *status, headers, body),
        Act::Echo { status } => {
            let text = format!("{}\n{}", arrived.head, String::from_utf8_lossy(&arrived.body));
            match status {
                200 => reply(stream, 200, "", answer(&text).as_bytes()),
                _ => {
                    let body = serde_json::json!({"error": {"message": text}}).to_string();
                    reply(stream, *status, "", body.as_bytes())
                }
            }
        }
        Act::BreakOff => stream.write_all(format!("{}{{\"choices\": [", head(1000)).as_bytes()),
        Act::Close => Ok(()),
        Act::Garble => stream.write_all(b"\x00\xffnot HTTP\r\n\r\n"),
        Act::Flood => {
            stream.write_all(head(1 << 40).as_bytes())?;
            while is_going_on() {
                stream.write_all(&[b' '; 64 * 1024])?;
            }
            Ok(())
        }
        Act::Drip => {
            stream.write_all(head(1 << 20).as_bytes())?;
            while is_going_on() {
                stream.write_all(b" ")?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Act::Silence => {
            stream.set_read_timeout(Some(Duration::from_millis(50)))?;
            // Until the client has had enough.
            while is_going_on() {
                match stream.read(&mut [0; 16]) {
                    Ok(0) => break,
                    Err(error) if ![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => break,
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

fn reply(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
