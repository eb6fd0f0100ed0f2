//! A conversation with a model.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A message, in the format of endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

/// Messages in order, from the system prompt on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    /// Starts with the system prompt and a first question.
    pub fn new(system: String, user: String) -> Self {
        let system = Message { role: Role::System, content: system };
        Self { messages: vec![system, Message { role: Role::User, content: user }] }
    }

    /// Appends the model's reply and the next question.
    #[must_use]
    pub fn went_on(mut self, reply: String, user: String) -> Self {
        self.messages.push(Message { role: Role::Assistant, content: reply });
        self.messages.push(Message { role: Role::User, content: user });
        self
    }

    /// Whether it has a system prompt of its own.
    pub fn has_system(&self) -> bool {
        self.messages.first().is_some_and(|message| message.role == Role::System)
    }

    /// The same for a model without the role of the system: its prompt stands before the first question.
    #[must_use]
    pub fn without_system(mut self) -> Self {
        if let [system, user, ..] = &mut self.messages[..]
            && system.role == Role::System
        {
            user.content = format!("{}\n\n{}", system.content, user.content);
            self.messages.remove(0);
        }
        self
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}
