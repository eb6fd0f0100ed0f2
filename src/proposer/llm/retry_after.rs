//! When an endpoint wants to be asked again: the forms that endpoints give it in headers, in errors and in their texts.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Larger numbers are times and not spans: seconds since 1970, and milliseconds.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLISECONDS: f64 = 1e12;
/// The latest time of both, about the year 5000.
const LATEST: f64 = 1e11;
/// Names of the fields of an error, with the seconds of their unit.
const FIELDS: [(&str, f64); 6] = [
    ("retryDelay", 1.0),
    ("retry_after", 1.0),
    ("retryAfter", 1.0),
    ("retry_after_seconds", 1.0),
    ("retry_after_ms", 1e-3),
    ("retryAfterMs", 1e-3),
];
/// What stands before the span in the text of an error.
const PHRASES: [&str; 5] = ["try again in ", "retry in ", "retry after ", "try again after ", "available in "];

/// The wait in the headers of a reply, in milliseconds.
pub(crate) fn in_headers(header: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let milliseconds = header("retry-after-ms").and_then(|text| time(&text, 1e-3));
    milliseconds.or_else(|| time(&header("retry-after")?, 1.0))
}

/// The wait in an error, in milliseconds: in a field, in the details or the headers that it passes on, or in its text.
pub(crate) fn in_error(error: &Value) -> Option<u64> {
    let metadata = error.get("metadata").unwrap_or(&Value::Null);
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let field = [error, metadata]
        .into_iter()
        .chain(details)
        .find_map(|holder| FIELDS.iter().find_map(|(name, unit)| of_value(holder.get(name)?, *unit)));
    let headers = metadata.get("headers").and_then(Value::as_object);
    let passed_on = |name: &str| {
        let (_, value) = headers?.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        of_value(value, 1.0)
    };
    let text = || error.get("message").or(Some(error))?.as_str().and_then(in_text);
    field.or_else(|| passed_on("retry-after")).or_else(|| passed_on("x-ratelimit-reset")).or_else(text)
}

fn of_value(value: &Value, unit: f64) -> Option<u64> {
    value.as_str().map_or_else(|| number(value.as_f64()?, unit), |text| time(text, unit))
}

fn in_text(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let rest = PHRASES.iter().find_map(|phrase| text.split_once(phrase)).map(|(_, rest)| rest)?;
    span(rest).map(milliseconds)
}

/// A number, a span such as `1m3.5s`, or a date as in HTTP or RFC 3339.
fn time(text: &str, unit: f64) -> Option<u64> {
    let text = text.trim();
    if let Ok(value) = text.parse() {
        return number(value, unit);
    }
    let date = httpdate::parse_http_date(text).ok().or_else(|| humantime::parse_rfc3339_weak(text).ok());
    date.map(|date| until(date.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()))
        .or_else(|| span(text).map(milliseconds))
}

fn number(value: f64, unit: f64) -> Option<u64> {
    match value {
        _ if value.is_nan() => None,
        EPOCH_SECONDS..LATEST => Some(until(value)),
        EPOCH_MILLISECONDS..1e14 => Some(until(value * 1e-3)),
        _ => Some(milliseconds(value * unit)),
    }
}

/// The milliseconds from now to a time in seconds since 1970; 0 if it is over.
fn until(seconds: f64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    milliseconds(seconds - now)
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 1e9) * 1e3).ceil() as u64
}

/// The seconds of the numbers with units at the start of a text; `None` without any.
fn span(text: &str) -> Option<f64> {
    let mut sum = None;
    let mut rest = text.trim_start();
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(value) = rest[..digits].parse::<f64>() else { return sum };
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let Some(unit) = seconds_of(&after[..letters]) else { return sum };
        sum = Some(sum.unwrap_or(0.0) + value * unit);
        rest = after[letters..].trim_start();
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn header(name: &'static str, value: &str) -> Option<u64> {
        in_headers(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn a_header_is_read_in_all_its_forms() {
        let read = |value: &str| header("retry-after", value);
        for (value, wanted) in [
            ("2", Some(2000)),
            (" 0.25 ", Some(250)),
            ("-3", Some(0)),
            ("1e300", Some(1_000_000_000_000)),
            ("17.5s", Some(17_500)),
            ("1m3.5s", Some(63_500)),
            ("6m0s", Some(360_000)),
            ("20ms", Some(20)),
            ("30 seconds", Some(30_000)),
            ("soon", None),
            ("NaN", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("1994-11-06T08:49:37Z", Some(0)),
        ] {
            assert_eq!(read(value), wanted, "{value:?}");
        }
        assert_eq!(header("retry-after-ms", "1500.5"), Some(1501));
    }

    #[test]
    fn milliseconds_are_more_exact_than_seconds() {
        let both = in_headers(|name| Some(if name == "retry-after-ms" { "1200" } else { "2" }.to_owned()));
        assert_eq!(both, Some(1200));
    }

    #[test]
    fn a_time_is_the_wait_until_then() {
        let soon = SystemTime::now() + Duration::from_secs(100);
        let epoch = soon.duration_since(UNIX_EPOCH).unwrap();
        for text in [
            httpdate::fmt_http_date(soon),
            humantime::format_rfc3339(soon).to_string(),
            epoch.as_secs().to_string(),
            epoch.as_millis().to_string(),
        ] {
            let wait = header("retry-after", &text).unwrap();
            assert!((98_000..=100_001).contains(&wait), "{text}: {wait}");
        }
    }

    #[test]
    fn an_error_names_it_in_a_field_or_in_its_text() {
        for (error, wanted) in [
            (
                json!({"details": [{"@type": "Help"}, {"@type": "RetryInfo", "retryDelay": "34.074824224s"}]}),
                Some(34_075),
            ),
            (json!({"retry_after": 3}), Some(3000)),
            (json!({"retry_after_ms": "250"}), Some(250)),
            (json!({"metadata": {"retry_after_seconds": 1.5}}), Some(1500)),
            (json!({"metadata": {"headers": {"X-RateLimit-Reset": "1741305600000"}}}), Some(0)),
            (json!({"message": "Limit reached. Please try again in 7.66s. Visit ..."}), Some(7660)),
            (json!({"message": "Please try again in 1m26.4s."}), Some(86_400)),
            (json!({"message": "Please retry after 20 seconds."}), Some(20_000)),
            (json!("rate limit, retry in 500ms"), Some(500)),
            (json!({"message": "try again in a while"}), None),
            (json!({"message": "used 20 requests"}), None),
            (json!(null), None),
        ] {
            assert_eq!(in_error(&error), wanted, "{error}");
        }
    }
}
