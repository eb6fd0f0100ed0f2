//! `packevolve report`: one page that is whole, says what happened, and lets nothing of a candidate act.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use packevolve::run::declined::declined_documents;
use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::values::candidate::{BlobId, CandidateId};
use packevolve::values::event::{CandidateCreated, Event, Fingerprint, Proposer, Selection};
use packevolve::values::operator::Operator;
use packevolve::values::raw_text::RawText;
use packevolve::view::gain::Gain;
use packevolve::view::inspect;
use packevolve::view::report;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;
use serde_json::json;

use crate::support::browser::{Browser, Look, Seen};
use crate::support::endpoint::{Act, Endpoint};
use crate::support::script::GOOD;
use crate::support::{World, finished, forged, repository, scripted, text_of};

/// A folder for pictures of the page, for people.
const PICTURES: &str = "PACKEVOLVE_TEST_PICTURES";
/// A page that is looked at in place of that of the small run: the report of a real one, say.
const PAGE: &str = "PACKEVOLVE_TEST_PAGE";
pub const LOOKS: [(&str, Look); 3] = [
    ("light", Look { width: 1000, scheme: "light" }),
    ("dark", Look { width: 1000, scheme: "dark" }),
    ("phone", Look { width: 400, scheme: "light" }),
];

fn reported(world: &World, arguments: &[&str]) -> String {
    let output =
        world.run(&[&["report", "--run"], arguments].concat()).ends(0).tells(&["the report is in report.html"]);
    assert_eq!(output.stdout, "");
    fs::read_to_string(world.path("report.html")).unwrap()
}

pub fn keep(name: &str, bytes: &[u8]) {
    if let Some(folder) = std::env::var_os(PICTURES) {
        fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }
}

/// What the page asked for beside itself.
fn asked(seen: &Seen, page: &Path) -> Vec<String> {
    let own = format!("file://{}", fs::canonicalize(page).unwrap().display());
    seen.requests.iter().filter(|request| **request != own).cloned().collect()
}

#[test]
fn the_page_needs_nothing_beside_itself_and_nothing_goes_wrong_in_it() {
    let world = finished::world();
    reported(&world, &[finished::NAME]);
    let Some(mut browser) = Browser::start() else { return };
    let page = std::env::var_os(PAGE).map_or(world.path("report.html"), PathBuf::from);
    let mut backgrounds = Vec::new();
    for (name, look) in LOOKS {
        let seen = browser.open(&page, look);
        assert_eq!(seen.errors, [""; 0], "{name}");
        assert_eq!(asked(&seen, &page), [""; 0], "{name}");
        assert!(!seen.requests.is_empty(), "{name}: the page itself was asked for");
        assert_eq!(seen.overflow, 0, "{name}: the page is wider than the screen");
        backgrounds.push(seen.background);
        keep(&format!("report-{name}.png"), &seen.picture);
    }
    assert!(backgrounds[0] != backgrounds[1] && backgrounds[0] == backgrounds[2], "{backgrounds:?}");
    let printed = browser.print(&page);
    assert!(printed.starts_with(b"%PDF"));
    keep("report.pdf", &printed);
}

#[test]
fn the_browser_notices_a_page_that_errs_one_that_asks_and_one_that_is_too_wide() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::new();
    let look = LOOKS[2].1;
    let policy = r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'">"#;
    let errs = ["<script>nothing.at.all()</script>", "<script>console.error('so')</script>"];
    let forbidden = format!("{policy}<script>1</script>");
    for text in errs.into_iter().chain([forbidden.as_str()]) {
        let page = world.write("errs.html", format!("<!DOCTYPE html>{text}"));
        let seen = browser.open(&page, look);
        assert_eq!(seen.errors.len(), 1, "{text}: {seen:?}");
    }
    let page = world.write("asks.html", "<!DOCTYPE html><img src='http://127.0.0.1:9/dot.png'>");
    let seen = browser.open(&page, look);
    assert_eq!(asked(&seen, &page), ["http://127.0.0.1:9/dot.png"]);
    let page = world.write("wide.html", "<!DOCTYPE html><div style='width: 500px'>wide</div>");
    let seen = browser.open(&page, look);
    assert!(seen.overflow > 50 && seen.errors.is_empty() && asked(&seen, &page).is_empty(), "{seen:?}");
}

/// A run of these events beside the finished one.
fn write_run(world: &World, name: &str, events: &[Event]) {
    let folder = world.path("runs").join(name);
    fs::create_dir(&folder).unwrap();
    forged::write(&folder.join("journal.jsonl"), events);
}

fn events(run: &Run) -> Vec<Event> {
    run.entries().unwrap().iter().map(|entry| entry.event.clone()).collect()
}

/// No control character but line ends, no markup that is not ours, nothing that a browser would fetch or run.
#[track_caller]
fn is_harmless(page: &str) {
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "control characters");
    for begin in ["<script", "<img", "<iframe", "<link", "<base", "<a href=\"h", "url(", "@import", "javascript:\""] {
        assert!(!page.contains(begin), "{begin}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("</html>").count(), 1);
}

#[test]
fn the_report_shows_what_was_gained_and_every_part_of_the_run() {
    let world = finished::world();
    let page = reported(&world, &[finished::NAME]);
    is_harmless(&page);
    let run = finished::run();
    let best = run.search.best().unwrap().candidate;
    for id in ["gained", "edits", "front", "progress", "heat", "family", "proposers", "timing", "machine"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
        assert!(page.contains(&format!("<a href=\"#{id}\"")), "{id}");
    }
    let texts = [format!("The best program is candidate {best}, "), format!("PackEvolve: {}", finished::NAME)];
    let known = &run.search.candidate(best).unwrap().name;
    let machine = &run.search.origin().judge.loads_digest;
    for wanted in texts.iter().chain([known, machine]) {
        assert!(page.contains(wanted.as_str()), "{wanted}");
    }
    // Each figure is there twice, for wide and for narrow pages, with words for those who do not see it.
    let figures = page.matches("<figure>").count();
    assert!(figures >= 5, "{figures}");
    assert_eq!(page.matches("<svg class=\"plot ").count(), 2 * figures);
    assert_eq!(page.matches(" role=\"img\" aria-label=\"").count(), 2 * figures);
    assert_eq!(page.matches("The numbers behind this figure").count(), figures);
    assert_eq!(page.matches("<table>").count(), page.matches("<caption>").count());
}

#[test]
fn the_figures_of_the_report_are_those_of_the_run() {
    let world = finished::world();
    let page = reported(&world, &[finished::NAME]);
    let run = finished::run();
    let gain = Gain::of(&run.search).unwrap();
    assert!(gain.held_out_windows > 0 && page.contains("windows that the search never saw"));
    for case in gain.best.cases.iter().chain(&gain.baseline.cases) {
        assert!(page.contains(&format!(">{:.3}<", case.gap * 100.0)), "gap of {}", case.case);
        assert!(page.contains(&format!(">{:.4}<", case.balancedness)), "balancedness of {}", case.case);
    }
    assert!(page.contains(&format!("<strong>{:.4}</strong>", gain.best.combined_score)), "what it comes to");
    let score = |id| run.search.scores_of(id).unwrap().combined_score;
    let mut candidate = gain.candidate;
    while let Some(parent) = run.search.candidate(candidate).unwrap().parents.first() {
        let gain = format!("{:+.4}", score(candidate) - score(*parent)).replace('-', "\u{2212}");
        assert!(page.contains(&format!(">{gain}<")), "what candidate {candidate} gained");
        assert!(page.contains(&format!("candidate {candidate}, ")), "the edit of candidate {candidate}");
        candidate = *parent;
    }
    for asked in inspect::asked(&run.search).into_iter().filter(|asked| asked.stats.tried > 0) {
        let row = format!("<th scope=\"row\">{}</th><td class=\"n\">{}</td>", asked.name, asked.stats.tried);
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn a_run_can_be_reported_after_any_of_its_events() {
    let world = finished::world();
    let run = world.read(finished::NAME);
    let all = events(&run);
    let part = world.path("runs/part");
    fs::create_dir(&part).unwrap();
    for count in 1..=all.len() {
        forged::write(&part.join("journal.jsonl"), &all[..count]);
        let run = Run::open(RunFolder::new(part.clone())).unwrap();
        let page = report::html(&run, &run.entries().unwrap(), &[]).unwrap();
        is_harmless(&page);
        for wrong in ["NaN", "inf ", ">inf<", "-0.0000"] {
            assert!(!page.contains(wrong), "{wrong} after {count} events");
        }
        let is_live = page.contains("it is under way, or was interrupted");
        assert_eq!(is_live, count < all.len(), "after {count} events");
    }
}

#[test]
fn a_golden_run_can_be_reported() {
    let world = World::new();
    let output =
        world.run(&["report", "--run", &repository("tests/testdata/golden").display().to_string(), "-o", "-"]).ends(0);
    is_harmless(&output.stdout);
    assert!(output.stdout.contains("PackEvolve: golden") && output.stderr.is_empty(), "{}", output.stderr);
}

#[test]
fn a_run_with_language_models_tells_what_they_cost() {
    let endpoint = Endpoint::playing(vec![Act::Insert("_IDEA = {n}".to_owned())]);
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 4}\n");
    let model = json!({
        "name": "someone", "base_url": endpoint.base_url(), "model": "m", "parameters": {"max_tokens": 20},
        "prices": {"prompt": 0, "completion": 1000},
    });
    let proposers = json!({"models": [model], "corpus": null, "compose": {"enabled": false}, "cross": {"enabled": false}, "mutate": {"enabled": false}, "prune": {"enabled": false}});
    world.set("proposers", &proposers.to_string());
    world.run(&["evolve", "--run", "x"]).ends(0);
    let page = reported(&world, &["x"]);
    is_harmless(&page);
    for wanted in [">someone<", ">tokens<", ">0.0300<", ">330<"] {
        assert!(page.contains(wanted), "{wanted}:\n{page}");
    }
}

/// A name that tries to be more than a name.
pub const HOSTILE: &str = "</script><script>alert('a')</script><img src=x onerror=\"alert(1)\">";

/// A run whose every word tries to be more than a word, and the world it is in.
pub fn hostile_run() -> (World, Run) {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 2}\n");
    fs::create_dir(world.path("corpus")).unwrap();
    let given = text_of("candidates/proposals/000_0_bridge_vectorized_lpt.txt");
    let code = format!("    {GOOD} {HOSTILE} </pre></body></html>\n    device = weight.device\n");
    let proposal = given
        .replace("bridge_vectorized_lpt", "bold & \"brash\"; ${7*7} {{ 7*7 }}")
        .replace("Turns the seed", &format!("{HOSTILE}</p></section> Turns the seed"))
        .replace("    device = weight.device\n", &code);
    world.write("corpus/<img src=x>.txt", proposal);
    world.set("proposers", "{corpus: corpus, compose: {enabled: false}, cross: {enabled: false}, mutate: {enabled: false}, prune: {enabled: false}}");
    let name = "<script>x";
    world.run(&["evolve", "--run", name]).ends(0);
    let run = world.read(name);
    let declined: Vec<String> =
        declined_documents(&run.folder).unwrap().iter().map(|(_, reason)| reason.to_string()).collect();
    assert_eq!(run.search.best().unwrap().candidate.0, 1, "the edit is in the winning line: {declined:?}");
    let run = hostile_machine(run);
    (world, run)
}

#[test]
fn proposals_and_programs_appear_as_text() {
    let (world, run) = hostile_run();
    let page = report::html(&run, &run.entries().unwrap(), &[]).unwrap();
    is_harmless(&page);
    // In a description, an edit, a name, text and figures; and in what the run is called and the machine is said to be.
    assert!(page.matches("&lt;script&gt;alert").count() > 8, "{page}");
    assert!(page.contains("\\u{1b}[2J") && page.contains("PackEvolve: &lt;script&gt;x"), "{page}");
    let Some(mut browser) = Browser::start() else { return };
    let path = world.write("page.html", &page);
    let seen = browser.open(&path, LOOKS[0].1);
    assert!(seen.errors.is_empty() && asked(&seen, &path).is_empty(), "{:?} {:?}", seen.errors, seen.requests);
}

/// Puts control characters and markup wherever a journal may hold words.
pub fn hostile_machine(run: Run) -> Run {
    let words = format!("{HOSTILE}\u{1b}[2J\u{0}\u{9b}\r\u{7f}");
    let mut events = events(&run);
    for event in &mut events {
        match event {
            Event::RunStarted(started) => {
                started.packevolve.clone_from(&words);
                started.judge.device_name.clone_from(&words);
                started.judge.loads_digest.clone_from(&words);
                started.settings.evaluation.python = Some(PathBuf::from(&words));
                for step in &mut started.judge.jail {
                    (step.in_force, step.reason) = (false, words.clone());
                }
            }
            Event::CandidateCreated(created) => created.name.clone_from(&words),
            Event::CandidateEvaluated { evaluation: Evaluation::Rejected { evidence, .. }, .. } => {
                (evidence.traceback, evidence.output) = (words.clone(), words.clone());
            }
            _ => {}
        }
    }
    forged::write(&run.folder.journal(), &events);
    Run::open(run.folder).unwrap()
}

/// How large the page of a run may get at any length, bytes.
const LARGEST: usize = 5_000_000;

#[test]
fn a_run_of_two_thousand_candidates_is_thinned_out_with_a_note() {
    is_thinned_out(2_000);
}

mod long {
    #[test]
    #[ignore = "takes a minute"]
    fn a_run_of_ten_thousand_candidates_is_thinned_out_with_a_note() {
        super::is_thinned_out(10_000);
    }
}

fn is_thinned_out(count: u64) {
    let world = finished::world();
    let run = world.read(finished::NAME);
    let events = many(&run, count);
    write_run(&world, "many", &events);
    let start = Instant::now();
    let page = reported(&world, &["many"]);
    println!("{count} candidates: {} bytes, {:.2} s in all", page.len(), start.elapsed().as_secs_f64());
    is_harmless(&page);
    assert!(page.len() < LARGEST, "{} bytes", page.len());
    assert!(page.contains("are left out here and in the table"), "the caption says that points were left out");
    assert_eq!(page, reported(&world, &["many"]), "the same run is always thinned alike");
}

/// The events of a run, and then those of many candidates, each like a measured one except for how good and how fast
/// it is.
fn many(run: &Run, count: u64) -> Vec<Event> {
    let mut events = events(run);
    let measured: Vec<Measurement> = run.entries().unwrap().iter().filter_map(|entry| measured(&entry.event)).collect();
    let commit = run.search.candidate(CandidateId(1)).unwrap().commit;
    let attempts = events.iter().filter(|event| matches!(event, Event::Selected { .. })).count() as u64;
    let first = run.search.candidates().len() as u64;
    events.push(Event::RunResumed { candidates: first + count });
    events.push(Event::SlotOpened { slot: 0, judge: None, baseline: None });
    let mut rng = stream(1, 0, Purpose::Proposal);
    for nth in 0..count {
        let (attempt, candidate) = (attempts + nth, CandidateId(first + nth));
        let parent = CandidateId(rng.random_range(0..candidate.0));
        let selection = Selection { operator: Some(Operator::Tune), ..Selection::of(Proposer::Compose, 0, parent) };
        let id = |salt: u8| {
            let mut bytes = [salt; 20];
            bytes[..8].copy_from_slice(&nth.to_be_bytes());
            BlobId(bytes)
        };
        let created = CandidateCreated {
            candidate,
            attempt,
            name: format!("compose_made_up_{nth}_to_{}", nth + 1),
            parents: vec![parent],
            proposal: RawText::default(),
            fingerprint: Fingerprint { commit, program: id(1), normalised: id(2), size: 1000 },
            operator: Some(Operator::Tune),
        };
        let (worse, slower) = (rng.random_range(1.0..1.01), 10f64.powf(rng.random_range(0.0..2.0)));
        let mut measurement = measured[nth as usize % measured.len()].clone();
        for sample in measurement.cases.iter_mut().flat_map(|case| &mut case.samples) {
            sample.max_load *= worse;
            sample.seconds *= slower;
        }
        events.push(Event::Selected { attempt, selection });
        events.push(Event::CandidateCreated(created));
        events.push(Event::CandidateEvaluated {
            candidate,
            slot: 0,
            evaluation: Evaluation::Measured { measurement },
            partial: false,
        });
    }
    events
}

fn measured(event: &Event) -> Option<Measurement> {
    match event {
        Event::CandidateEvaluated { evaluation, .. } => evaluation.measured().cloned(),
        _ => None,
    }
}

#[test]
fn a_report_that_cannot_be_written_leaves_nothing_behind() {
    let world = World::new();
    let golden = repository("tests/testdata/golden").display().to_string();
    fs::create_dir(world.path("folder")).unwrap();
    for (output, reason) in [("no/such/folder/x.html", "No such file"), ("folder", "directory")] {
        let before = fs::read_dir(world.path(".")).unwrap().count();
        let texts = [format!("cannot write {output}"), reason.to_owned()];
        let output = world.run(&["report", "--run", &golden, "-o", output]).ends(3);
        output.tells_one_error(&texts.each_ref().map(String::as_str));
        assert_eq!(fs::read_dir(world.path(".")).unwrap().count(), before);
    }
    assert_eq!(fs::read_dir(world.path("folder")).unwrap().count(), 0);
    world.run(&["report", "--run", "nothing"]).ends(3).tells_one_error(&["nothing is not a run folder"]);
}

#[test]
fn a_report_takes_the_place_of_an_older_one_and_follows_a_link() {
    let world = World::new();
    let golden = repository("tests/testdata/golden").display().to_string();
    world.write("real.html", "older");
    std::os::unix::fs::symlink("real.html", world.path("link.html")).unwrap();
    world.run(&["report", "--run", &golden, "-o", "link.html"]).ends(0).tells(&["the report is in link.html"]);
    assert!(fs::symlink_metadata(world.path("link.html")).unwrap().is_symlink());
    is_harmless(&fs::read_to_string(world.path("real.html")).unwrap());
    let page = world.run(&["report", "--run", &golden, "-o", "-"]).ends(0).stdout;
    assert_eq!(page, fs::read_to_string(world.path("real.html")).unwrap());
}
