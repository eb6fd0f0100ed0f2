//! A glance at a run tells what the whole journal tells, whatever its index is like.

use std::fs;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::run::index::{self, Kind, Line};
use packevolve::run::lookup::Glance;
use packevolve::run::replay::evaluation_of;
use packevolve::values::candidate::CandidateId;
use packevolve::view::inspect::{self, Row};

use crate::support::{World, finished};

/// Bytes of an index before its records, and of a record.
const HEAD: usize = 16;
const RECORD: usize = 58;

fn folder(world: &World) -> RunFolder {
    RunFolder::new(world.path("runs").join(finished::NAME))
}

fn glance(world: &World) -> Glance {
    Glance::open(&folder(world)).unwrap()
}

/// What `top` and `show` tell is what they would tell of the whole run.
#[track_caller]
fn assert_same(glance: &mut Glance, run: &Run) {
    let rows = |count| inspect::top(&run.search, count);
    for count in [0, 1, 3, 100] {
        let top = glance.top(count).unwrap();
        let told: Vec<Row> = top.iter().map(|(id, known)| Row::of(*id, known)).collect();
        assert_eq!(told, rows(count), "the first {count}");
    }
    assert_eq!(glance.best(), run.search.best().map(|best| best.candidate));
    assert_eq!(glance.count(), run.search.candidates().len());
    for (id, known) in run.search.candidates() {
        let seen = glance.seen(id).unwrap();
        assert_eq!(Row::of(id, &seen.known), Row::of(id, known));
        assert_eq!(seen.evaluation, evaluation_of(run, id), "candidate {id}");
        assert_eq!(seen.selection.map(|selection| selection.proposer), known.proposer);
        assert_eq!(glance.candidate(&known.commit.to_string()).unwrap(), id);
        let line: Vec<CandidateId> = glance.line_to(id).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(line, run.search.line_to(id));
    }
}

#[test]
fn a_glance_tells_what_the_whole_journal_tells() {
    let (world, run) = (finished::world(), finished::run());
    assert!(run.search.candidates().any(|(_, known)| known.held_out.is_some()), "a run without rulings shows little");
    let index = fs::read(folder(&world).index()).unwrap();
    assert_eq!((index.len() - HEAD) / RECORD, run.entries.len());
    assert_same(&mut glance(&world), run);
}

#[test]
fn what_the_index_lacks_is_read_from_the_journal() {
    let (world, run) = (finished::world(), finished::run());
    let path = folder(&world).index();
    let whole = fs::read(&path).unwrap();
    for records in 0..run.entries.len() {
        // With half of the next record, as a live run may leave it.
        fs::write(&path, &whole[..HEAD + records * RECORD + RECORD / 2]).unwrap();
        assert_same(&mut glance(&world), run);
    }
    fs::remove_file(&path).unwrap();
    assert_same(&mut glance(&world), run);
}

#[test]
fn a_changed_byte_of_the_index_changes_nothing() {
    let (world, run) = (finished::world(), finished::run());
    let path = folder(&world).index();
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(157) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        assert_same(&mut glance(&world), run);
    }
}

#[test]
fn an_index_that_was_written_to_deceive_is_noticed_where_it_is_looked_at() {
    let (world, run) = (finished::world(), finished::run());
    let path = folder(&world).index();
    let lines = index::read(&path);
    let write = |lines: &[Line]| {
        let mut writer = index::Writer::create(&path);
        lines.iter().for_each(|line| writer.add(*line));
        writer.flush();
    };
    for at in 0..lines.len() {
        let change = |change: &dyn Fn(&mut Line)| {
            let mut changed = lines.clone();
            change(&mut changed[at]);
            write(&changed);
            let top = glance(&world).top(3).unwrap();
            let rows = |id| Row::of(id, run.search.candidate(id).unwrap());
            // What is left out of an index can be missed; what is told is in the journal.
            for (id, known) in &top {
                let (told, mut row) = (Row::of(*id, known), rows(*id));
                row.held_out = row.held_out.filter(|_| told.held_out.is_some());
                if known.held_out.is_none() {
                    row.scores.clone_from(&told.scores);
                }
                assert_eq!(told, row, "line {at}: {:?}", changed[at]);
            }
        };
        change(&|line| line.offset += 1);
        change(&|line| line.offset = u64::MAX);
        change(&|line| line.number += 1);
        change(&|line| line.score = Some(9.0));
        change(&|line| line.kind = Kind::Refuted);
        change(&|line| line.kind = Kind::Evaluated);
        change(&|line| line.kind = Kind::Other);
    }
}

#[test]
fn an_index_of_a_longer_or_of_another_journal_is_not_used() {
    let (world, run) = (finished::world(), finished::run());
    let journal = folder(&world).journal();
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for count in [1, 4, lines.len() / 2, lines.len() - 1] {
        fs::write(&journal, lines[..count].concat()).unwrap();
        let shorter = Run::open(folder(&world)).unwrap();
        assert_same(&mut glance(&world), &shorter);
    }
    fs::write(&journal, &text).unwrap();
    assert_same(&mut glance(&world), run);
    fs::write(&journal, lines[..1].concat() + "{}\n").unwrap();
    Glance::open(&folder(&world)).unwrap_err();
}

#[test]
fn a_resumed_run_has_its_index_again() {
    let world = finished::world();
    let path = folder(&world).index();
    fs::write(&path, "of another kind").unwrap();
    world.run(&["resume", "--run", finished::NAME, "--candidates", "17"]).ends(0);
    let run = world.read(finished::NAME);
    assert_eq!((fs::read(&path).unwrap().len() - HEAD) / RECORD, run.entries.len());
    assert_eq!(run.search.candidates().len(), 17);
    assert_same(&mut glance(&world), &run);
    assert!(glance(&world).seen(CandidateId(16)).unwrap().evaluation.is_some());
}
