//! Conversation: what was said to a model and by it, in order.

use serde::{Deserialize, Serialize};

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What holds for all that follows.
    System,
    /// We.
    User,
    /// The model.
    Assistant,
}

/// One message, as endpoints take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: String,
}

/// Messages in order; it begins with what we want and is answered by the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    /// Opens with what holds throughout and a first question.
    pub fn new(system: String, user: String) -> Self {
        let system = Message { role: Role::System, content: system };
        Self { messages: vec![system, Message { role: Role::User, content: user }] }
    }

    /// Goes on: what the model said, and what we say to that.
    #[must_use]
    pub fn went_on(mut self, reply: String, user: String) -> Self {
        self.messages.push(Message { role: Role::Assistant, content: reply });
        self.messages.push(Message { role: Role::User, content: user });
        self
    }

    /// All that was said.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}
