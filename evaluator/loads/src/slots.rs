//! Slots: loads of physical experts become those of the logical experts that they are replicas of.

use crate::window::{MOST_LOADS, Window, too_many_loads};

/// The logical expert of each slot, `[layers, slots]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    pub layers: usize,
    pub slots: usize,
    pub experts: usize,
    /// Row-major; `None`: the slot is empty.
    experts_of: Vec<Option<usize>>,
}

impl Slots {
    /// `map` is row-major; -1 stands for an empty slot. Every layer has the same experts, each in at least one slot.
    pub fn new(slots: usize, map: &[f64]) -> Result<Self, String> {
        if slots == 0 || map.is_empty() || !map.len().is_multiple_of(slots) || map.len() > MOST_LOADS {
            return Err(format!("a map of {} slots in layers of {slots}", map.len()));
        }
        let place = |at: usize| format!("layer {}, slot {}", at / slots, at % slots);
        let expert = |(at, value): (usize, &f64)| match *value {
            -1.0 => Ok(None),
            value if value >= 0.0 && value.fract() == 0.0 && value < slots as f64 => Ok(Some(value as usize)),
            value => Err(format!("{}: {value} is not an expert that {slots} slots could hold", place(at))),
        };
        let experts_of: Vec<Option<usize>> = map.iter().enumerate().map(expert).collect::<Result<_, _>>()?;
        let experts = experts_of.iter().flatten().max().map_or(0, |last| last + 1);
        for (layer, row) in experts_of.chunks(slots).enumerate() {
            let mut has_slot = vec![false; experts];
            row.iter().flatten().for_each(|expert| has_slot[*expert] = true);
            if let Some(missing) = has_slot.iter().position(|has_slot| !has_slot) {
                return Err(format!("layer {layer}: expert {missing} of {experts} has no slot"));
            }
        }
        if experts == 0 {
            return Err("all slots are empty".to_owned());
        }
        let layers = experts_of.len() / slots;
        if layers * experts > MOST_LOADS {
            return Err(too_many_loads());
        }
        Ok(Self { layers, slots, experts, experts_of })
    }

    /// The loads of logical experts; `loads` are those of the slots.
    pub fn logical(&self, loads: &[f64]) -> Window {
        assert_eq!(loads.len(), self.experts_of.len(), "BUG: loads and map have different shapes");
        let mut counts = vec![0.0; self.layers * self.experts];
        for (at, (load, expert)) in loads.iter().zip(&self.experts_of).enumerate() {
            if let Some(expert) = expert {
                counts[at / self.slots * self.experts + expert] += load;
            }
        }
        Window::new(self.experts, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_of_an_expert_are_summed_and_empty_slots_count_nothing() {
        let slots = Slots::new(4, &[0.0, 1.0, 0.0, -1.0, 1.0, 0.0, 1.0, 1.0]).unwrap();
        let window = slots.logical(&[1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(window, Window::new(2, vec![4.0, 2.0, 5.0, 17.0]));
    }

    #[test]
    fn a_map_that_cannot_be_one_is_refused() {
        let problem = |slots, map: &[f64]| Slots::new(slots, map).unwrap_err();
        assert_eq!(problem(2, &[0.0, 1.0, 1.0, 1.0]), "layer 1: expert 0 of 2 has no slot");
        assert_eq!(problem(2, &[0.0, 2.0]), "layer 0, slot 1: 2 is not an expert that 2 slots could hold");
        assert_eq!(problem(2, &[0.0, f64::NAN]), "layer 0, slot 1: NaN is not an expert that 2 slots could hold");
        assert_eq!(problem(2, &[-1.0, -1.0]), "all slots are empty");
        assert_eq!(problem(3, &[0.0, 1.0]), "a map of 2 slots in layers of 3");
    }
}
