//! Addresses: where the pages are.

use crate::values::candidate::CandidateId;
use crate::view::report::page::Link;

/// The list of runs.
pub fn runs() -> Link {
    Link { text: "runs".to_owned(), href: "/".to_owned() }
}

pub fn run(name: &str) -> String {
    format!("/run/{}", encoded(name))
}

pub fn all_candidates(name: &str) -> String {
    format!("{}/candidates", run(name))
}

/// The beginning of the addresses of a run's candidates, before their numbers.
pub fn candidates(name: &str) -> String {
    format!("{}/candidate/", run(name))
}

pub fn candidate(name: &str, candidate: CandidateId) -> String {
    format!("{}{candidate}", candidates(name))
}

/// What tells of changes of a run.
pub fn events(name: &str) -> String {
    format!("/events?run={}", encoded(name))
}

/// What tells of changes of any run.
pub fn all_events() -> String {
    "/events".to_owned()
}

/// The list of runs with these compared.
pub fn comparison(names: &[&str]) -> String {
    let pairs: Vec<String> = names.iter().map(|name| format!("run={}", encoded(name))).collect();
    // With no run named, the newest ones are compared.
    format!("/?{}", if pairs.is_empty() { "run=".to_owned() } else { pairs.join("&") })
}

/// A name as a part of an address: other bytes than unreserved ones as `%` and two digits (RFC 3986).
fn encoded(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place_in_an_address() {
        assert_eq!(run("a/b?c#d e<\"'&é"), "/run/a%2Fb%3Fc%23d%20e%3C%22%27%26%C3%A9");
        assert_eq!(comparison(&["a", "b&c"]), "/?run=a&run=b%26c");
        assert_eq!(candidate("x", CandidateId(7)), "/run/x/candidate/7");
    }
}
