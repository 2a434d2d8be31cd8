//! Statements for many rows. Only the number of placeholders varies in their text, never what is in them: every
//! value is bound.

use sqlx::{MySql, QueryBuilder, mysql::MySqlArguments, query::Query};

use crate::store::Lease;

/// A statement in the making.
pub(super) type Statement = QueryBuilder<MySql>;

/// Most rows of one statement: with eleven columns well below the protocol's 65,535 placeholders, and below the
/// 1,000 from which on MariaDB makes a join of a list (see [`super::session`]).
const ROWS: usize = 500;
/// Most bytes of one statement's values, except that one row always goes: a quarter of MariaDB's default
/// `max_allowed_packet`.
const BYTES: usize = 4 * 1024 * 1024;
/// Lists up to this length keep their prepared statement. Longer ones differ from each other each time, and would
/// only push the others out of the cache.
const REMEMBERED: usize = 16;

/// `?, ?, ?` for a list of values; the parentheses are the caller's.
pub(super) fn list<'a, T>(statement: &mut Statement, values: impl IntoIterator<Item = T>)
where
    T: sqlx::Encode<'a, MySql> + sqlx::Type<MySql>,
{
    let mut list = statement.separated(", ");
    for value in values {
        list.push_bind(value);
    }
}

/// `(module = ? AND lease_token = ?) OR …`: a form that each server reads from the primary key. Parentheses
/// around all of it are the caller's.
pub(super) fn held<'a>(statement: &mut Statement, leases: impl IntoIterator<Item = &'a Lease>) {
    let mut any = statement.separated(" OR ");
    for lease in leases {
        any.push("(module = ")
            .push_bind_unseparated(lease.module.as_str())
            .push_unseparated(" AND lease_token = ")
            .push_bind_unseparated(lease.token)
            .push_unseparated(")");
    }
}

/// The finished statement for a list of `length`.
pub(super) fn ready(statement: &mut Statement, length: usize) -> Query<'_, MySql, MySqlArguments> {
    statement.build().persistent(length <= REMEMBERED)
}

/// Cuts rows into what one statement takes.
pub(super) fn chunks<T>(rows: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        let size = size(row);
        if at - begin == ROWS || (at > begin && bytes + size > BYTES) {
            chunks.push(&rows[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += size;
    }
    if begin < rows.len() {
        chunks.push(&rows[begin..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_and_lose_nothing() {
        let none: [usize; 0] = [];
        assert!(chunks(&none, |size| *size).is_empty());
        let many = vec![1; 2 * ROWS + 1];
        let lengths = |rows: &[usize]| -> Vec<usize> {
            chunks(rows, |size| *size)
                .iter()
                .map(|chunk| chunk.len())
                .collect()
        };
        assert_eq!(lengths(&many), [ROWS, ROWS, 1]);
        assert_eq!(lengths(&[BYTES + 1]), [1]);
        assert_eq!(lengths(&[1, BYTES, BYTES / 2, BYTES / 2, 1]), [1, 1, 2, 1]);
    }
}
