//! Plans: what a judge makes of a program's `rebalance_experts`, and of requests that no program can answer.

use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::plan::Plan;
use packevolve_contract::planning::{InForce, Planned, Rebalance, TimedPlan};
use packevolve_contract::protocol::{PlanRequest, Reply, Request, Session};
use packevolve_contract::rebalance::Policy;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;

use crate::client::{Client, program, session, testdata};

const SHIPPED: &str = include_str!("../../candidates/eplb.py");

fn topology() -> Topology {
    Topology { layers: 6, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 20 }
}

/// Loads that differ by layer and expert; one layer has none.
fn loads() -> Vec<f64> {
    (0..6 * 16).map(|at| if at / 16 == 3 { 0.0 } else { f64::from(at * at % 97 + 1) * 10.0 }).collect()
}

fn call(policy: Policy) -> Rebalance {
    Rebalance::fresh(topology(), policy, loads())
}

fn request(program: &str, calls: Vec<Rebalance>) -> PlanRequest {
    PlanRequest {
        file_name: "eplb.py".to_owned(),
        program: program.to_owned(),
        limits: None,
        calls,
        repeats: 3,
        checks_consistency: true,
    }
}

/// A judge as `packevolve plan` opens it.
fn open() -> Client {
    let mut client = Client::start();
    client.ready(Session { cases: Vec::new(), windows: Some(1), topology: topology(), ..session() });
    client
}

fn ask(client: &mut Client, request: PlanRequest) -> Planned {
    match client.ask(&Request::Plan(Box::new(request))) {
        Reply::Planned(planned) => *planned,
        other => panic!("no plans: {other:?}"),
    }
}

fn plans(client: &mut Client, request: PlanRequest) -> (Vec<TimedPlan>, Vec<Inconsistency>) {
    match ask(client, request) {
        Planned::Plans { plans, inconsistencies } => (plans, inconsistencies),
        other => panic!("no plans: {other:?}"),
    }
}

/// The shipped program with another packing.
fn with_packing(name: &str) -> String {
    format!("{SHIPPED}\n\n{}", program(name))
}

#[test]
fn each_call_is_answered_with_its_own_plan_and_its_times() {
    let mut client = open();
    let other = Topology { layers: 1, experts: 8, groups: 1, nodes: 1, gpus: 2, replicas: 8 };
    let small = Rebalance::fresh(other.clone(), Policy::Global, (1..9).map(|n| f64::from(n) / 3.0).collect());
    let calls = vec![call(Policy::Hierarchical), call(Policy::Global), small];
    let (plans, inconsistencies) = plans(&mut client, request(SHIPPED, calls));
    assert_eq!(inconsistencies, []);
    let [hierarchical, global, small] = &plans[..] else { panic!("{plans:?}") };
    assert!(plans.iter().all(|plan| plan.seconds.len() == 3 && plan.median_seconds() > 0.0), "{plans:?}");
    let balancedness = |plan: &Plan| plan.loads(&loads()).balancedness();
    let (hierarchical, global) = (hierarchical.plan(&topology()), global.plan(&topology()));
    let identity = balancedness(&Plan::identity(&topology()));
    assert!(identity < balancedness(&hierarchical) && balancedness(&hierarchical) < balancedness(&global));
    // The groups of a node are whole.
    for layer in 0..6 {
        let mut groups: Vec<usize> = hierarchical.layer(layer)[..10].iter().map(|expert| expert / 4).collect();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), 2);
    }
    assert_eq!(small.plan(&other).replicas(), 8);
}

#[test]
fn plans_that_depend_on_the_process_or_on_other_layers_are_found_with_their_cause() {
    let mut client = open();
    if session().device != "cpu" {
        return;
    }
    for (name, wanted) in [("hash_seed", Switch::HashSeed), ("seed", Switch::Seed), ("time_of_day", Switch::Process)] {
        let program = with_packing(&format!("inconsistent/{name}.py"));
        let (_, found) = plans(&mut client, request(&program, vec![call(Policy::Global)]));
        let [Inconsistency::PlansElsewhere { plan, switch, layers, of: 6 }, ..] = &found[..] else {
            panic!("{name}: {found:?}")
        };
        assert_eq!((plan.as_str(), *switch), ("global, 20 replicas on 4 GPUs", wanted), "{name}");
        assert!(*layers > 0, "{name}");
    }
    for name in ["all_rows_together", "order_of_rows", "raises_for_a_single_row"] {
        let program = with_packing(&format!("inconsistent/{name}.py"));
        let (_, found) = plans(&mut client, request(&program, vec![call(Policy::Global), call(Policy::Global)]));
        assert!(matches!(&found[..], [Inconsistency::Layers { layers: 1.., of: 6, .. }]), "{name}: {found:?}");
        let unasked = PlanRequest { checks_consistency: false, ..request(&program, vec![call(Policy::Global)]) };
        assert_eq!(plans(&mut client, unasked).1, [], "{name}");
    }
}

#[test]
fn a_rejected_program_makes_no_plan_and_leaves_its_evidence() {
    let mut client = open();
    let program = program("invalid-rebalance/drops_an_expert.py");
    let planned = ask(&mut client, request(&program, vec![call(Policy::Global)]));
    let Planned::Rejected { rejection: Rejection::InvalidRebalance { message }, evidence } = planned else {
        panic!("{planned:?}")
    };
    assert!(message.contains("has no replica"), "{message}");
    assert_eq!(evidence.during, "global, 20 replicas on 4 GPUs, call 0, repeat 0");
    let raises = with_packing("measured/honest.py") + "\n\nraise ValueError('not today')\n";
    let planned = ask(&mut client, request(&raises, vec![call(Policy::Global)]));
    let Planned::Rejected { rejection: Rejection::Load { message }, evidence } = planned else { panic!("{planned:?}") };
    assert!(message.contains("not today") && evidence.traceback.contains("eplb.py"), "{evidence:?}");
}

#[test]
fn a_program_without_rebalance_experts_cannot_plan() {
    let mut client = open();
    let program = program("measured/honest.py");
    assert_eq!(ask(&mut client, request(&program, vec![call(Policy::Global)])), Planned::Absent);
}

#[test]
fn what_no_program_can_plan_is_refused_and_the_next_request_is_served() {
    let mut client = open();
    let mut odd = call(Policy::Global);
    odd.topology.replicas = 19;
    let mut short = call(Policy::Global);
    short.loads.pop();
    let refused = [
        (vec![], "plan 0: there is no call"),
        (vec![call(Policy::Global), odd], "plan 1: replicas (19) is not a multiple of gpus (4)"),
        (vec![short], "plan 0: 95 loads, but layers x experts is 96"),
    ];
    for (calls, wanted) in refused {
        match client.ask(&Request::Plan(Box::new(request(SHIPPED, calls)))) {
            Reply::Failed { error, .. } => assert!(error.contains(wanted), "{error}"),
            other => panic!("{wanted}: {other:?}"),
        }
    }
    plans(&mut client, request(SHIPPED, vec![call(Policy::Global)]));
}

#[test]
fn a_program_with_the_keywords_is_given_the_plan_in_force_and_another_is_not() {
    let mut client = open();
    let old = plans(&mut client, request(SHIPPED, vec![call(Policy::Hierarchical)])).0.remove(0).phy2log;
    let in_force = Some(InForce { old_phy2log: old.clone(), history: Vec::new() });
    let from = |loads: Vec<f64>| Rebalance {
        in_force: in_force.clone(),
        ..Rebalance::fresh(topology(), Policy::Hierarchical, loads)
    };
    let keeps = format!("{}\n\n{}", include_str!("../../candidates/policy.py"), ending("keeps_the_plan"));
    let reversed: Vec<f64> = loads().into_iter().rev().collect();
    let (kept, inconsistencies) = plans(&mut client, request(&keeps, vec![from(reversed.clone())]));
    assert_eq!((&kept[0].phy2log, &inconsistencies[..]), (&old, &[][..]));
    let (fresh, _) = plans(&mut client, request(SHIPPED, vec![from(reversed)]));
    assert_ne!(fresh[0].phy2log, old);
    let mut call = from(loads());
    call.in_force.as_mut().unwrap().old_phy2log[0] = 99;
    assert!(matches!(client.ask(&Request::Plan(Box::new(request(SHIPPED, vec![call])))), Reply::Failed { .. }));
}

fn ending(name: &str) -> String {
    std::fs::read_to_string(testdata().join(format!("policies/measured/{name}.py"))).unwrap()
}
