//! Array: loads as numbers of one type, `[layers, experts]` or `[rows, layers, experts]`, read row by row.

use std::io::Read;
use std::path::Path;

use crate::error::LoadsError;
use crate::number::{Bytes, Number};
use crate::steps::Steps;
use crate::window::{MOST_LOADS, Window, checked, too_many_loads};

/// The most numbers of an array that has to be held as a whole: one in Fortran order. Half a gigabyte of them.
const MOST_HELD: usize = 1 << 26;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    pub number: Number,
    pub order: Bytes,
    pub rows: usize,
    pub layers: usize,
    pub experts: usize,
    /// Whether the array has rows: whether it has three dimensions.
    pub has_rows: bool,
    /// The first dimension varies fastest.
    pub is_fortran: bool,
}

impl Array {
    pub fn new(number: Number, order: Bytes, shape: &[usize], is_fortran: bool) -> Result<Self, String> {
        let (rows, layers, experts) = match *shape {
            [layers, experts] => (1, layers, experts),
            [rows, layers, experts] => (rows, layers, experts),
            ref other => return Err(format!("{} dimensions, not [layers, experts] or [windows, ...]", other.len())),
        };
        let loads = if rows == 0 { Some(0) } else { layers.checked_mul(experts) };
        if loads.is_none_or(|loads| loads > MOST_LOADS) {
            return Err(too_many_loads());
        }
        let array = Self { number, order, rows, layers, experts, has_rows: shape.len() == 3, is_fortran };
        let held = rows.checked_mul(loads.unwrap_or(0));
        if is_fortran && held.is_none_or(|held| held > MOST_HELD) {
            return Err(format!("an array in Fortran order with more than {MOST_HELD} numbers: save it in C order"));
        }
        Ok(array)
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0 || self.layers == 0 || self.experts == 0
    }

    pub fn bytes(&self) -> u128 {
        self.rows as u128 * (self.layers * self.experts) as u128 * self.number.size() as u128
    }

    /// Reads the loads, which must follow in `reader`, into `steps`. `pass` numbers the rows.
    pub fn read(&self, path: &Path, reader: &mut impl Read, steps: &mut Steps) -> Result<(), LoadsError> {
        if self.is_fortran {
            return self.read_fortran(path, reader, steps);
        }
        for row in 0..self.rows {
            steps.add(self.row(path, reader, row)?, None);
        }
        Ok(())
    }

    /// Reads the next row, number `row`.
    pub fn row(&self, path: &Path, reader: &mut impl Read, row: usize) -> Result<Window, LoadsError> {
        let size = self.number.size();
        let mut bytes = vec![0; self.experts * size];
        let mut counts = Vec::new();
        for layer in 0..self.layers {
            let spot = |expert: usize| format!("window {row}, layer {layer}, expert {expert}");
            reader.read_exact(&mut bytes).map_err(|error| LoadsError::at(path, spot(0), error))?;
            for (expert, number) in bytes.chunks_exact(size).enumerate() {
                let load = self.number.value(number, self.order);
                let load = checked(load, format_args!("{load:?}"));
                counts.push(load.map_err(|problem| LoadsError::invalid(path, spot(expert), problem))?);
            }
        }
        Ok(Window::new(self.experts, counts))
    }

    fn read_fortran(&self, path: &Path, reader: &mut impl Read, steps: &mut Steps) -> Result<(), LoadsError> {
        // As it lies there: the array transposed.
        let lying = Self { rows: self.experts, experts: self.rows, is_fortran: false, ..*self };
        let transposed: Vec<Window> = (0..self.experts)
            .map(|expert| lying.row(path, reader, expert).map_err(|error| self.relocated(error, expert)))
            .collect::<Result<_, _>>()?;
        for row in 0..self.rows {
            let of_layer = |layer: usize| transposed.iter().map(move |expert| expert.layer(layer)[row]);
            steps.add(Window::new(self.experts, (0..self.layers).flat_map(of_layer).collect()), None);
        }
        Ok(())
    }

    /// An error of the transposed array, whose rows are experts and whose experts are rows.
    fn relocated(&self, error: LoadsError, expert: usize) -> LoadsError {
        let LoadsError::Invalid { path, spot, problem } = error else { return error };
        let numbers: Vec<&str> =
            spot.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()).collect();
        let [_, layer, row] = numbers[..] else { return LoadsError::Invalid { path, spot, problem } };
        LoadsError::Invalid { path, spot: format!("window {row}, layer {layer}, expert {expert}"), problem }
    }
}

/// What of `[rows, layers, experts]` numbers there is: for messages.
pub fn described(array: &Array) -> String {
    let Array { rows, layers, experts, number, .. } = array;
    format!("{rows} x {layers} x {experts} numbers of {} bytes", number.size())
}
