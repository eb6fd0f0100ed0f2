//! Properties of a search in any run, and the events that it refuses.

use std::collections::BTreeSet;

use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{Compilation, Evaluation, Measurement};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::serving::Serving;
use proptest::prelude::*;

use crate::search::bandit::Arm;
use crate::search::best::Best;
use crate::search::choosing::EXHAUSTED_AFTER;
use crate::search::models::WORN_AFTER;
use crate::search::population::Member;
use crate::search::testing::{
    self, Script, World, blob, created, exchange, inconsistency, is_of_a_model, measurement, sample,
};
use crate::search::{Attempt, Next, Outcome, Ruling, Search, Tally, Task};
use crate::values::candidate::CandidateId;
use crate::values::event::{
    Asking, CandidateCreated, Declined, Event, Fingerprint, GivenProposal, ModelAsked, Proposer, RequestForm,
    Selection, StopReason,
};
use crate::values::llm_error::LlmError;
use crate::values::operator::Operator;
use crate::values::raw_text::RawText;
use crate::values::settings::{Consistency, PolicySettings};

/// Selections in order, each with its attempt.
fn with_fingerprint(mut created: CandidateCreated, change: impl FnOnce(&mut Fingerprint)) -> CandidateCreated {
    change(&mut created.fingerprint);
    created
}

fn selections(events: &[Event]) -> impl Iterator<Item = (u64, &Selection)> {
    events.iter().filter_map(|event| match event {
        Event::Selected { attempt, selection } => Some((*attempt, selection)),
        _ => None,
    })
}

/// The same without what was to be pruned.
fn searching(events: &[Event]) -> impl Iterator<Item = (u64, &Selection)> {
    selections(events).filter(|(_, selection)| selection.proposer != Proposer::Prune)
}

/// Candidates in the order they were made.
fn creations(events: &[Event]) -> impl Iterator<Item = &CandidateCreated> {
    events.iter().filter_map(|event| match event {
        Event::CandidateCreated(created) => Some(created),
        _ => None,
    })
}

/// Candidates in the order they were judged for good; the baseline's measurement is the seed program's where they are the
/// same.
fn judged(world: &World) -> Vec<CandidateId> {
    let of = |event: &Event| match event {
        Event::CandidateEvaluated { partial: true, .. } => None,
        Event::CandidateEvaluated { candidate, .. } => Some(*candidate),
        Event::BaselineEvaluated { .. } if world.search.baseline_is_seed() => Some(CandidateId::SEED),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

/// Whether there is no possible parent.
fn is_deserted(search: &Search) -> bool {
    (0..search.islands().count()).all(|island| search.islands().members(island).is_empty())
}

/// How many attempts in a row made no candidate, at the end.
fn declined_last(events: &[Event]) -> usize {
    let is_search = |of: u64| searching(events).any(|(attempt, _)| attempt == of);
    let outcomes = events.iter().rev().filter(|event| match event {
        Event::CandidateCreated(created) => is_search(created.attempt),
        Event::ProposalDeclined { attempt, .. } => is_search(*attempt),
        _ => true,
    });
    outcomes
        .take_while(|event| !matches!(event, Event::CandidateCreated(_)))
        .filter(|event| matches!(event, Event::ProposalDeclined { .. }))
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_candidate_is_lost(script in Script::any()) {
        let world = World::finished(script);
        let search = &world.search;
        let measured = |id: CandidateId| search.scores_of(id).map(|scores| Member::new(id, scores));
        let all: Vec<Member> = search.candidates().filter_map(|(id, _)| measured(id)).collect();
        let tally = search.tally();
        let is_measured = |id: &CandidateId| matches!(search.candidate(*id).unwrap().outcome, Some(Outcome::Measured(_)));
        let consistent: Vec<Member> = all.iter().copied().filter(|member| is_measured(&member.candidate)).collect();
        let without_score = search.candidates().len() - all.len();
        let inconsistent = all.len() - consistent.len();
        prop_assert_eq!(tally.measured, consistent.len());
        prop_assert_eq!(tally.outclassed + tally.rejected + tally.inconsistent, without_score + inconsistent);
        // What the archive and the islands hold goes by the scores that it has now, and equal candidates are interchangeable.
        let kept = search.elites().members();
        for member in &kept {
            prop_assert_eq!(measured(member.candidate), Some(*member));
        }
        let refuted = |id: CandidateId| search.candidate(id).is_some_and(|known| known.held_out.as_ref().is_some_and(|result| !result.confirmed));
        if !search.candidates().any(|(id, _)| refuted(id)) {
            let best = consistent.iter().copied().reduce(|a, b| if b.precedes(&a) { b } else { a });
            prop_assert!(best.is_none_or(|best| kept.contains(&best)));
        }
        for island in 0..search.islands().count() {
            for member in search.islands().members(island) {
                prop_assert_eq!(measured(member.candidate), Some(*member));
            }
        }
    }

    #[test]
    fn the_stats_of_the_proposers_add_up(script in Script::any()) {
        let world = World::finished(script.clone());
        let accounts = world.search.bandit().arms().iter().map(|arm| arm.stats);
        let tried: u64 = accounts.clone().map(|account| account.tried).sum();
        let is_drawn = |s: &Selection| !matches!(s.proposer, Proposer::Corpus(_) | Proposer::Prune);
        let drawn = selections(&world.events).filter(|(_, s)| is_drawn(s)).count();
        prop_assert_eq!(tried, drawn as u64);
        for account in accounts {
            prop_assert!(account.declined + account.rejected + account.outclassed <= account.tried);
            prop_assert!(account.contenders <= account.admitted && account.admitted <= account.tried);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_pruned_is_not_longer_and_not_worse_than_what_the_pass_began_with(
        script in Script::any(), prune in 1..30u64,
    ) {
        let script = Script { prune, rejected: script.rejected.min(0.5), ..script };
        let mut world = World::new(script);
        let mut bests: Vec<Best> = Vec::new();
        while world.search.stopped().is_none() {
            world.step();
            let Some(best) = world.search.best() else { continue };
            if bests.last() == Some(best) {
                continue;
            }
            bests.push(best.clone());
            let size = |best: &Best| world.search.candidate(best.candidate).unwrap().size;
            let Some(origin) = world.search.pruning().origin(best.candidate) else { continue };
            prop_assert!(bests.iter().any(|earlier| earlier.candidate == origin.candidate));
            prop_assert!(size(best) <= size(origin));
            let lowest = |origin: f64, interval: f64| origin - 2.0 * interval - 1e-12;
            prop_assert!(best.interval.score >= lowest(origin.interval.score, origin.interval.half_width), "{best:?} {origin:?}");
        }
        let pruned = selections(&world.events).filter(|(_, selection)| selection.proposer == Proposer::Prune).count();
        prop_assert_eq!(pruned as u64, world.search.pruning().stats().map_or(0, |account| account.tried));
        // A pass for each best that the search itself has found, and no longer than it may be.
        prop_assert!(pruned as u64 <= prune * bests.len() as u64);
    }

    #[test]
    fn a_live_state_is_the_one_that_its_events_give_after_every_step(script in Script::any()) {
        let mut world = World::new(script);
        // Every state of a long run would take too long; of a short one all are looked at.
        for step in 0.. {
            if step < 60 || world.search.stopped().is_some() {
                prop_assert_eq!(&world.search, &world.replayed());
            }
            if world.search.stopped().is_some() {
                break;
            }
            world.step();
        }
    }

    #[test]
    fn every_candidate_is_judged_once_and_all_are_numbered_in_order(script in Script::any()) {
        let world = World::finished(script);
        let numbers = || creations(&world.events).map(|created| created.candidate.0);
        prop_assert!(numbers().eq(1..=numbers().count() as u64));
        prop_assert!(selections(&world.events).map(|(attempt, _)| attempt).eq(0..world.seen_at.len() as u64));
        let judged = judged(&world);
        let known: BTreeSet<CandidateId> = world.search.candidates().map(|(id, _)| id).collect();
        prop_assert_eq!(judged.len(), known.len());
        prop_assert_eq!(judged.into_iter().collect::<BTreeSet<_>>(), known);
        prop_assert!(world.search.open_attempts().is_empty());
    }

    #[test]
    fn a_run_that_ends_has_no_partial_verdict_and_completes_one_at_a_time(script in Script::any()) {
        let mut world = World::new(script);
        while world.search.stopped().is_none() {
            let completed: Vec<Task> = world.search.tasks().filter(|task| matches!(task, Task::Complete(_))).collect();
            prop_assert!(completed.len() <= 1, "{completed:?}");
            for partial in world.search.partial() {
                // One window is too little for that.
                let known = world.search.candidate(partial).unwrap();
                prop_assert!(known.is_partial && matches!(known.proposer, Some(Proposer::Corpus(_))));
                prop_assert!(known.duels.is_empty() && known.held_out.is_none());
                prop_assert!(world.search.best().is_none_or(|best| best.candidate != partial));
                prop_assert!(world.search.elites().members().iter().all(|member| member.candidate != partial));
            }
            world.step();
        }
        prop_assert_eq!(world.search.partial().len(), 0);
        prop_assert!(world.search.candidates().all(|(_, known)| !known.is_partial));
        let given = world.search.candidates().filter(|(_, known)| matches!(known.proposer, Some(Proposer::Corpus(_))));
        for (candidate, known) in given {
            let of_it = |event: &&Event| matches!(event, Event::CandidateEvaluated { candidate: of, .. } if *of == candidate);
            let evaluations = world.events.iter().filter(of_it).count();
            let is_rejected_at_once = known.outcome == Some(Outcome::Rejected) && evaluations == 1;
            prop_assert!(evaluations == 2 || is_rejected_at_once, "{evaluations} evaluations");
        }
    }

    #[test]
    fn a_run_ends_when_it_has_its_candidates_or_finds_nothing_new(script in Script::any()) {
        let world = World::finished(script.clone());
        let made = world.search.candidates().len() as u64 - world.search.pruning().made();
        prop_assert!(made <= script.candidates);
        match world.search.stopped() {
            Some(StopReason::Candidates) => prop_assert_eq!(made, script.candidates),
            Some(StopReason::Exhausted) => {
                let tried_all = world.seen_at.len() >= script.corpus.len();
                let no_parents = is_deserted(&world.search);
                let no_proposer = !script.mutate && script.models == 0;
                let nothing_left = tried_all && (no_proposer || no_parents);
                let declined = declined_last(&world.events) as u64;
                prop_assert!(nothing_left || declined >= EXHAUSTED_AFTER, "{declined} declined");
            }
            Some(StopReason::NoProposer) => {
                prop_assert!(!script.mutate && script.models > 0);
                prop_assert_eq!(world.search.models().ready().count(), 0);
            }
            other => prop_assert!(false, "it ended with {other:?}"),
        }
        let attempts = searching(&world.events).count() as u64;
        let most_in_a_row = EXHAUSTED_AFTER + script.models as u64 * (WORN_AFTER + 2);
        let resumed = world.events.iter().filter(|event| matches!(event, Event::RunResumed { .. })).count() as u64;
        let most = (made + resumed) * most_in_a_row;
        prop_assert!(attempts <= most, "{attempts} attempts for {made} candidates");
    }

    #[test]
    fn the_corpus_is_tried_once_in_its_order_before_anything_else(script in Script::any()) {
        let world = World::finished(script.clone());
        let tried: Vec<(u64, &Selection)> = searching(&world.events).collect();
        let (corpus, rest) = tried.split_at(tried.len().min(script.corpus.len()));
        let mut made = vec![None; script.corpus.len()];
        for (place, (attempt, selection)) in corpus.iter().enumerate() {
            let parent = script.corpus[place].and_then(|parent| made[parent]).unwrap_or(CandidateId::SEED);
            let island = place % script.islands;
            let (proposer, inspirations) = (Proposer::Corpus(place), Vec::new());
            let expected = Selection { inspirations, ..Selection::of(proposer, island, parent) };
            prop_assert_eq!(*selection, &expected);
            let made_by = |created: &&CandidateCreated| created.attempt == *attempt;
            made[place] = creations(&world.events).find(made_by).map(|created| created.candidate);
        }
        prop_assert!(rest.iter().all(|(_, selection)| !matches!(selection.proposer, Proposer::Corpus(_))));
        prop_assert!(script.mutate || rest.iter().all(|(_, selection)| is_of_a_model(selection)));
        let cut_short = world.search.stopped() == Some(StopReason::Candidates);
        prop_assert!(cut_short || corpus.len() == script.corpus.len());
    }

    #[test]
    fn a_mutation_has_a_member_of_its_island_for_a_parent(script in Script::any()) {
        let world = World::finished(script.clone());
        for (attempt, selection) in searching(&world.events).skip(script.corpus.len()) {
            let members = &world.seen_at[&attempt];
            prop_assert!(members.iter().all(|members| members.len() <= script.population));
            let members = &members[selection.island];
            let is_member = members.contains(&selection.parent);
            prop_assert!(is_member || selection.repairs.is_some(), "{selection:?} of {members:?}");
            prop_assert_eq!(selection.outclassed_below.is_some(), members.len() == script.population);
        }
    }

    #[test]
    fn without_hold_out_the_best_has_the_highest_score_and_of_equal_ones_the_lowest_number(script in Script::any()) {
        let world = World::finished(Script { held_out: 0, prune: 0, ..script });
        let scored = world.search.candidates().filter_map(|(id, known)| match &known.outcome {
            // What is doubtful does not become the best without a duel; the baseline is it by definition.
            Some(Outcome::Measured(scores)) if known.doubtful.is_empty() || world.search.is_baseline(id) => {
                Some((id, scores.combined_score))
            }
            _ => None,
        });
        let best = scored.reduce(|best, next| if next.1 > best.1 { next } else { best });
        prop_assert_eq!(world.search.best().map(|best| (best.candidate, best.interval.score)), best);
    }

    #[test]
    fn with_hold_out_the_best_is_the_last_that_won_a_duel_or_the_first_that_was_measured(script in Script::any()) {
        let mut world = World::new(Script { held_out: 3, ..script });
        let mut best: Option<CandidateId> = None;
        while world.search.stopped().is_none() {
            let seen = world.events.len();
            world.step();
            for event in &world.events[seen..] {
                if let Event::DuelEnded { contender, duel, .. } = event {
                    let result = world.search.candidate(*contender).unwrap().duels.last().unwrap();
                    let is_doubtful = |side: &Evaluation| side.measured().is_some_and(Measurement::is_doubtful);
                    if result.ruling == Ruling::Confirmed {
                        prop_assert!(duel.contender.measured().is_some());
                        prop_assert!(!is_doubtful(&duel.contender) && !is_doubtful(&duel.best), "it decides nothing");
                        best = Some(*contender);
                    }
                    let is_won = result.verdict.is_some_and(|verdict| verdict.is_won());
                    let is_decided = result.ruling != Ruling::Doubtful && !is_doubtful(&duel.contender) && !is_doubtful(&duel.best);
                    prop_assert!(!is_won || !is_decided || result.ruling == Ruling::Confirmed);
                }
            }
            best = best.or_else(|| world.search.best().map(|best| best.candidate));
            prop_assert_eq!(world.search.best().map(|best| best.candidate), best);
        }
        if let Some(best) = world.search.best() {
            let known = world.search.candidate(best.candidate).unwrap();
            prop_assert!(matches!(known.outcome, Some(Outcome::Measured(_))), "{:?}", known.outcome);
            let there = known.held_out.as_ref().and_then(|there| there.scores.as_ref());
            prop_assert_eq!(there.map(|scores| scores.combined_score), best.held_out.as_ref().map(|there| there.scores.combined_score));
        }
    }

    #[test]
    fn an_inconsistent_program_is_never_the_best_on_the_front_or_a_contender(script in Script::any()) {
        let mut world = World::new(Script { consistency: Consistency::Required, inconsistent: 0.4, ..script });
        while world.search.stopped().is_none() {
            world.step();
            let search = &world.search;
            let is_inconsistent = |id: CandidateId| !search.candidate(id).unwrap().inconsistencies.is_empty();
            prop_assert!(!search.best().is_some_and(|best| is_inconsistent(best.candidate)));
            prop_assert!(!search.elites().members().iter().any(|member| is_inconsistent(member.candidate)));
            prop_assert!(!search.duel().is_some_and(|duel| is_inconsistent(duel.contender)));
            for (id, known) in search.candidates().filter(|(id, _)| is_inconsistent(*id)) {
                let lives = (0..search.islands().count()).any(|island| search.islands().members(island).iter().any(|member| member.candidate == id));
                let is_given = matches!(known.proposer, None | Some(Proposer::Corpus(_)));
                prop_assert!(is_given || !lives);
                prop_assert_eq!(known.scores().is_some(), is_given);
            }
        }
    }

    #[test]
    fn no_candidate_that_looks_clearly_better_than_the_best_is_left_without_a_duel(script in Script::any()) {
        let world = World::finished(Script { held_out: 3, ..script });
        prop_assert_eq!(world.search.tasks().next(), None);
        prop_assert_eq!(world.search.duel(), None);
        let mut started: Option<CandidateId> = None;
        for event in &world.events {
            match event {
                Event::DuelStarted { contender, .. } => {
                    prop_assert!(started.is_none_or(|open| open == *contender), "one duel at a time");
                    started = Some(*contender);
                }
                Event::DuelEnded { contender, .. } => prop_assert_eq!(started.take(), Some(*contender)),
                _ => {}
            }
        }
        for (_, known) in world.search.candidates() {
            prop_assert!(known.duels.len() <= 3);
            let (last, earlier) = known.duels.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
            prop_assert!(earlier.iter().all(|result| result.ruling == Ruling::Doubtful));
            let is_decided = last.is_some_and(|result| result.ruling != Ruling::Doubtful);
            prop_assert!(!is_decided || known.held_out.is_some());
            let was_rejected = known.held_out.as_ref().is_some_and(|result| result.scores.is_none());
            prop_assert!(!was_rejected || known.outcome == Some(Outcome::Rejected));
        }
    }

    #[test]
    fn how_often_a_candidate_was_chosen_is_how_often_it_was_selected(script in Script::any()) {
        let world = World::finished(script);
        for (id, known) in world.search.candidates() {
            let times = searching(&world.events).filter(|(_, selection)| selection.parent == id).count();
            prop_assert_eq!(known.times_chosen, times as u64);
        }
    }

    #[test]
    fn a_finished_run_continues_with_room_for_more(script in Script::any(), more in 1u64..10) {
        let mut world = World::finished(script.clone());
        let (reason, before) = (world.search.stopped(), world.search.candidates().len() as u64);
        world.resume(script.candidates + more);
        if reason == Some(StopReason::Candidates) && script.mutate && !is_deserted(&world.search) {
            let continues = matches!(world.search.next(), Next::Attempt(_));
            prop_assert!(continues);
        }
        prop_assert_eq!(world.search.candidates().len() as u64, before);
        prop_assert_eq!(&world.search, &world.replayed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_model_has_more_open_attempts_than_requests_and_none_is_asked_while_candidates_pile_up(script in Script::any()) {
        let mut world = World::new(Script { models: 2, ..script });
        let slots = world.search.origin().settings.slots();
        while world.search.stopped().is_none() {
            let waiting = world.search.candidates().filter(|(_, known)| known.outcome.is_none()).count();
            let seen = world.events.len();
            world.step();
            for event in &world.events[seen..] {
                if let Event::Selected { selection, .. } = event && is_of_a_model(selection) {
                    prop_assert!(waiting <= 2 * slots, "{waiting} candidates wait for {slots} slots");
                }
            }
            for model in 0..2 {
                let open = world.search.open_attempts().iter().filter(|open| open.selection.proposer == Proposer::Model(model));
                prop_assert!(open.count() <= 2);
            }
        }
    }

    #[test]
    fn a_rejected_candidate_of_a_model_goes_back_to_it_at_most_so_often(script in Script::any()) {
        let world = World::finished(Script { models: 2, ..script });
        let mut back = BTreeSet::new();
        for (_, selection) in selections(&world.events) {
            let Some(rejected) = selection.repairs else { continue };
            let known = world.search.candidate(rejected).unwrap();
            prop_assert!(back.insert(rejected), "candidate {rejected} goes back twice");
            prop_assert!(known.repairs < 2 && known.outcome == Some(Outcome::Rejected));
            prop_assert_eq!((known.proposer, known.form), (Some(selection.proposer), selection.form));
            prop_assert!(selection.parents().eq(known.parents.iter().copied()));
        }
    }

    #[test]
    fn what_was_spent_is_the_sum_of_what_was_charged(script in Script::any()) {
        let world = World::finished(Script { models: 2, ..script });
        let charged = world.events.iter().filter_map(|event| match event {
            Event::ModelAsked(asked) => Some(asked.charge.nanodollars),
            _ => None,
        });
        let spent = world.search.models().spent().nanodollars;
        prop_assert_eq!(charged.sum::<u64>(), spent);
        let accounts = world.search.bandit().arms().iter().map(|arm| arm.stats.nanodollars);
        prop_assert_eq!(accounts.sum::<u64>(), spent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_a_person_hands_in_is_tried_next_once_and_in_order_whenever_it_comes(
        script in Script::any(), every in 1..30usize,
    ) {
        let mut world = World::new(script.clone());
        let mut given: Vec<CandidateId> = Vec::new();
        for step in 0.. {
            if step % every == 0 && given.len() < 12 {
                let parent = CandidateId(step as u64 % world.search.candidates().len() as u64);
                world.record(handed(given.len(), parent));
                given.push(parent);
            }
            if world.search.stopped().is_some() {
                break;
            }
            world.step();
            if world.search.stopped().is_some() && given.len() < 12 {
                // Someone resumes it, to hand in more.
                world.resume(script.candidates);
            }
            if step < 60 {
                prop_assert_eq!(&world.search, &world.replayed());
            }
        }
        let by_person: Vec<&Selection> = selections(&world.events)
            .map(|(_, selection)| selection)
            .filter(|selection| matches!(selection.proposer, Proposer::Person(_)))
            .collect();
        let parents: Vec<CandidateId> = by_person.iter().map(|selection| selection.parent).collect();
        prop_assert_eq!(parents, given);
        for (place, selection) in by_person.iter().enumerate() {
            prop_assert_eq!(selection.proposer, Proposer::Person(place));
            prop_assert_eq!(selection.outclassed_below, None, "it is measured in full");
        }
        let (mut waiting, mut corpus) = (0usize, Vec::new());
        for event in &world.events {
            match event {
                Event::ProposalGiven(_) => waiting += 1,
                Event::Selected { selection, .. } => match selection.proposer {
                    Proposer::Person(_) => waiting -= 1,
                    Proposer::Corpus(place) => corpus.push(place),
                    _ => prop_assert_eq!(waiting, 0, "something else was tried first"),
                },
                _ => {}
            }
        }
        prop_assert!(corpus.iter().copied().eq(0..corpus.len()), "the corpus keeps its order: {corpus:?}");
    }
}

/// A person hands in a proposal.
fn handed(number: usize, parent: CandidateId) -> Event {
    let (letter, file) = (number.to_string(), "idea.txt".to_owned());
    Event::ProposalGiven(GivenProposal { letter, file, parent, document: RawText::default() })
}

#[test]
fn a_proposal_of_a_person_is_refused_where_no_run_would_take_it() {
    let mut world = under_way();
    for (event, reason) in [
        (handed(0, CandidateId(9)), "there is no candidate 9"),
        (selected(2, Proposer::Person(0), 0), "no proposal 0 was given"),
        (selected(2, Proposer::Person(1), 0), "proposal 1 of a person, but 0 is the next"),
    ] {
        assert_eq!(refusal(&world.search, &event), Some(reason.to_owned()), "{event:?}");
    }
    world.record(handed(0, CandidateId(1)));
    for (event, reason) in [
        (handed(0, CandidateId(1)), "0 was given before"),
        (selected(2, Proposer::Person(0), 0), "a proposal was given for another parent"),
    ] {
        assert_eq!(refusal(&world.search, &event), Some(reason.to_owned()), "{event:?}");
    }
    let Next::Attempt(next) = world.search.next() else { panic!("it is tried next") };
    assert_eq!((next.number, next.selection.proposer, next.selection.parent), (2, Proposer::Person(0), CandidateId(1)));
}

#[test]
fn a_proposal_of_a_person_is_tried_even_when_the_run_has_all_its_candidates() {
    let mut world = World::new(Script { candidates: 1, corpus: Vec::new(), ..Script::smooth() });
    world.record(world.baseline());
    assert!(matches!(world.search.next(), Next::Stop(StopReason::Candidates)));
    world.record(handed(0, CandidateId::SEED));
    let Next::Attempt(next) = world.search.next() else { panic!("it is tried next") };
    world.record(Event::Selected { attempt: next.number, selection: next.selection });
    world.record(declined(0, Declined::NothingNew));
    assert!(matches!(world.search.next(), Next::Stop(StopReason::Candidates)));
}

/// A search with its baseline: candidate 1 is made and not judged yet, attempt 1 is open.
/// How many of a hundred selections are changes by `compose` that follow the front. While nothing has credit, the bandit
/// chooses other operators.
fn along_front(is_policy: bool, composes: bool) -> usize {
    let mut world = World::new(Script { corpus: Vec::new(), ..Script::smooth() });
    world.record(world.baseline());
    let settings = &mut world.search.origin.settings;
    settings.evaluation.policy = is_policy.then(|| PolicySettings { deployment: Serving::default(), chain_windows: 6 });
    settings.search.proposers.compose = composes;
    let operators = [Operator::Tune, Operator::Add, Operator::Swap].map(Some);
    let drawn = (0..100).map(|attempt| world.search.drawn(attempt).unwrap());
    drawn.filter(|drawn| drawn.proposer == Proposer::Compose && operators.contains(&drawn.operator)).count()
}

#[test]
fn a_third_of_the_policies_are_changes_of_the_front_if_there_are_blocks() {
    let changes = along_front(true, true);
    assert!((20..50).contains(&changes), "{changes}");
    assert_eq!((along_front(true, false), along_front(false, true)), (0, 0));
}

fn under_way() -> World {
    let mut world = World::new(Script { corpus: vec![None, Some(0)], ..Script::smooth() });
    world.record(world.baseline());
    world.record(selected(0, Proposer::Corpus(0), 0));
    world.record(Event::CandidateCreated(created(1, 0, CandidateId::SEED)));
    world.record(selected(1, Proposer::Mutate, 0));
    world
}

fn selected(attempt: u64, proposer: Proposer, parent: u64) -> Event {
    let parent = CandidateId(parent);
    let form = matches!(proposer, Proposer::Model(_)).then_some(RequestForm::Edit);
    let selection = Selection { form, ..Selection::of(proposer, 0, parent) };
    Event::Selected { attempt, selection }
}

fn declined(attempt: u64, reason: Declined) -> Event {
    Event::ProposalDeclined { attempt, proposal: None, reason }
}

fn evaluated(candidate: u64, evaluation: Evaluation) -> Event {
    Event::CandidateEvaluated { candidate: CandidateId(candidate), slot: 0, evaluation, partial: false }
}

fn rejected(candidate: u64) -> Event {
    evaluated(candidate, testing::rejected())
}

/// The reason for which a search refuses an event.
fn refusal(search: &Search, event: &Event) -> Option<String> {
    search.clone().apply(event).err().map(|refusal| refusal.to_string())
}

#[test]
fn an_event_that_no_run_writes_is_refused_with_the_reason() {
    let world = under_way();
    let search = &world.search;
    let seed = CandidateId::SEED;
    let made = |created: CandidateCreated| Event::CandidateCreated(created);
    let with = |operator, cut, proposer| Event::Selected {
        attempt: 2,
        selection: Selection { operator, cut, ..Selection::of(proposer, 0, CandidateId(1)) },
    };
    let outclassed = Evaluation::Outclassed { measurement: Measurement::default(), at_best: 0.0 };
    let refused = [
        (Event::RunStarted(Box::new(search.origin().clone())), "a run starts once"),
        (
            Event::BaselineEvaluated { slot: 0, measurement: Measurement::default(), inconsistencies: Vec::new() },
            "the baseline is known",
        ),
        (Event::DuelStarted { contender: CandidateId(1), best: seed, seed: 1 }, "candidate 1 is not a contender"),
        (
            Event::DuelEnded {
                contender: CandidateId(1),
                slot: 0,
                duel: duel(scored(&world, 0.01), scored(&world, 0.01)),
            },
            "no duel of candidate 1 is under way",
        ),
        (selected(1, Proposer::Mutate, 0), "attempt 1, but 2 is the next"),
        (selected(3, Proposer::Mutate, 0), "attempt 3, but 2 is the next"),
        (selected(2, Proposer::Mutate, 7), "there is no candidate 7"),
        (selected(2, Proposer::Corpus(2), 0), "the corpus has 2 documents, none at place 2"),
        (selected(2, Proposer::Corpus(0), 0), "the document at place 0 of the corpus made a candidate before"),
        (declined(0, Declined::NothingNew), "attempt 0 is not open"),
        (declined(2, Declined::NothingNew), "attempt 2 is not open"),
        (declined(1, Declined::Duplicate { of: CandidateId(9) }), "there is no candidate 9"),
        (made(created(2, 0, seed)), "attempt 0 is not open"),
        (made(created(1, 1, seed)), "candidate 1, but 2 is the next"),
        (made(created(3, 1, seed)), "candidate 3, but 2 is the next"),
        (made(created(2, 1, CandidateId(1))), "candidate 2 has other parents than its selection"),
        (
            made(CandidateCreated { parents: Vec::new(), ..created(2, 1, seed) }),
            "candidate 2 has other parents than its selection",
        ),
        (
            made(with_fingerprint(created(2, 1, seed), |of| of.normalised = blob(1))),
            "candidate 2 is the same program as candidate 1",
        ),
        (
            made(with_fingerprint(created(2, 1, seed), |of| of.program = blob(1))),
            "candidate 2 is the same program as candidate 1",
        ),
        (with(Some(Operator::Tune), None, Proposer::Mutate), "mutate has no operator tune"),
        (with(None, Some(3), Proposer::Mutate), "a selection has a cut if and only if its proposer is prune"),
        (with(None, None, Proposer::Prune), "a selection has a cut if and only if its proposer is prune"),
        (with(None, Some(3), Proposer::Prune), "candidate 1 is not the best, and only the best is pruned"),
        (
            made(CandidateCreated { operator: Some(Operator::Merge), ..created(2, 1, seed) }),
            "mutate has no operator merge",
        ),
        (rejected(0), "candidate 0 was evaluated before"),
        (rejected(2), "there is no candidate 2"),
        (evaluated(1, outclassed), "the evaluation of candidate 1 must not stop early"),
    ];
    for (event, reason) in refused {
        assert_eq!(refusal(search, &event), Some(reason.to_owned()), "{event:?}");
    }
}

#[test]
fn an_event_that_no_model_can_cause_is_refused_with_the_reason() {
    let mut world = World::new(Script { models: 1, corpus: Vec::new(), ..Script::smooth() });
    world.record(world.baseline());
    world.record(selected(0, Proposer::Model(0), 0));
    world.record(selected(1, Proposer::Mutate, 0));
    let asked = |model, asking| {
        let (exchange, charge) = (exchange(1), crate::values::cost::Charge::NONE);
        Event::ModelAsked(ModelAsked { model, asking, exchange, error: None, charge })
    };
    let Event::Selected { selection, .. } = selected(2, Proposer::Mutate, 0) else { unreachable!() };
    let with =
        |form, repairs| Event::Selected { attempt: 2, selection: Selection { form, repairs, ..selection.clone() } };
    for (event, reason) in [
        (selected(2, Proposer::Model(1), 0), "there are 1 language models, none at place 1"),
        (with(Some(RequestForm::Edit), None), "a selection has a form if and only if its proposer is a language model"),
        (with(None, Some(CandidateId::SEED)), "candidate 0 does not go back to a language model"),
        (asked(1, Asking::Summary), "there are 1 language models, none at place 1"),
        (asked(0, Asking::Proposal(1)), "attempt 1 is not that of language model 0"),
        (asked(0, Asking::Proposal(7)), "attempt 7 is not open"),
        (Event::ModelPaused { model: 1, error: LlmError::Empty, seconds: None }, "language model 1 is not in use"),
        (Event::ModelResumed { model: 0 }, "language model 0 is not paused"),
    ] {
        assert_eq!(refusal(&world.search, &event), Some(reason.to_owned()), "{event:?}");
    }
    world.record(asked(0, Asking::Proposal(0)));
    world.record(Event::ModelPaused { model: 0, error: LlmError::Empty, seconds: Some(1.0) });
}

#[test]
fn while_models_pause_a_search_waits_and_when_all_are_off_it_stops() {
    let mut world =
        World::new(Script { models: 1, mutate: false, corpus: Vec::new(), held_out: 0, ..Script::smooth() });
    world.record(world.baseline());
    assert!(matches!(world.search.next(), Next::Attempt(Attempt { selection, .. }) if is_of_a_model(&selection)));
    world.record(Event::ModelPaused { model: 0, error: LlmError::Empty, seconds: Some(1.0) });
    assert_eq!(world.search.next(), Next::Wait);
    world.record(Event::ModelResumed { model: 0 });
    let error = LlmError::Unauthorized { status: 401, said: "no".to_owned() };
    world.record(Event::ModelPaused { model: 0, error, seconds: None });
    assert_eq!(world.search.next(), Next::Stop(StopReason::NoProposer));
    world.resume(20);
    assert!(matches!(world.search.next(), Next::Attempt(_)));
}

#[test]
fn what_a_model_fails_at_does_not_mean_that_the_others_find_nothing() {
    let mut world = World::new(Script { models: 1, corpus: Vec::new(), held_out: 0, ..Script::smooth() });
    world.record(world.baseline());
    let decline = |world: &mut World, attempt, proposer| {
        world.record(selected(attempt, proposer, 0));
        world.record(Event::ProposalDeclined { attempt, proposal: None, reason: Declined::NothingNew });
    };
    (0..WORN_AFTER - 1).for_each(|attempt| decline(&mut world, attempt, Proposer::Model(0)));
    assert!(world.search.models().is_ready(0));
    decline(&mut world, WORN_AFTER - 1, Proposer::Model(0));
    assert!(!world.search.models().is_ready(0));
    let next = world.search.next();
    assert!(matches!(&next, Next::Attempt(Attempt { selection, .. }) if !is_of_a_model(selection)), "{next:?}");
    world.resume(20);
    (0..EXHAUSTED_AFTER).for_each(|more| decline(&mut world, WORN_AFTER + more, Proposer::Mutate));
    let next = world.search.next();
    assert!(matches!(&next, Next::Attempt(Attempt { selection, .. }) if is_of_a_model(selection)), "{next:?}");
    world.record(Event::ModelPaused { model: 0, error: LlmError::Empty, seconds: Some(1.0) });
    assert_eq!(world.search.next(), Next::Stop(StopReason::Exhausted));
}

#[test]
fn a_run_that_has_reached_its_target_does_not_wait_for_models() {
    let script = Script { models: 1, corpus: Vec::new(), held_out: 0, ..Script::smooth() };
    let mut origin = script.origin();
    origin.settings.search.target_score = Some(-1.0);
    let mut world = World::new(script);
    world.search = Search::new(origin);
    world.open_slots();
    world.record(world.baseline());
    world.record(selected(0, Proposer::Model(0), 0));
    assert_eq!(world.search.next(), Next::Stop(StopReason::Target));
    world.record(selected(1, Proposer::Mutate, 0));
    assert_eq!(world.search.next(), Next::Wait, "what is made at once is waited for");
}

#[test]
fn models_are_asked_while_all_slots_are_busy_and_no_other_proposer_is() {
    let mut world = World::new(Script { models: 1, corpus: Vec::new(), held_out: 0, slots: 1, ..Script::smooth() });
    world.record(world.baseline());
    world.record(selected(0, Proposer::Mutate, 0));
    world.record(Event::CandidateCreated(created(1, 0, CandidateId::SEED)));
    for attempt in 1..=2 {
        let Next::Attempt(Attempt { selection, .. }) = world.search.next() else { panic!("a model can be asked") };
        assert_eq!(selection.proposer, Proposer::Model(0));
        world.record(Event::Selected { attempt, selection });
    }
    assert_eq!(world.search.next(), Next::Wait, "as many requests as it may have are open");
    world.record(rejected(1));
    assert!(matches!(world.search.next(), Next::Attempt(Attempt { selection, .. }) if !is_of_a_model(&selection)));
}

#[test]
fn nothing_is_selected_or_evaluated_before_the_baseline() {
    let search = Search::new(Script::smooth().origin());
    assert_eq!(search.next(), Next::Wait);
    for event in [selected(0, Proposer::Corpus(0), 0), rejected(0)] {
        assert_eq!(refusal(&search, &event).as_deref(), Some("there is no baseline yet"));
    }
}

#[test]
fn after_a_run_has_stopped_it_can_only_be_resumed() {
    let mut world = under_way();
    world.record(Event::RunStopped { reason: StopReason::Interrupted });
    for event in [rejected(1), selected(2, Proposer::Mutate, 0), Event::RunStopped { reason: StopReason::WallTime }] {
        assert_eq!(refusal(&world.search, &event).as_deref(), Some("the run has stopped and was not resumed"));
    }
    world.record(Event::RunResumed { candidates: 30 });
    assert_eq!(world.search.candidate_limit(), 30);
    assert_eq!(refusal(&world.search, &rejected(1)).as_deref(), Some("slot 0 is not open"), "the judges start again");
    world.open_slots();
    assert_eq!(refusal(&world.search, &rejected(1)), None);
}

#[test]
fn a_refused_event_changes_nothing() {
    let mut search = under_way().search;
    let before = search.clone();
    assert!(search.apply(&rejected(0)).is_err());
    assert_eq!(search, before);
}

#[test]
fn a_run_stops_only_when_everything_in_flight_has_landed() {
    let mut world = under_way();
    world.record(declined(1, Declined::NothingNew));
    let mut limited = world.search.clone();
    limited.apply(&Event::RunResumed { candidates: 2 }).unwrap();
    limited.apply(&Event::SlotOpened { slot: 0, judge: None, baseline: None }).unwrap();
    assert_eq!(limited.next(), Next::Wait);
    limited.apply(&rejected(1)).unwrap();
    assert_eq!(limited.next(), Next::Stop(StopReason::Candidates));
}

/// A search whose first given proposal was measured on one window, with this gap; the second one waits.
fn partly_judged(gap: f64) -> World {
    let script = Script { candidates: 9, slots: 1, corpus: vec![None, None], ..Script::smooth() };
    let mut world = World::new(script);
    world.record(world.baseline());
    for number in 0..2 {
        world.record(selected(number, Proposer::Corpus(number as usize), 0));
        world.record(Event::CandidateCreated(created(number + 1, number, CandidateId::SEED)));
    }
    world.record(partly(&world, 1, gap));
    world
}

fn partly(world: &World, candidate: u64, gap: f64) -> Event {
    let mut measurement = measured(world, gap, 0.1);
    measurement.cases.iter_mut().for_each(|case| case.samples.truncate(1));
    measurement.evaluation_seconds = 3.0;
    let (candidate, evaluation) = (CandidateId(candidate), Evaluation::Measured { measurement });
    Event::CandidateEvaluated { candidate, slot: 0, evaluation, partial: true }
}

#[test]
fn a_partial_verdict_makes_a_parent_and_no_contender_until_it_is_completed() {
    let mut world = partly_judged(0.0);
    let one = CandidateId(1);
    let is_parent = |world: &World, id: CandidateId| {
        (0..2).any(|island| world.search.islands().members(island).iter().any(|member| member.candidate == id))
    };
    let is_elite = |world: &World| world.search.elites().members().iter().any(|member| member.candidate == one);
    assert!(is_parent(&world, one) && !is_elite(&world));
    assert_eq!(world.search.tasks().collect::<Vec<_>>(), [Task::Evaluate(CandidateId(2))]);
    assert_eq!((world.search.tally().measured, world.search.completion_seconds()), (2, 9.0));
    let before = world.search.scores_of(one).unwrap().combined_score;
    assert!(before > 0.4, "{before}");
    // In full it is worse, but still better than the best.
    world.record(evaluated(1, scored(&world, 0.01)));
    let known = world.search.candidate(one).unwrap();
    assert!(!known.is_partial && known.scores().unwrap().combined_score < before);
    assert!(is_parent(&world, one) && is_elite(&world));
    assert_eq!(world.search.tally().measured, 2);
    assert_eq!(world.search.tasks().next(), Some(duel_task(1)));
    assert_eq!(refusal(&world.search, &partly(&world, 1, 0.0)).unwrap(), "candidate 1 was evaluated before");
}

#[test]
fn what_fails_on_a_later_window_loses_its_places() {
    let mut world = partly_judged(0.0);
    world.record(rejected(1));
    let one = CandidateId(1);
    assert_eq!(world.search.candidate(one).unwrap().outcome, Some(Outcome::Rejected));
    assert!((0..2).all(|island| world.search.islands().members(island).iter().all(|member| member.candidate != one)));
    let tally = world.search.tally();
    assert_eq!((tally.measured, tally.rejected), (1, 1));
}

#[test]
fn partial_verdicts_are_completed_at_half_time_before_a_limit_and_before_the_end() {
    let completes = |search: &Search| search.tasks().find(|task| matches!(task, Task::Complete(_)));
    let first = Some(Task::Complete(CandidateId(1)));
    let mut world = partly_judged(0.02);
    world.record(partly(&world, 2, 0.02));
    assert_eq!(completes(&world.search), None, "three of nine are judged");
    let with_limit = |candidates| {
        let mut search = world.search.clone();
        search.apply(&Event::RunResumed { candidates }).unwrap();
        search.apply(&Event::SlotOpened { slot: 0, judge: None, baseline: None }).unwrap();
        search
    };
    assert_eq!(completes(&with_limit(6)), first);
    assert_eq!((completes(&with_limit(3)), with_limit(3).next()), (first, Next::Wait));
    let mut near = world.search.clone();
    near.apply(&Event::LimitNear { reason: StopReason::WallTime }).unwrap();
    assert_eq!(near.tasks().collect::<Vec<_>>(), [Task::Complete(CandidateId(1))]);
    assert!(near.apply(&Event::LimitNear { reason: StopReason::WallTime }).is_err());
    // A duel comes later then: its run is about to end.
    near.apply(&evaluated(1, scored(&world, 0.0))).unwrap();
    assert_eq!(near.tasks().collect::<Vec<_>>(), [Task::Complete(CandidateId(2)), duel_task(1)]);
    // Without another proposer the end comes early.
    let mut world = partly_judged(0.02);
    world.record(partly(&world, 2, 0.02));
    for number in 0..EXHAUSTED_AFTER {
        let Next::Attempt(Attempt { number: attempt, selection }) = world.search.next() else { panic!("{number}") };
        world.record(Event::Selected { attempt, selection });
        world.record(declined(attempt, Declined::NothingNew));
    }
    assert_eq!((completes(&world.search), world.search.next()), (first, Next::Wait));
    for candidate in [1, 2] {
        world.record(evaluated(candidate, scored(&world, 0.03)));
    }
    assert_eq!(world.search.next(), Next::Stop(StopReason::Exhausted));
}

#[test]
fn only_a_given_proposal_is_measured_partly_and_only_where_there_are_more_windows() {
    let mut world = partly_judged(0.02);
    world.record(evaluated(2, scored(&world, 0.02)));
    world.record(selected(2, Proposer::Mutate, 0));
    world.record(Event::CandidateCreated(created(3, 2, CandidateId::SEED)));
    assert!(!world.search.is_measured_partially(CandidateId(3)));
    let refused = refusal(&world.search, &partly(&world, 3, 0.02));
    assert_eq!(refused.unwrap(), "candidate 3 is measured in full at once");
    let mut single = World::new(Script { corpus: vec![None], ..Script::smooth() });
    let Event::BaselineEvaluated { slot, mut measurement, inconsistencies } = single.baseline() else { panic!() };
    // Measured twice on its only window.
    measurement.cases.iter_mut().for_each(|case| case.samples.iter_mut().for_each(|sample| sample.window = 0));
    single.record(Event::BaselineEvaluated { slot, measurement, inconsistencies });
    single.record(selected(0, Proposer::Corpus(0), 0));
    single.record(Event::CandidateCreated(created(1, 0, CandidateId::SEED)));
    assert!(!single.search.is_measured_partially(CandidateId(1)));
}

#[test]
fn a_proposer_pays_for_the_whole_time_that_its_candidates_keep_a_judge() {
    let mut world = World::new(Script { corpus: Vec::new(), candidates: 9, ..Script::smooth() });
    world.record(world.baseline());
    let mut paid = |number: u64, evaluation: Evaluation| {
        let operator = Some(Operator::Types);
        let outclassed_below = Some(0.0);
        let of = Selection::of(Proposer::Mutate, 0, CandidateId::SEED);
        let selection = Selection { operator, outclassed_below, ..of };
        world.record(Event::Selected { attempt: number - 1, selection });
        let created = CandidateCreated { operator, ..created(number, number - 1, CandidateId::SEED) };
        world.record(Event::CandidateCreated(created));
        let before = world.search.bandit().arms().iter().map(|arm| arm.stats.seconds).sum::<f64>();
        world.record(evaluated(number, evaluation));
        let of_operator = |arm: &Arm<Operator>| arm.who == Operator::Types;
        let operators = world.search.operators(Proposer::Mutate).unwrap();
        let after = operators.arms().iter().find(|arm| of_operator(arm)).unwrap().stats.seconds;
        assert_eq!(world.search.bandit().arms().iter().map(|arm| arm.stats.seconds).sum::<f64>(), after);
        after - before
    };
    let compilation = Some(Compilation { functions: 3, seconds: 7.0, in_scored_calls: 0 });
    let measurement = || Measurement { evaluation_seconds: 8.0, compilation, ..Measurement::default() };
    assert_eq!(paid(1, Evaluation::Outclassed { measurement: measurement(), at_best: -1.0 }), 8.0);
    assert_eq!(
        paid(2, Evaluation::Inconsistent { inconsistencies: vec![inconsistency()], measurement: measurement() }),
        8.0
    );
    let evidence = Evidence { seconds: 120.0, ..Evidence::default() };
    let rejection = Rejection::Hang { limit_seconds: 120.0 };
    assert_eq!(paid(3, Evaluation::Rejected { rejection, evidence }), 120.0, "it compiled until it was stopped");
}

#[test]
fn a_baseline_that_is_another_program_leaves_the_seed_program_to_be_judged() {
    let mut world = World::new(Script { baseline_is_seed: false, held_out: 0, ..Script::smooth() });
    world.record(world.baseline());
    assert_eq!(world.search.tasks().collect::<Vec<_>>(), [Task::Evaluate(CandidateId::SEED)]);
    assert_eq!(world.search.best(), None);
    assert!(world.search.baseline().is_some());
}

/// The measurement of every case with this gap and time.
fn measured(world: &World, gap: f64, seconds: f64) -> Measurement {
    measurement(&world.search.origin().cases, |_, window| sample(window, gap, seconds))
}

fn scored(world: &World, gap: f64) -> Evaluation {
    Evaluation::Measured { measurement: measured(world, gap, 0.1) }
}

fn doubtful(world: &World, gap: f64) -> Evaluation {
    let mut measurement = measured(world, gap, 0.1);
    measurement.calibration.doubtful = vec!["8->4".to_owned()];
    Evaluation::Measured { measurement }
}

fn inconsistent(world: &World, gap: f64) -> Evaluation {
    Evaluation::Inconsistent { inconsistencies: vec![inconsistency()], measurement: measured(world, gap, 0.1) }
}

fn duel(contender: Evaluation, best: Evaluation) -> Box<Duel> {
    Box::new(Duel { contender, best })
}

/// A whole duel of a contender with the program that it has to beat.
fn fight(world: &mut World, contender: u64, duel: Box<Duel>) {
    world.start_duel(CandidateId(contender), 7);
    world.record(Event::DuelEnded { contender: CandidateId(contender), slot: 0, duel });
}

fn duel_task(candidate: u64) -> Task {
    Task::Duel(CandidateId(candidate))
}

fn best(world: &World) -> u64 {
    world.search.best().unwrap().candidate.0
}

/// A search whose candidate 1 looks better than the seed program.
fn challenged() -> World {
    let mut world = under_way();
    world.record(evaluated(1, scored(&world, 0.01)));
    world
}

#[test]
fn what_looks_best_meets_the_best_before_anything_else() {
    let mut world = challenged();
    world.record(Event::CandidateCreated(created(2, 1, CandidateId::SEED)));
    assert_eq!(best(&world), 0);
    assert_eq!(world.search.best().unwrap().reported_score(), 0.0, "the baseline scores 0 without a duel");
    assert_eq!(world.search.tasks().collect::<Vec<_>>(), [duel_task(1), Task::Evaluate(CandidateId(2))]);
    let started =
        |contender, best| Event::DuelStarted { contender: CandidateId(contender), best: CandidateId(best), seed: 7 };
    let reason = refusal(&world.search, &started(1, 1));
    assert_eq!(reason.as_deref(), Some("candidate 1 does not have to beat candidate 1"));
    world.record(started(1, 0));
    // The judge was lost: the duel starts again on other windows.
    world.record(Event::DuelStarted { contender: CandidateId(1), best: CandidateId::SEED, seed: 8 });
    assert_eq!(world.search.duel().unwrap().seed, 8);
    assert_eq!(world.search.tasks().next(), Some(duel_task(1)));
    let outclassed = Evaluation::Outclassed { measurement: Measurement::default(), at_best: 0.0 };
    let wrong = Event::DuelEnded { contender: CandidateId(1), slot: 0, duel: duel(outclassed, scored(&world, 0.02)) };
    assert_eq!(refusal(&world.search, &wrong).as_deref(), Some("a duel measures or rejects both programs"));
    let ended = duel(scored(&world, 0.015), scored(&world, 0.02));
    world.record(Event::DuelEnded { contender: CandidateId(1), slot: 0, duel: ended });
    let best = world.search.best().unwrap();
    assert_eq!(best.candidate, CandidateId(1));
    assert!((best.reported_score() - 0.125).abs() < 1e-9 && (best.interval.score - 0.25).abs() < 1e-9, "{best:?}");
    let known = world.search.candidate(CandidateId(1)).unwrap();
    let verdict = known.duels[0].verdict.unwrap();
    assert!((verdict.difference - 0.125).abs() < 1e-9 && verdict.rounds == 3, "{verdict:?}");
}

#[test]
fn no_second_duel_starts_while_one_is_under_way() {
    let mut world = challenged();
    world.record(Event::CandidateCreated(created(2, 1, CandidateId::SEED)));
    world.start_duel(CandidateId(1), 7);
    world.record(evaluated(2, scored(&world, 0.005)));
    assert_eq!(world.search.tasks().collect::<Vec<_>>(), [duel_task(1)]);
    let second = Event::DuelStarted { contender: CandidateId(2), best: CandidateId::SEED, seed: 7 };
    assert_eq!(refusal(&world.search, &second).as_deref(), Some("a duel of candidate 1 is under way"));
}

#[test]
fn the_best_reports_the_mean_over_all_its_duels() {
    let mut world = challenged();
    let first = duel(scored(&world, 0.01), scored(&world, 0.02));
    fight(&mut world, 1, first);
    world.record(Event::CandidateCreated(created(2, 1, CandidateId::SEED)));
    world.record(evaluated(2, scored(&world, 0.005)));
    let second = duel(scored(&world, 0.018), scored(&world, 0.016));
    fight(&mut world, 2, second);
    assert_eq!(best(&world), 1);
    let known = world.search.best().unwrap();
    let held_out = known.held_out.as_ref().unwrap();
    assert!((known.reported_score() - (0.25 + 0.1) / 2.0).abs() < 1e-9, "{held_out:?}");
    assert_eq!((held_out.duels, held_out.scores.cases[0].windows), (2, 6));
    let shown = world.search.candidate(CandidateId(1)).unwrap().held_out.clone().unwrap();
    assert_eq!(*shown.scores.unwrap(), held_out.scores);
}

#[test]
fn a_refuted_candidate_goes_by_what_was_seen_on_all_windows() {
    let mut world = challenged();
    let lost = duel(scored(&world, 0.03), scored(&world, 0.02));
    fight(&mut world, 1, lost);
    assert_eq!(best(&world), 0);
    let pooled = world.search.scores_of(CandidateId(1)).unwrap();
    assert!(pooled.combined_score.abs() < 1e-9 && pooled.cases[0].windows == 6, "{pooled:?}");
    let member = world.search.islands().members(0).iter().find(|member| member.candidate == CandidateId(1));
    assert!(member.is_none_or(|member| member.score.abs() < 1e-9));
    assert_eq!(world.search.tasks().next(), None);
}

#[test]
fn a_doubtful_duel_decides_nothing_and_the_third_refutes() {
    let mut world = challenged();
    for count in 1..=3 {
        assert_eq!((world.search.tasks().next(), best(&world)), (Some(duel_task(1)), 0), "duel {count}");
        let unsure = match count {
            2 => duel(scored(&world, 0.0), doubtful(&world, 0.02)),
            _ => duel(doubtful(&world, 0.0), scored(&world, 0.02)),
        };
        fight(&mut world, 1, unsure);
    }
    assert_eq!((world.search.tasks().next(), best(&world)), (None, 0));
    assert!(world.search.best().unwrap().held_out.is_none(), "what is doubtful does not count for the best");
    let known = world.search.candidate(CandidateId(1)).unwrap();
    let rulings: Vec<Ruling> = known.duels.iter().map(|result| result.ruling).collect();
    assert_eq!(rulings, [Ruling::Doubtful, Ruling::Doubtful, Ruling::Refuted]);
    assert!(!known.doubtful.is_empty() && known.held_out.as_ref().unwrap().is_doubtful, "{known:?}");
    assert_eq!(world.search, world.replayed());
}

#[test]
fn a_doubtful_candidate_may_win_a_duel_that_is_not() {
    let mut world = under_way();
    world.record(evaluated(1, doubtful(&world, 0.01)));
    assert_eq!(world.search.candidate(CandidateId(1)).unwrap().doubtful, ["8->4"]);
    let won = duel(scored(&world, 0.01), scored(&world, 0.02));
    fight(&mut world, 1, won);
    assert_eq!(best(&world), 1);
}

#[test]
fn without_duels_a_doubtful_candidate_is_not_the_best() {
    let mut world = World::new(Script { corpus: vec![None], held_out: 0, ..Script::smooth() });
    world.record(world.baseline());
    world.record(selected(0, Proposer::Corpus(0), 0));
    world.record(Event::CandidateCreated(created(1, 0, CandidateId::SEED)));
    world.record(evaluated(1, doubtful(&world, 0.0)));
    assert_eq!(best(&world), 0);
}

#[test]
fn if_only_the_best_breaks_its_contract_in_a_duel_the_contender_is_the_best() {
    let mut world = challenged();
    let walkover = duel(scored(&world, 0.03), testing::rejected());
    fight(&mut world, 1, walkover.clone());
    assert_eq!(best(&world), 0, "once may be the machine's fault");
    fight(&mut world, 1, walkover);
    assert_eq!(best(&world), 1);
    assert!((world.search.best().unwrap().reported_score() + 0.25).abs() < 1e-9);
    assert_eq!(world.search.candidate(CandidateId::SEED).unwrap().outcome, Some(Outcome::Rejected));
    assert_eq!(world.search.tally(), Tally { measured: 1, rejected: 1, ..Tally::default() });
}

#[test]
fn if_both_break_their_contract_in_a_duel_the_best_stays() {
    let mut world = challenged();
    fight(&mut world, 1, duel(testing::rejected(), testing::rejected()));
    assert_eq!(best(&world), 0);
    assert_eq!(world.search.candidate(CandidateId(1)).unwrap().outcome, Some(Outcome::Rejected));
    assert!(matches!(world.search.candidate(CandidateId::SEED).unwrap().outcome, Some(Outcome::Measured(_))));
}

#[test]
fn what_is_inconsistent_is_a_parent_if_it_was_given_and_else_nothing() {
    let mut world = under_way();
    world.record(Event::CandidateCreated(created(2, 1, CandidateId::SEED)));
    world.record(evaluated(1, inconsistent(&world, 0.0)));
    world.record(evaluated(2, inconsistent(&world, 0.0)));
    let known = |id| world.search.candidate(CandidateId(id)).unwrap();
    assert!(known(1).scores().is_some_and(|scores| (scores.combined_score - 0.5).abs() < 1e-9), "{:?}", known(1));
    assert_eq!(known(2).outcome, Some(Outcome::Inconsistent(None)));
    assert_eq!(known(2).inconsistencies, [inconsistency()]);
    let parents: Vec<u64> = world.search.islands().members(0).iter().map(|member| member.candidate.0).collect();
    assert_eq!(parents, [1, 0]);
    assert_eq!((best(&world), world.search.tasks().next()), (0, None));
    assert!(world.search.elites().front().all(|member| member.candidate == CandidateId::SEED));
    let mutate = world.search.bandit().arms().iter().find(|arm| arm.who == Proposer::Mutate).unwrap().stats;
    assert_eq!((mutate.inconsistent, mutate.admitted, mutate.contenders), (1, 0, 0));
}

#[test]
fn if_the_settings_only_report_an_inconsistent_program_is_treated_as_measured_and_marked() {
    let mut world = World::new(Script { corpus: vec![None], consistency: Consistency::Report, ..Script::smooth() });
    world.record(world.baseline());
    world.record(selected(0, Proposer::Corpus(0), 0));
    world.record(Event::CandidateCreated(created(1, 0, CandidateId::SEED)));
    world.record(evaluated(1, inconsistent(&world, 0.01)));
    let won = duel(scored(&world, 0.01), scored(&world, 0.02));
    fight(&mut world, 1, won);
    assert_eq!(best(&world), 1);
    assert_eq!(world.search.candidate(CandidateId(1)).unwrap().inconsistencies, [inconsistency()]);
}

#[test]
fn an_inconsistent_seed_program_is_a_parent_and_the_first_consistent_candidate_is_the_best() {
    let mut world = World::new(Script { corpus: vec![None], ..Script::smooth() });
    let Event::BaselineEvaluated { measurement, .. } = world.baseline() else { unreachable!() };
    world.record(Event::BaselineEvaluated { slot: 0, measurement, inconsistencies: vec![inconsistency()] });
    assert_eq!(world.search.best(), None);
    assert_eq!(world.search.islands().members(0).len(), 1);
    world.record(selected(0, Proposer::Corpus(0), 0));
    world.record(Event::CandidateCreated(created(1, 0, CandidateId::SEED)));
    world.record(evaluated(1, scored(&world, 0.04)));
    assert_eq!(best(&world), 1);
    assert_eq!(world.search.tasks().next(), None, "there is nothing to beat");
}

/// A search that has its candidates, whose best, candidate 1 of 100 tokens, will be pruned.
fn to_be_pruned(held_out: usize) -> World {
    let script = Script { held_out, prune: 9, candidates: 2, corpus: vec![None], slots: 2, ..Script::smooth() };
    let mut world = World::new(script);
    world.record(world.baseline());
    world.record(selected(0, Proposer::Corpus(0), 0));
    world.record(Event::CandidateCreated(with_fingerprint(created(1, 0, CandidateId::SEED), |of| of.size = 100)));
    world.record(evaluated(1, scored(&world, 0.01)));
    world
}

/// Makes the next attempt, of which a candidate of this size comes.
fn cut(world: &mut World, size: u64) {
    let Next::Attempt(Attempt { number: attempt, selection }) = world.search.next() else {
        panic!("{:?}", world.search.next())
    };
    assert_eq!(selection.proposer, Proposer::Prune);
    let count = world.search.candidates().len() as u64;
    world.record(Event::Selected { attempt, selection: selection.clone() });
    world.record(Event::CandidateCreated(with_fingerprint(created(count, attempt, selection.parent), |of| {
        of.size = size;
    })));
}

/// The place and the parent of what is cut next.
fn next_cut(world: &World) -> Option<(u64, u64)> {
    match world.search.next() {
        Next::Attempt(Attempt { selection, .. }) => Some((selection.cut?, selection.parent.0)),
        _ => None,
    }
}

#[test]
fn what_is_shorter_and_as_good_is_the_best_and_the_pass_continues_where_it_was_cut() {
    let mut world = to_be_pruned(0);
    assert_eq!(next_cut(&world), Some((0, 1)));
    cut(&mut world, 90);
    cut(&mut world, 80);
    // Both are better than nothing was lost; the second is judged first, so the first is tried again on it.
    world.record(evaluated(3, scored(&world, 0.01)));
    assert_eq!(world.search.best().unwrap().candidate, CandidateId(3));
    assert_eq!(next_cut(&world), Some((0, 3)));
    world.record(evaluated(2, scored(&world, 0.01)));
    assert_eq!(world.search.best().unwrap().candidate, CandidateId(3), "it was cut from what is the best no more");
    cut(&mut world, 81);
    world.record(evaluated(4, scored(&world, 0.01)));
    assert_eq!(world.search.best().unwrap().candidate, CandidateId(3), "it is longer");
    cut(&mut world, 70);
    world.record(evaluated(5, scored(&world, 0.011)));
    assert_eq!(world.search.best().unwrap().candidate, CandidateId(3), "it is worse");
    // At its end the pass begins again with what it has made, and ends where nothing is left to cut from that.
    for place in [2, 0] {
        assert_eq!(next_cut(&world), Some((place, 3)));
        let attempt = world.search.attempts;
        let Next::Attempt(Attempt { selection, .. }) = world.search.next() else { unreachable!() };
        world.record(Event::Selected { attempt, selection });
        world.record(declined(attempt, Declined::NothingNew));
    }
    assert_eq!(world.search.next(), Next::Stop(StopReason::Candidates));
    assert_eq!((world.search.candidates().len(), world.search.pruning().made()), (6, 4));
    assert_eq!(world.search, world.replayed());
}

#[test]
fn a_cut_meets_what_its_pass_began_with_and_must_not_be_worse() {
    let mut world = to_be_pruned(3);
    assert_eq!(next_cut(&world), None, "what looks best is not the best yet");
    let won = duel(scored(&world, 0.01), scored(&world, 0.02));
    fight(&mut world, 1, won);
    cut(&mut world, 90);
    world.record(evaluated(2, scored(&world, 0.01)));
    assert_eq!(world.search.tasks().collect::<Vec<_>>(), [duel_task(2)]);
    let worse = duel(scored(&world, 0.012), scored(&world, 0.01));
    fight(&mut world, 2, worse);
    assert_eq!(best(&world), 1);
    for (candidate, gap) in [(3, 0.01), (4, 0.01)] {
        cut(&mut world, 90 - candidate);
        world.record(evaluated(candidate, scored(&world, 0.01)));
        assert_eq!(world.search.opponent(CandidateId(candidate)).unwrap().candidate, CandidateId(1));
        let even = duel(scored(&world, gap), scored(&world, 0.01));
        fight(&mut world, candidate, even);
        assert_eq!(best(&world), candidate);
        assert_eq!(world.search.pruning().origin(CandidateId(candidate)).unwrap().candidate, CandidateId(1));
    }
    assert_eq!(world.search.pruning().origin(CandidateId(4)).unwrap().held_out.as_ref().unwrap().duels, 4);
    assert_eq!(world.search, world.replayed());
}

/// Makes attempts of which nothing comes, until there are `attempts`.
fn decline_until(world: &mut World, attempts: u64) {
    while world.search.attempts < attempts {
        let attempt = world.search.attempts;
        world.record(selected(attempt, Proposer::Mutate, 0));
        world.record(declined(attempt, Declined::NothingNew));
    }
}

#[test]
fn pruning_begins_when_the_best_has_stood_for_a_hundred_attempts() {
    let mut world = to_be_pruned(0);
    world.resume(500);
    decline_until(&mut world, 60);
    world.record(selected(60, Proposer::Mutate, 0));
    world.record(Event::CandidateCreated(created(2, 60, CandidateId::SEED)));
    world.record(rejected(2));
    decline_until(&mut world, 100);
    assert_eq!(next_cut(&world), None);
    decline_until(&mut world, 101);
    assert_eq!(next_cut(&world), Some((0, 1)));
}

#[test]
fn what_breaks_its_contract_in_a_duel_is_rejected_after_all() {
    let mut world = challenged();
    let lost = duel(testing::rejected(), scored(&world, 0.02));
    fight(&mut world, 1, lost);
    assert_eq!(world.search.candidate(CandidateId(1)).unwrap().outcome, Some(Outcome::Rejected));
    let lives = |island| world.search.islands().members(island).iter().any(|member| member.candidate == CandidateId(1));
    assert!(!lives(0) && !lives(1));
    assert!(world.search.elites().members().iter().all(|member| member.candidate == CandidateId::SEED));
    assert_eq!(world.search.tally(), Tally { measured: 1, rejected: 1, ..Tally::default() });
}

#[test]
fn a_candidate_that_does_not_exceed_a_new_best_any_more_has_no_duel() {
    let mut world = challenged();
    world.record(Event::CandidateCreated(created(2, 1, CandidateId::SEED)));
    world.record(evaluated(2, scored(&world, 0.005)));
    assert_eq!(world.search.tasks().collect::<Vec<_>>(), [duel_task(2)], "the highest score first");
    let won = duel(scored(&world, 0.005), scored(&world, 0.02));
    fight(&mut world, 2, won);
    assert_eq!(world.search.tasks().next(), None);
    assert_eq!(best(&world), 2);
}
