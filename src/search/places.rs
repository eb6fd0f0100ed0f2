//! Places: which judges a search has, and with what they measure.

use std::borrow::Cow;

use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::as_on;
use packevolve_contract::protocol::Ready;

use crate::values::settings::Settings;

/// The slots of a run, and the devices that they had.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    slots: Vec<Slot>,
    /// The first one is that of the start of the run.
    devices: Vec<Device>,
    /// The device on which the baseline of the run was measured.
    baseline: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Slot {
    state: SlotState,
    /// Losses in a row, without a measurement in between.
    losses: u32,
    /// The losses in a row after which it is left out.
    most_losses: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Closed,
    /// With this device.
    Open(usize),
    LeftOut,
}

/// What measures in a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub judge: Ready,
    /// The baseline program as this slot measured it, if the slot is unlike the one that measured the run's.
    pub baseline: Option<Measurement>,
}

impl Places {
    pub(super) fn new(settings: &Settings, judge: &Ready) -> Self {
        let slot =
            |most_losses: u32| Slot { state: SlotState::Closed, losses: 0, most_losses: most_losses.saturating_add(1) };
        Self {
            slots: settings.places().map(|place| slot(place.restarts)).collect(),
            devices: vec![Device { judge: judge.clone(), baseline: None }],
            baseline: 0,
        }
    }

    /// How many slots are ready to measure.
    pub fn open(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot.state, SlotState::Open(_))).count()
    }

    pub fn is_open(&self, slot: usize) -> bool {
        self.device_of(slot).is_some()
    }

    /// Whether a slot is not started again before the run is resumed.
    pub fn is_left_out(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.state == SlotState::LeftOut)
    }

    /// Whether nothing can be measured any more.
    pub fn all_are_left_out(&self) -> bool {
        self.slots.iter().all(|slot| slot.state == SlotState::LeftOut)
    }

    /// The losses of a slot in a row.
    pub fn losses(&self, slot: usize) -> u32 {
        self.slots.get(slot).map_or(0, |slot| slot.losses)
    }

    /// All devices, in the order in which their slots opened.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Whether figures come from devices of different names.
    pub fn are_mixed(&self) -> bool {
        self.devices.iter().any(|device| device.judge.device_name != self.devices[0].judge.device_name)
    }

    /// The judge that measured the baseline of the run.
    pub fn baseline_judge(&self) -> &Ready {
        &self.devices[self.baseline].judge
    }

    /// The baseline program as an open slot has measured it, if that is not the run's.
    pub fn own_baseline(&self, slot: usize) -> Option<&Measurement> {
        self.devices[self.device_of(slot)?].baseline.as_ref()
    }

    /// The device of an open slot, as a place in [`Places::devices`].
    fn device_of(&self, slot: usize) -> Option<usize> {
        match self.slots.get(slot)?.state {
            SlotState::Open(device) => Some(device),
            SlotState::Closed | SlotState::LeftOut => None,
        }
    }

    pub(super) fn opened(&mut self, slot: usize, judge: Option<&Ready>, baseline: Option<&Measurement>) {
        let judge = judge.unwrap_or(&self.devices[0].judge);
        let device = Device { judge: judge.clone(), baseline: baseline.cloned() };
        let place = self.devices.iter().position(|other| *other == device).unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        self.slots[slot].state = SlotState::Open(place);
    }

    pub(super) fn lost(&mut self, slot: usize, refused: bool) {
        let slot = &mut self.slots[slot];
        slot.losses += 1;
        let is_left_out = refused || slot.losses >= slot.most_losses;
        slot.state = if is_left_out { SlotState::LeftOut } else { SlotState::Closed };
    }

    /// Checks that an event can be one of this slot, which must be open.
    pub(super) fn check_measured(&self, slot: usize) -> Result<(), String> {
        match self.is_open(slot) {
            true => Ok(()),
            false => Err(format!("slot {slot} is not open")),
        }
    }

    /// Checks that a slot can open.
    pub(super) fn check_opened(&self, slot: usize) -> Result<(), String> {
        self.check_slot(slot)?;
        if self.is_open(slot) {
            return Err(format!("slot {slot} is open"));
        }
        Ok(())
    }

    /// Checks that a slot can be lost.
    pub(super) fn check_lost(&self, slot: usize, measures: bool) -> Result<(), String> {
        self.check_slot(slot)?;
        if measures { self.check_measured(slot) } else { Ok(()) }
    }

    fn check_slot(&self, slot: usize) -> Result<(), String> {
        let count = self.slots.len();
        if slot >= count {
            return Err(format!("there are {count} slots, none of number {slot}"));
        }
        if self.is_left_out(slot) {
            return Err(format!("slot {slot} is left out"));
        }
        Ok(())
    }

    /// A slot has measured; its device.
    pub(super) fn measured(&mut self, slot: usize) -> usize {
        self.slots[slot].losses = 0;
        self.device_of(slot).expect("BUG: the slot was checked")
    }

    pub(super) fn measured_baseline(&mut self, slot: usize) {
        self.baseline = self.measured(slot);
    }

    /// The judges start again.
    pub(super) fn close_all(&mut self) {
        for slot in &mut self.slots {
            (slot.state, slot.losses) = (SlotState::Closed, 0);
        }
    }

    /// A measurement on this device, so that it compares with the baseline of the run: the same if the device has no
    /// baseline of its own.
    pub fn compared<'a>(
        &self,
        device: usize,
        measured: &'a Measurement,
        baseline: &Measurement,
    ) -> Cow<'a, Measurement> {
        match &self.devices[device].baseline {
            None => Cow::Borrowed(measured),
            Some(own) => Cow::Owned(as_on(measured, own, baseline)),
        }
    }

    /// The same of an evaluation.
    pub fn compared_evaluation<'a>(
        &self,
        device: usize,
        evaluation: &'a Evaluation,
        baseline: &Measurement,
    ) -> Cow<'a, Evaluation> {
        let (Some(own), Some(_)) = (&self.devices[device].baseline, evaluation.measurement()) else {
            return Cow::Borrowed(evaluation);
        };
        let mut compared = evaluation.clone();
        if let Some(measurement) = compared.measurement_mut() {
            *measurement = as_on(measurement, own, baseline);
        }
        Cow::Owned(compared)
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::evaluation::{CaseMeasurement, Sample};

    use super::*;
    use crate::values::place::Place;

    fn places(slots: usize, restarts: u32) -> Places {
        let judges = vec![Place { restarts, ..Place::here(slots) }];
        Places::new(&Settings { judges, ..Settings::example() }, &Ready::default())
    }

    fn timed(seconds: f64) -> Measurement {
        let sample = Sample { seconds, reference_seconds: 1.0, ..Sample::default() };
        let cases = vec![CaseMeasurement { case: "8->4".to_owned(), samples: vec![sample] }];
        Measurement { cases, ..Measurement::default() }
    }

    #[test]
    fn a_slot_is_left_out_after_its_restarts_unless_it_measures_in_between() {
        let mut places = places(2, 2);
        for _ in 0..2 {
            places.opened(1, None, None);
            places.lost(1, false);
            places.lost(1, false);
            assert!(!places.is_left_out(1) && places.losses(1) == 2);
            places.opened(1, None, None);
            places.measured(1);
        }
        for _ in 0..3 {
            places.lost(1, false);
        }
        assert!(places.is_left_out(1) && !places.all_are_left_out());
        assert!(places.check_opened(1).unwrap_err().contains("is left out"));
        places.lost(0, true);
        assert!(places.all_are_left_out());
        places.close_all();
        assert!(places.check_opened(0).is_ok() && places.open() == 0);
    }

    #[test]
    fn only_an_open_slot_measures_and_only_a_known_one_opens() {
        let mut places = places(1, 0);
        assert_eq!(places.check_measured(0), Err("slot 0 is not open".to_owned()));
        assert_eq!(places.check_opened(1), Err("there are 1 slots, none of number 1".to_owned()));
        assert!(places.check_lost(0, true).is_err() && places.check_lost(0, false).is_ok());
        places.opened(0, None, None);
        assert_eq!(places.check_opened(0), Err("slot 0 is open".to_owned()));
        assert!(places.check_measured(0).is_ok() && places.check_measured(7).is_err());
    }

    #[test]
    fn a_slot_with_a_baseline_of_its_own_is_compared_with_that() {
        let mut places = places(3, 0);
        let other = Ready { device_name: "other".to_owned(), ..Ready::default() };
        places.opened(0, None, None);
        places.measured_baseline(0);
        assert!(!places.are_mixed());
        places.opened(1, Some(&other), Some(&timed(5.0)));
        places.opened(2, None, None);
        assert!(places.are_mixed() && places.devices().len() == 2);
        assert_eq!((places.own_baseline(0), places.own_baseline(1)), (None, Some(&timed(5.0))));
        let relative = |device: usize| {
            places.compared(device, &timed(1.0), &timed(20.0)).all_samples().map(Sample::relative_time).sum::<f64>()
        };
        assert_eq!((relative(0), relative(1)), (1.0, 4.0));
    }
}
