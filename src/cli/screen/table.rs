//! Tables that fit: first columns that matter less are left out, then the widest ones are cut.

use super::{Line, Tone, width_of};

/// Between two columns.
const GAP: &str = "  ";

/// Narrower than this no column is cut, and its head is never cut.
const LEAST: usize = 8;

/// From here on a column counts as wide when columns are chosen: its end may be cut before another is left out.
const COMFORTABLE: usize = 20;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Column<'h> {
    head: &'h str,
    /// How soon it is left out where there is little room: the highest first, and 0 never.
    spare: u8,
    /// Whether a part of a cell says nothing, so that none is cut.
    whole: bool,
}

impl<'h> Column<'h> {
    /// A column that is always there.
    pub(in crate::cli) const fn needed(head: &'h str) -> Self {
        Self::spare(head, 0)
    }

    /// A column that is left out where there is little room, those with higher numbers first.
    pub(in crate::cli) const fn spare(head: &'h str, spare: u8) -> Self {
        Self {
            head,
            spare,
            whole: false,
        }
    }

    /// The column, whose cells are never cut.
    pub(in crate::cli) const fn whole(self) -> Self {
        Self {
            whole: true,
            ..self
        }
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Table<'h> {
    columns: Vec<Column<'h>>,
    rows: Vec<Vec<Line>>,
}

impl<'h> Table<'h> {
    /// A table. Each row has a cell for each column.
    pub(in crate::cli) fn new(columns: &[Column<'h>], rows: Vec<Vec<Line>>) -> Self {
        Self {
            columns: columns.to_vec(),
            rows,
        }
    }

    /// The table without a column.
    pub(in crate::cli) fn without(mut self, head: &str) -> Self {
        if let Some(at) = self.columns.iter().position(|column| column.head == head) {
            self.columns.remove(at);
            for row in &mut self.rows {
                row.remove(at);
            }
        }
        self
    }

    /// The columns that it takes where there is room for everything.
    pub(in crate::cli) fn natural_width(&self) -> usize {
        self.total(&(0..self.columns.len()).collect::<Vec<_>>(), usize::MAX)
    }

    /// The columns that it takes without a cut, where what may be left out is.
    pub(in crate::cli) fn least_width(&self) -> usize {
        let needed = (0..self.columns.len()).filter(|&column| self.columns[column].spare == 0);
        self.total(&needed.collect::<Vec<_>>(), usize::MAX)
    }

    /// Its lines, in at most `width` columns if that is possible.
    pub(in crate::cli) fn lines(&self, width: Option<usize>) -> Vec<Line> {
        let mut chosen: Vec<usize> = (0..self.columns.len()).collect();
        let mut widths: Vec<usize> = Vec::new();
        if let Some(width) = width {
            self.choose(&mut chosen, width);
            widths = self.shrink(&chosen, width);
        } else {
            widths.extend(chosen.iter().map(|&column| self.natural(column)));
        }
        let heads = chosen.iter().map(|&column| {
            let head = self.columns[column].head;
            Line::of(Tone::Strong, head)
        });
        let head = row(heads, &widths);
        let rows = self.rows.iter().map(|cells| {
            let cells = chosen.iter().map(|&column| {
                let cell = cells.get(column);
                cell.cloned().unwrap_or_default()
            });
            row(cells, &widths)
        });
        std::iter::once(head).chain(rows).collect()
    }

    fn natural(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|cells| cells.get(column));
        let widest = cells.map(Line::width).max().unwrap_or(0);
        widest.max(width_of(self.columns[column].head))
    }

    /// The width of these columns, none of those that may be cut wider than `most`.
    fn total(&self, chosen: &[usize], most: usize) -> usize {
        let width = |&column: &usize| match self.columns[column] {
            Column { whole: true, .. } => self.natural(column),
            Column { .. } => self.natural(column).min(most),
        };
        let cells: usize = chosen.iter().map(width).sum();
        cells + GAP.len() * chosen.len().saturating_sub(1)
    }

    fn choose(&self, chosen: &mut Vec<usize>, width: usize) {
        while self.total(chosen, COMFORTABLE) > width {
            let spare = |at: &usize| self.columns[chosen[*at]].spare;
            let most = (0..chosen.len()).max_by_key(spare);
            match most.filter(|at| spare(at) > 0) {
                Some(at) => chosen.remove(at),
                None => return,
            };
        }
    }

    /// Takes from the widest until all fit, or none can give more.
    fn shrink(&self, chosen: &[usize], width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = chosen.iter().map(|&column| self.natural(column)).collect();
        let least = |at: usize| match self.columns[chosen[at]] {
            Column { whole: true, .. } => usize::MAX,
            Column { head, .. } => LEAST.max(width_of(head)),
        };
        let mut excess = self.total(chosen, usize::MAX).saturating_sub(width);
        while excess > 0 {
            let gives = |at: &usize| widths[*at] > least(*at);
            let widest = (0..widths.len()).filter(gives).max_by_key(|&at| widths[at]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
            excess -= 1;
        }
        widths
    }
}

fn row(cells: impl Iterator<Item = Line>, widths: &[usize]) -> Line {
    let mut line = Line::default();
    for (at, (cell, &width)) in cells.zip(widths).enumerate() {
        if at > 0 {
            line = line.with(Tone::Plain, GAP);
        }
        line = line.followed_by(cell.cut(width).padded(width));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<'static> {
        let columns = [
            Column::needed("NAME"),
            Column::spare("NOTE", 1),
            Column::spare("BY", 2),
        ];
        let row = |cells: [&str; 3]| cells.map(Line::plain).to_vec();
        Table::new(
            &columns,
            vec![
                row(["価格", "a note that is rather long, as notes are", "ada"]),
                row(["b", "-", "bob"]),
            ],
        )
    }

    fn shown(width: Option<usize>) -> String {
        let lines = table().lines(width);
        let written = lines.iter().map(|line| line.written(false));
        written.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        assert_eq!(
            shown(None),
            "NAME  NOTE                                      BY\n\
             価格  a note that is rather long, as notes are  ada\n\
             b     -                                         bob"
        );
    }

    #[test]
    fn the_widest_is_cut_and_then_columns_are_left_out() {
        assert_eq!(
            shown(Some(31)),
            "NAME  NOTE                  BY\n\
             価格  a note that is rath…  ada\n\
             b     -                     bob"
        );
        assert_eq!(
            shown(Some(30)),
            "NAME  NOTE\n価格  a note that is rather l…\nb     -"
        );
        assert_eq!(shown(Some(4)), "NAME\n価格\nb");
    }
}
