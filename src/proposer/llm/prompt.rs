//! Renders prompts from templates. Only this file uses minijinja for prompts.
//!
//! The templates of `candidates/prompts` are built in; a folder may override any of them. Reading tries all templates
//! on examples, so that a typo shows before any request is paid for.

use std::fs;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use packevolve_contract::serving::Serving;
use serde::Serialize;
use thiserror::Error;

use crate::proposer::folder::{FolderError, files};
use crate::proposer::llm::context::{PromptContext, SummaryContext};
use crate::proposer::llm::conversation::Conversation;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::RequestForm;

const BUILT_IN: [(&str, &str); 8] = [
    ("crossover.jinja", include_str!("../../../candidates/prompts/crossover.jinja")),
    ("edit.jinja", include_str!("../../../candidates/prompts/edit.jinja")),
    ("parts.jinja", include_str!("../../../candidates/prompts/parts.jinja")),
    ("policy.jinja", include_str!("../../../candidates/prompts/policy.jinja")),
    ("repair.jinja", include_str!("../../../candidates/prompts/repair.jinja")),
    ("rewrite.jinja", include_str!("../../../candidates/prompts/rewrite.jinja")),
    ("summary.jinja", include_str!("../../../candidates/prompts/summary.jinja")),
    ("system.jinja", include_str!("../../../candidates/prompts/system.jinja")),
];
/// The most steps of a template, so that its loops end.
const FUEL: u64 = 10_000_000;
/// Bytes of a summary, which is part of every later prompt.
const SUMMARY: usize = 6000;

#[derive(Debug, Error)]
pub enum PromptError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{} is not a prompt; the prompts are: {}", path.display(), names())]
    Unknown { path: PathBuf },
    #[error("prompt {name}: {detail}")]
    Template { name: String, detail: String },
}

impl Classify for PromptError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

#[derive(Debug)]
pub struct Prompts {
    templates: Environment<'static>,
}

impl Prompts {
    /// The built-in templates, overridden by those in `folder`, which may hold no `*.jinja` file of another name.
    pub fn read(folder: Option<&Path>) -> Result<Self, PromptError> {
        let mut sources = BUILT_IN.map(|(name, text)| (name, text.to_owned())).to_vec();
        if let Some(folder) = folder {
            for (name, text) in files("prompts", folder, "jinja", |path| fs::read_to_string(path))? {
                let Some((_, source)) = sources.iter_mut().find(|(known, _)| name == *known) else {
                    return Err(PromptError::Unknown { path: folder.join(name) });
                };
                *source = text;
            }
        }
        Self::of(sources)
    }

    fn of(sources: Vec<(&'static str, String)>) -> Result<Self, PromptError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        templates.set_syntax(syntax());
        templates.set_fuel(Some(FUEL));
        for (name, source) in sources {
            templates.add_template_owned(name, source).map_err(|error| wrong(name, &error))?;
        }
        let prompts = Self { templates };
        prompts.try_all()?;
        Ok(prompts)
    }

    /// Renders a request for a proposal.
    pub fn ask(&self, form: RequestForm, context: &PromptContext) -> Result<Conversation, PromptError> {
        let name = match form {
            RequestForm::Edit => "edit.jinja",
            RequestForm::Rewrite => "rewrite.jinja",
            RequestForm::Crossover => "crossover.jinja",
        };
        Ok(Conversation::new(self.render(system(context.policy), context)?, self.render(name, context)?))
    }

    /// Extends a conversation with the model's reply, the diagnosis of its problem, and the number of repairs left.
    pub fn repair(
        &self,
        conversation: Conversation,
        reply: String,
        diagnosis: &str,
        left: u32,
    ) -> Result<Conversation, PromptError> {
        let repair = serde_json::json!({ "diagnosis": diagnosis, "left": left });
        Ok(conversation.went_on(reply, self.render("repair.jinja", repair)?))
    }

    /// Renders a request for a summary. The answer, through [`summary`], goes into later contexts.
    pub fn summarise(&self, context: &SummaryContext) -> Result<Conversation, PromptError> {
        Ok(Conversation::new(self.render(system(context.policy), context)?, self.render("summary.jinja", context)?))
    }

    fn render(&self, name: &str, context: impl Serialize) -> Result<String, PromptError> {
        let template = self.templates.get_template(name).map_err(|error| wrong(name, &error))?;
        template.render(Serde(context)).map_err(|error| wrong(name, &error))
    }

    fn try_all(&self) -> Result<(), PromptError> {
        let full = PromptContext::example();
        let of_policy = PromptContext::policy_example();
        for context in [full.clone(), of_policy, PromptContext::bare_example()] {
            self.ask(RequestForm::Edit, &context)?;
            self.ask(RequestForm::Rewrite, &context)?;
            let other = Some(context.other.clone().unwrap_or(context.parent.clone()));
            let conversation = self.ask(RequestForm::Crossover, &PromptContext { other, ..context })?;
            self.repair(conversation, String::new(), "", 0)?;
        }
        let best = Some(full.parent);
        let PromptContext { summary: previous, ancestors: steps, failures, numba, policy, .. } = full;
        let summary = SummaryContext { previous, steps, failures, best, numba, policy };
        self.summarise(&summary)?;
        self.summarise(&SummaryContext::default())?;
        Ok(())
    }
}

/// The template that explains the target.
fn system(policy: Option<Serving>) -> &'static str {
    if policy.is_some() { "policy.jinja" } else { "system.jinja" }
}

/// A reply to [`Prompts::summarise`], shortened for later prompts.
pub fn summary(reply: &str) -> String {
    let text = reply.trim();
    text[..text.floor_char_boundary(SUMMARY)].to_owned()
}

/// A tag alone on its line leaves no blank line.
fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.expect("BUG: the usual delimiters conflict")
}

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

/// Names the template that holds the error, and the line.
fn wrong(name: &str, error: &minijinja::Error) -> PromptError {
    let name = error.name().unwrap_or(name);
    let place = error.line().map(|line| format!("{name}:{line}")).unwrap_or(name.to_owned());
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    PromptError::Template { name: place, detail: format!("{}{detail}", error.kind()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposer::llm::conversation::Role;
    use crate::proposer::llm::document::document;

    const FIGURES: [&str; 4] = ["0.6637184920183746", "0.005431210987654321", "0.094798168724", "1228.25"];

    fn asked(form: RequestForm, context: &PromptContext) -> String {
        let conversation = Prompts::read(None).unwrap().ask(form, context).unwrap();
        let [system, user] = conversation.messages() else { panic!("{conversation:?}") };
        assert_eq!((system.role, user.role), (Role::System, Role::User));
        assert!(system.content.contains("balanced_packing(weight, num_packs)"), "{}", system.content);
        // Shown when the test fails.
        println!("{form:?}:\n{}", user.content);
        user.content.clone()
    }

    #[test]
    fn every_request_shows_all_that_is_known_at_full_precision() {
        let context = PromptContext::example();
        for form in [RequestForm::Edit, RequestForm::Rewrite, RequestForm::Crossover] {
            let text = asked(form, &context);
            let others =
                ["vectorized_lpt", "0.2825", "too_clever", "raises IndexError", "Fewer launches help.", "lines 2 to 3"];
            for wanted in FIGURES.into_iter().chain(others).chain([context.parent.program.as_str()]) {
                assert!(text.contains(wanted), "{form:?}: {wanted} is missing:\n{text}");
            }
            let names: &[&str] = if form == RequestForm::Crossover { &["other"] } else { &["inspiration"] };
            assert!(names.iter().all(|name| text.contains(&format!("`{name}`"))), "{form:?}:\n{text}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_not_there() {
        for form in [RequestForm::Edit, RequestForm::Rewrite] {
            let text = asked(form, &PromptContext::bare_example());
            for word in ["none", "null", "undefined", "# Failed", "# Summary", "\n\n\n"] {
                assert!(!text.contains(word), "{form:?}: {word:?} in:\n{text}");
            }
        }
    }

    /// The parser must accept the example in the prompt, filled in.
    #[test]
    fn the_format_that_a_prompt_asks_for_is_the_one_that_is_read() {
        let parent = "# EVOLVE-BLOCK-START\ndef balanced_packing(weight, num_packs):\n    lines of the program, \
                      unchanged\n# EVOLVE-BLOCK-END\n";
        let mut context = PromptContext::bare_example();
        context.other = Some(context.parent.clone());
        for form in [RequestForm::Edit, RequestForm::Rewrite, RequestForm::Crossover] {
            let text = asked(form, &context);
            let format = text.split_once("<NAME>").map(|(_, format)| format!("<NAME>{format}")).unwrap();
            let format = format.replace("the new body", "return 1");
            let document =
                document(form, parent, &format).unwrap_or_else(|error| panic!("{form:?}: {error}:\n{format}"));
            assert!(!document.is_empty());
        }
    }

    #[test]
    fn what_did_not_work_goes_back_after_the_reply() {
        let prompts = Prompts::read(None).unwrap();
        let conversation = prompts.ask(RequestForm::Edit, &PromptContext::example()).unwrap();
        let conversation = prompts.repair(conversation, "my reply".to_owned(), "SEARCH matches nothing", 1).unwrap();
        let [_, _, reply, back] = conversation.messages() else { panic!("{conversation:?}") };
        assert_eq!((reply.role, reply.content.as_str()), (Role::Assistant, "my reply"));
        assert!(back.role == Role::User && back.content.contains("SEARCH matches nothing"), "{}", back.content);
    }

    #[test]
    fn a_summary_is_asked_for_with_what_was_tried_and_kept_short() {
        let PromptContext { summary: previous, ancestors: steps, failures, parent, numba, policy, .. } =
            PromptContext::example();
        let context = SummaryContext { previous, steps, failures, best: Some(parent), numba, policy };
        let conversation = Prompts::read(None).unwrap().summarise(&context).unwrap();
        let text = &conversation.messages()[1].content;
        for wanted in ["vectorized_lpt", "0.2825", "too_clever", "raises IndexError", "Fewer launches help."] {
            assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
        }
        assert_eq!(summary(&"\u{e9}".repeat(SUMMARY)).len(), SUMMARY);
        assert_eq!(summary("\n a \n"), "a");
    }

    #[test]
    fn a_folder_replaces_templates_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("edit.jinja"), "Edit {{ parent.name }}!").unwrap();
        fs::write(folder.path().join("notes.txt"), "{{").unwrap();
        let prompts = Prompts::read(Some(folder.path())).unwrap();
        let conversation = prompts.ask(RequestForm::Edit, &PromptContext::example()).unwrap();
        assert_eq!(conversation.messages()[1].content, "Edit parent!");
        assert!(prompts.ask(RequestForm::Rewrite, &PromptContext::example()).is_ok());
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_before_any_request() {
        for (file, text, wanted) in [
            ("edit.jinja", "a\n{{ parent.nam }}", "edit.jinja:2: undefined value"),
            ("edit.jinja", "{% if %}", "edit.jinja:1: syntax error"),
            ("summary.jinja", "{{ stepz }}", "summary.jinja:1: undefined value"),
            ("rewrite.jinja", "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}", "fuel"),
            ("edits.jinja", "", "edits.jinja is not a prompt; the prompts are: crossover.jinja, edit.jinja"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(file), text).unwrap();
            let error = Prompts::read(Some(folder.path())).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let missing = Prompts::read(Some(Path::new("no/such/folder"))).unwrap_err();
        assert!(matches!(missing, PromptError::Folder(_)));
    }
}
