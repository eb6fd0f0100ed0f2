//! `packevolve report`: one page that is whole, says what happened, and lets nothing of a candidate act.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::browser::{Browser, Look, Seen};
use crate::support::{World, finished};

/// A folder for pictures of the page, if somebody wants to look at it.
const PICTURES: &str = "PACKEVOLVE_TEST_PICTURES";
/// A page that is looked at in place of that of the small run: the report of a real one, say.
const PAGE: &str = "PACKEVOLVE_TEST_PAGE";
const LOOKS: [(&str, Look); 3] = [
    ("light", Look { width: 1000, scheme: "light" }),
    ("dark", Look { width: 1000, scheme: "dark" }),
    ("phone", Look { width: 400, scheme: "light" }),
];

fn reported(world: &World, arguments: &[&str]) -> String {
    let output = world.run(&[&["report"], arguments].concat()).ends(0).tells(&["the report is in report.html"]);
    assert_eq!(output.stdout, "");
    fs::read_to_string(world.path("report.html")).unwrap()
}

fn keep(name: &str, bytes: &[u8]) {
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
