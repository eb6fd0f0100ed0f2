//! A browser, to see what a page does when it is opened: what it asks for, and what goes wrong.
//!
//! Debian's Chromium, installed where it is not there and can be. It is driven over the pipe of its own protocol: JSON
//! messages, a zero byte behind each.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::skip::skip;

/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, or why there is none.
static CHROMIUM: LazyLock<Result<(), String>> = LazyLock::new(|| {
    let is_there = || Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
    if is_there() {
        return Ok(());
    }
    if !geteuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err("there is no chromium, and only root can install Debian's".to_owned());
    }
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", "chromium"]] {
        let mut command = Command::new("apt-get");
        let output = command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("apt-get does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("apt-get {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr)));
        }
    }
    if is_there() { Ok(()) } else { Err("chromium is installed and does not start".to_owned()) }
});

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub scheme: &'static str,
}

/// What was seen of a page.
#[derive(Debug, Default)]
pub struct Seen {
    /// Addresses that were asked for.
    pub requests: Vec<String>,
    /// What went wrong, in the words of the browser.
    pub errors: Vec<String>,
    /// How far the page reaches beyond its right edge, pixels.
    pub overflow: i64,
    /// The colour behind everything.
    pub background: String,
    /// A picture of the whole page.
    pub picture: Vec<u8>,
}

/// A page that stays open.
#[derive(Debug)]
pub struct Tab {
    session: String,
    /// What was seen of it so far.
    pub seen: Seen,
}

/// A running browser. It ends when this is dropped.
pub struct Browser {
    process: Child,
    orders: File,
    messages: Receiver<Value>,
    last: u64,
    _folder: TempDir,
}

impl Browser {
    /// Starts it; `None` where there is none, and the test is skipped.
    pub fn start() -> Option<Self> {
        if let Err(reason) = &*CHROMIUM {
            skip("browser", format_args!("no browser to look at the page with: {reason}"));
            return None;
        }
        let folder = TempDir::new().unwrap();
        let [orders, answers] = ["orders", "answers"].map(|name| folder.path().join(name));
        for pipe in [&orders, &answers] {
            mkfifo(pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars \
                      --remote-debugging-pipe --user-data-dir=\"$1/profile\" 3<\"$1/orders\" 4>\"$1/answers\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(folder.path()).env("HOME", folder.path());
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let orders = File::options().write(true).open(orders).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        Some(Self { process, orders, messages, last: 0, _folder: folder })
    }

    /// Opens a file as a page of its own and looks at it.
    pub fn open(&mut self, page: &Path, look: Look) -> Seen {
        let mut seen = Seen::default();
        let session = self.watched_page(look, &mut seen);
        self.load(&session, page, &mut seen);
        self.look(Tab { session, seen })
    }

    /// Opens an address as a page that stays open.
    pub fn tab(&mut self, address: &str, look: Look) -> Tab {
        let mut seen = Seen::default();
        let session = self.watched_page(look, &mut seen);
        self.visit(&session, address, &mut seen);
        Tab { session, seen }
    }

    /// Leads an open page to another address.
    pub fn go(&mut self, tab: &mut Tab, address: &str) {
        let Tab { session, seen } = tab;
        self.visit(session, address, seen);
    }

    /// The value of an expression in an open page.
    pub fn ask(&mut self, tab: &mut Tab, expression: &str) -> Value {
        let Tab { session, seen } = tab;
        self.value(session, expression, seen)
    }

    /// Waits until an expression is true in an open page.
    #[track_caller]
    pub fn wait_for(&mut self, tab: &mut Tab, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.ask(tab, expression) != true {
            let shown = || tab.seen.errors.join("\n");
            assert!(Instant::now() < end, "waited in vain: {expression}\n{}", shown());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// An empty page of which everything is seen.
    fn watched_page(&mut self, look: Look, seen: &mut Seen) -> String {
        let session = self.new_page(seen);
        for domain in ["Network", "Log", "Runtime"] {
            self.order(&session, &format!("{domain}.enable"), &json!({}), seen);
        }
        let size = json!({"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.order(&session, "Emulation.setDeviceMetricsOverride", &size, seen);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": look.scheme}]});
        self.order(&session, "Emulation.setEmulatedMedia", &media, seen);
        session
    }

    /// Looks at an open page and closes it.
    pub fn look(&mut self, tab: Tab) -> Seen {
        let Tab { session, mut seen } = tab;
        let beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        seen.overflow = self.value(&session, beyond, &mut seen).as_i64().unwrap();
        let background = self.value(&session, "getComputedStyle(document.body).backgroundColor", &mut seen);
        seen.background = background.as_str().unwrap().to_owned();
        let whole = json!({"captureBeyondViewport": true, "optimizeForSpeed": true});
        let picture = self.order(&session, "Page.captureScreenshot", &whole, &mut seen);
        seen.picture = bytes_of(picture["data"].as_str().unwrap());
        self.order(&session, "Page.close", &json!({}), &mut seen);
        seen
    }

    /// The page in print.
    pub fn print(&mut self, page: &Path) -> Vec<u8> {
        let mut seen = Seen::default();
        let session = self.new_page(&mut seen);
        self.load(&session, page, &mut seen);
        let paper = json!({"printBackground": true, "preferCSSPageSize": true});
        let printed = self.order(&session, "Page.printToPDF", &paper, &mut seen);
        self.order(&session, "Page.close", &json!({}), &mut seen);
        bytes_of(printed["data"].as_str().unwrap())
    }

    /// An empty page; what orders for it are addressed to.
    fn new_page(&mut self, seen: &mut Seen) -> String {
        let target = self.order("", "Target.createTarget", &json!({"url": "about:blank"}), seen);
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.order("", "Target.attachToTarget", &target, seen);
        let session = session["sessionId"].as_str().unwrap().to_owned();
        self.order(&session, "Page.enable", &json!({}), seen);
        session
    }

    fn load(&mut self, session: &str, page: &Path, seen: &mut Seen) {
        let address = format!("file://{}", fs::canonicalize(page).unwrap().display());
        self.visit(session, &address, seen);
    }

    fn visit(&mut self, session: &str, address: &str, seen: &mut Seen) {
        self.order(session, "Page.navigate", &json!({ "url": address }), seen);
        self.until(seen, |message| message["method"] == "Page.loadEventFired");
    }

    fn value(&mut self, session: &str, expression: &str, seen: &mut Seen) -> Value {
        let result = self.order(session, "Runtime.evaluate", &json!({ "expression": expression }), seen);
        result["result"]["value"].clone()
    }

    /// Gives an order and waits for its result; what happens meanwhile is seen.
    fn order(&mut self, session: &str, method: &str, parameters: &Value, seen: &mut Seen) -> Value {
        self.last += 1;
        let mut order = json!({"id": self.last, "method": method, "params": parameters});
        if !session.is_empty() {
            order["sessionId"] = session.into();
        }
        self.orders.write_all(order.to_string().as_bytes()).unwrap();
        self.orders.write_all(&[0]).unwrap();
        let id = self.last;
        let answer = self.until(seen, |message| message["id"] == id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn until(&mut self, seen: &mut Seen, is_it: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).expect("the browser answers");
            seen.take_in(&message);
            if is_it(&message) {
                return message;
            }
        }
    }
}

impl Seen {
    fn take_in(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap().to_owned());
            }
            "Log.entryAdded" if parameters["entry"]["level"] != "verbose" => {
                self.errors.push(parameters["entry"]["text"].to_string());
            }
            "Runtime.exceptionThrown" => self.errors.push(parameters["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" => self.errors.push(parameters["args"].to_string()),
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.last += 1;
        let order = json!({"id": self.last, "method": "Browser.close"}).to_string() + "\0";
        let end = Instant::now() + Duration::from_secs(10);
        let mut is_going = self.orders.write_all(order.as_bytes()).is_ok();
        while is_going && Instant::now() < end {
            is_going = !matches!(self.process.try_wait(), Ok(Some(_)));
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a text in base 64 stands for.
fn bytes_of(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let digits: Vec<u32> = digits.map(|digit| u32::try_from(digit).unwrap()).collect();
    let group = |group: &[u32]| {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
