//! `packevolve serve`: pages that follow a run, for those who know the token, in which nothing but text is text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use packevolve::search::Outcome;

use crate::report::{HOSTILE, LOOKS, hostile_run, keep};
use crate::support::browser::Browser;
use crate::support::live::Live;
use crate::support::{World, copy, finished, forged, scripted};

/// A server in a world. It ends when this is dropped.
struct Serving {
    process: Child,
    /// `127.0.0.1` and its port.
    host: String,
    token: String,
}

/// An answer to a request.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

impl Serving {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(&[&["serve", "--port", "0"], arguments].concat());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{line:?}"));
        let (host, token) = address.split_once("/?token=").unwrap();
        Self { process, host: host.to_owned(), token: token.to_owned() }
    }

    /// The address that is printed, which opens the list of runs.
    fn address(&self) -> String {
        format!("http://{}/?token={}", self.host, self.token)
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.host)
            .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// A page, with the token.
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[&self.bearer()])
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A run of a slow judge, so that a browser sees it at work.
fn slow() -> World {
    let world = scripted::with("judges: [{slots: 2}]\nsearch: {candidates: 60}\n").slowed();
    world.set("proposers", "{corpus: null, prune: {enabled: false}}");
    world
}

#[test]
fn the_page_of_a_run_that_goes_changes_without_a_reload() {
    let world = slow();
    let live = Live::start(&world, "x", &["evolve", "--run", "x"]);
    live.wait_for("candidate-evaluated", 2);
    let serving = Serving::start(&world, &[]);
    let Some(mut browser) = Browser::start() else {
        live.kill();
        return;
    };
    let mut tab = browser.tab(&serving.address(), LOOKS[0].1);
    browser.wait_for(&mut tab, "document.querySelector('#runs a') !== null");
    assert_eq!(browser.ask(&mut tab, "location.href"), serving.at("/"), "the token does not stay in the address");
    browser.go(&mut tab, &serving.at("/run/x"));
    browser.wait_for(&mut tab, "document.querySelector('#now').textContent.includes('measures')");
    browser.ask(&mut tab, "window.mark = 1; document.querySelector('#latest details').open = true");
    let judged = "parseInt(document.querySelector('header').textContent.match(/(\\d+) candidates? judged/)[1])";
    let before = browser.ask(&mut tab, judged).as_i64().unwrap();
    browser.wait_for(&mut tab, &format!("{judged} > {}", before + 1));
    assert_eq!(browser.ask(&mut tab, "window.mark"), 1, "the page was not loaded again");
    assert_eq!(
        browser.ask(&mut tab, "document.querySelector('#latest details').open"),
        true,
        "what is open stays open"
    );
    world.run(&["stop"]).ends(0);
    live.end().ends(0);
    browser.wait_for(&mut tab, "document.querySelector('header').textContent.includes('stopped: the stop file')");
    assert_eq!(browser.ask(&mut tab, "document.querySelector('#now')"), serde_json::Value::Null);
    assert_eq!(browser.ask(&mut tab, "window.mark"), 1);
    assert_eq!(tab.seen.errors, [""; 0]);
    let own = serving.at("/");
    assert!(tab.seen.requests.len() > 5 && tab.seen.requests.iter().all(|request| request.starts_with(&own)));
    drop(serving);
    browser.wait_for(&mut tab, "!document.getElementById('lost').hidden");
}

#[test]
fn pages_fit_every_look_and_err_in_none() {
    let world = finished::world();
    copy(&world.path("runs").join(finished::NAME), &world.path("runs/other"));
    let serving = Serving::start(&world, &[]);
    let Some(mut browser) = Browser::start() else { return };
    let run = world.read(finished::NAME);
    let rejected = run.search.candidates().find(|(_, known)| known.outcome == Some(Outcome::Rejected)).unwrap().0;
    let best = run.search.best().unwrap().candidate;
    let pages = [
        ("runs", "/".to_owned()),
        ("run", format!("/run/{}", finished::NAME)),
        ("candidates", format!("/run/{}/candidates", finished::NAME)),
        ("best", format!("/run/{}/candidate/{best}", finished::NAME)),
        ("rejected", format!("/run/{}/candidate/{rejected}", finished::NAME)),
    ];
    for (look_name, look) in LOOKS {
        let mut first = browser.tab(&serving.address(), look);
        browser.wait_for(&mut first, "document.querySelectorAll('#runs td').length > 8");
        browser.look(first);
        for (name, path) in &pages {
            let mut tab = browser.tab(&serving.at(path), look);
            browser.wait_for(&mut tab, "document.querySelector('main > section') !== null");
            let seen = browser.look(tab);
            assert_eq!(seen.errors, [""; 0], "{name}, {look_name}");
            assert_eq!(seen.overflow, 0, "{name}, {look_name}: the page is wider than the screen");
            assert!(seen.requests.iter().all(|request| request.starts_with(&serving.at("/"))), "{:?}", seen.requests);
            keep(&format!("serve-{name}-{look_name}.png"), &seen.picture);
        }
    }
}

#[test]
fn nothing_is_shown_without_the_token_and_nothing_can_be_changed_with_it() {
    let world = finished::world();
    let serving = Serving::start(&world, &[]);
    let paths = ["/", "/run/small", "/run/small/candidate/1", "/events", "/metrics", "/style.css", "/page.js", "/none"];
    let wrong = serving.token.replace(|c: char| c.is_ascii_digit(), "f") + "0";
    for path in paths {
        for header in [
            String::new(),
            format!("Authorization: Bearer {wrong}"),
            format!("Authorization: Basic {}", serving.token),
            format!("Cookie: packevolve={}", serving.token),
            format!("Cookie: packevolve-{}={wrong}", serving.host.rsplit(':').next().unwrap()),
        ] {
            let headers: Vec<&str> = [header.as_str()].into_iter().filter(|header| !header.is_empty()).collect();
            let answer = serving.ask("GET", path, &headers);
            assert_eq!(answer.status, 401, "{path} {header}: {answer:?}");
            assert!(!answer.body.contains("small") && answer.body.contains("A token is needed"));
        }
        let in_query = serving.ask("GET", &format!("{path}?token={wrong}"), &[]);
        assert_eq!(in_query.status, 401, "{path}");
    }
    let welcome = serving.ask("GET", &format!("/run/small?token={}&x=1", serving.token), &[]);
    assert_eq!((welcome.status, welcome.headers["location"].as_str()), (303, "/run/small?x=1"));
    let cookie = &welcome.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
    for path in ["/run/small", "/metrics", "/style.css"] {
        let answer = serving.ask("GET", path, &[&cookie]);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'; script-src 'self'"));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    for path in ["/none", "/run/none", "/run/small/candidate/99", "/run/small/candidate/x", "/run/..%2F..", "/run/."] {
        assert_eq!(serving.get(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(serving.ask(method, "/run/small", &[&serving.bearer()]).status, 405, "{method}");
    }
}

#[test]
fn the_figures_for_prometheus_are_those_of_the_run() {
    let world = finished::world();
    let serving = Serving::start(&world, &["--run", finished::NAME]);
    let answer = serving.get("/metrics");
    assert_eq!(
        (answer.status, answer.headers["content-type"].as_str()),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    let search = world.read(finished::NAME).search;
    let tally = search.tally();
    let best = search.best().unwrap();
    for (sample, value) in [
        ("packevolve_candidates{run=\"small\",outcome=\"measured\"}", tally.measured as f64),
        ("packevolve_candidates{run=\"small\",outcome=\"rejected\"}", tally.rejected as f64),
        ("packevolve_candidates{run=\"small\",outcome=\"outclassed\"}", tally.outclassed as f64),
        ("packevolve_best_score{run=\"small\"}", best.reported_score()),
        ("packevolve_best_candidate{run=\"small\"}", best.candidate.0 as f64),
        ("packevolve_run_live{run=\"small\"}", 0.0),
        ("packevolve_run_stopped{run=\"small\"}", 1.0),
        ("packevolve_slots{run=\"small\",state=\"busy\"}", 0.0),
    ] {
        let line = answer.body.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or_else(|| panic!("{sample}"));
        assert_eq!(line.trim().parse::<f64>().unwrap(), value, "{sample}");
    }
    let is_well_formed = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        line.starts_with("# ") || (name.starts_with("packevolve_") && value.parse::<f64>().is_ok())
    };
    assert!(answer.body.ends_with('\n') && answer.body.lines().all(is_well_formed), "{}", answer.body);
    assert!(answer.body.contains("packevolve_slot_losses_total{run=\"small\",place="), "{}", answer.body);
}

#[test]
fn hostile_names_texts_and_programs_stay_text() {
    let (world, run) = hostile_run();
    let serving = Serving::start(&world, &[]);
    let name = "%3Cscript%3Ex";
    let pages: Vec<String> = std::iter::once("/".to_owned())
        .chain([format!("/run/{name}"), format!("/run/{name}/candidates")])
        .chain(run.search.candidates().map(|(id, _)| format!("/run/{name}/candidate/{id}")))
        .collect();
    for page in &pages {
        let answer = serving.get(page);
        assert_eq!(answer.status, 200, "{page}");
        for begin in ["<script>", "<img", "onerror=\"", "\u{1b}"] {
            assert!(!answer.body.contains(begin), "{page}: {begin}");
        }
    }
    let whole: String = pages.iter().map(|page| serving.get(page).body).collect();
    assert!(whole.matches("&lt;script&gt;alert").count() > 8);
    let metrics = serving.get("/metrics").body;
    assert!(metrics.contains("run=\"<script>x\"") && !metrics.contains(HOSTILE), "{metrics}");
    let Some(mut browser) = Browser::start() else { return };
    let mut tab = browser.tab(&serving.address(), LOOKS[0].1);
    for page in &pages {
        browser.go(&mut tab, &serving.at(page));
        assert_eq!(browser.ask(&mut tab, "document.scripts.length"), 1, "{page}");
        assert_eq!(browser.ask(&mut tab, "document.images.length"), 0, "{page}");
    }
    assert_eq!(tab.seen.errors, [""; 0]);
    assert!(tab.seen.requests.iter().all(|request| request.starts_with(&serving.at("/"))));
}

#[test]
fn a_run_that_cannot_be_read_says_why_beside_those_that_can() {
    let world = finished::world();
    fs::create_dir(world.path("runs/torn")).unwrap();
    fs::write(world.path("runs/torn/journal.jsonl"), "{\"version\":2").unwrap();
    let serving = Serving::start(&world, &[]);
    let answer = serving.get("/run/torn");
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("the journal is empty"), "{}", answer.body);
    assert_eq!(serving.get("/run/small").status, 200);
    let page = serving.get("/").body;
    assert!(page.contains(">torn<") && page.contains("the journal is empty"), "{page}");
    // It is read again once it has changed.
    let events = forged::events(&world.path("runs/small/journal.jsonl"));
    forged::write(&world.path("runs/torn/journal.jsonl"), &events);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while serving.get("/run/torn").status != 200 {
        assert!(std::time::Instant::now() < end, "it was never read again");
    }
}

#[test]
fn runs_are_compared_that_the_address_names() {
    let world = finished::world();
    for name in ["second", "third"] {
        copy(&world.path("runs").join(finished::NAME), &world.path("runs").join(name));
    }
    let serving = Serving::start(&world, &[]);
    for name in ["small", "second", "third"] {
        assert_eq!(serving.get(&format!("/run/{name}")).status, 200);
    }
    let compared = |path: &str| {
        let page = serving.get(path).body;
        let section = page.split_once("<section id=\"compared\"").map_or("", |(_, rest)| rest).to_owned();
        ["small", "second", "third"].map(|name| section.contains(&format!(">{name}</a>")))
    };
    assert_eq!(compared("/"), [true; 3]);
    assert_eq!(compared("/?run=small&run=third"), [true, false, true]);
    assert_eq!(compared("/?run="), [false; 3]);
    let page = serving.get("/?run=small").body.replace("&#x2f;", "/");
    assert!(page.contains("href=\"/?run=small&amp;run=third\"") && page.contains("href=\"/?run=\""), "{page}");
    assert!(page.contains("judge seconds") && page.contains("quality"));
}

#[test]
fn an_address_that_is_taken_and_a_run_that_is_none_are_clear_errors() {
    let world = finished::world();
    let serving = Serving::start(&world, &[]);
    let port = serving.host.rsplit(':').next().unwrap();
    world
        .run(&["serve", "--port", port])
        .ends(3)
        .tells_one_error(&["cannot listen at", "hint: --port 0 takes a free one"]);
    world.run(&["serve", "--run", "none"]).ends(3).tells_one_error(&["none is not a run folder"]);
    let kept = Serving::start(&world, &["--token-file", "token"]);
    let again = Serving::start(&world, &["--token-file", "token"]);
    assert_eq!(kept.token, again.token);
}
