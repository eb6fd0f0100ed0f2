//! Keys that PackEvolve does not have: what a person may have meant by one, such as a setting as other tools call it.

/// What other tools call a setting of a language model.
const OF_A_MODEL: [(&str, &[&str]); 10] = [
    ("`base_url` of a model", &["api_base", "api_url", "openai_api_base", "endpoint", "url", "host", "base"]),
    (
        "`key_env` of a model, the name of the environment variable with the key",
        &["api_key", "apikey", "openai_api_key", "key", "token", "api_token", "auth", "api_key_env"],
    ),
    (
        "`model` of an entry in `proposers.models`",
        &["primary_model", "secondary_model", "model_name", "model_id", "deployment", "deployment_name", "engine"],
    ),
    (
        "in `parameters` of a model, which are sent with every request",
        &[
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "max_new_tokens",
            "num_predict",
            "stop",
            "frequency_penalty",
            "presence_penalty",
            "repetition_penalty",
            "reasoning_effort",
            "thinking",
            "chat_template_kwargs",
            "seed",
        ],
    ),
    (
        "`parameters` of a model: each of them is sent with every request",
        &[
            "extra_body",
            "model_kwargs",
            "llm_kwargs",
            "generation_config",
            "litellm_params",
            "sampling_params",
            "default_parameters",
            "params",
            "options",
        ],
    ),
    ("`retries` of a model", &["max_retries", "num_retries"]),
    ("`timeout` of a model", &["request_timeout", "timeout_seconds"]),
    ("`initial_backoff` of a model", &["retry_delay", "backoff"]),
    ("`max_concurrent` of a model", &["max_parallel_requests", "concurrency", "rpm", "max_workers"]),
    (
        "in `prices` of a model, in dollars for a million tokens",
        &["input_cost_per_token", "output_cost_per_token", "input_price", "output_price", "cost", "pricing"],
    ),
];

/// What other tools call our other settings.
const ELSEWHERE: [(&str, &[&str]); 24] = [
    (
        "`proposers.models`, a list with an entry for each language model",
        &["llm", "llms", "llm_models", "llm_config", "model_list", "providers", "provider", "openai"],
    ),
    (
        "`search.candidates`",
        &[
            "max_iterations",
            "iterations",
            "num_iterations",
            "generations",
            "num_generations",
            "max_generations",
            "max_evaluations",
            "max_candidates",
            "num_candidates",
        ],
    ),
    ("`search`", &["database", "database_config", "evolution", "evolution_config", "evo_config", "db_config"]),
    ("`rng_seed`", &["seed", "random_seed"]),
    ("`search.islands`", &["num_islands", "n_islands"]),
    ("`search.population_size`", &["population", "pop_size"]),
    ("`search.pareto_bins`", &["archive_size", "feature_bins"]),
    (
        "`slots` of a place in `judges`",
        &["parallel_evaluations", "max_parallel_jobs", "max_workers", "num_workers", "workers", "n_jobs", "jobs"],
    ),
    ("`search.wall_time`", &["time_limit", "max_time", "max_runtime", "walltime", "max_seconds"]),
    ("`search.target_score`", &["target_value", "score_threshold", "early_stopping_threshold"]),
    ("`proposers.budget.dollars`", &["max_cost", "cost_limit", "max_api_costs", "max_budget", "budget_usd"]),
    ("`proposers.prompts`, a folder of templates", &["prompt", "template_dir", "system_message", "system_prompt"]),
    ("`evaluation` and `limits`", &["evaluator", "eval", "evaluator_config"]),
    ("`limits.memory`, such as 4GiB", &["memory_limit_mb", "memory_limit", "max_memory"]),
    ("`limits.evaluation_timeout`, such as 5min", &["timeout", "eval_timeout", "evaluation_time_limit"]),
    ("`program`", &["initial_program", "initial_program_path", "init_program_path", "program_path", "seed_program"]),
    ("`runs`", &["results_dir", "output_dir", "output", "log_dir", "checkpoint_dir", "db_path"]),
    ("`loads`", &["data", "dataset", "trace", "traces", "workload", "workloads", "trace_path"]),
    ("`topology.layers`", &["num_layers", "num_hidden_layers", "num_moe_layers"]),
    ("`topology.experts`", &["num_experts", "n_routed_experts", "num_local_experts", "num_logical_experts"]),
    ("`topology.replicas`", &["num_replicas", "num_physical_experts"]),
    ("`topology.redundant`", &["num_redundant_experts", "ep_num_redundant_experts", "redundant_experts"]),
    ("`topology.groups`, `topology.nodes` or `topology.gpus`", &["num_groups", "n_group", "num_nodes", "num_gpus"]),
    ("`evaluation.device`, such as cuda:0", &["gpu", "cuda", "devices", "use_gpu"]),
];

/// What may be meant by a key that is unknown in `group`. `known`: the keys of the group; `all`: our settings by their
/// paths; `below`: the keys that it holds.
pub(super) fn meant(key: &str, group: &str, known: &[&str], all: &[String], below: &[String]) -> Option<String> {
    let is_of_model = group.starts_with("proposers.models");
    let mut meant: Vec<String> = ours(key, group, known, all, is_of_model).into_iter().collect();
    // Keys that we have too need no word.
    let ours_as_well = |key: &str| all.iter().any(|path| path.rsplit('.').next() == Some(key));
    for key in below.iter().filter(|key| !ours_as_well(key)) {
        meant.extend(translated(key, true).map(|ours| format!("`{key}` is {ours}")));
    }
    meant.dedup();
    if meant.is_empty() { None } else { Some(meant.join("; ")) }
}

fn ours(key: &str, group: &str, known: &[&str], all: &[String], is_of_model: bool) -> Option<String> {
    let similarity = |name: &str| strsim::jaro_winkler(key, name);
    let nearest = known.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let written = |nearest: &str| format!("did you mean `{nearest}`?");
    let slip = nearest.filter(|nearest| similarity(nearest) > 0.9).map(written);
    let elsewhere = || {
        let ending = format!(".{key}");
        let groups: Vec<&str> = all.iter().filter_map(|path| path.strip_suffix(&ending)).collect();
        let is_near = !groups.is_empty() && groups.len() < 3 && !groups.contains(&group);
        is_near.then(|| format!("`{key}` belongs to `{}`", groups.join("` or `")))
    };
    let dotted = || {
        let (group, name) = all.iter().find(|path| *path == key)?.rsplit_once('.')?;
        Some(format!("write `{name}` below `{}:`", group.replace('.', ": ")))
    };
    let translated = translated(key, is_of_model).map(|ours| format!("here `{key}` is {ours}"));
    translated
        .or(slip)
        .or_else(dotted)
        .or_else(elsewhere)
        .or_else(|| nearest.filter(|nearest| similarity(nearest) > 0.75).map(written))
}

/// The known name that is most like `name`, if it is like one.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let similarity = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), known);
    let nearest = known.max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    nearest.filter(|nearest| similarity(nearest) > 0.75)
}

/// Our name for a key of another tool, first among the settings of a model if it may be one.
fn translated(key: &str, is_of_model: bool) -> Option<&'static str> {
    let key = key.to_lowercase().replace('-', "_");
    let find = |names: &[(&'static str, &[&str])]| {
        names.iter().find(|(_, theirs)| theirs.contains(&key.as_str())).map(|(ours, _)| *ours)
    };
    let (of_model, elsewhere) = (find(&OF_A_MODEL), find(&ELSEWHERE));
    if is_of_model { of_model.or(elsewhere) } else { elsewhere.or(of_model) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_another_tool_stands_for_two_settings() {
        for names in [&OF_A_MODEL[..], &ELSEWHERE] {
            let mut all: Vec<&str> = names.iter().flat_map(|(_, theirs)| theirs.iter().copied()).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }
}
