//! Chains: how whole policies are measured, and the fates of hostile ones.

use std::collections::BTreeMap;
use std::fs;

use packevolve_contract::chain::Step;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::objective::{Objective, Pairing, Scores, Yardstick, scores};
use packevolve_contract::policy::PolicyScore;
use packevolve_contract::protocol::{DuelRequest, Duelist, Reply, Request, Session, TimeLimits};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::serving::Serving;
use packevolve_contract::topology::Topology;

use crate::client::{Client, session, testdata};

const SEED: &str = include_str!("../../candidates/policy.py");
const BASELINE: &str = include_str!("../../candidates/eplb.py");

fn topology() -> Topology {
    Topology { layers: 6, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 20 }
}

/// A session of two chains.
pub fn chains(session: Session) -> Session {
    let policies = Session { cases: Vec::new(), chain_windows: Some(6), windows: Some(2), held_out: 1, ..session };
    Session { topology: topology(), ..policies }
}

fn open() -> Client {
    let mut client = Client::start();
    client.ready(chains(session()));
    client
}

/// The seed program with an ending.
pub fn ending(fate: &str, name: &str) -> String {
    let path = testdata().join("policies").join(fate).join(format!("{name}.py"));
    format!("{SEED}\n\n{}", fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn scored(ours: &Measurement, baseline: &Measurement) -> Scores {
    let objective = Objective::Policy(Serving::default());
    scores(ours, Yardstick { baseline, objective, pairing: Pairing::Shared }, &[], baseline.clock())
}

fn policy(ours: &Measurement, baseline: &Measurement) -> PolicyScore {
    scored(ours, baseline).policy.unwrap()
}

#[test]
fn deepseeks_planner_is_walked_through_chains_and_moves_most_of_what_there_is() {
    let mut client = open();
    let baseline = client.measure(BASELINE);
    assert_eq!(
        baseline.chains.iter().map(|chain| (chain.chain, chain.steps.len())).collect::<Vec<_>>(),
        [(0, 4), (1, 4)]
    );
    let score = policy(&baseline, &baseline);
    // Its names differ from those that the judge's own planner sees, so ties may fall in another way.
    assert!(score.combined_score.abs() < 0.1 && score.stayed.abs() < 0.1 && score.windows == 8, "{score:?}");
    assert!((score.lost.planning / score.baseline_lost.planning - 1.0).abs() < 1e-9, "{score:?}");
    assert!(score.moved > 0.2 && score.cross_node_bytes > 0.0, "{score:?}");
    assert!(score.balancedness > score.served_balancedness && score.floor_seconds < score.lost.imbalance, "{score:?}");
    // The same planner, with keywords that it does not use.
    let seed = client.measure(SEED);
    let again = policy(&seed, &baseline);
    assert!((again.without_planning).abs() < 0.1, "{again:?}");
    let of_all = |measured: &Measurement, figure: fn(&Step) -> f64| measured.all_steps().map(figure).sum::<f64>();
    // Names differ, so ties may fall in another way.
    let close = |figure| (of_all(&seed, figure) / of_all(&baseline, figure) - 1.0).abs() < 0.05;
    assert!(close(|step| step.served.max) && close(|step| step.floor), "{again:?}");
}

#[test]
fn a_plan_that_is_kept_moves_nothing_and_a_fresh_one_does_not_pass_for_it() {
    let mut client = open();
    let baseline = client.measure(BASELINE);
    let kept = policy(&client.measure(&ending("measured", "keeps_the_plan")), &baseline);
    assert_eq!((kept.moved, kept.busiest_bytes, kept.stayed), (0.0, 0.0, 1.0));
    assert!(kept.served_balancedness < policy(&baseline, &baseline).served_balancedness, "{kept:?}");
    let fresh = ending("measured", "says_that_a_fresh_plan_is_the_kept_one");
    assert!(policy(&client.measure(&fresh), &baseline).moved > 0.2);
}

/// As well balanced as the plan in force, both of them; the first call of each plans afresh.
#[test]
fn what_gpus_must_load_is_moved_and_other_names_of_slots_are_not() {
    let mut client = open();
    let mut after_the_first = |name: &str| -> Vec<u64> {
        let measured = client.measure(&ending("measured", name));
        measured.chains.iter().flat_map(|chain| &chain.steps[1..]).map(|step| step.moved).collect()
    };
    assert_eq!(after_the_first("turns_the_slots_of_each_gpu"), [0; 6]);
    let replicas = (topology().layers * topology().replicas) as u64;
    let swapped = after_the_first("swaps_what_the_nodes_hold");
    assert!(swapped.iter().all(|moved| *moved == replicas), "{swapped:?} of {replicas}");
}

#[test]
fn the_window_that_a_plan_serves_is_nowhere_to_be_found() {
    let mut client = open();
    let honest = client.measure(SEED);
    let served = |measured: &Measurement| measured.all_steps().map(|step| step.served.max).sum::<f64>();
    for name in ["looks_for_the_next_window", "looks_for_the_next_window_in_its_memory", "waits_for_the_next_window"] {
        let blind = client.measure(&ending("measured", name));
        // It found nothing, and planned as the seed program does: for the window that it was given.
        assert_eq!(served(&blind), served(&honest), "{name}");
    }
}

#[test]
fn plans_that_claim_what_is_not_so_are_rejected_with_what_is_wrong_in_them() {
    let mut client = open();
    for (folder, name, reason) in [
        ("invalid-rebalance", "counts_disagree_from_a_plan", "replicas claimed, but phy2log has"),
        ("invalid-rebalance", "doubles_an_idle_expert_for_the_hottest_one", "has no replica"),
        ("invalid-rebalance", "lists_a_replica_twice_from_a_plan", "is listed twice"),
        ("invalid-rebalance", "lists_replicas_of_a_fresh_plan", "belongs to expert"),
        ("invalid-rebalance", "loses_an_expert_from_a_plan", "has no replica"),
        ("invalid-rebalance", "names_experts_that_are_none", "is not among experts 0 to 15"),
        ("invalid-rebalance", "serves_a_fresh_plan_and_shows_the_kept_one", "belongs to expert"),
        ("invalid-rebalance", "splits_a_group", "but a group stays together"),
        ("invalid-rebalance", "splits_a_group_with_nothing_in_force", "but a group stays together"),
        ("exception", "plans_for_its_own_topology_alone", "no global policy"),
        ("mutated-input", "makes_the_window_that_it_planned_for_even", "layer 0, expert 0"),
        ("mutated-input", "writes_into_history", "history, window 0, layer 0"),
        ("mutated-input", "writes_into_the_plan_in_force", "old_phy2log, layer 0, replica 0"),
        ("mutated-input", "writes_its_fresh_plan_over_the_one_in_force", "old_phy2log, layer "),
        ("poor-fresh-plan", "ignores_the_loads_with_nothing_in_force", "% of the balancedness that DeepSeek's"),
    ] {
        let evaluation = client.evaluate(&ending(folder, name));
        let Some(rejection) = evaluation.rejection() else { panic!("{name}: {evaluation:?}") };
        assert!(rejection.to_string().contains(reason), "{name}: {rejection}");
    }
}

#[test]
fn a_policy_of_a_global_run_must_plan_for_groups_but_need_not_keep_them_together() {
    let mut client = Client::start();
    let global = Topology { groups: 1, ..topology() };
    client.ready(Session { topology: global, ..chains(session()) });
    assert_eq!(client.measure(&ending("invalid-rebalance", "splits_a_group")).chains.len(), 2);
    let knows_none =
        ending("exception", "plans_for_its_own_topology_alone").replace("num_nodes == 1", "num_groups > 1");
    let Evaluation::Rejected { evidence, .. } = client.evaluate(&knows_none) else { panic!("not rejected") };
    assert!(evidence.during.starts_with("a first hierarchical rebalance"), "{evidence:?}");
    let of_global_calls = ending("inconsistent", "reads_beyond_an_array_for_the_other_policy");
    let of_hierarchical_ones = of_global_calls.replace("np.ones(num_nodes), 1", "np.ones(2), num_nodes");
    assert_ne!(of_global_calls, of_hierarchical_ones);
    reads_beyond_an_array(&mut client, &of_hierarchical_ones, "hierarchical, 12 replicas on 4 GPUs");
}

#[test]
fn what_reads_beyond_an_array_for_the_other_policy_is_reported_with_that_call() {
    let program = ending("inconsistent", "reads_beyond_an_array_for_the_other_policy");
    reads_beyond_an_array(&mut open(), &program, "global, 12 replicas on 4 GPUs");
}

fn reads_beyond_an_array(client: &mut Client, program: &str, plan: &str) {
    match client.evaluate(program) {
        Evaluation::Inconsistent { inconsistencies, .. } => {
            let found =
                Inconsistency::PlansElsewhere { plan: plan.to_owned(), switch: Switch::NumbaBounds, layers: 3, of: 3 };
            assert_eq!(inconsistencies, [found]);
        }
        other => panic!("not inconsistent: {other:?}"),
    }
}

/// The folder of endings that only a GPU makes possible.
const NEEDS_A_GPU: &str = "left-work";

/// The folders of endings with their files, for a CPU.
fn endings() -> BTreeMap<String, Vec<String>> {
    let folders = fs::read_dir(testdata().join("policies")).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: std::path::PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let folder = |folder: std::path::PathBuf| {
        let files = fs::read_dir(&folder).unwrap().map(|entry| named(entry.unwrap().path())).collect();
        (named(folder), files)
    };
    folders.filter(|path| path.is_dir() && !path.ends_with(NEEDS_A_GPU)).map(folder).collect()
}

fn fate(evaluation: &Evaluation) -> &'static str {
    match evaluation {
        Evaluation::Measured { .. } => "measured",
        Evaluation::Inconsistent { .. } => "inconsistent",
        Evaluation::Outclassed { .. } => "outclassed",
        Evaluation::Rejected { rejection: Rejection::InvalidRebalance { .. }, .. } => "invalid-rebalance",
        Evaluation::Rejected { rejection: Rejection::MutatedInput { .. }, .. } => "mutated-input",
        Evaluation::Rejected { rejection: Rejection::Exception { .. }, .. } => "exception",
        Evaluation::Rejected { rejection: Rejection::PoorFreshPlan { .. }, .. } => "poor-fresh-plan",
        Evaluation::Rejected { .. } => "rejected",
    }
}

#[test]
fn every_ending_has_the_fate_of_its_folder() {
    let mut client = open();
    for (folder, names) in endings() {
        for name in names {
            let evaluation = client.evaluate(&ending(&folder, &name));
            assert_eq!(fate(&evaluation), folder, "{name}: {evaluation:?}");
        }
    }
}

#[test]
fn what_depends_on_the_process_and_what_other_layers_change_are_two_faults() {
    let mut client = open();
    let mut found = |name: &str| match client.evaluate(&ending("inconsistent", name)) {
        Evaluation::Inconsistent { inconsistencies, .. } => inconsistencies,
        other => panic!("{other:?}"),
    };
    let of_processes = [
        "keeps_what_it_saw",
        "keeps_what_it_saw_until_the_last_call",
        "keeps_what_it_saw_unless_it_is_checked",
        "draws_in_its_first_call_from_a_plan",
        "plans_by_chance_with_nothing_in_force",
    ];
    for name in of_processes {
        let kept = found(name);
        assert!(kept.iter().any(|found| matches!(found, Inconsistency::PlansElsewhere { .. })), "{name}: {kept:?}");
    }
    let layers = found("balances_layers_against_each_other");
    assert!(matches!(layers[..], [Inconsistency::Layers { .. }]), "{layers:?}");
}

#[test]
fn a_program_without_a_rebalance_is_rejected_and_one_without_packing_is_not() {
    let mut client = open();
    let alone = "def balanced_packing(weight, num_packs):\n    return weight, weight\n";
    let Evaluation::Rejected { rejection: Rejection::Load { message }, .. } = client.evaluate(alone) else {
        panic!("not refused")
    };
    assert!(message.contains("rebalance_experts"), "{message}");
    let renamed = SEED.replace("balanced_packing", "packing_in_balance");
    assert_eq!(client.measure(&renamed).chains.len(), 2);
}

#[test]
fn a_duel_has_chains_of_its_own_and_the_program_that_loses_less_wins() {
    let mut client = open();
    let baseline = client.measure(BASELINE);
    let duelist = |candidate, program: &str| Duelist { candidate, program: program.to_owned() };
    let request = DuelRequest {
        contender: duelist(2, SEED),
        best: duelist(1, &ending("measured", "keeps_the_plan")),
        file_name: "policy.py".to_owned(),
        seed: 5,
        least_rounds: 3,
        most_rounds: 4,
        budget_seconds: None,
        limits: TimeLimits { call_seconds: 5.0, evaluation_seconds: 60.0 },
        baseline: baseline.clone(),
        objective: Objective::Policy(Serving::default()),
        rebalance: true,
    };
    let Reply::Dueled(duel) = client.ask(&Request::Duel(Box::new(request))) else { panic!("no duel") };
    let (contender, best) = (duel.contender.measured().unwrap(), duel.best.measured().unwrap());
    assert!((3..=4).contains(&contender.rounds()) && contender.rounds() == best.rounds());
    assert!(contender.rebalance.is_empty());
    let marks = |measured: &Measurement| {
        measured.all_steps().map(|step| (step.floor.to_bits(), step.planner)).collect::<Vec<_>>()
    };
    assert_eq!(marks(contender), marks(best), "both meet the same chains");
    let own = policy(contender, &baseline);
    assert!(own.without_planning.abs() < 0.1, "DeepSeek's planner in a duel: {own:?}");
    let floors = |measured: &Measurement| measured.all_steps().map(|step| step.floor.round()).collect::<Vec<_>>();
    let known = floors(&baseline);
    assert!(floors(contender).iter().all(|floor| !known.contains(floor)), "windows of the search in a duel");
}
