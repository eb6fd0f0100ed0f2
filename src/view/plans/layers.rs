//! The layers of a model that the rows of loads and plans stand for.

/// The layers of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelLayers {
    /// The layer of each row, ascending; `None` if that is unknown.
    ids: Option<Vec<usize>>,
    /// All hidden layers, dense ones too; 0 if that is unknown.
    hidden: usize,
}

impl ModelLayers {
    /// Rows for the layers `ids`, in a model that also has `dense` ones without rows.
    pub fn new(ids: Option<&[usize]>, dense: &[usize]) -> Self {
        let last = ids.into_iter().flatten().chain(dense).max();
        Self { ids: ids.map(<[usize]>::to_vec), hidden: last.map_or(0, |last| last + 1) }
    }

    /// That many rows behind `dense` layers without rows.
    pub fn after(dense: usize, rows: usize) -> Self {
        Self::new(Some(&(dense..dense + rows).collect::<Vec<_>>()), &[])
    }

    /// The layer of each row, if that is known.
    pub fn ids(&self) -> Option<&[usize]> {
        self.ids.as_deref()
    }

    /// All hidden layers, dense ones too.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The layer of a row, or the row where that is unknown.
    pub fn id(&self, row: usize) -> usize {
        self.ids.as_ref().map_or(row, |ids| ids[row])
    }

    /// The row of a layer; `None` for a dense one.
    pub fn row(&self, layer: usize) -> Option<usize> {
        self.ids.as_ref()?.iter().position(|id| *id == layer)
    }

    /// How many layers come before the first row.
    pub fn first(&self) -> Option<usize> {
        self.ids.as_ref()?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_for_layers_and_dense_layers_have_none() {
        let layers = ModelLayers::new(Some(&[1, 2, 4]), &[0, 3, 5]);
        assert_eq!((layers.hidden(), layers.id(2), layers.row(4), layers.row(3)), (6, 4, Some(2), None));
        assert_eq!(ModelLayers::after(3, 2), ModelLayers::new(Some(&[3, 4]), &[]));
        assert_eq!((ModelLayers::after(3, 2).hidden(), ModelLayers::after(3, 2).first()), (5, Some(3)));
        let unknown = ModelLayers::new(None, &[]);
        assert_eq!((unknown.id(7), unknown.row(7), unknown.ids()), (7, None, None));
    }
}
