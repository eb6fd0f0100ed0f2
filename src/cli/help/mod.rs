//! `packevolve help`: the list of commands and topics, one command, or one topic. The topics are Markdown files beside
//! this one; they are also man pages and the documentation of the modules that they describe.

mod markdown;

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::{Args, Command};
use clap_mangen::roff::Roff;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::help::markdown::Block;
use crate::view::output::print;
use crate::view::terminal::Terminal;

#[derive(Debug)]
pub struct Topic {
    pub name: &'static str,
    /// One line for lists.
    pub about: &'static str,
    /// Markdown.
    pub text: &'static str,
}

const fn topic(name: &'static str, about: &'static str, text: &'static str) -> Topic {
    Topic { name, about, text }
}

pub const TOPICS: [Topic; 18] = [
    topic("search", "islands, proposers, and how the best is chosen", include_str!("search.md")),
    topic("measuring", "the contract of a program, scores, times", include_str!("measuring.md")),
    topic("policy", "the target `policy`: from the plan in force, lost time", include_str!("policy.md")),
    topic("jail", "how candidate programs are confined", include_str!("jail.md")),
    topic("compile", "programs with Numba, C++ and Triton", include_str!("compile.md")),
    topic("loads", "file formats of loads, topologies, `evaluate`", include_str!("loads.md")),
    topic("plans", "plans for engines: `plan`, its files and figures", include_str!("plans.md")),
    topic("engines", "packages for SGLang, vLLM and vllm-ascend", include_str!("engines.md")),
    topic("proposals", "the format of an edit, and how it is matched", include_str!("proposals.md")),
    topic("models", "language models: requests, cost, record", include_str!("models.md")),
    topic("cluster", "judges on other machines: Slurm, ssh, Kubernetes", include_str!("cluster.md")),
    topic("serve", "watching and steering a run: `serve`, `propose`, `stop`", include_str!("serve.md")),
    topic("record", "journal, crashes, `resume`, `fsck`, `replay`", include_str!("record.md")),
    topic("archive", "the candidates of a run in plain git", include_str!("archive.md")),
    topic("json", "JSON output with jq and pandas", include_str!("json.md")),
    topic(
        "config",
        "`config.yaml`, with every setting",
        concat!("# Settings\n\n```yaml\n", include_str!("../../../config.yaml"), "```\n"),
    ),
    topic("words", "the meaning of each word", include_str!("words.md")),
    topic("changes", "what is new", include_str!("changes.md")),
];

impl Topic {
    fn find(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name == name)
    }

    fn draw(&self, terminal: &Terminal) -> String {
        markdown::draw(&markdown::parse(self.text), terminal)
    }

    pub fn man_page(&self) -> (String, Roff) {
        let name = format!("packevolve-{}", self.name);
        let mut page = Roff::new();
        page.control("TH", [name.to_uppercase().as_str(), "7"]);
        page.control("SH", ["NAME"]).text([format!("{name} - {}", self.about.replace('`', "")).into()]);
        let blocks = markdown::parse(self.text);
        let title = blocks.iter().filter(|block| matches!(block, Block::Heading(1, _))).count();
        markdown::typeset(&blocks[title..], &mut page);
        (format!("{name}.7"), page)
    }
}

/// Explain a command or a topic
///
/// Without a name, lists both.
#[derive(Debug, Args)]
pub struct Help {
    /// Name of a command or a topic
    #[arg(value_name = "TOPIC")]
    name: Option<String>,
}

impl Help {
    pub fn run(&self, mut packevolve: Command) -> Result<Exit, CommandError> {
        let terminal = Terminal::of_stdout();
        packevolve.build();
        let Some(name) = &self.name else {
            print(shown(&packevolve.render_long_help(), &terminal))?;
            return Ok(Exit::Success);
        };
        match (packevolve.find_subcommand_mut(name), Topic::find(name)) {
            (Some(command), _) => print(shown(&command.render_long_help(), &terminal))?,
            (None, Some(topic)) => print(topic.draw(&terminal))?,
            (None, None) => {
                let error = format!("there is no command or topic '{name}': `packevolve help` lists them");
                let _ = packevolve.error(ErrorKind::InvalidSubcommand, error).print();
                return Ok(Exit::Usage);
            }
        }
        Ok(Exit::Success)
    }
}

fn shown(help: &StyledStr, terminal: &Terminal) -> String {
    if terminal.is_coloured { help.ansi().to_string() } else { help.to_string() }
}

/// The list of topics at the end of `--help`.
pub fn list() -> String {
    let lines = TOPICS.iter().map(|topic| format!("  {:9}  {}", topic.name, topic.about.replace('`', "")));
    format!("Topics, for `packevolve help TOPIC`:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_fits_a_terminal_of_80_columns() {
        let terminal = Terminal { width: Some(80), ..Terminal::default() };
        for topic in &TOPICS {
            let text = topic.draw(&terminal);
            let code = |line: &&str| !line.starts_with("    ");
            for line in text.lines().filter(code) {
                assert!(line.chars().count() <= 80, "{}: {line}", topic.name);
            }
        }
    }

    #[test]
    fn every_topic_is_a_man_page() {
        for topic in &TOPICS {
            let (name, page) = topic.man_page();
            assert_eq!(name, format!("packevolve-{}.7", topic.name));
            assert!(page.render().contains(".SH NAME"), "{name}");
        }
    }
}
