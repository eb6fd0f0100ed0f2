//! Duels that decide nothing: the machine was disturbed, or the judge was lost.

use std::fs;

use packevolve::search::Ruling;
use packevolve::values::candidate::CandidateId;
use packevolve::values::event::Event;

use crate::consistency::adding;
use crate::support::script::{DIES, DOUBTFUL, GOOD};
use crate::support::{World, scripted};

/// A run whose only proposal is better than the seed program, and has this mark.
fn run_of(mark: &str) -> World {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 2}\n");
    fs::create_dir(world.path("corpus")).unwrap();
    world.write("corpus/1.txt", adding("better", &format!("mark = 1  {GOOD} {mark}")));
    world.set(
        "proposers",
        "{corpus: corpus, compose: {enabled: false}, cross: {enabled: false}, prune: {enabled: false}}",
    );
    world.run(&["evolve", "--run", "x"]).ends(0);
    world
}

fn seeds(world: &World) -> Vec<u64> {
    let seed = |event: &Event| if let Event::DuelStarted { seed, .. } = event { Some(*seed) } else { None };
    world.read("x").entries().unwrap().iter().filter_map(|entry| seed(&entry.event)).collect()
}

#[test]
fn a_doubtful_contender_meets_the_best_three_times_and_is_marked() {
    let world = run_of(DOUBTFUL);
    let search = world.read("x").search;
    assert_eq!(search.best().unwrap().candidate, CandidateId::SEED);
    let rulings: Vec<Ruling> =
        search.candidate(CandidateId(1)).unwrap().duels.iter().map(|result| result.ruling).collect();
    assert_eq!(rulings, [Ruling::Doubtful, Ruling::Doubtful, Ruling::Refuted]);
    assert_eq!(seeds(&world).len(), 3);
    let top = world.run(&["top", "--run", "x"]).ends(0).stdout;
    assert!(top.contains("? refuted") && top.contains("\n? doubtful: "), "{top}");
    let show = world.run(&["show", "better", "--run", "x"]).ends(0).stdout;
    assert!(show.matches("\nduel: ").count() == 3 && show.contains("x?"), "{show}");
    let json = world.run(&["top", "--run", "x", "--format", "json"]).ends(0).json();
    let row = json["candidates"].as_array().unwrap().iter().find(|row| row["name"] == "better").unwrap();
    assert_eq!((&row["held_out"]["doubtful"], row["doubtful"].as_array().unwrap().is_empty()), (&true.into(), false));
    world.run(&["replay", "--run", "x"]).ends(0);
}

#[test]
fn a_duel_in_which_the_judge_is_lost_starts_again_on_other_windows() {
    let world = run_of(DIES);
    assert_eq!(world.read("x").search.best().unwrap().candidate, CandidateId(1));
    let seeds = seeds(&world);
    assert!(seeds.len() == 2 && seeds[0] != seeds[1], "{seeds:?}");
    world.run(&["replay", "--run", "x"]).ends(0);
    world.run(&["replay", "better", "--run", "x"]).ends(0);
}
