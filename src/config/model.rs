//! A language model in `proposers.models`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::config::key::{check_variable, looks_like_key, name_of_variable};
use crate::config::wrong::{Wrong, at_least_1, at_most, demand, price, time};
use crate::values::settings::{ModelSettings, Prices};

const LARGEST_REPLY: ByteSize = ByteSize::gib(1);
/// More retries would only hide that an endpoint is down.
const MOST_RETRIES: u32 = 20;
/// Ends of addresses that requests go to, which `base_url` must not have.
const OPERATIONS: [&str; 6] = ["/chat/completions", "/completions", "/chat", "/responses", "/messages", "/models"];
/// Parameters with a key, as other tools take them.
const KEY_PARAMETERS: [&str; 8] =
    ["api_key", "apiKey", "api-key", "key", "key_env", "authorization", "headers", "extra_headers"];
/// Parameters that are numbers.
const NUMBERS: [&str; 9] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "typical_p",
];
/// Parameters that PackEvolve sets itself, or that would change the shape or number of replies.
const OUR_PARAMETERS: [&str; 4] = ["model", "messages", "stream", "n"];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    pub name: Option<String>,
    pub base_url: String,
    pub model: String,
    #[serde(deserialize_with = "name_of_variable")]
    pub key_env: Option<String>,
    pub system: bool,
    pub parameters: BTreeMap<String, serde_json::Value>,
    pub max_concurrent: usize,
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    pub retries: u32,
    #[serde(with = "humantime_serde")]
    pub initial_backoff: Duration,
    #[serde(with = "humantime_serde")]
    pub max_backoff: Duration,
    pub max_reply_size: ByteSize,
    pub prices: Prices,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            name: None,
            base_url: String::new(),
            model: String::new(),
            key_env: None,
            system: true,
            parameters: BTreeMap::from([("max_tokens".to_owned(), 16_384.into())]),
            max_concurrent: 2,
            timeout: Duration::from_secs(5 * 60),
            retries: 3,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            max_reply_size: ByteSize::mib(4),
            prices: Prices::default(),
        }
    }
}

impl ModelConfig {
    pub(super) fn settings(&self) -> Result<ModelSettings, Wrong> {
        self.check_address()?;
        let settings = ModelSettings {
            name: self.name.clone().unwrap_or_else(|| self.model.clone()),
            base_url: self.base_url.clone(),
            model: self.model.clone(),
            key_env: self.key_env.clone(),
            system: self.system,
            parameters: self.parameters.clone(),
            max_concurrent: self.max_concurrent,
            timeout_seconds: self.timeout.as_secs_f64(),
            retries: self.retries,
            initial_backoff_seconds: self.initial_backoff.as_secs_f64(),
            max_backoff_seconds: self.max_backoff.as_secs_f64(),
            max_reply_bytes: self.max_reply_size.as_u64(),
            prices: self.prices,
        };
        self.check_parameters()?;
        self.check_amounts()?;
        Ok(settings)
    }

    fn check_parameters(&self) -> Result<(), Wrong> {
        let has = |name: &&str| self.parameters.contains_key(*name);
        if let Some(name) = OUR_PARAMETERS.iter().find(|name| has(name)) {
            return Err(Wrong::new("parameters", format_args!("{name} cannot be set here")));
        }
        // They would be recorded with every request.
        if let Some(name) = KEY_PARAMETERS.iter().find(|name| has(name)) {
            let problem = format_args!("{name} cannot be set here; key_env names the variable with the key");
            return Err(Wrong::new("parameters", problem));
        }
        if !ModelSettings::COMPLETION_LIMITS.iter().any(has) {
            let limits = ModelSettings::COMPLETION_LIMITS.join(" or ");
            return Err(Wrong::new("parameters", format_args!("must set {limits}, which bounds the cost of a reply")));
        }
        for (name, value) in &self.parameters {
            let key = format!("parameters.{name}");
            let is_limit = ModelSettings::COMPLETION_LIMITS.contains(&name.as_str());
            demand(
                !is_limit || value.as_u64().is_some_and(|most| most > 0),
                &key,
                value,
                "a whole number from 1 on, such as 16000",
            )?;
            demand(!NUMBERS.contains(&name.as_str()) || value.is_number() || value.is_null(), &key, value, "a number")?;
        }
        Ok(())
    }

    fn check_address(&self) -> Result<(), Wrong> {
        let rest = self.base_url.strip_prefix("https://").or_else(|| self.base_url.strip_prefix("http://"));
        let is_address = rest.is_some_and(|rest| !rest.is_empty());
        if !is_address && looks_like_key(&self.base_url) {
            return Err(Wrong::new("base_url", "must be an http:// or https:// address; this looks like a key"));
        }
        demand(is_address, "base_url", format_args!("{:?}", self.base_url), "an http:// or https:// address")?;
        let ends = |end: &&&str| self.base_url.trim_end_matches('/').ends_with(**end);
        if let Some(end) = OPERATIONS.iter().find(ends) {
            let problem = format_args!("must end before {end}: requests go to base_url and /chat/completions");
            return Err(Wrong::new("base_url", problem));
        }
        // The record would show a password, so the message must not.
        if rest.is_some_and(|rest| rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace)) {
            return Err(Wrong::new("base_url", "must not hold a user, password, `?` or `#`; key_env names the key"));
        }
        demand(!self.model.is_empty(), "model", "empty", "the name of a model at the endpoint")?;
        self.key_env.as_deref().map_or(Ok(()), check_variable)
    }

    fn check_amounts(&self) -> Result<(), Wrong> {
        let least = Duration::from_millis(1);
        time("timeout", self.timeout, least)?;
        time("initial_backoff", self.initial_backoff, least)?;
        time("max_backoff", self.max_backoff, least)?;
        at_least_1("max_concurrent", self.max_concurrent)?;
        at_most("retries", self.retries, MOST_RETRIES)?;
        let is_size = self.max_reply_size > ByteSize(0) && self.max_reply_size <= LARGEST_REPLY;
        demand(is_size, "max_reply_size", self.max_reply_size, "from 1 B to 1 GiB")?;
        price("prices.prompt", self.prices.prompt)?;
        price("prices.completion", self.prices.completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::file::Config;
    use crate::config::testing::{REFERENCE, message_of, names};
    use crate::values::settings::{LlmSettings, Settings};

    #[test]
    fn a_model_that_cannot_work_is_refused_by_number_and_name() {
        for (entry, wanted) in [
            ("", "[1].base_url is \"\", must be an http"),
            ("base_url: ftp://a, model: m", "base_url is \"ftp://a\""),
            ("base_url: 'https://', model: m", "base_url is \"https://\""),
            ("base_url: 'https://user:secret@a/v1', model: m", "base_url: must not hold a user, password"),
            ("base_url: 'https://a/v1?key=secret', model: m", "base_url: must not hold a user, password"),
            ("base_url: 'http://a'", "model is empty, must be the name"),
            ("base_url: 'http://a/v1/chat/completions', model: m", "base_url: must end before /chat/completions"),
            ("base_url: 'http://a/v1/chat/', model: m", "base_url: must end before /chat"),
            ("base_url: sk-secret0123456789, model: m", "base_url: must be an http:// or https:// address; this looks"),
            ("base_url: 'http://a', model: m, key_env: ''", "key_env: must be the name of an environment variable of"),
            (
                "base_url: 'http://a', model: m, key_env: sk-secret",
                "key_env: must be the name of an environment variable",
            ),
            ("base_url: 'http://a', model: m, key_env: hf_secretAbCdEf0123", "key_env: must be the name"),
            ("base_url: 'http://a', model: m, key_env: 'MY SECRET'", "key_env: must be the name"),
            ("base_url: 'http://a', model: m, key_env: '${A_KEY}'", "without `$`: write `key_env: A_KEY`"),
            ("base_url: 'http://a', model: m, key_env: $A_KEY", "without `$`: write `key_env: A_KEY`"),
            (
                "base_url: 'http://a', model: m, key_env: '${sk_secret0123456789}'",
                "of letters, digits and _, not a key",
            ),
            (
                "base_url: 'http://a', model: m, parameters: {max_tokens: 9, api_key: secret}",
                "key_env names the variable",
            ),
            (
                "base_url: 'http://a', model: m, parameters: {max_tokens: 16e3}",
                "parameters.max_tokens is 16000.0, must be",
            ),
            (
                "base_url: 'http://a', model: m, parameters: {max_tokens: '16000'}",
                "max_tokens is \"16000\", must be a whole",
            ),
            (
                "base_url: 'http://a', model: m, parameters: {max_tokens: -1}",
                "max_tokens is -1, must be a whole number",
            ),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: null}", "max_tokens is null, must be a whole"),
            (
                "base_url: 'http://a', model: m, parameters: {max_tokens: 9, top_p: '1'}",
                "top_p is \"1\", must be a number",
            ),
            ("base_url: 'http://a', model: m, parameters: {temperature: 1}", "max_completion_tokens or max_tokens"),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: 9, n: 2}", "parameters: n cannot"),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: 9, stream: true}", "parameters: stream cannot"),
            ("base_url: 'http://a', model: m, timeout: 0s", "timeout is 0s, must be from 1ms to 366 days"),
            ("base_url: 'http://a', model: m, max_backoff: 367days", "max_backoff is 1year"),
            ("base_url: 'http://a', model: m, retries: 21", "retries is 21, must be at most 20"),
            ("base_url: 'http://a', model: m, max_concurrent: 0", "max_concurrent is 0"),
            ("base_url: 'http://a', model: m, max_reply_size: 2GiB", "max_reply_size is 2.0 GiB, must be from"),
            ("base_url: 'http://a', model: m, prices: {prompt: -1}", "prices.prompt is -1, must be from 0"),
            ("base_url: 'http://a', model: m, prices: {completion: .nan}", "prices.completion is NaN"),
            ("base_url: 'http://a', model: first", "another model is also called \"first\""),
        ] {
            let first = "{base_url: 'http://a', model: first}";
            let message = message_of(&format!("proposers: {{models: [{first}, {{{entry}}}]}}"));
            assert!(
                message.starts_with("config.yaml:1:")
                    && message.contains("proposers.models[1]")
                    && message.contains(wanted),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn settings_of_a_model_that_have_another_type_are_reported_with_value_and_line() {
        let message = |line: &str| {
            message_of(&format!("proposers:\n  models:\n    - base_url: http://a\n      model: m\n      {line}\n"))
        };
        for (line, wanted) in [
            ("key_env: 12345678", "a number, expected the name of an environment variable"),
            (
                "parameters: {max_tokens: '16000'}",
                "parameters.max_tokens is \"16000\", must be a whole number from 1 on",
            ),
            ("parameters: {max_tokens: 9, temperature: hot}", "parameters.temperature is \"hot\", must be a number"),
            ("parameters: {max_tokens: 16e3}", "max_tokens is 16000.0, must be a whole number from 1 on"),
        ] {
            let message = message(line);
            assert!(message.starts_with("config.yaml:5:") && message.contains(wanted), "{line}: {message}");
            assert!(!message.contains("secret") && !message.contains("12345678"), "{message}");
        }
    }

    #[test]
    fn a_typo_in_a_model_is_reported_with_its_line() {
        let message = message_of("proposers:\n  models:\n    - base_url: http://a\n      api_key: x\n");
        assert!(message.starts_with("config.yaml:4:7: ") && message.contains("unknown field `api_key`"), "{message}");
    }

    /// The commented model of the reference, as it reads when its comment signs are gone.
    fn documented_model() -> String {
        let lines = REFERENCE.lines().skip_while(|line| *line != "  models: []").skip(1);
        let lines = lines.map_while(|line| line.strip_prefix("  #   ").or(line.strip_prefix("  # - ").map(|_| line)));
        let lines: Vec<String> = lines.map(|line| line.replacen("  # - ", "- ", 1)).collect();
        let indented = lines.iter().map(|line| if line.starts_with("- ") { line.clone() } else { format!("  {line}") });
        indented.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_documented_model_names_every_setting_with_its_default() {
        let documented = documented_model();
        let models: Vec<ModelConfig> = serde_yaml::from_str(&documented).unwrap();
        let [model] = &models[..] else { panic!("one model is documented:\n{documented}") };
        let written: Vec<serde_yaml::Value> = serde_yaml::from_str(&documented).unwrap();
        let all = serde_yaml::to_value(ModelConfig::default()).unwrap();
        let names =
            |value: &serde_yaml::Value| names(value).into_iter().filter(|name| !name.starts_with("parameters."));
        assert!(names(&written[0]).eq(names(&all)));
        let ModelConfig { name, base_url, model, key_env, parameters, prices, .. } = model.clone();
        let parts = ModelConfig { name, base_url, model, key_env, parameters, prices, ..ModelConfig::default() };
        assert_eq!(models, [parts]);
        models[0].settings().unwrap();
    }

    #[test]
    fn what_a_model_is_sent_comes_through_as_it_was_written() {
        let parameters = "{max_tokens: 100, temperature: 0.30000000000000004, stop: ['a'], deep: {x: null}}";
        let text = format!("proposers: {{models: [{{base_url: 'http://a/v1/', model: m, parameters: {parameters}}}]}}");
        let settings = Config::parse(&text).unwrap().settings().unwrap();
        let [model] = &settings.llm.models[..] else { panic!("{settings:?}") };
        assert_eq!((model.name.as_str(), model.key_env.as_deref(), model.retries), ("m", None, 3));
        assert_eq!(
            serde_json::to_string(&model.parameters).unwrap(),
            r#"{"deep":{"x":null},"max_tokens":100,"stop":["a"],"temperature":0.30000000000000004}"#
        );
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings, "as the journal has them");
    }

    #[test]
    fn a_run_without_models_records_nothing_of_them() {
        let settings = Config::default().settings().unwrap();
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json.get("llm"), None);
        let read: Settings = serde_json::from_value(json).unwrap();
        assert_eq!(read.llm, LlmSettings::default());
    }
}
