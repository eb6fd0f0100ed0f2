//! The JSON of a reply, in each packing and framing that servers use: gzip, a byte order mark, blank lines and comments
//! from a server that waits, an event stream. Pure.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value, json};

use crate::values::llm_error::{LlmError, said};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// The data of the last event of a stream.
const DONE: &str = "[DONE]";

/// The bytes without their gzip packing, if they have one; an error if they unpack to more than `limit`.
pub(crate) fn unpacked(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, LlmError> {
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let (unpacked, read) = unpack(&bytes, limit.saturating_add(1));
    match read {
        Ok(read) if read as u64 > limit => Err(LlmError::TooLong { limit_bytes: limit }),
        Ok(_) => Ok(unpacked),
        Err(error) => {
            let detail = format!("its gzip packing is damaged: {error}");
            Err(LlmError::Truncated { received_bytes: bytes.len() as u64, detail })
        }
    }
}

/// As many as `limit` bytes of a body without their gzip packing, if they have one: what could be unpacked before that
/// broke off.
pub(crate) fn beginning(bytes: Vec<u8>, limit: u64) -> Vec<u8> {
    if bytes.starts_with(&GZIP) { unpack(&bytes, limit).0 } else { bytes }
}

/// Up to `limit` bytes, and what ended them.
fn unpack(bytes: &[u8], limit: u64) -> (Vec<u8>, io::Result<usize>) {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut unpacked);
    (unpacked, read)
}

/// The JSON in the body of a reply. The events of a stream are joined to one reply.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, LlmError> {
    let text = String::from_utf8_lossy(bytes);
    let text = without_waiting(&text);
    if text.is_empty() {
        return Err(LlmError::Empty);
    }
    if is_event(text) {
        return joined(text, bytes.len());
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = match values.next().expect("BUG: the text is not blank") {
        Ok(value) => value,
        Err(error) if error.is_eof() => return Err(ends_early(bytes.len())),
        Err(error) if is_page(text) => return Err(unreadable(&format!("it is an HTML page ({error})"), text)),
        Err(error) => return Err(unreadable(&error.to_string(), text)),
    };
    let rest = without_waiting(&text[values.byte_offset()..]);
    match rest.is_empty() || data(rest.trim_end()) == Some(DONE) {
        true => Ok(value),
        false => Err(unreadable("text follows its end", text)),
    }
}

fn unreadable(detail: &str, text: &str) -> LlmError {
    LlmError::NotJson { detail: detail.to_owned(), said: said(text), url: String::new() }
}

fn ends_early(received: usize) -> LlmError {
    LlmError::Truncated { received_bytes: received as u64, detail: "its JSON does not end".to_owned() }
}

/// Whether a text is HTML, as servers and gateways show it to browsers.
pub(crate) fn is_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(15).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head")
}

/// The text without a byte order mark, and without the blank lines and comments of a server that waits.
fn without_waiting(text: &str) -> &str {
    let mut rest = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_start();
    while rest.starts_with(':') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    rest
}

fn is_event(text: &str) -> bool {
    ["data:", "event:", "id:", "retry:"].iter().any(|field| text.starts_with(field))
}

/// The data of a line of an event stream.
fn data(line: &str) -> Option<&str> {
    line.strip_prefix("data:").map(str::trim)
}

/// The reply that the events of a stream add up to.
fn joined(text: &str, received: usize) -> Result<Value, LlmError> {
    let mut reply = Joined::default();
    let mut is_done = false;
    for data in text.lines().filter_map(data).filter(|data| !data.is_empty()) {
        if data == DONE {
            is_done = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).map_err(|error| {
            if error.is_eof() {
                ends_early(received)
            } else {
                unreadable(&format!("an event of its stream: {error}"), text)
            }
        })?;
        reply.add(&event);
    }
    if reply.is_empty() {
        return Err(unreadable("it is an event stream without an answer", text));
    }
    // An error ends a stream, too.
    if !is_done && reply.finish_reason.is_none() && reply.error.is_none() {
        let detail = "its event stream does not end".to_owned();
        return Err(LlmError::Truncated { received_bytes: received as u64, detail });
    }
    Ok(reply.value())
}

/// The first choice of a stream.
#[derive(Default)]
struct Joined {
    /// By name: `content`, `reasoning_content` ...
    texts: Map<String, Value>,
    finish_reason: Option<Value>,
    error: Option<Value>,
    usage: Option<Value>,
}

impl Joined {
    fn add(&mut self, event: &Value) {
        let part = |holder: &Value, name: &str| holder.get(name).filter(|value| !value.is_null()).cloned();
        self.usage = part(event, "usage").or(self.usage.take());
        self.error = self.error.take().or(part(event, "error"));
        let Some(choice) = event.get("choices").and_then(|choices| choices.get(0)) else { return };
        self.error = self.error.take().or(part(choice, "error"));
        self.finish_reason = part(choice, "finish_reason").or(self.finish_reason.take());
        let message = choice.get("delta").or(choice.get("message")).and_then(Value::as_object);
        for (name, value) in message.into_iter().flatten() {
            match (self.texts.get_mut(name), value) {
                (Some(Value::String(text)), Value::String(more)) if name != "role" => text.push_str(more),
                (Some(Value::Array(parts)), Value::Array(more)) => parts.extend(more.iter().cloned()),
                (None | Some(Value::Null), value) => drop(self.texts.insert(name.clone(), value.clone())),
                _ => {}
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.error.is_none() && self.finish_reason.is_none()
    }

    fn value(self) -> Value {
        let choice = json!({"message": self.texts, "finish_reason": self.finish_reason});
        json!({"choices": [choice], "error": self.error, "usage": self.usage})
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn kind(text: &str) -> &'static str {
        json(text.as_bytes()).unwrap_err().into()
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_limit() {
        let bytes = b"{}".repeat(500);
        assert_eq!(unpacked(packed(&bytes), 1000), Ok(bytes.clone()));
        assert_eq!(unpacked(packed(&bytes), 999), Err(LlmError::TooLong { limit_bytes: 999 }));
        assert_eq!(unpacked(b"{}".to_vec(), 1), Ok(b"{}".to_vec()));
        let cut = &packed(&bytes)[..12];
        assert_eq!(<&str>::from(unpacked(cut.to_vec(), 1000).unwrap_err()), "truncated");
    }

    #[test]
    fn the_beginning_of_a_packed_body_is_kept() {
        let text: Vec<u8> = (0..2000).flat_map(|number: u32| format!("{number} ").into_bytes()).collect();
        assert_eq!(beginning(packed(&text), 100), text[..100]);
        assert_eq!(beginning(packed(&text), 100_000), text);
        let packed = packed(&text);
        let cut = beginning(packed[..packed.len() / 2].to_vec(), 100_000);
        assert!(cut.len() > 1000 && text.starts_with(&cut), "{} bytes", cut.len());
        assert_eq!(beginning(text.clone(), 100), text, "it was not packed");
    }

    #[test]
    fn what_stands_around_the_json_does_not_matter() {
        for text in [
            "{\"a\": 1}",
            "\n\n  \r\n{\"a\": 1}\n",
            "\u{feff}{\"a\": 1}",
            ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n{\"a\": 1}",
            "{\"a\": 1}\n\ndata: [DONE]\n\n",
            "{\"a\": 1}data:[DONE]",
        ] {
            assert_eq!(json(text.as_bytes()), Ok(json!({"a": 1})), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_named_and_what_breaks_off_is_another_fault() {
        assert_eq!(kind(" \n"), "empty");
        assert_eq!(kind(": waiting\n\n"), "empty");
        assert_eq!(kind("{\"choices\": [{\"mess"), "truncated");
        assert_eq!(kind("{\"a\": 1} {\"b\": 2}"), "not-json");
        assert_eq!(kind("upstream error"), "not-json");
        let message = json(b"<!DOCTYPE html><title>Sign in</title>").unwrap_err().to_string();
        assert!(message.contains("it is an HTML page") && message.contains("Sign in"), "{message}");
    }

    #[test]
    fn the_events_of_a_stream_are_one_reply() {
        let text = "event: message\ndata: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}}]}\n\n: ping\n\n\
            data: {\"choices\": [{\"delta\": {\"reasoning_content\": \"hm\"}}]}\n\n\
            data: {\"choices\": [{\"delta\": {\"content\": \"a\"}, \"finish_reason\": null}]}\r\n\r\n\
            data: {\"choices\": [{\"delta\": {\"content\": \"b\"}, \"finish_reason\": \"stop\"}]}\n\n\
            data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 1}}\n\ndata: [DONE]\n\n";
        let reply = json(text.as_bytes()).unwrap();
        let message = json!({"role": "assistant", "content": "ab", "reasoning_content": "hm"});
        assert_eq!(reply["choices"], json!([{"message": message, "finish_reason": "stop"}]));
        assert_eq!(reply["usage"], json!({"prompt_tokens": 1}));
    }

    #[test]
    fn a_stream_that_breaks_off_has_no_answer() {
        let event = "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n";
        assert_eq!(kind(event), "truncated");
        assert_eq!(kind(&format!("{event}data: {{\"choi")), "truncated");
        assert_eq!(kind("data: [DONE]\n\n"), "not-json");
        let failed = json(format!("{event}data: {{\"error\": {{\"code\": 502}}}}\n\n").as_bytes()).unwrap();
        assert_eq!(failed["error"], json!({"code": 502}));
    }
}
