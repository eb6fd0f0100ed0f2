//! The messages of the library that reads settings, in our words: the setting, its value as written, and what it must be.
//!
//! A value that may be a key is never repeated.

/// Settings that can be null, besides those of `topology`.
pub(super) const NULLABLE: [&str; 14] = [
    "loads",
    "cases.global",
    "evaluation.python",
    "evaluation.windows",
    "evaluation.loads_seed",
    "evaluation.budget",
    "limits.call_timeout",
    "limits.evaluation_timeout",
    "search.wall_time",
    "search.target_score",
    "proposers.corpus",
    "proposers.prompts",
    "proposers.budget.tokens",
    "proposers.budget.dollars",
];
/// Groups of settings for which people write the value of one.
const CHIEF: [(&str, &str); 6] = [
    ("topology", "preset"),
    ("proposers.compose", "enabled"),
    ("proposers.cross", "enabled"),
    ("proposers.mutate", "enabled"),
    ("proposers.prune", "enabled"),
    ("proposers.budget", "dollars"),
];
/// The settings that name where a key is; a person may have put the key there.
const SECRET: &str = "key_env";
/// Characters of a value in a message.
const MOST_SHOWN: usize = 60;

/// A message without its place, and what cures the problem if that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explained {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Translates a message. `written`: the text of the file from the value on.
pub(super) fn explained(message: &str, written: &str) -> Explained {
    let wrong = |marker: &str| {
        let (setting, rest) = message.split_once(marker)?;
        let (found, wanted) = rest.rsplit_once(", expected ")?;
        Some((setting.trim_end_matches(": "), found, wanted))
    };
    if let Some((setting, found, wanted)) = wrong("invalid type: ").or_else(|| wrong("invalid value: ")) {
        let value = value(found, written);
        return of_value(setting, &value, &wanted_words(setting, wanted, &value));
    }
    if let Some((setting, found, wanted)) = wrong("unknown variant ") {
        let names: Vec<&str> = wanted.split('`').skip(1).step_by(2).collect();
        return of_value(setting, &shortened(found.trim_matches('`')), &one_of(&names));
    }
    let message = message.replace("missing field ", "it lacks ").replace("duplicate field ", "it has two of ");
    Explained { message, hint: None }
}

fn of_value(setting: &str, value: &str, wanted: &str) -> Explained {
    let setting_is = match setting {
        "" => format!("the file is {value}"),
        secret if secret.ends_with(SECRET) => secret.to_owned(),
        setting => format!("{setting} is {value}"),
    };
    Explained { message: format!("{setting_is}, must be {wanted}"), hint: hint(setting, value, wanted) }
}

fn hint(setting: &str, value: &str, wanted: &str) -> Option<String> {
    let unquoted = value.trim_matches(['"', '\'']);
    if let Some((_, field)) = CHIEF.iter().find(|(group, _)| *group == setting) {
        let name = setting.rsplit('.').next().unwrap_or(setting);
        return Some(format!("`{name}: {{ {field}: {value} }}`"));
    }
    let is_quoted_number = unquoted != value && unquoted.parse::<f64>().is_ok();
    if is_quoted_number && wanted.contains("number") {
        return Some(format!("without quotes: {unquoted}"));
    }
    let whole = unquoted.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number));
    match whole.map(|whole| format!("{whole:.0}")) {
        Some(whole) if wanted.starts_with("a whole number") && whole != value => Some(format!("write it as {whole}")),
        Some(_) if wanted.starts_with("a time") => Some(format!("{unquoted}s if these are seconds")),
        _ => None,
    }
}

/// The value as it stands in the file, or its kind if it is not a scalar.
fn value(found: &str, written: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        _ => match scalar(written) {
            "" if found == "unit value" => "null".to_owned(),
            "" => shortened(found),
            written => shortened(written),
        },
    }
}

/// The scalar at the start of a text; empty if it is none of one line.
fn scalar(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    if let Some(quote) = line.chars().next().filter(|first| ['"', '\''].contains(first)) {
        return line[1..].find(quote).map_or("", |end| &line[..end + 2]);
    }
    let end = line.find(" #").into_iter().chain(line.find([',', ']', '}'])).min();
    let scalar = line[..end.unwrap_or(line.len())].trim();
    if scalar.starts_with(['|', '>', '&', '*', '!']) { "" } else { scalar }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// What a value must be, from the library's word for it.
fn wanted_words(setting: &str, wanted: &str, value: &str) -> String {
    let words = match wanted {
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a duration" => "a time with its unit, such as 500ms, 15s, 2min or 1h",
        "parsable string" | "an integer or string" | "integer overflow" => "a size, such as 64MiB or 4GiB",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "a string" => "a text",
        _ if wanted.starts_with("struct ") => "a mapping of settings",
        other => other,
    };
    let is_of_topology = setting.starts_with("topology.") && setting != "topology.preset";
    let is_of_place = setting.starts_with("judges[") && (setting.ends_with(".slots") || setting.ends_with(".judge"));
    let can_be_null = NULLABLE.contains(&setting) || is_of_topology || is_of_place;
    if can_be_null && value != "null" { format!("{words}, or null") } else { words.to_owned() }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_what_was_written() {
        for (text, wanted) in [
            ("3e2}", "3e2"),
            ("\"300\", b: 1}", "\"300\""),
            ("'a, b' # c", "'a, b'"),
            ("much  # too", "much"),
            ("a#b", "a#b"),
            ("|\n  text", ""),
            ("", ""),
            ("\"open\nend\"", ""),
        ] {
            assert_eq!(scalar(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_value_that_may_be_a_key_is_not_repeated() {
        let message = "proposers.models[0].key_env: invalid type: integer `4711`, expected a string";
        let explained = explained(message, "4711");
        assert!(!explained.message.contains("4711"), "{explained:?}");
        assert_eq!(explained.hint, None);
    }
}
