//! Machine: the device, versions, jail, loads and settings of the run.

use std::time::{Duration, UNIX_EPOCH};

use packevolve_contract::protocol::Ready;
use packevolve_contract::topology::Topology;
use serde_json::Value;

use crate::archive::blob_id;
use crate::run::fold::Run;
use crate::values::event::Event;
use crate::values::place::Place;
use crate::view::format::{count, duration};
use crate::view::inspect::torch_text;
use crate::view::report::data::ReportData;
use crate::view::report::page::{Part, Section, Table};

pub fn name(run: &Run) -> String {
    let path = run.folder.path();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name().map_or("a run".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub fn state(data: &ReportData<'_>) -> String {
    let ReportData { run, entries, .. } = data;
    let judged = count(run.search.tally().ended(), "candidate judged", "candidates judged");
    let (first, last) = (&entries[0], entries.last().expect("BUG: a run has a first event"));
    let took = duration(last.time - first.time);
    let end = match run.search.stopped() {
        Some(reason) => format!("stopped: {reason}"),
        None => format!("it is under way, or was interrupted: its record ends with event {}", last.seq),
    };
    let resumed = entries.iter().filter(|entry| matches!(entry.event, Event::RunResumed { .. })).count();
    let pauses = if resumed > 0 { format!(", resumed {}", count(resumed, "time", "times")) } else { String::new() };
    format!("Started {}. {judged} in {took}{pauses}; {end}.", date(first.time))
}

pub(crate) fn date(seconds: f64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.max(0.0) as u64);
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', " UTC")
}

pub fn section(data: &ReportData<'_>) -> Section {
    let parts = vec![Part::Table(machine(data)), jail(data), Part::Folded(settings(data))];
    Section { id: "machine", title: "Machine, jail and settings", parts }
}

fn machine(data: &ReportData<'_>) -> Table {
    let started = data.search.origin();
    let judge = &started.judge;
    let Topology { layers, experts, groups, replicas, gpus, nodes, .. } = started.settings.evaluation.topology;
    let topology = format!(
        "{layers} layers, {experts} experts in {groups} groups, {replicas} replicas on {gpus} GPUs of {nodes} nodes"
    );
    let Ready { windows, real_windows, held_out_windows, .. } = judge;
    let windows = format!("{windows} for the search ({real_windows} as given), {held_out_windows} held out");
    let of_device = |ready: &Ready| format!("{} ({})", ready.device, ready.device_name);
    let mut devices: Vec<String> =
        data.search.places().devices().iter().map(|device| of_device(&device.judge)).collect();
    devices.sort();
    devices.dedup();
    let place = |place: &Place| format!("{} on {}", count(place.slots, "slot", "slots"), place.name());
    let rows = [
        ("packevolve", started.packevolve.clone()),
        ("judges", started.settings.judges.iter().map(place).collect::<Vec<_>>().join(", ")),
        ("device", devices.join(", ")),
        ("Python, torch", format!("{}, {}", judge.python, torch_text(judge))),
        ("NumPy", judge.numpy.clone()),
        ("Numba", judge.numba.clone().unwrap_or_else(|| "none".to_owned())),
        ("threads of torch", judge.torch_threads.to_string()),
        ("topology", topology),
        ("windows of loads", windows),
        ("digest of the loads", judge.loads_digest.clone()),
        ("rng_seed", started.settings.rng_seed.to_string()),
        ("loads_seed", started.settings.evaluation.loads_seed.to_string()),
        ("seed program", format!("{}, blob {}", started.file_name, started.seed.program)),
        ("baseline", format!("blob {}", blob_id(started.baseline.as_bytes()))),
    ];
    let mut table = Table::new("What was measured, and with what", "what|which");
    for (what, which) in rows {
        table.row([what.to_owned(), which]);
    }
    table.with_class(1, "wraps")
}

/// The jail in a sentence, or step by step if a step is missing.
fn jail(data: &ReportData<'_>) -> Part {
    let steps = &data.search.origin().judge.jail;
    if steps.iter().all(|step| step.in_force) {
        let names: Vec<&str> = steps.iter().map(|step| step.step.as_str()).collect();
        return Part::Paragraph(match &names[..] {
            [] => "Programs ran without a jail.".to_owned(),
            names => format!("Every program ran in the whole jail: {}.", names.join(", ")),
        });
    }
    let mut table = Table::new("Steps of the jail that every program ran in", "step|in force|why not");
    for step in steps {
        table.row([step.step.as_str(), if step.in_force { "yes" } else { "no" }, &step.reason]);
    }
    Part::Table(table.with_class(2, "wraps"))
}

fn settings(data: &ReportData<'_>) -> Table {
    let mut table = Table::new("All settings in force", "setting|value");
    let settings = serde_json::to_value(data.search.settings()).expect("BUG: settings are JSON in the journal");
    for (path, value) in leaves("", &settings) {
        table.row([path, value]);
    }
    table.with_class(1, "wraps")
}

fn leaves(path: &str, value: &Value) -> Vec<(String, String)> {
    let Value::Object(fields) = value else {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return vec![(path.to_owned(), text)];
    };
    let inside = |name: &String| if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
    fields.iter().flat_map(|(name, value)| leaves(&inside(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_listed_by_their_paths() {
        let value = serde_json::json!({"a": {"b": "c", "d": [1, 2]}, "e": null});
        let leaves = leaves("", &value);
        let wanted = [("a.b", "c"), ("a.d", "[1,2]"), ("e", "null")];
        assert_eq!(leaves, wanted.map(|(path, value)| (path.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_date_is_read_by_people() {
        assert_eq!(date(1_700_000_000.9), "2023-11-14 22:13:20 UTC");
    }
}
