//! The body of a request and its maximum cost. Holds no key and no headers.

use serde_json::{Map, Value};

use crate::proposer::llm::conversation::Conversation;
use crate::values::cost::{Charge, Usage};
use crate::values::settings::ModelSettings;

/// Tokens that an endpoint may add around each message, and around all of them.
const AROUND: u64 = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub body: Vec<u8>,
    pub worst: Charge,
}

impl Request {
    /// Passes the parameters of the model on unchanged.
    pub fn new(model: &ModelSettings, conversation: &Conversation) -> Self {
        let mut body: Map<String, Value> = model.parameters.clone().into_iter().collect();
        body.insert("model".to_owned(), model.model.clone().into());
        let sent = if model.system { conversation.clone() } else { conversation.clone().without_system() };
        let messages = serde_json::to_value(sent).expect("BUG: messages are plain text");
        body.insert("messages".to_owned(), messages);
        let body = serde_json::to_vec(&body).expect("BUG: JSON has a text");
        let usage =
            Usage { prompt_tokens: most_tokens(conversation), completion_tokens: model.most_completion_tokens() };
        Self { body, worst: Charge::of(usage, model.prices) }
    }

    /// The conversation in a body; `None` if PackEvolve did not make it.
    pub fn conversation(body: &[u8]) -> Option<Conversation> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        serde_json::from_value(body.get_mut("messages")?.take()).ok()
    }
}

/// An upper bound on the tokens of the conversation: each token stands for at least one byte.
fn most_tokens(conversation: &Conversation) -> u64 {
    let of_message = |content: &str| content.len() as u64 + AROUND;
    AROUND + conversation.messages().iter().map(|message| of_message(&message.content)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_sent_exactly_as_they_were_given() {
        let mut model = ModelSettings::example();
        model.parameters = serde_json::from_str(
            r#"{"temperature": 0.7000000000000001, "max_tokens": 100, "stop": ["é", "\n"], "seed": 18446744073709551615}"#,
        )
        .unwrap();
        let request = Request::new(&model, &Conversation::new("s".to_owned(), "u \"\n".to_owned()));
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            r#"{"max_tokens":100,"messages":[{"content":"s","role":"system"},{"content":"u \"\n","role":"user"}],"#
                .to_owned()
                + r#""model":"a-model","seed":18446744073709551615,"stop":["é","\n"],"temperature":0.7000000000000001}"#
        );
    }

    #[test]
    fn a_model_without_the_role_of_the_system_gets_its_prompt_in_the_first_question() {
        let mut model = ModelSettings::example();
        model.system = false;
        let conversation = Conversation::new("s".to_owned(), "u".to_owned()).went_on("r".to_owned(), "t".to_owned());
        let sent = Request::conversation(&Request::new(&model, &conversation).body).unwrap();
        let texts: Vec<&str> = sent.messages().iter().map(|message| message.content.as_str()).collect();
        assert_eq!(texts, ["s\n\nu", "r", "t"]);
        assert_eq!(Request::conversation(&Request::new(&model, &sent).body), Some(sent.clone()), "and only once");
    }

    #[test]
    fn a_conversation_is_found_again_in_what_was_sent() {
        let conversation =
            Conversation::new("s".to_owned(), "é \"\n".to_owned()).went_on("r".to_owned(), "t".to_owned());
        let request = Request::new(&ModelSettings::example(), &conversation);
        assert_eq!(Request::conversation(&request.body), Some(conversation));
        assert_eq!(Request::conversation(b"{}"), None);
    }

    #[test]
    fn the_worst_case_counts_every_byte_and_all_that_may_be_answered() {
        let model = ModelSettings::example();
        let request = Request::new(&model, &Conversation::new("é".repeat(100), "u".repeat(300)));
        let usage = Usage { prompt_tokens: 200 + 300 + 3 * AROUND, completion_tokens: 1000 };
        assert_eq!(request.worst, Charge::of(usage, model.prices));
    }
}
