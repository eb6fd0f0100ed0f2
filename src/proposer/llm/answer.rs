//! The answer in a message of a model: its text, without the reasoning before it. Pure.

use serde_json::Value;

use crate::values::llm_error::{LlmError, after_thoughts, said};

/// What ends the thoughts of a model that writes them into its text. They begin in as many ways, or the template of the
/// model has begun them.
const ENDS_OF_THOUGHTS: [&str; 11] = [
    "</think>",
    "</thinking>",
    "</thought>",
    "</thoughts>",
    "</reasoning>",
    "[/THINK]",
    "</seed:think>",
    "<|END_THINKING|>",
    "<|end_of_thought|>",
    "\u{25c1}/think\u{25b7}",
    "</mm:think>",
];
/// The channel of harmony, the format of gpt-oss, with the answer; the text follows [`MESSAGE`].
const FINAL_CHANNEL: &str = "<|channel|>final";
const MESSAGE: &str = "<|message|>";
/// The same without special tokens: how a text with channels begins, and where its answer begins.
const BARE_CHANNELS: (&str, &str) = ("analysis", "assistantfinal");
/// Tokens without bars that end an answer.
const ENDS_OF_ANSWERS: [&str; 4] =
    ["</s>", "<eos>", "<end_of_turn>", "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>"];
/// Fields with the reasoning of a model.
const REASONING: [&str; 4] = ["reasoning_content", "reasoning", "thinking", "reasoning_details"];
/// Types of the parts of a message that are its text.
const TEXT_TYPES: [&str; 2] = ["text", "output_text"];
/// Parts of the reasons why a model stops before the end of its answer.
const CUTS: [&str; 9] =
    ["length", "max_token", "filter", "safety", "recitation", "refus", "sensitive", "blocklist", "prohibited"];
/// Parts of those why its server does.
const FAULTS: [&str; 6] = ["error", "abort", "cancel", "timeout", "resource", "overload"];
/// What a whole proposal holds.
const PROPOSAL: &str = "</NAME>";

/// The answer in a choice, or the reason why there is none. `hidden_tokens` are those of reasoning that the endpoint counts
/// and may keep to itself.
pub(crate) fn of_choice(choice: &Value, hidden_tokens: u64) -> Result<String, LlmError> {
    let nothing = Value::Null;
    // `text` is the form of completions, `delta` that of streams.
    let message = ["message", "delta"].into_iter().find_map(|name| choice.get(name)).unwrap_or(&nothing);
    let content = message.get("content").or(choice.get("text")).and_then(text);
    let reasoning = reasoning(message);
    let finish_reason = finish_reason(choice);
    let is_any_of = |parts: &[&str]| parts.iter().any(|part| finish_reason.to_lowercase().contains(part));
    if is_any_of(&FAULTS) {
        return Err(LlmError::Failed { said: format!("finish_reason {finish_reason:?}"), url: String::new() });
    }
    if is_any_of(&CUTS) {
        let within = content.as_ref().filter(|text| text.contains("<think>")).map_or(0, |text| text.chars().count());
        let reasoning = (reasoning.chars().count() + within) as u64;
        return Err(LlmError::CutOff { finish_reason, reasoning, hidden_tokens });
    }
    match content.as_deref().map(split).unwrap_or_default() {
        (_, answer) if !answer.trim().is_empty() => Ok(answer.to_owned()),
        (thoughts, _) => from_thoughts(&reasoning, thoughts).ok_or_else(|| {
            let characters = (reasoning.chars().count() + thoughts.chars().count()) as u64;
            let detail = said(&why_none(message, content.is_some()));
            LlmError::NoContent { detail: detail + &after_thoughts(characters, hidden_tokens) }
        }),
    }
}

fn why_none(message: &Value, has_text: bool) -> String {
    let refusal = message.get("refusal").and_then(Value::as_str);
    let calls = message.get("tool_calls").and_then(Value::as_array);
    match (refusal, calls) {
        _ if message.is_null() => "its choice has no message".to_owned(),
        (Some(refusal), _) if !refusal.is_empty() => format!("refused: {refusal}"),
        (_, Some(calls)) if !calls.is_empty() => "it calls a tool".to_owned(),
        _ if has_text => "it is blank".to_owned(),
        _ => "it is absent or no text".to_owned(),
    }
}

/// A server that takes an answer for reasoning puts the proposal there, and no answer beside it.
fn from_thoughts(reasoning: &str, thoughts: &str) -> Option<String> {
    let holder = [reasoning, thoughts].into_iter().find(|text| text.contains(PROPOSAL))?;
    let (before, behind) = split(holder);
    Some(if behind.contains(PROPOSAL) { behind } else { before }.to_owned())
}

fn finish_reason(choice: &Value) -> String {
    let reason = choice.get("finish_reason").unwrap_or(&Value::Null);
    let reason = reason.as_str().or_else(|| reason.get("type")?.as_str());
    reason.unwrap_or_default().to_owned()
}

/// A text, or the text parts of a list.
fn text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<String> = parts.iter().filter_map(text_of_part).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        part => text_of_part(part),
    }
}

fn text_of_part(part: &Value) -> Option<String> {
    let is_text = part.get("type").is_none_or(|name| name.as_str().is_some_and(|name| TEXT_TYPES.contains(&name)));
    let text = part.as_str().or_else(|| part.get("text")?.as_str()).filter(|_| is_text);
    text.map(str::to_owned)
}

/// All texts in the fields and parts with reasoning.
fn reasoning(message: &Value) -> String {
    let is_thought = |part: &&Value| ["thinking", "reasoning"].iter().any(|name| part["type"] == *name);
    let parts = message.get("content").and_then(Value::as_array).into_iter().flatten().filter(is_thought);
    // Several fields repeat the same reasoning.
    let field = REASONING.iter().filter_map(|name| message.get(*name)).find(|value| !texts(value).is_empty());
    field.into_iter().chain(parts).map(texts).collect()
}

fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(texts).collect(),
        Value::Object(fields) => ["text", "thinking", "summary", "reasoning"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .map(texts)
            .collect(),
        _ => String::new(),
    }
}

/// The thoughts in a text, and its answer: what stands behind the last end of thoughts.
fn split(text: &str) -> (&str, &str) {
    let ended = ENDS_OF_THOUGHTS.iter().filter_map(|end| Some(text.rfind(end)? + end.len())).max();
    let channel = text.rfind(FINAL_CHANNEL).and_then(|at| Some(at + text[at..].find(MESSAGE)? + MESSAGE.len()));
    let (begins, answers) = BARE_CHANNELS;
    let bare = text.starts_with(begins).then(|| text.rfind(answers).map(|at| at + answers.len())).flatten();
    let (thoughts, answer) = text.split_at(ended.max(channel).max(bare).unwrap_or(0));
    (thoughts, without_end(answer))
}

/// The text without special tokens at its end, which some servers leave there.
fn without_end(text: &str) -> &str {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_end();
        let token = ENDS_OF_ANSWERS.iter().find_map(|end| trimmed.strip_suffix(end)).or_else(|| {
            let (before, token) = trimmed.strip_suffix("|>")?.rsplit_once("<|")?;
            token.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(before)
        });
        match token {
            Some(before) => rest = before,
            None => return rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn answer(message: &Value) -> String {
        of_choice(&json!({"message": message, "finish_reason": "stop"}), 0)
            .unwrap_or_else(|error| panic!("{error}: {message}"))
    }

    fn error(choice: &Value) -> String {
        of_choice(choice, 0).expect_err(&choice.to_string()).to_string()
    }

    #[test]
    fn the_answer_is_what_stands_behind_the_thoughts() {
        for text in [
            "x",
            "thoughts</think>x",
            "<think>\nfirst\n</think>\nno</think>x",
            "<thinking>thoughts</thinking>x",
            "[THINK]thoughts[/THINK]x",
            "<thought>thoughts</thought>x",
            "<seed:think>thoughts</seed:think>x",
            "<|START_THINKING|>thoughts<|END_THINKING|>x",
            "\u{25c1}think\u{25b7}thoughts\u{25c1}/think\u{25b7}x",
            "<|channel|>analysis<|message|>thoughts<|end|><|start|>assistant<|channel|>final<|message|>x<|return|>",
            "<|channel|>final <|constrain|>text<|message|>x",
            "analysisWe think.assistantfinalx",
            "x<|im_end|>",
            "x</s>\n<|eot_id|>",
        ] {
            assert_eq!(answer(&json!({"content": text})), "x", "{text}");
        }
        let plain = "  if a <|b| > c:\nanalysis, assistantfinal\n";
        assert_eq!(answer(&json!({"content": plain})), plain, "to the byte");
    }

    #[test]
    fn the_text_parts_of_a_list_are_joined_and_others_left_out() {
        for content in [
            json!([{"type": "text", "text": "a"}, {"text": "b"}, "c"]),
            json!([{"type": "thinking"}, {"type": "text", "text": "abc"}]),
            json!([{"type": "thinking", "thinking": [{"type": "text", "text": "no"}]}, {"type": "text", "text": "abc"}]),
            json!([{"type": "reasoning", "text": "no"}, {"type": "output_text", "text": "abc"}]),
            json!({"type": "text", "text": "abc"}),
        ] {
            assert_eq!(answer(&json!({"content": content})), "abc", "{content}");
        }
    }

    #[test]
    fn reasoning_without_an_answer_is_counted() {
        for (message, wanted) in [
            (json!({"content": null, "tool_calls": []}), "it is absent or no text"),
            (json!({"content": null, "tool_calls": null}), "it is absent or no text"),
            (json!({"content": null, "tool_calls": [{"id": "x"}]}), "it calls a tool"),
            (json!({"content": null, "refusal": "no"}), "refused: no"),
            (json!({"content": " "}), "it is blank"),
            (json!({"content": "", "reasoning_content": "abcd"}), "it is blank, after 4 characters of reasoning"),
            (json!({"content": null, "reasoning": "ab", "reasoning_details": [{"text": "ab"}]}), "after 2 characters"),
            (json!({"content": null, "reasoning_details": [{"type": "reasoning.text", "text": "abc"}]}), "after 3 c"),
            (json!({"content": [{"type": "thinking", "thinking": "abcde"}]}), "after 5 characters of reasoning"),
            (json!({"content": "<think>abc</think>\n"}), "after 18 characters of reasoning"),
            (json!({"content": 7}), "it is absent or no text"),
        ] {
            let error = error(&json!({"message": message, "finish_reason": "stop"}));
            assert!(error.contains(wanted), "{message}: {error}");
        }
        assert!(error(&json!({})).contains("no message"));
    }

    #[test]
    fn a_proposal_that_a_server_takes_for_reasoning_is_found() {
        let proposal = "<NAME>a</NAME>";
        for message in [
            json!({"content": null, "reasoning_content": proposal}),
            json!({"content": "", "reasoning": format!("thoughts</think>{proposal}")}),
            json!({"content": format!("{proposal}\n</think>\n")}),
        ] {
            let answer = answer(&message);
            assert!(answer.contains(proposal) && !answer.contains("thoughts"), "{answer}");
        }
    }

    #[test]
    fn an_answer_that_does_not_end_is_none() {
        let choice = |reason: Value| json!({"message": {"content": "x", "reasoning": "abc"}, "finish_reason": reason});
        for reason in ["length", "MAX_TOKENS", "content_filter", "SAFETY", "model_length"] {
            let error = of_choice(&choice(json!(reason)), 7).unwrap_err();
            let finish_reason = reason.to_owned();
            assert_eq!(error, LlmError::CutOff { finish_reason, reasoning: 3, hidden_tokens: 7 });
        }
        for reason in ["error", "abort", "insufficient_system_resource", "network_error"] {
            assert_eq!(<&str>::from(of_choice(&choice(json!(reason)), 0).unwrap_err()), "failed", "{reason}");
        }
        assert!(error(&choice(json!({"type": "abort"}))).contains("abort"));
        for reason in [json!("stop"), json!("end_turn"), json!("eos"), json!(null), json!("tool_calls")] {
            assert_eq!(of_choice(&choice(reason), 7), Ok("x".to_owned()));
        }
    }
}
